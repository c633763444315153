"""What only S3 can do: folder markers, keys that are no paths, versions, pages, credentials, overrides."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDeleted, KeyFailed, StoredObject, Undo
from marksweep.model.uri import locate
from marksweep.store.tuning import Meter, Tuning
from tests.contract.store_worlds import Call, S3World, failing, place, relative

pytestmark = pytest.mark.anyio


@contextmanager
def answering(body: str) -> Iterator[str]:
    """The URL of a server on loopback that answers every GET with *body*."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class calls it so

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


async def test_markers_and_the_object_beside_them_are_exact(s3_world: S3World) -> None:
    """``v``, ``v/`` and ``v/sub/`` are three objects; deleting two leaves the third."""
    s3_world.put("v", "v/", "v/sub/", "v/sub", "w/", "w")
    async with s3_world.open() as store:
        found = await store.list(place(s3_world, "v"))
        assert relative(s3_world, found) == {"v", "v/", "v/sub/", "v/sub"}
        await store.delete([listed for listed in found if listed.key.endswith("/")])
        assert s3_world.paths() == {"v", "v/sub", "w/", "w"}
        await store.delete([listed for listed in found if listed.key.endswith("v")])
    assert s3_world.paths() == {"v/sub", "w/", "w"}


async def test_an_empty_folder_is_its_marker(s3_world: S3World) -> None:
    """A folder made in a console is an object like any other."""
    s3_world.put("v/", body=b"")
    async with s3_world.open() as store:
        (found,) = await store.list(place(s3_world, "v"))
        assert (found.key, found.size) == ("zenml/v/", 0)
        await store.tidy([place(s3_world, "v")])
        assert s3_world.paths() == {"v/"}
        assert await store.delete([found]) == [KeyDeleted("zenml/v/")]


async def test_keys_that_are_no_paths_are_exact(s3_world: S3World) -> None:
    """Empty, ``.`` and ``..`` segments are part of a key's name and lead nowhere."""
    names = {"v//double", "v/./dot", "v/../up", "v/trail/", "v/ "}
    s3_world.put(*names, "up", "double", "v/dot", "trail")
    async with s3_world.open() as store:
        found = await store.list(place(s3_world, "v"))
        assert relative(s3_world, found) == names | {"v/dot"}
        await store.delete([listed for listed in found if listed.key != "zenml/v/dot"])
    assert s3_world.paths() == {"up", "double", "v/dot", "trail"}


async def test_a_key_that_xml_cannot_carry_is_objected_to(s3_world: S3World) -> None:
    """It is listed, objected to, refused by delete, and does not spoil the request of the others."""
    s3_world.put("v/\x01", "v/\x1f", "v/tab\t")
    async with s3_world.open() as store:
        found = {listed.key: listed for listed in await store.list(place(s3_world, "v"))}
        assert {key for key, listed in found.items() if store.objection_to(listed)} == {"zenml/v/\x01", "zenml/v/\x1f"}
        outcomes = {outcome.key: outcome for outcome in await store.delete(list(found.values()))}
        for key in ("\ud800", "\udcff", "\ufffe", "\uffff", "\ufffd", "\x0b"):
            assert store.objection_to(StoredObject(f"zenml/v/{key}", 1, "t"))
            assert store.objection(place(s3_world, f"v{key}"))
        with pytest.raises(StoreRefused):
            await store.list(place(s3_world, "v\ud800"))
    assert outcomes.pop("zenml/v/tab\t") == KeyDeleted("zenml/v/tab\t")
    assert {type(outcome) for outcome in outcomes.values()} == {KeyFailed}
    assert s3_world.paths() == {"v/\x01", "v/\x1f"}


async def test_a_key_outside_the_root_is_refused(s3_world: S3World) -> None:
    """The root's own marker, a neighbour and a shared prefix are never sent."""
    keys = ("zenml", "zenml/", "zenml-2/a", "other/a")
    s3_world.put_keys(*keys)
    async with s3_world.open() as store:
        outcomes = await store.delete([StoredObject(key, 1, "t") for key in keys])
    assert {type(outcome) for outcome in outcomes} == {KeyFailed}
    assert s3_world.keys() == set(keys)


