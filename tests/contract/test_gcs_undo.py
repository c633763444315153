"""What a bucket keeps of what was deleted, and bringing it back without overwriting anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, StoredObject, Undo
from marksweep.model.uri import locate
from marksweep.store.tuning import Meter, Tuning
from tests.contract.gcs_world import GcsWorld
from tests.contract.store_worlds import place
from tests.support.gcs_front import Front
from tests.support.gcs_server import Reply, refused

pytestmark = pytest.mark.anyio

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
WEEK = 604_800


@pytest.fixture(params=["soft delete", "versions"])
def keeping(request: pytest.FixtureRequest, gcs_front: Front) -> GcsWorld:
    """A bucket that keeps what is deleted, in either of two ways."""
    world = GcsWorld(gcs_front, versioning=request.param == "versions")
    if request.param == "soft delete":
        gcs_front.soft_delete[world.bucket] = WEEK
    return world


def body_of(world: GcsWorld, path: str) -> bytes:
    return world.front.get(f"/storage/v1/b/{world.bucket}/o/{world.key(path).replace('/', '%2F')}?alt=media").body


async def sweep(world: GcsWorld, path: str) -> None:
    async with world.open() as store:
        await store.delete(await store.list(place(world, path)))


async def test_undo_is_what_the_bucket_says(gcs_front: Front) -> None:
    """Versions, soft delete, neither; and what is left of that when all versions are deleted."""
    everything = Tuning(all_versions=True)
    for versioning, retention, plain, all_versions in (
        (False, 0, Undo.NONE, Undo.NONE),
        (True, 0, Undo.VERSIONED, Undo.NONE),
        (False, WEEK, Undo.SOFT_DELETE, Undo.SOFT_DELETE),
        (True, WEEK, Undo.VERSIONED, Undo.SOFT_DELETE),
    ):
        world, meter = GcsWorld(gcs_front, versioning=versioning), Meter()
        gcs_front.soft_delete[world.bucket] = retention
        async with world.open() as store:
            assert await store.undo() is plain
        async with world.open(tuning=everything, meter=meter) as store:
            assert await store.undo() is all_versions
        assert [f"{remark}" for remark in meter.remarks if "7 days" in remark] == meter.remarks
        assert bool(meter.remarks) == bool(retention)


@pytest.mark.parametrize("status", [401, 403])
async def test_undo_is_unknown_when_we_may_not_ask(gcs_world: GcsWorld, status: int) -> None:
    """storage.buckets.get is a right of its own; who may list may have no idea."""
    gcs_world.front.faults.append(lambda request, _: refused(status, "x") if request.kind == "bucket" else None)
    async with gcs_world.open() as store:
        assert await store.undo() is Undo.UNKNOWN


async def test_undo_of_what_cannot_be_reached_is_refused(gcs_world: GcsWorld) -> None:
    """Neither asked nor listed; another answer than a bucket's; no bucket."""
    gcs_world.front.faults.append(lambda *_: refused(403, "forbidden"))
    async with gcs_world.open() as store:
        with pytest.raises(StoreRefused, match="forbidden"):
            await store.undo()
        gcs_world.front.faults[:] = [lambda *_: Reply(200, b"{}")]
        with pytest.raises(StoreRefused, match="not what Cloud Storage says"):
            await store.undo()
    gcs_world.front.faults.clear()
    async with gcs_world.open("gs://no-such-bucket-here/zenml") as store:
        with pytest.raises(StoreRefused, match="NoSuchBucket"):
            await store.undo()


async def test_what_was_deleted_comes_back(keeping: GcsWorld) -> None:
    """Sizes and tags are those of the listing before; the content is back; siblings and what was not swept stay."""
    keeping.put("v/a", "v/b", body=b"old")
    keeping.put("v/b", body=b"newer")
    keeping.put("v-2/a", "w/a")
    async with keeping.open() as store:
        listed = await store.list(place(keeping, "v"))
        for path in ("v", "v-2"):
            await store.delete(await store.list(place(keeping, path)))
        found = await store.undeletable(place(keeping, "v"), EPOCH)
        assert [(o.key, o.size, o.tag) for o in found] == [(o.key, o.size, o.tag) for o in listed]
        assert all(o.version for o in found)
        assert await store.undelete(found) == []
        assert [o.size for o in await store.list(place(keeping, "v"))] == [3, 5]
    assert keeping.paths() == {"v/a", "v/b", "w/a"}
    assert (body_of(keeping, "v/a"), body_of(keeping, "v/b")) == (b"old", b"newer")


async def test_what_was_deleted_earlier_stays_deleted(keeping: GcsWorld) -> None:
    """Only what was deleted since the sweep began is offered."""
    keeping.put("v/a")
    await sweep(keeping, "v")
    async with keeping.open() as store:
        assert len(await store.undeletable(place(keeping, "v"), EPOCH)) == 1
        assert await store.undeletable(place(keeping, "v"), datetime.now(UTC) + timedelta(minutes=1)) == []


async def test_a_key_that_holds_an_object_is_not_overwritten(keeping: GcsWorld) -> None:
    """Written again meanwhile: what is there stays, and is said."""
    keeping.put("v/a", "v/b", body=b"old")
    await sweep(keeping, "v")
    async with keeping.open() as store:
        found = await store.undeletable(place(keeping, "v"), EPOCH)
        keeping.put("v/a", body=b"somebody's")
        (failed,) = await store.undelete(found)
    assert isinstance(failed, KeyFailed)
    assert (failed.key, failed.code) == ("zenml/v/a", "Occupied")
    assert body_of(keeping, "v/a") == b"somebody's"
    assert body_of(keeping, "v/b") == b"old"


