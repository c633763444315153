"""What only Google Cloud Storage can do: generations, its own key names, pages, what a listing costs."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyFailed, KeyGone, StoredObject
from marksweep.model.uri import locate
from marksweep.store.tuning import Meter, Tuning
from tests.contract.gcs_world import GcsWorld
from tests.contract.store_worlds import place, relative
from tests.support.gcs_front import Fault, Front
from tests.support.gcs_server import Reply, Request

pytestmark = pytest.mark.anyio


def pages_of(size: int) -> Fault:
    """The server puts at most *size* generations into a page; its tokens are opaque (fake-gcs-server's own are keys)."""

    def smaller(request: Request, act: Callable[[], Reply]) -> Reply | None:
        if request.kind != "list":
            return None
        token = re.search(r"&pageToken=(\d+)", request.target)
        request.target = re.sub(r"&pageToken=\d+", "", request.target)
        whole = json.loads(act().body)
        first = int(token[1]) if token else 0
        page = {"kind": whole["kind"], "items": whole.get("items", [])[first : first + size]}
        if len(whole.get("items", [])) > first + size:
            page["nextPageToken"] = str(first + size)
        return Reply(200, json.dumps(page).encode())

    return smaller


async def test_markers_and_the_object_beside_them_are_exact(gcs_world: GcsWorld) -> None:
    """``v``, ``v/`` and ``v/sub/`` are three objects; deleting two leaves the third."""
    gcs_world.put("v", "v/", "v/sub/", "v/sub", "w/", "w")
    async with gcs_world.open() as store:
        found = await store.list(place(gcs_world, "v"))
        assert relative(gcs_world, found) == {"v", "v/", "v/sub/", "v/sub"}
        await store.delete([listed for listed in found if listed.key.endswith("/")])
        assert gcs_world.paths() == {"v", "v/sub", "w/", "w"}


async def test_keys_that_are_no_paths_are_exact(gcs_world: GcsWorld) -> None:
    """Empty, ``.`` and ``..`` segments are part of a key's name and lead nowhere; nor does what URLs give a meaning."""
    names = {"v//double", "v/./dot", "v/../up", "v/trail/", "v/ ", "v/%2e%2e", "v/a?generation=1", "v/;x=1", "v/\x01"}
    gcs_world.put(*names, "up", "double", "v/dot", "trail", "v/a")
    async with gcs_world.open() as store:
        found = await store.list(place(gcs_world, "v"))
        assert relative(gcs_world, found) == names | {"v/dot", "v/a"}
        await store.delete([listed for listed in found if listed.key not in ("zenml/v/dot", "zenml/v/a")])
    assert gcs_world.paths() == {"up", "double", "v/dot", "trail", "v/a"}


async def test_a_key_that_no_object_can_have_is_objected_to(gcs_world: GcsWorld) -> None:
    """Lone surrogates, too long a name, and dot segments that HTTP drops are never sent."""
    async with gcs_world.open(f"gs://{gcs_world.bucket}") as store:
        for key in ("\ud800", "k" * 1_025, "..", ".", ""):
            assert store.objection_to(StoredObject(key, 1, "1"))
            (outcome,) = await store.delete([StoredObject(key, 1, "1")])
            assert isinstance(outcome, KeyFailed)
            assert outcome.code == "InvalidKey"
        with pytest.raises(StoreRefused):
            await store.list(locate(f"gs://{gcs_world.bucket}/v\ud800"))
        assert store.objection_to(StoredObject("\ufffd", 1, "1")) is None
    assert not gcs_world.front.of_kind("batch")


async def test_a_key_outside_the_root_is_refused(gcs_world: GcsWorld) -> None:
    """The root's own marker, a neighbour and a shared prefix are never sent."""
    keys = ("zenml", "zenml/", "zenml-2/a", "other/a")
    gcs_world.put_keys(*keys)
    async with gcs_world.open() as store:
        outcomes = await store.delete([StoredObject(key, 1, "1") for key in keys])
    assert {type(outcome) for outcome in outcomes} == {KeyFailed}
    assert gcs_world.keys() == set(keys)


async def test_a_rewritten_object_is_changed_and_stays(gcs_world: GcsWorld) -> None:
    """Each delete carries the generation that was listed: another one is left alone, and said to be changed."""
    gcs_world.put("v/a", "v/b")
    async with gcs_world.open() as store:
        found = await store.list(place(gcs_world, "v"))
        gcs_world.put("v/a", body=b"another")
        outcomes = await store.delete(found)
    assert set(outcomes) == {KeyChanged("zenml/v/a"), KeyDeleted("zenml/v/b")}
    assert gcs_world.paths() == {"v/a"}


async def test_a_condition_that_fails_for_want_of_the_object_is_gone(gcs_world: GcsWorld) -> None:
    """A server may answer 412 where there is no object at all: that one did not change."""
    gcs_world.put("v/a")
    async with gcs_world.open() as store:
        found = await store.list(place(gcs_world, "v"))
        gcs_world.remove_keys("zenml/v/a")
        gcs_world.front.parts["zenml/v/a"] = itertools.repeat((412, "conditionNotMet"))
        assert await store.delete(found) == [KeyGone("zenml/v/a")]


async def test_a_condition_that_is_refused_though_it_holds_has_failed(gcs_world: GcsWorld) -> None:
    """The object is there, as it was listed: neither deleted nor changed."""
    gcs_world.put("v/a")
    gcs_world.front.parts["zenml/v/a"] = itertools.repeat((412, "conditionNotMet"))
    async with gcs_world.open() as store:
        (outcome,) = await store.delete(await store.list(place(gcs_world, "v")))
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "conditionNotMet"


@pytest.mark.parametrize("tag", ["", "0", "-1", "1&generation=2", "etag", "١"])
async def test_without_a_generation_nothing_is_deleted(gcs_world: GcsWorld, tag: str) -> None:
    """A delete without a condition, or on one that means something else, is never sent."""
    gcs_world.put("v/a")
    async with gcs_world.open() as store:
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, tag)])
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "NoGeneration"
    assert gcs_world.paths() == {"v/a"}
    assert not gcs_world.front.of_kind("batch")