async def test_a_whole_bucket_may_be_the_root(s3_world: S3World) -> None:
    """With the bucket as root everything in it may be named, except the bucket."""
    async with s3_world.open(f"s3a://{s3_world.bucket}/") as store:
        assert store.objection(locate(f"s3://{s3_world.bucket}/v")) is None
        assert store.objection(locate(f"s3://{s3_world.bucket}"))


@pytest.mark.parametrize("root", ["s3://", "gs://b/x", "/local", "s3://user:pw@b/x", "s3://b//x", "s3://b/../c"])
async def test_a_root_with_more_than_one_meaning_is_refused(s3_world: S3World, root: str) -> None:
    """Only a plain S3 root is opened, and the refusal shows no password."""
    with pytest.raises(StoreRefused) as refused:
        async with s3_world.open(root):
            pass
    assert "pw" not in str(refused.value)


async def test_undo_is_what_the_bucket_says(s3_world: S3World, requests: tuple[Counter[str], list[Call]]) -> None:
    """Versioned, not, suspended; unknown when we may not ask."""

    async def ask(**tuning: Any) -> Undo:
        async with s3_world.open(tuning=Tuning(**tuning)) as store:
            return await store.undo()

    assert await ask() is Undo.NONE
    for status, undo in (("Enabled", Undo.VERSIONED), ("Suspended", Undo.NONE)):
        s3_world.client.put_bucket_versioning(Bucket=s3_world.bucket, VersioningConfiguration={"Status": status})
        assert await ask() is undo
        assert await ask(all_versions=True) is Undo.NONE
    for code in ("AccessDenied", "NotImplemented"):
        requests[1][:] = [failing(code)]
        assert await ask() is Undo.UNKNOWN


async def test_a_delete_in_a_versioned_bucket_can_be_undone(s3_world: S3World) -> None:
    """Only a marker is written; the bytes stay."""
    s3_world.client.put_bucket_versioning(Bucket=s3_world.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3_world.put("v/a")
    async with s3_world.open() as store:
        assert await store.delete(await store.list(place(s3_world, "v"))) == [KeyDeleted("zenml/v/a")]
    versions = s3_world.client.list_object_versions(Bucket=s3_world.bucket)
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (1, 1)


async def test_a_listing_costs_one_request_and_a_delete_is_packed(
    s3_world: S3World, requests: tuple[Counter[str], list[Call]]
) -> None:
    """20 small versions side by side: one listing; their 60 keys: one delete, after a look at what it can promise."""
    s3_world.put(*(f"v{number}/{name}" for number in range(20) for name in "abc"))
    async with s3_world.open() as store:
        found: list[StoredObject] = []
        async for _, listed in store.listing([place(s3_world, f"v{number}") for number in range(20)]):
            assert not isinstance(listed, Exception)
            found += listed
        assert len(await store.delete(found)) == 60
    assert requests[0] == {"ListObjectsV2": 1, "GetBucketVersioning": 1, "DeleteObjects": 2}


async def test_siblings_that_fill_the_first_page_hide_nothing(
    s3_world: S3World, requests: tuple[Counter[str], list[Call]]
) -> None:
    """Pages of ten: the object itself, siblings that sort before the folder, the folder over several pages."""

    def small_pages(operation: str, arguments: dict[str, Any]) -> None:
        if operation == "ListObjectsV2":
            arguments["MaxKeys"] = 10

    mine = {"abc", *(f"abc/{number:02}" for number in range(25))}
    s3_world.put(*mine, *(f"abc-2/{number:02}" for number in range(25)), "abcd/x")
    requests[1].append(small_pages)
    async with s3_world.open() as store:
        assert relative(s3_world, await store.list(place(s3_world, "abc"))) == mine
    assert requests[0] == {"ListObjectsV2": 4}


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>same</NextContinuationToken>"])
async def test_a_listing_that_cannot_be_completed_is_refused(s3_world: S3World, token: str) -> None:
    """A server that says "more" without saying where is never taken for complete, nor asked for ever."""
    body = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>"
    with answering(body) as url:
        async with s3_world.open(endpoint_url=url) as store:
            with pytest.raises(StoreRefused, match="cannot be completed"):
                await store.list(place(s3_world, "v"))
            async for _, listed in store.listing([place(s3_world, "v"), place(s3_world, "w")]):
                assert isinstance(listed, StoreRefused)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Internal Server Error"),
        ("<Error><Code>InternalError</Code></Error>", "InternalError"),
        ("<ListBucketResult><IsTruncated>false", "is not XML"),
        ("<html/>", "answered with html, not with a listing"),
        ("<!DOCTYPE x><ListBucketResult/>", "declares a document type"),
    ],
)
async def test_an_answer_that_is_no_whole_listing_is_refused(s3_world: S3World, body: str, said: str) -> None:
    """Cut off, an error with status 200, or of a proxy: never taken for an empty folder, and what it was is said."""
    with answering(body) as url:
        async with s3_world.open(endpoint_url=url) as store:
            with pytest.raises(StoreRefused, match=said):
                await store.list(place(s3_world, "v"))
            async for _, listed in store.listing([place(s3_world, "v"), place(s3_world, "w")]):
                assert isinstance(listed, StoreRefused)