async def test_a_key_that_is_written_while_it_is_brought_back_is_not_overwritten(keeping: GcsWorld) -> None:
    """Between our look and the request: the condition on "nothing there" holds it back."""
    keeping.put("v/a", body=b"old")
    await sweep(keeping, "v")

    def write_first(request: object, _: object) -> None:
        if "ifGenerationMatch=0" in getattr(request, "target", ""):
            keeping.put("v/a", body=b"somebody's")

    async with keeping.open() as store:
        found = await store.undeletable(place(keeping, "v"), EPOCH)
        keeping.front.faults.append(write_first)
        (failed,) = await store.undelete(found)
    assert failed.code == "Occupied"
    assert body_of(keeping, "v/a") == b"somebody's"


async def test_a_server_that_ignores_conditions_overwrites_nothing(keeping: GcsWorld) -> None:
    """What is there is looked at first: without that, only the condition would hold it back."""
    keeping.put("v/a", body=b"old")
    await sweep(keeping, "v")
    async with keeping.open() as store:
        found = await store.undeletable(place(keeping, "v"), EPOCH)
        keeping.put("v/a", body=b"somebody's")
        before = len(keeping.front.requests)
        assert [failed.code for failed in await store.undelete(found)] == ["Occupied"]
        assert {request.method for request in keeping.front.requests[before:]} == {"GET"}


async def test_a_bucket_that_keeps_nothing_is_refused(gcs_world: GcsWorld) -> None:
    """It says so, and what to do before the next sweep."""
    async with gcs_world.open() as store:
        with pytest.raises(StoreRefused, match="keeps neither") as refusal:
            await store.undeletable(place(gcs_world, "v"), EPOCH)
        assert "soft-delete-duration" in refusal.value.remedy
        with pytest.raises(StoreRefused, match="root"):
            await store.undeletable(locate(gcs_world.root), EPOCH)


async def test_where_we_may_not_ask_both_ways_are_tried(keeping: GcsWorld) -> None:
    """And a server that answers a listing of soft-deleted objects with what is there is not believed."""
    keeping.put("v/a", "v/live")
    async with keeping.open() as store:
        (first, _) = await store.list(place(keeping, "v"))
        await store.delete([first])
        keeping.front.faults.append(lambda request, _: refused(403, "forbidden") if request.kind == "bucket" else None)
        assert [o.key for o in await store.undeletable(place(keeping, "v"), EPOCH)] == ["zenml/v/a"]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (StoredObject("other/a", 1, "1", "soft:1"), "InvalidKey"),
        (StoredObject("zenml/v/a", 1, "1", ""), "InvalidVersion"),
        (StoredObject("zenml/v/a", 1, "1", "1"), "InvalidVersion"),
        (StoredObject("zenml/v/a", 1, "1", "soft:1&ifGenerationMatch=1"), "InvalidVersion"),
        (StoredObject("zenml/v/a", 1, "1", "soft:1"), "notFound"),
    ],
)
async def test_what_was_not_listed_is_not_brought_back(gcs_world: GcsWorld, found: StoredObject, code: str) -> None:
    """Outside the root, no handle, somebody else's handle, or no longer kept."""
    async with gcs_world.open() as store:
        (failed,) = await store.undelete([found])
    assert isinstance(failed, KeyFailed)
    assert failed.code == code
    assert failed.version == found.version


async def test_one_that_is_denied_fails_alone(keeping: GcsWorld) -> None:
    """storage.objects.restore or .create is missing for one: the others come back."""
    keeping.put("v/a", "v/b")
    await sweep(keeping, "v")
    async with keeping.open() as store:
        found = await store.undeletable(place(keeping, "v"), EPOCH)
        keeping.front.faults.append(
            lambda request, _: (
                refused(403, "forbidden") if request.method == "POST" and "v%2Fa" in request.target else None
            )
        )
        (failed,) = await store.undelete(found)
    assert isinstance(failed, KeyDenied)
    assert failed.key == "zenml/v/a"
    assert keeping.paths() == {"v/b"}


async def test_a_long_rewrite_is_carried_on(gcs_front: Front) -> None:
    """A large object is copied in several calls, each with the token of the one before."""
    world = GcsWorld(gcs_front, versioning=True)
    world.put("v/a")
    await sweep(world, "v")
    answers = iter([{"done": False, "rewriteToken": "t1"}, {"done": False, "rewriteToken": "t2"}])

    def unfinished(request: object, _: object) -> Reply | None:
        if "rewriteTo" not in getattr(request, "target", "") or (answer := next(answers, None)) is None:
            return None
        return Reply(200, json.dumps(answer).encode())

    async with world.open() as store:
        found = await store.undeletable(place(world, "v"), EPOCH)
        gcs_front.faults.append(unfinished)
        assert await store.undelete(found) == []
    sent = [request.target for request in gcs_front.requests if "rewriteTo" in request.target]
    assert [target.partition("rewriteToken=")[2] for target in sent] == ["", "t1", "t2"]
    assert world.paths() == {"v/a"}
