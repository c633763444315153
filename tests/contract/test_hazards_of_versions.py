"""The hazards of buckets that keep versions: what a delete leaves, what is left of it, what is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from marksweep.model.store import KeyDeleted, KeyDenied, Undo
from marksweep.store.tuning import Tuning
from tests.contract.store_worlds import S3World, place

pytestmark = pytest.mark.anyio


def versioned(world: S3World, *, lock: bool = False) -> S3World:
    """*world* with a bucket that keeps versions; with *lock* objects can be held."""
    if lock:
        world.bucket = f"{world.bucket}-lock"
        world.root = f"s3://{world.bucket}/zenml"
        world.client.create_bucket(Bucket=world.bucket, ObjectLockEnabledForBucket=True)
    world.client.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    return world


def versions(world: S3World) -> tuple[int, int]:
    """How many versions and how many delete markers there are."""
    answer = world.client.list_object_versions(Bucket=world.bucket)
    return len(answer.get("Versions", ())), len(answer.get("DeleteMarkers", ()))


@pytest.fixture(params=["moto", "seaweed"])
def s3_like(request: pytest.FixtureRequest) -> S3World:
    """Both servers that keep versions."""
    found: S3World = request.getfixturevalue(f"{request.param}_world")
    return found


async def test_a_delete_in_a_versioned_bucket(s3_like: S3World) -> None:
    """It leaves markers, says that it can be undone, and is undone; a key that is taken meanwhile is left alone."""
    world = versioned(s3_like)
    world.put("v/a", "v/b", "w/a")
    world.put("v/a", body=b"second")
    async with world.open() as store:
        assert await store.undo() is Undo.VERSIONED
        found = await store.list(place(world, "v"))
        assert {type(o) for o in await store.delete(found)} == {KeyDeleted}
        assert versions(world) == (4, 2)
        assert await store.list(place(world, "v")) == []
        world.put("v/b", body=b"new")
        back = await store.undeletable(place(world, "v"), datetime.now(UTC) - timedelta(hours=1))
        assert {o.key for o in back} == {world.key("v/a")}
        assert await store.undelete(back) == []
    assert world.paths() == {"v/a", "v/b", "w/a"}
    body = world.client.get_object(Bucket=world.bucket, Key=world.key("v/a"))["Body"].read()
    assert body == b"second"


async def test_all_versions_of_a_versioned_bucket(s3_like: S3World) -> None:
    """Asked for, every version and marker goes, those of objects that are deleted already too; siblings keep theirs."""
    world = versioned(s3_like)
    world.put("v/a", "v/b", "v/c", "v-2/a")
    world.put("v/a", body=b"second")
    world.client.delete_object(Bucket=world.bucket, Key=world.key("v/c"))
    async with world.open(tuning=Tuning(all_versions=True)) as store:
        assert await store.undo() is Undo.NONE
        found = await store.list(place(world, "v"))
        assert len(found) == 5
        outcomes = await store.delete(found)
        assert {(o.key, o.version) for o in outcomes} == {(o.key, o.version) for o in found}
        assert {type(o) for o in outcomes} == {KeyDeleted}
        assert await store.list(place(world, "v")) == []
    assert versions(world) == (1, 0)
    assert world.paths() == {"v-2/a"}


async def test_an_object_lock_hold(s3_world: S3World) -> None:
    """A version under a legal hold is denied, by its own key; the others go. Without --all-versions it is only marked."""
    world = versioned(s3_world, lock=True)
    world.put("v/a", "v/b")
    world.client.put_object_legal_hold(Bucket=world.bucket, Key=world.key("v/b"), LegalHold={"Status": "ON"})
    async with world.open(tuning=Tuning(all_versions=True)) as store:
        outcomes = {o.key: o for o in await store.delete(await store.list(place(world, "v")))}
    denied = outcomes.pop(world.key("v/b"))
    assert isinstance(denied, KeyDenied)
    assert denied.code == "AccessDenied"
    assert [type(o) for o in outcomes.values()] == [KeyDeleted]
    assert versions(world) == (1, 0)
    async with world.open() as store:
        assert {type(o) for o in await store.delete(await store.list(place(world, "v")))} == {KeyDeleted}
    assert versions(world) == (1, 1)