async def test_a_server_that_is_not_googles_is_remarked_on(gcs_world: GcsWorld) -> None:
    """Whether it honours conditions nobody knows; the user is told once, when something is deleted."""
    meter = Meter()
    gcs_world.put("v/a", "v/b")
    async with gcs_world.open(meter=meter) as store:
        found = await store.list(place(gcs_world, "v"))
        assert meter.remarks == []
        await store.delete(found[:1])
        await store.delete(found[1:])
    (remark,) = meter.remarks
    assert "ifGenerationMatch" in remark


async def test_all_versions_are_listed_and_deleted_by_generation(gcs_front: Front) -> None:
    """With all versions asked for, each generation is listed, and deleted for good, the current one too."""
    world = GcsWorld(gcs_front, versioning=True)
    for body in (b"1", b"22", b"333"):
        world.put("v/a", body=body)
    world.put("v/b", "w")
    world.remove_keys("zenml/v/b")
    async with world.open() as store:
        assert [found.size for found in await store.list(place(world, "v"))] == [3]
    async with world.open(tuning=Tuning(all_versions=True)) as store:
        found = await store.list(place(world, "v"))
        assert sorted((listed.key, listed.size) for listed in found) == [
            ("zenml/v/a", 1), ("zenml/v/a", 2), ("zenml/v/a", 3), ("zenml/v/b", 1),
        ]  # fmt: skip
        assert all(listed.version == listed.tag for listed in found)
        assert await listed_together(store, world) == {"v": len(found), "w": 1}
        outcomes = await store.delete(found)
        assert set(outcomes) == {KeyDeleted(listed.key, listed.version) for listed in found}
        assert await store.list(place(world, "v")) == []
        assert {type(outcome) for outcome in await store.delete(found)} == {KeyGone}
    assert world.paths() == {"w"}


async def listed_together(store: object, world: GcsWorld) -> dict[str, int]:
    wanted = [place(world, path) for path in ("v", "w")]
    results = [result async for result in store.listing(wanted)]  # type: ignore[attr-defined]
    return {location.segments[-1]: len(listed) for location, listed in results}


async def test_a_generation_that_is_current_is_only_archived_without_all_versions(gcs_front: Front) -> None:
    """In a versioned bucket a plain delete leaves a generation to come back to."""
    world = GcsWorld(gcs_front, versioning=True)
    world.put("v/a")
    async with world.open() as store:
        assert await store.delete(await store.list(place(world, "v"))) == [KeyDeleted("zenml/v/a")]
    left = json.loads(gcs_front.get(f"/storage/v1/b/{world.bucket}/o?versions=true").body)
    assert len(left["items"]) == 1


async def test_neighbours_share_requests(gcs_world: GcsWorld) -> None:
    """600 places of two objects are a few pages; their 1,200 keys are twelve batches."""
    gcs_world.put(*(f"v{number:03}/{name}" for number in range(600) for name in "ab"))
    meter = Meter()
    async with gcs_world.open(meter=meter) as store:
        found: list[StoredObject] = []
        async for location, listed in store.listing([place(gcs_world, f"v{number:03}") for number in range(600)]):
            assert not isinstance(listed, Exception)
            assert [o.key for o in listed] == [f"{location.path}/a", f"{location.path}/b"]
            found += listed
        assert meter.requests["list"] <= 4
        outcomes = await store.delete(found)
    assert {type(outcome) for outcome in outcomes} == {KeyDeleted}
    assert len(outcomes) == 1_200
    assert meter.requests["delete"] == len(gcs_world.front.of_kind("batch")) == 12
    assert meter.retries == 0