async def test_a_server_that_ignores_the_prefix_endangers_nothing(
    s3_world: S3World, requests: tuple[Counter[str], list[Call]]
) -> None:
    """What a server lists beyond the URI is dropped before anyone sees it."""
    s3_world.put("v/a", "w/a")
    requests[1].append(lambda _, arguments: arguments.update(Prefix=""))
    async with s3_world.open() as store:
        assert relative(s3_world, await store.list(place(s3_world, "v"))) == {"v/a"}


def test_a_store_belongs_to_its_own_event_loop(s3_world: S3World) -> None:
    """Opened again in a second loop it works: no cached instance, no session of a closed loop."""
    s3_world.put("v/a")

    async def count() -> int:
        async with s3_world.open() as store:
            return len(await store.list(place(s3_world, "v")))

    assert [anyio.run(count), anyio.run(count)] == [1, 1]


async def test_cancelling_a_sweep_closes_the_client(s3_world: S3World) -> None:
    """The scope ends, no exception group and no open socket is left (a warning would fail this test)."""
    with anyio.CancelScope() as scope:
        async with s3_world.open() as store:
            await store.list(place(s3_world, "v"))
            scope.deadline = anyio.current_time() + 0.02
            while True:
                await store.list(place(s3_world, "v"))
    assert scope.cancelled_caught


@pytest.mark.parametrize("status", ["Suspended", "Enabled"])
async def test_no_marker_is_left_by_looking_what_a_delete_can_promise(
    s3_world: S3World, requests: tuple[Counter[str], list[Call]], status: str
) -> None:
    """A bucket that has or had versions: deleting a key that does not exist would leave something there."""
    s3_world.client.put_bucket_versioning(Bucket=s3_world.bucket, VersioningConfiguration={"Status": status})
    s3_world.put("v/a")
    async with s3_world.open() as store:
        await store.delete(await store.list(place(s3_world, "v")))
    versions = s3_world.client.list_object_versions(Bucket=s3_world.bucket)
    left = {found["Key"] for found in [*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())]}
    assert left <= {"zenml/v/a"}
    assert requests[0]["DeleteObjects"] == 1, "moto leaves no marker for a missing key, where other servers do"


async def test_a_bucket_that_does_not_say_whether_it_keeps_versions_is_not_tried(
    s3_world: S3World, requests: tuple[Counter[str], list[Call]]
) -> None:
    """Nothing but the plan's keys is deleted, and the user hears what that means."""

    def deny(operation: str, _: dict[str, Any]) -> None:
        if operation == "GetBucketVersioning":
            failing("AccessDenied")(operation, {})

    s3_world.put("v/a")
    requests[1].append(deny)
    meter = Meter()
    async with s3_world.open(meter=meter) as store:
        assert await store.delete(await store.list(place(s3_world, "v"))) == [KeyDeleted("zenml/v/a")]
    assert requests[0]["DeleteObjects"] == 1
    (remark,) = meter.remarks
    assert "s3:GetBucketVersioning" in remark
