"""The hazards of artifact stores, each by its name, on every server that can show it.

What went wrong with other tools and libraries: keys taken for patterns, prefixes for folders, folders for objects, silence
for success. Those of buckets with versions are in ``test_hazards_of_versions.py``, and in ``test_hazards_of_servers.py``
those that take a server which misbehaves.
"""

from __future__ import annotations

import os

import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, StoredObject
from marksweep.model.uri import UriRefused, locate
from marksweep.store.tuning import Meter
from tests.contract.store_limits import CANNOT_HOLD, NAMES, OBJECTED, those_with
from tests.contract.store_worlds import LocalWorld, S3World, SeaweedWorld, StoreWorld, place, relative

pytestmark = pytest.mark.anyio


def kind(request: pytest.FixtureRequest) -> str:
    """The kind of store that this test runs on."""
    return str(request.node.callspec.params["world"])


@pytest.mark.parametrize(
    ("world", "case"), [(kind, case) for case in NAMES for kind in those_with(case)], indirect=["world"]
)
async def test_name(world: StoreWorld, case: str, request: pytest.FixtureRequest) -> None:
    """Exactly the objects at or under the URI are listed, alone and among many, and deleted; the others stay."""
    path, mine, others = NAMES[case]
    world.put(*mine, *others)
    everything = [place(world, name) for name in sorted({path, *(other.partition("/")[0] for other in others)})]
    async with world.open() as store:
        found = await store.list(place(world, path))
        assert relative(world, found) == set(mine)
        async for location, listed in store.listing(everything):
            assert not isinstance(listed, Exception)
            if location == place(world, path):
                assert relative(world, listed) == set(mine)
        assert store.objection(place(world, path)) is None
        if (kind(request), case) in OBJECTED:
            assert all(store.objection_to(listed) for listed in found)
            assert {type(outcome) for outcome in await store.delete(found)} == {KeyFailed}
            return
        assert [store.objection_to(listed) for listed in found] == [None] * len(mine)
        outcomes = await store.delete(found)
        assert set(outcomes) == {KeyDeleted(world.key(name)) for name in mine}
        assert await store.list(place(world, path)) == []
        await store.tidy([place(world, path)])
    assert world.paths() == set(others)


async def test_what_cannot_be_held_is_not(world: StoreWorld, request: pytest.FixtureRequest) -> None:
    """Each line of the table of limits is true: such names are refused, or come back as others."""
    for (store, case), reason in CANNOT_HOLD.items():
        if store != kind(request):
            continue
        folder = case.replace(" ", "-")
        names = {f"{folder}/{name}" for name in (*NAMES[case][1], *NAMES[case][2])}
        try:
            world.put(*sorted(names))
        except (AssertionError, OSError):
            continue
        assert not names <= world.paths(), f"{case}: it is held after all, although {reason}"


async def test_two_thousand_five_hundred_objects_under_one_uri(world: StoreWorld) -> None:
    """A listing and a delete go on past a page, a request and a hop to a thread."""
    names = {f"big/{number:04}" for number in range(2_500)}
    world.put(*names, "big-2/a", "bi/a")
    async with world.open() as store:
        found = await store.list(place(world, "big"))
        assert relative(world, found) == names
        async for _, listed in store.listing([place(world, "big"), place(world, "big-2")]):
            assert not isinstance(listed, Exception)
            assert len(listed) in (1, 2_500)
        outcomes = await store.delete(found)
    assert set(outcomes) == {KeyDeleted(world.key(name)) for name in names}
    assert len(outcomes) == 2_500
    assert world.paths() == {"big-2/a", "bi/a"}


@pytest.mark.parametrize("world", those_with("one key of three denied"), indirect=True)
async def test_one_key_of_three_denied(world: StoreWorld) -> None:
    """A key that the store refuses is reported with its code; the others are deleted."""
    world.put("v/a", "v/b", "v/c")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        with world.denied("v/b"):
            outcomes = {outcome.key: outcome for outcome in await store.delete(found)}
    failed = outcomes.pop(world.key("v/b"))
    assert isinstance(failed, KeyDenied)
    assert failed.code in ("AccessDenied", "EACCES", "forbidden", "LeaseIdMissing")
    assert failed.message
    assert set(outcomes.values()) == {KeyDeleted(world.key("v/a")), KeyDeleted(world.key("v/c"))}
    assert world.paths() == {"v/b"}


async def test_an_object_rewritten_between_list_and_delete(world: StoreWorld, request: pytest.FixtureRequest) -> None:
    """Where the store honours conditions it stays and is reported as changed. moto ignores them, and that is said."""
    world.put("v/a", "v/b")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        world.put("v/a", body=b"rewritten")
        outcomes = set(await store.delete(found))
    if kind(request) == "moto":
        assert outcomes == {KeyDeleted(world.key("v/a")), KeyDeleted(world.key("v/b"))}
    else:
        assert outcomes == {KeyChanged(world.key("v/a")), KeyDeleted(world.key("v/b"))}
        assert world.paths() == {"v/a"}


