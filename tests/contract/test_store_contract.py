"""What every artifact store adapter promises; the same cases for each of them. The hazards are in ``test_hazards.py``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDeleted, KeyFailed, KeyGone, Undo
from marksweep.model.uri import claims, locate
from tests.contract.store_worlds import StoreWorld, place, relative

pytestmark = pytest.mark.anyio


async def test_an_object_whose_key_is_the_uri_is_listed(world: StoreWorld) -> None:
    """A URI may name one object: it alone is the listing."""
    world.put("model.pkl", "model.pkl.bak", body=b"four")
    async with world.open() as store:
        (found,) = await store.list(place(world, "model.pkl"))
    assert (found.key, found.size) == (world.key("model.pkl"), 4)
    assert found.tag


async def test_a_missing_location_is_an_empty_listing(world: StoreWorld) -> None:
    """Nothing there, nothing above it, and an object where a folder would be: nothing is listed, nothing fails."""
    world.put("v")
    async with world.open() as store:
        for path in ("w", "w/deep/er", "v/below"):
            assert await store.list(place(world, path)) == []


async def test_a_rewritten_object_has_another_tag_or_size(world: StoreWorld) -> None:
    """The tag names the content: a rewrite shows in the next listing, so that the fingerprint changes."""
    world.put("v/a", body=b"1234")
    async with world.open() as store:
        before = await store.list(place(world, "v"))
        assert before == await store.list(place(world, "v"))
        world.put("v/a", body=b"4321")
        assert before != await store.list(place(world, "v"))


async def test_deleting_twice_is_deleted_or_gone(world: StoreWorld) -> None:
    """A key that is not there any more is no failure."""
    world.put("v/a")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        assert await store.delete(found) == [KeyDeleted(world.key("v/a"))]
        (again,) = await store.delete(found)
        assert isinstance(again, KeyGone | KeyDeleted)


async def test_a_key_given_twice_has_one_outcome(world: StoreWorld) -> None:
    """Versions that share a URI share its objects: each key is asked for once."""
    world.put("v/a", "v/b")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        assert len(await store.delete([*found, *found])) == 2
        assert await store.delete([]) == []


async def test_outside_the_root_is_refused(world: StoreWorld) -> None:
    """By segments: a neighbour that shares the root's prefix is outside, and so is the parent."""
    parent = world.root.rpartition("/")[0]
    async with world.open() as store:
        for uri in (
            f"{world.root}-2/v",
            f"{parent}/other/v",
            parent,
            "gs://bucket/zenml/v",
            "/nowhere/v",
            "s3://other/v",
        ):
            if uri.endswith("://"):
                continue
            location = locate(uri)
            assert store.objection(location), uri
            with pytest.raises(StoreRefused) as refused:
                await store.list(location)
            assert refused.value.remedy
            await store.tidy([location])


async def test_listing_many_keeps_their_order_and_yields_errors(world: StoreWorld) -> None:
    """Many locations are listed at once, in the given order; one that fails carries its StoreRefused."""
    world.put(*(f"v{number}/a" for number in range(0, 300, 2)))
    wanted = [place(world, f"v{number}") for number in range(300)]
    wanted.insert(7, locate(world.root))
    async with world.open() as store:
        results = [result async for result in store.listing(wanted)]
    assert [location for location, _ in results] == wanted
    assert isinstance(results.pop(7)[1], StoreRefused)
    for number, (_, listed) in enumerate(results):
        assert not isinstance(listed, Exception)
        assert [found.key for found in listed] == ([world.key(f"v{number}/a")] if number % 2 == 0 else [])


async def test_a_listing_can_be_left_early(world: StoreWorld) -> None:
    """Breaking off, or being cancelled, leaves nothing running and raises nothing."""
    world.put("v0/a")
    wanted = [place(world, f"v{number}") for number in range(600)]
    async with world.open() as store:
        async for location, _ in store.listing(wanted):
            assert location == wanted[0]
            break
        with anyio.move_on_after(0.01) as scope:
            async for _ in store.listing(wanted):
                await anyio.sleep(0.005)
        assert scope.cancelled_caught
        assert len(await store.list(wanted[0])) == 1
        assert [result async for result in store.listing([])] == []


async def test_many_tasks_use_one_store(world: StoreWorld) -> None:
    """Listing, deleting and tidying different locations at the same time disturb nobody."""
    names = {f"v{number}/{name}" for number in range(12) for name in "abc"}
    world.put(*names)

    async with world.open() as store:

        async def sweep(number: int) -> None:
            location = place(world, f"v{number}")
            outcomes = await store.delete(await store.list(location))
            assert [type(outcome) for outcome in outcomes] == [KeyDeleted] * 3
            await store.tidy([location])

        async with anyio.create_task_group() as group:
            for number in range(0, 12, 2):
                group.start_soon(sweep, number)
    assert world.paths() == {name for name in names if int(name[1:].split("/")[0]) % 2}


async def test_spellings_hold_every_lexical_reading(world: StoreWorld) -> None:
    """The keys of a URI are at least those that its text could mean."""
    async with world.open() as store:
        for uri in (
            f"{world.root}/a/../b",
            f"{world.root}//a/",
            "s3a://bucket/x",
            "gs://b/v",
            "nonsense",
            "",
            "/",
            "file:///",
        ):
            assert set(claims(uri)) <= set(store.spellings(uri)), uri


async def test_what_was_deleted_comes_back_or_it_is_said_why_not(world: StoreWorld) -> None:
    """Exactly what lay there, never over what lies there now; a store that keeps nothing refuses with a remedy."""
    world.put("v/a", "v/b", "v-2/a", body=b"four")
    async with world.open() as store:
        before = await store.list(place(world, "v"))
        since = datetime.now(UTC) - timedelta(minutes=5)
        await store.delete([*before, *await store.list(place(world, "v-2"))])
        if await store.undo() is Undo.NONE:
            with pytest.raises(StoreRefused) as refused:
                await store.undeletable(place(world, "v"), since)
            assert refused.value.remedy
            return
        back = await store.undeletable(place(world, "v"), since)
        assert {(o.key, o.size) for o in back} == {(o.key, o.size) for o in before}
        assert await store.undeletable(place(world, "v"), datetime.now(UTC) + timedelta(minutes=5)) == []
        world.put("v/b", body=b"later")
        failures = await store.undelete(back)
        assert [(o.key, type(o), o.code) for o in failures] == [(world.key("v/b"), KeyFailed, "Occupied")]
        assert relative(world, await store.list(place(world, "v"))) == {"v/a", "v/b"}
    assert world.paths() == {"v/a", "v/b"}
