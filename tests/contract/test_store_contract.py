"""What every artifact store adapter promises; the same cases for each of them."""

from __future__ import annotations

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, StoredObject
from marksweep.model.uri import claims, locate
from tests.contract.store_worlds import StoreWorld, place, relative

pytestmark = pytest.mark.anyio

AWKWARD = {
    "asterisk": ("run-*", ["run-*/a", "run-*/*"], ["run-1/a", "run-10/a"]),
    "question mark": ("run?", ["run?/a", "run?/b?"], ["run1/a", "run12/a"]),
    "character class": ("model[1]", ["model[1]/a", "model[1]/[a-z]"], ["model1/a", "model[1/a"]),
    "braces and exclamation": ("{a,b}", ["{a,b}/x", "{a,b}/[!x]"], ["a/x", "b/x"]),
    "percent-encoded slash": ("v%2Fw", ["v%2Fw/a", "v%2Fw/b%2Fc", "v%2Fw/%25"], ["v/w/a"]),
    "spaces": ("two words", ["two words/a b", "two words/ lead", "two words/trail "], ["two/a", "two%20words/a"]),
    "plus": ("a+b", ["a+b/c+d", "a+b/c d"], ["a b/c"]),
    "newline": ("v", ["v/new\nline", "v/plain"], ["w/new\nline"]),
    "carriage return": ("v", ["v/re\rturn", "v/re\r\nturn"], ["w"]),
    "a version in the key": ("v", ["v/a?versionId=1", "v/a"], ["v?versionId=1/a"]),
    "a version in the URI": ("v?versionId=1", ["v?versionId=1/a"], ["v/a"]),
    "hash and ampersand": ("v#1&2", ["v#1&2/a#b", "v#1&2/c&amp;d"], ["v/a", "v#1/a"]),
    "quotes and angle brackets": ("v", ["v/<a>'\"", "v/&lt;a&gt;", "v/b\\c"], ["w"]),
    "composed accent": ("caf\u00e9", ["caf\u00e9/a"], ["cafe\u0301/a"]),
    "combining accent": ("cafe\u0301", ["cafe\u0301/a", "cafe\u0301/\u00e9", "cafe\u0301/e\u0301"], ["caf\u00e9/a"]),
    "beyond the basic plane": ("\U0001f9f9", ["\U0001f9f9/\U0001f9f9"], ["a"]),
    "upper case": ("Run", ["Run/A", "Run/a"], ["run/A", "RUN/A"]),
    "shared prefix": ("abc", ["abc/x", "abc/y/z"], ["abcd/x", "abc-2/x", "abc.txt", "ab/x", "abc!"]),
    "shared prefix, object": ("abc", ["abc"], ["abcd", "abc-2/x", "ab"]),
    "dots": ("v.1", ["v.1/.hidden", "v.1/..a", "v.1/a."], ["v/1", "vx1/a"]),
}


@pytest.mark.parametrize("case", AWKWARD)
async def test_only_what_lies_at_or_under_the_uri_is_listed_and_deleted(world: StoreWorld, case: str) -> None:
    """Exactly the objects under the URI are listed and deleted, whatever characters it holds; siblings stay."""
    path, mine, others = AWKWARD[case]
    world.put(*mine, *others)
    async with world.open() as store:
        found = await store.list(place(world, path))
        assert relative(world, found) == set(mine)
        assert store.objection(place(world, path)) is None
        assert [store.objection_to(listed) for listed in found] == [None] * len(mine)
        outcomes = await store.delete(found)
        assert set(outcomes) == {KeyDeleted(world.key(name)) for name in mine}
        assert await store.list(place(world, path)) == []
    assert world.paths() == set(others)


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


async def test_two_thousand_five_hundred_objects_are_listed_and_deleted(world: StoreWorld) -> None:
    """A listing and a delete go on past a page, a request and a hop to a thread."""
    names = {f"big/{number:04}" for number in range(2_500)}
    world.put(*names, "big-2/a", "bi/a")
    async with world.open() as store:
        found = await store.list(place(world, "big"))
        assert relative(world, found) == names
        outcomes = await store.delete(found)
    assert set(outcomes) == {KeyDeleted(world.key(name)) for name in names}
    assert len(outcomes) == 2_500
    assert world.paths() == {"big-2/a", "bi/a"}


async def test_one_denied_key_fails_alone(world: StoreWorld) -> None:
    """A key that the store refuses is reported with its code; the others are deleted."""
    world.put("v/a", "v/b", "v/c")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        with world.denied("v/b"):
            outcomes = {outcome.key: outcome for outcome in await store.delete(found)}
    failed = outcomes.pop(world.key("v/b"))
    assert isinstance(failed, KeyDenied | KeyFailed)
    assert failed.code in ("AccessDenied", "EACCES")
    assert failed.message
    assert set(outcomes.values()) == {KeyDeleted(world.key("v/a")), KeyDeleted(world.key("v/c"))}
    assert world.paths() == {"v/b"}


async def test_an_object_added_after_the_listing_stays(world: StoreWorld) -> None:
    """Only listed keys are deleted: what came later is there, and the next listing has it."""
    world.put("v/a")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        world.put("v/late")
        await store.delete(found)
        await store.tidy(place(world, "v"))
        assert relative(world, await store.list(place(world, "v"))) == {"v/late"}


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


@pytest.mark.parametrize("key", ["", "../outside/x", "/etc/passwd", "v/../../x", ".."])
async def test_a_key_that_no_listing_gives_is_refused(world: StoreWorld, key: str) -> None:
    """A key that is empty, or leads out of the root, is refused before the store hears of it."""
    world.put("v/a")
    async with world.open() as store:
        (outcome,) = await store.delete([StoredObject(key, 1, "1")])
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "InvalidKey"
    assert world.paths() == {"v/a"}


async def test_the_root_itself_is_refused(world: StoreWorld) -> None:
    """The root is never deleted, nor listed as if it were a version."""
    world.put("v/a")
    async with world.open() as store:
        assert "root" in (store.objection(locate(world.root)) or "")
        with pytest.raises(StoreRefused, match="root"):
            await store.list(locate(world.root))
        await store.tidy(locate(world.root))
    assert world.paths() == {"v/a"}


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
            await store.tidy(location)


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
            await store.tidy(location)

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


async def test_an_object_rewritten_after_the_listing_is_reported_as_it_is(world: StoreWorld) -> None:
    """Rewritten between listing and delete: what is reported is what happened to it."""
    world.put("v/a")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        world.put("v/a", body=b"rewritten")
        (outcome,) = await store.delete(found)
    assert isinstance(outcome, KeyChanged | KeyDeleted)
    assert world.paths() == ({"v/a"} if isinstance(outcome, KeyChanged) else set())