async def test_a_store_that_ignores_preconditions(s3_world: S3World, seaweed_world: SeaweedWorld) -> None:
    """It is asked once, with a key that does not exist, and the user is told; one that honours them is not mentioned."""
    for world, said in ((s3_world, True), (seaweed_world, False)):
        meter = Meter()
        world.put("v/a", "v/b")
        async with world.open(meter=meter) as store:
            found = await store.list(place(world, "v"))
            for each in found:
                await store.delete([each])
        assert [("ignores conditions" in remark, world.bucket in remark) for remark in meter.remarks] == (
            [(True, True)] if said else []
        )
        assert meter.requests["delete"] == 2
        assert world.paths() == set()


async def test_an_object_added_between_list_and_delete(world: StoreWorld) -> None:
    """Only listed keys are deleted: what came later is there, and the closing listing has it."""
    world.put("v/a")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
        world.put("v/late")
        await store.delete(found)
        await store.tidy([place(world, "v")])
        async for _, listed in store.listing([place(world, "v")], emptied=True):
            assert not isinstance(listed, Exception)
            assert relative(world, listed) == {"v/late"}


async def test_the_store_root_as_uri(world: StoreWorld) -> None:
    """The root is never deleted, nor listed as if it were a version; nor is the bucket, or a folder above."""
    world.put("v/a")
    parent = world.root.rpartition("/")[0]
    async with world.open() as store:
        for uri in (world.root, f"{world.root}/", parent, f"{parent}/"):
            assert store.objection(locate(uri)), uri
            with pytest.raises(StoreRefused):
                await store.list(locate(uri))
            async for _, listed in store.listing([locate(uri)]):
                assert isinstance(listed, StoreRefused)
            await store.tidy([locate(uri)])
    assert world.paths() == {"v/a"}


@pytest.mark.parametrize("tail", ["..", "v/..", "v/../..", "./v", "v//a", "/v"])
async def test_a_uri_that_leads_elsewhere(world: StoreWorld, tail: str) -> None:
    """``..``, ``.`` and empty segments have more than one meaning: no location can be made of them."""
    with pytest.raises(UriRefused, match="segment"):
        locate(f"{world.root}/{tail}")


@pytest.mark.parametrize("key", ["", "../outside/x", "/etc/passwd", "v/../../x", ".."])
async def test_a_key_that_leads_out_of_the_root(world: StoreWorld, key: str) -> None:
    """It is refused before the store hears of it."""
    world.put("v/a")
    async with world.open() as store:
        (outcome,) = await store.delete([StoredObject(key, 1, "1")])
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "InvalidKey"
    assert world.paths() == {"v/a"}


async def test_a_whole_bucket_as_uri(s3_world: S3World) -> None:
    """Not even where the bucket itself is the root of the store."""
    s3_world.put("v/a")
    root = f"s3://{s3_world.bucket}"
    async with s3_world.open(root) as store:
        for uri in (root, f"{root}/"):
            assert store.objection(locate(uri))
            with pytest.raises(StoreRefused):
                await store.list(locate(uri))
        (outcome,) = await store.delete([StoredObject("", 1, "1")])
        assert isinstance(outcome, KeyFailed)
        assert store.objection(locate(f"{root}/zenml")) is None
    assert s3_world.paths() == {"v/a"}


async def test_a_symbolic_link_inside(local_world: LocalWorld) -> None:
    """The link is deleted, what it points at stays: a file, a folder, something outside."""
    local_world.put("v/a", "live/x")
    (local_world.outside / "precious").write_bytes(b"x")
    for name, target in (("file", "../live/x"), ("folder", "../live"), ("out", local_world.outside), ("none", "gone")):
        os.symlink(target, local_world.folder / "v" / name)
    async with local_world.open() as store:
        found = await store.list(place(local_world, "v"))
        assert relative(local_world, found) == {"v/a", "v/file", "v/folder", "v/out", "v/none"}
        assert {type(outcome) for outcome in await store.delete(found)} == {KeyDeleted}
        await store.tidy([place(local_world, "v")])
    assert local_world.paths() == {"live/x"}
    assert (local_world.outside / "precious").exists()


async def test_a_symbolic_link_above(local_world: LocalWorld) -> None:
    """A place that is reached through a link belongs to somebody else: objected to, not listed, not deleted."""
    local_world.put("live/v/x")
    os.symlink("live", local_world.folder / "link")
    async with local_world.open() as store:
        location = place(local_world, "link/v")
        assert "symbolic link" in (store.objection(location) or "")
        with pytest.raises(StoreRefused):
            await store.list(location)
        (outcome,) = await store.delete([StoredObject("link/v/x", 1, "1")])
        assert isinstance(outcome, KeyFailed | KeyDenied | KeyChanged)
        await store.tidy([location])
    assert local_world.paths() == {"live/v/x", "link"}


async def test_an_empty_local_folder(local_world: LocalWorld) -> None:
    """It is nothing to list; tidying removes it and those below, never one above."""
    (local_world.folder / "above/v/deep").mkdir(parents=True)
    async with local_world.open() as store:
        assert await store.list(place(local_world, "above/v")) == []
        await store.tidy([place(local_world, "above/v")])
    assert local_world.folders() == {"above"}
