"""What S3 brings back: keys whose latest version is a delete marker, by deleting that marker and no other version."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDeleted, KeyDenied, StoredObject
from marksweep.store import s3_restore
from marksweep.store.s3_xml import LISTED, MARKER, Listing
from tests.contract.store_worlds import Call, S3World, failing, place

pytestmark = pytest.mark.anyio
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ODD = ("v/a", "v/sub/", "v/sp ace", "v/per%cent", "v/ü", "v/u\u0308", "v/[x]*?", "v/a//b", "v/../up", "v/plus+&=")


@pytest.fixture
def versioned(s3_world: S3World) -> S3World:
    s3_world.client.put_bucket_versioning(Bucket=s3_world.bucket, VersioningConfiguration={"Status": "Enabled"})
    return s3_world


def versions(world: S3World) -> list[tuple[str, str]]:
    """Every version and every marker that there is."""
    found: list[tuple[str, str]] = []
    for page in world.client.get_paginator("list_object_versions").paginate(Bucket=world.bucket):
        found += [(v["Key"], v["VersionId"]) for v in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]
    return sorted(found)


async def test_what_was_deleted_comes_back_as_it_was(versioned: S3World) -> None:
    """Odd keys, several pages, nothing but the place: the listing is the one before the delete, no version is lost."""
    versioned.put(*ODD, *(f"v/many/{n:04}" for n in range(1_100)), "v2/x", "v", body=b"content")
    versioned.put("v/a", body=b"second content")
    before = versions(versioned)
    async with versioned.open() as store:
        here = place(versioned, "v")
        found = await store.list(here)
        assert {type(o) for o in await store.delete([*found, *await store.list(place(versioned, "v2"))])} == {
            KeyDeleted
        }
        assert await store.list(here) == []
        back = await store.undeletable(here, LONG_AGO)
        assert {(o.key, o.size, o.tag) for o in back} == {(o.key, o.size, o.tag) for o in found}
        assert list(await store.undelete(back)) == []
        assert set(await store.list(here)) == set(found)
        assert await store.undeletable(here, LONG_AGO) == []
        assert [o.key for o in await store.undeletable(place(versioned, "v2"), LONG_AGO)] == ["zenml/v2/x"]
    after = set(versions(versioned))
    assert {key for key, _ in after.difference(before)} == {"zenml/v2/x"}
    assert after.issuperset(before)


async def test_only_what_was_deleted_since(versioned: S3World) -> None:
    """By the marker's own time."""
    versioned.put("v/a")
    async with versioned.open() as store:
        await store.delete(await store.list(place(versioned, "v")))
        assert await store.undeletable(place(versioned, "v"), datetime.now(UTC) + timedelta(hours=1)) == []
        assert len(await store.undeletable(place(versioned, "v"), datetime.now(UTC) - timedelta(hours=1))) == 1


async def test_a_key_that_was_written_again_stays_as_it_is(versioned: S3World) -> None:
    """``Occupied``: the marker that is not the latest stays, and so does the new object."""
    versioned.put("v/a", "v/b", body=b"old")
    async with versioned.open() as store:
        found = await store.list(place(versioned, "v"))
        await store.delete(found)
        back = await store.undeletable(place(versioned, "v"), LONG_AGO)
        versioned.put("v/a", body=b"new")
        before = versions(versioned)
        (failed,) = await store.undelete(back)
        assert (failed.key, failed.code) == ("zenml/v/a", "Occupied")
        (marker,) = [o.version for o in back if o.key == "zenml/v/b"]
        assert set(before).difference(versions(versioned)) == {("zenml/v/b", marker)}
        assert await store.undeletable(place(versioned, "v"), LONG_AGO) == []
    body = versioned.client.get_object(Bucket=versioned.bucket, Key="zenml/v/a")["Body"].read()
    assert body == b"new"