async def test_siblings_that_fill_the_first_page_hide_nothing(gcs_world: GcsWorld) -> None:
    """Pages of ten: the object itself, siblings that sort before the folder, the folder over several pages."""
    mine = {"abc", *(f"abc/{number:02}" for number in range(25))}
    gcs_world.put(*mine, *(f"abc-2/{number:02}" for number in range(25)), "abcd/x")
    gcs_world.front.faults.append(pages_of(10))
    async with gcs_world.open() as store:
        assert relative(gcs_world, await store.list(place(gcs_world, "abc"))) == mine


async def test_many_generations_of_the_object_itself_hide_nothing(gcs_front: Front) -> None:
    """Pages of three, five generations of the object that the URI names, and what lies below it."""
    world = GcsWorld(gcs_front, versioning=True)
    for _ in range(5):
        world.put("abc")
    world.put("abc-2", "abc/1", "abc/2")
    gcs_front.faults.append(pages_of(3))
    async with world.open(tuning=Tuning(all_versions=True)) as store:
        found = await store.list(place(world, "abc"))
    assert sorted(listed.key for listed in found) == ["zenml/abc"] * 5 + ["zenml/abc/1", "zenml/abc/2"]
    assert len({listed.version for listed in found}) == 7


@pytest.mark.parametrize("folder", ["v", "v/deep"])
async def test_a_listing_that_cannot_be_completed_is_refused(gcs_world: GcsWorld, folder: str) -> None:
    """A server that says "more" without saying where is never taken for complete, nor asked for ever."""

    def endless(request: Request, _: Callable[[], Reply]) -> Reply | None:
        items = [{"name": f"zenml/{folder}", "generation": "1", "size": "1"}]
        body = {"kind": "storage#objects", "nextPageToken": "same", "items": items}
        return Reply(200, json.dumps(body).encode()) if request.kind == "list" else None

    gcs_world.front.faults.append(endless)
    async with gcs_world.open() as store:
        with pytest.raises(StoreRefused, match="cannot be completed"):
            await store.list(place(gcs_world, "v"))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"kind":"storage#bucket"}',
    b'{"kind":"storage#objects","items":[{"name":"zenml/v/a"}]}', b'{"kind":"storage#objects","items":[{"name":"\xff"}]}',
])  # fmt: skip
async def test_what_is_no_listing_is_not_an_empty_one(gcs_world: GcsWorld, body: bytes) -> None:
    """Something else answers at the endpoint with 200: nothing is concluded from that."""
    gcs_world.front.faults.append(lambda request, _: Reply(200, body) if request.kind == "list" else None)
    async with gcs_world.open() as store:
        with pytest.raises(StoreRefused, match="not what Cloud Storage says") as refused:
            await store.list(place(gcs_world, "v"))
        results = [listed async for _, listed in store.listing([place(gcs_world, "v")])]
    assert [type(result) for result in results] == [StoreRefused]
    assert "endpoint_url" in refused.value.remedy


@pytest.mark.parametrize("size", [1_000, 2])
async def test_a_server_that_ignores_the_prefix_endangers_nothing(gcs_world: GcsWorld, size: int) -> None:
    """What a server lists beyond the URI, on one page or on several, is dropped before anyone sees it."""
    gcs_world.put("v/a", "v-2/a", "w/a")

    def everything(request: Request, _: Callable[[], Reply]) -> Reply | None:
        request.target = re.sub(r"prefix=[^&]*&", "", request.target)
        return None

    gcs_world.front.faults += [everything, pages_of(size)]
    async with gcs_world.open() as store:
        assert relative(gcs_world, await store.list(place(gcs_world, "v"))) == {"v/a"}


def test_a_store_belongs_to_its_own_event_loop(gcs_world: GcsWorld) -> None:
    """Opened again in a second loop it works: no cached instance, no session of a closed loop."""
    gcs_world.put("v/a")

    async def count() -> int:
        async with gcs_world.open() as store:
            return len(await store.list(place(gcs_world, "v")))

    assert [anyio.run(count), anyio.run(count)] == [1, 1]


async def test_cancelling_a_sweep_closes_the_client(gcs_world: GcsWorld) -> None:
    """The scope ends, no exception group and no open socket is left (a warning would fail this test)."""
    with anyio.CancelScope() as scope:
        async with gcs_world.open() as store:
            await store.list(place(gcs_world, "v"))
            scope.deadline = anyio.current_time() + 0.02
            while True:
                await store.list(place(gcs_world, "v"))
    assert scope.cancelled_caught
