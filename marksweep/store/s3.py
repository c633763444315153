"""S3 and what speaks its protocol, through s3fs's own aiobotocore client: exact keys, an answer for each of them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import s3fs

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyFailed, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location, UriRefused, claims, locate
from marksweep.model.version import ArtifactStore
from marksweep.store.port import Store
from marksweep.store.s3_delete import Pace, delete_keys
from marksweep.store.s3_errors import DENIED, EXPECTED, UNOPENED, code_of, explain, refusal
from marksweep.store.s3_options import Scrub, filesystem_arguments, scrubber
from marksweep.store.windows import Listed, windows

CONCURRENCY = 32
"""Requests of one store that are under way at once."""

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@asynccontextmanager
async def open_store(
    store: ArtifactStore,
    overrides: Mapping[str, object] | None = None,
    *,
    concurrency: int = CONCURRENCY,
    pace: Pace | None = None,
) -> AsyncIterator[Store]:
    """Open the bucket that *store* names, in the running event loop; no request is sent yet.

    *overrides* (from ``--store-options``) win over the options in the catalog; see
    :data:`marksweep.store.s3_options.KNOWN`. Raises StoreRefused when no client can be made.
    """
    root = _root(store)
    arguments = filesystem_arguments(store.options, overrides or {}, concurrency)
    scrub = scrubber(arguments)
    try:
        # Nothing cached: neither the instance (it belongs to one event loop) nor a listing (others write too).
        files = s3fs.S3FileSystem(asynchronous=True, skip_instance_cache=True, use_listings_cache=False, **arguments)
        client = await files.set_session()
    except UNOPENED as error:
        raise refusal(store.root, error, scrub) from None
    _prepare(client)
    try:
        yield S3Store(client, root, scrub, concurrency, pace or Pace())
    finally:
        with anyio.move_on_after(5, shield=True):  # a cancelled sweep closes its sockets, too
            await client.close()


class S3Store:
    """An open bucket. Keys are exact: nothing strips, expands, decodes or joins them."""

    def __init__(self, client: Any, root: Location, scrub: Scrub, concurrency: int, pace: Pace) -> None:
        self._client = client
        self._root = root
        self._scrub = scrub
        self._concurrency = concurrency
        self._requests = anyio.CapacityLimiter(concurrency)
        self._pace = pace

    async def undo(self) -> Undo:
        """Whether the bucket keeps versions. Raises StoreRefused when it cannot be reached."""
        try:
            answer = await self._call("get_bucket_versioning")
        except EXPECTED as error:
            if code_of(error) in DENIED | {"NotImplemented", "MethodNotAllowed", "501"}:
                return Undo.UNKNOWN
            raise refusal(f"s3://{self._root.bucket}", error, self._scrub) from None
        return Undo.VERSIONED if answer.get("Status") == "Enabled" else Undo.NONE

    async def list(self, location: Location) -> Sequence[StoredObject]:
        """Every object at or under *location*."""
        outside = self._outside(location)
        if outside is not None:
            raise StoreRefused(
                f"{location.key} is not listed: {outside}", f"Only what lies below {self._root.key} is listed."
            )
        try:
            return await self._list(location.path)
        except EXPECTED as error:
            raise refusal(location.key, error, self._scrub) from None

    def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Listed]]:
        """The same for many, in order, ``concurrency`` requests at a time."""
        return windows(locations, self._list_each, batch=1, window=4 * self._concurrency)

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        """Delete exactly these keys, packed; S3 says "deleted" of a key that was not there, too."""
        refused: list[KeyOutcome] = []
        keys: list[str] = []
        for key in dict.fromkeys(found.key for found in objects):
            if self._is_ours(key):
                keys.append(key)
            else:
                refused.append(KeyFailed(key, "InvalidKey", "it is empty, outside the root, or cannot be sent in XML"))
        return refused + await delete_keys(keys, self._send_delete, self._explain, self._pace)

    async def tidy(self, location: Location) -> None:
        """A bucket has no folders; what looks like one is an object, and was listed as such."""

    def objection(self, location: Location) -> str | None:
        """Outside the root, the root itself, or a key that cannot be sent."""
        return self._outside(location) or _unspeakable(location.path)

    def objection_to(self, found: StoredObject) -> str | None:
        """A key that XML 1.0 cannot carry: no DeleteObjects request could name it."""
        return _unspeakable(found.key)

    def spellings(self, uri: str) -> tuple[str, ...]:
        """The lexical keys of *uri*: buckets have no links."""
        return claims(uri)

    def _outside(self, location: Location) -> str | None:
        root = self._root
        below = location.segments[: len(root.segments)] == root.segments
        if (location.scheme, location.bucket) != (root.scheme, root.bucket) or not below:
            return "it lies outside the root of the artifact store"
        return "it is the root of the artifact store" if location.segments == root.segments else None

    def _is_ours(self, key: str) -> bool:
        prefix = f"{self._root.path}/" if self._root.segments else ""
        return key.startswith(prefix) and key != prefix and _unspeakable(key) is None

    async def _call(self, operation: str, **arguments: object) -> Mapping[str, Any]:
        async with self._requests:
            answer: Mapping[str, Any] = await getattr(self._client, operation)(Bucket=self._root.bucket, **arguments)
        return answer

    async def _list_each(self, locations: Sequence[Location]) -> Sequence[Listed]:
        results: list[Listed] = []
        for location in locations:
            try:
                results.append(await self.list(location))
            except StoreRefused as refused:
                results.append(refused)
        return results

    async def _list(self, path: str) -> Sequence[StoredObject]:
        # One request in the usual case: the prefix without its slash brings the object `path` and everything below
        # `path/`, besides siblings like `path-2`, which are dropped here. When that is more than one page, siblings may
        # be what fills it: then `path/` is listed on its own, which is complete in whatever order a server lists. (The
        # object `path` itself is the first of its prefix, so the first page has it.)
        inside = f"{path}/"
        first = await self._call("list_objects_v2", Prefix=path)
        if not first.get("IsTruncated"):
            return [found for found in _objects(first) if found.key == path or found.key.startswith(inside)]
        listed = [found for found in _objects(first) if found.key == path]
        token: dict[str, str] = {}
        met: set[str] = set()
        while True:
            page = await self._call("list_objects_v2", Prefix=inside, **token)
            listed += [found for found in _objects(page) if found.key.startswith(inside)]
            if not page.get("IsTruncated"):
                return listed
            following = page.get("NextContinuationToken")
            if not following or following in met:
                raise OSError("the server says that there is more, but not where: its listing cannot be completed")
            met.add(following)
            token = {"ContinuationToken": following}

    async def _send_delete(self, keys: Sequence[str]) -> Mapping[str, Any]:
        return await self._call("delete_objects", Delete={"Objects": [{"Key": key} for key in keys], "Quiet": False})

    def _explain(self, error: Exception) -> tuple[str, str]:
        return explain(error, self._scrub)


def _root(store: ArtifactStore) -> Location:
    try:
        root = locate(store.root)
    except UriRefused as refused:
        raise StoreRefused(f"the root of artifact store {store.name} is refused: {refused}", _ROOT_REMEDY) from None
    if root.scheme != "s3":
        raise StoreRefused(f"{store.root} is not an S3 bucket", _ROOT_REMEDY)
    return root


_ROOT_REMEDY = "Register the store with a plain root such as s3://bucket/path."


def _objects(page: Mapping[str, Any]) -> list[StoredObject]:
    return [
        StoredObject(found["Key"], int(found["Size"]), str(found.get("ETag", "")).strip('"'))
        for found in page.get("Contents") or ()
    ]


def _unspeakable(key: str) -> str | None:
    if not key:
        return "its key is empty"
    if _NO_XML.search(key):
        return "its key holds a character that XML cannot carry"
    if "\ufffd" in key:  # what botocore puts in place of bytes that are not UTF-8: the real key is another one
        return "its key may not be valid UTF-8"
    return None


def _prepare(client: Any) -> None:
    # MinIO's front ends refuse DeleteObjects without Content-MD5, which botocore no longer sends.
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
    # Half of the time of a listing goes into parsing LastModified, which nobody reads. There is no public way to turn
    # that off for one client; where botocore has moved this, listings are slower and nothing else.
    parser = getattr(client, "_response_parser", None)
    if hasattr(parser, "_timestamp_parser"):
        setattr(parser, "_timestamp_parser", str)  # noqa: B010 - not an attribute that types know


def _add_content_md5(request: Any, **_: object) -> None:
    body = request.data
    if isinstance(body, bytes):
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()