async def test_a_handle_that_is_no_marker_deletes_nothing(versioned: S3World) -> None:
    """The id of a version that holds bytes, of an older marker, of nothing: refused, and every version is still there."""
    versioned.put("v/a", body=b"1")
    async with versioned.open() as store:
        await store.delete(await store.list(place(versioned, "v")))
        versioned.put("v/a", body=b"2")
        await store.delete(await store.list(place(versioned, "v")))
        before = versions(versioned)
        (latest,) = await store.undeletable(place(versioned, "v"), LONG_AGO)
        for version in [v for _, v in before if v != latest.version] + ["", "null", "nosuch"]:
            (failed,) = await store.undelete([StoredObject("zenml/v/a", 1, "x", version)])
            assert failed.code == "NotFound"
    assert versions(versioned) == before


async def test_two_markers_come_off_one_after_the_other(versioned: S3World) -> None:
    """A delete whose answer was lost is sent twice, and leaves two."""
    versioned.put("v/a")
    for _ in range(2):
        versioned.client.delete_object(Bucket=versioned.bucket, Key="zenml/v/a")
    async with versioned.open() as store:
        for left in (0, 1):
            assert len(await store.list(place(versioned, "v"))) == 0
            back = await store.undeletable(place(versioned, "v"), LONG_AGO)
            assert list(await store.undelete(back)) == []
            assert len(await store.list(place(versioned, "v"))) == left


async def test_a_bucket_without_versions_says_so(s3_world: S3World) -> None:
    """The fact says why, the remedy what to do."""
    s3_world.put("v/a")
    async with s3_world.open() as store:
        await store.delete(await store.list(place(s3_world, "v")))
        with pytest.raises(StoreRefused, match="keeps no versions") as caught:
            await store.undeletable(place(s3_world, "v"), LONG_AGO)
        assert "versioning" in caught.value.remedy


async def test_every_key_has_its_own_answer(versioned: S3World, requests: tuple[Counter[str], list[Call]]) -> None:
    """One denied, one that the answer leaves out: each by name; a request that fails: all of its keys."""
    versioned.put("v/a", "v/b", "v/c")
    _, hooks = requests
    async with versioned.open() as store:
        await store.delete(await store.list(place(versioned, "v")))
        back = await store.undeletable(place(versioned, "v"), LONG_AGO)
        fail = failing("AccessDenied")

        def at_delete(operation: str, arguments: dict[str, Any]) -> None:
            if operation == "DeleteObjects":
                fail(operation, arguments)

        hooks.append(at_delete)
        failures = await store.undelete(back)
        hooks.clear()
    assert {f.key for f in failures} == {"zenml/v/a", "zenml/v/b", "zenml/v/c"}
    assert {f.code for f in failures} == {"AccessDenied"}


async def test_the_answer_is_read_key_by_key() -> None:
    """Denied, failed, left out: what the server said of each, and no other."""

    async def call(operation: str, **_: object) -> dict[str, Any]:
        if operation == "list_object_versions":
            marks = [StoredObject(k, 0, MARKER, f"m-{k}") for k in "abcd"]
            return {LISTED: Listing(marks, None, [(True, "2026-01-01T00:00:00.000Z")] * 4)}
        return {
            "Deleted": [{"Key": "a", "VersionId": "m-a", "DeleteMarker": True}, {"Key": "d", "VersionId": "other"}],
            "Errors": [{"Key": "b", "Code": "AccessDenied", "Message": "no"}],
        }

    asked = [StoredObject(k, 1, "t", f"m-{k}") for k in "abcd"]
    failures = await s3_restore.undelete(call, asked, lambda error: ("bug", str(error)))
    assert {f.key: (type(f), f.code) for f in failures} == {
        "b": (KeyDenied, "AccessDenied"), "c": (s3_restore.KeyFailed, "NoAnswer"), "d": (s3_restore.KeyFailed, "NoAnswer"),
    }  # fmt: skip


async def test_a_listing_of_versions_without_an_end_is_refused() -> None:
    """More, but not where: never taken for whole."""

    async def call(operation: str, **_: object) -> dict[str, Any]:
        return {"Status": "Enabled", LISTED: Listing([], ("v/a", ""), [])}

    with pytest.raises(OSError, match="cannot be completed"):
        await s3_restore.undeletable(call, "v", LONG_AGO)
