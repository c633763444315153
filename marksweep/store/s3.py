"""S3 and what speaks its protocol, through s3fs's own aiobotocore client: exact keys, an answer for each of them."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import anyio
import s3fs

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location, claims
from marksweep.model.version import ArtifactStore
from marksweep.store import s3_flavors, s3_restore
from marksweep.store.keys import Root, root_of
from marksweep.store.leapfrog import Leapfrog
from marksweep.store.port import Store
from marksweep.store.retry import Retry
from marksweep.store.s3_client import S3Client, prepare
from marksweep.store.s3_delete import Packer
from marksweep.store.s3_errors import DENIED, EXPECTED, UNOPENED, code_of, explain, refusal
from marksweep.store.s3_listing import S3Pages
from marksweep.store.s3_options import Scrub, filesystem_arguments, scrubber
from marksweep.store.tuning import Meter, Tuning
from marksweep.store.windows import Listed

MOST_PER_REQUEST = 1_000
"""Keys that S3 takes in one DeleteObjects."""

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NO_CONDITIONS = frozenset({"MalformedXML", "NotImplemented", "InvalidArgument", "InvalidRequest", "501"})


@asynccontextmanager
async def open_store(
    store: ArtifactStore,
    overrides: Mapping[str, object] | None = None,
    *,
    tuning: Tuning | None = None,
    meter: Meter | None = None,
    retry: Retry | None = None,
) -> AsyncIterator[Store]:
    """Open the bucket that *store* names, in the running event loop; no request is sent yet.

    *overrides* (from ``--store-options``) win over the options in the catalog; see
    :data:`marksweep.store.s3_options.KNOWN`. Raises StoreRefused when no client can be made.
    """
    root, tuning = root_of(store, "s3", "an S3 bucket", "s3://bucket/path"), tuning or Tuning()
    flavored = s3_flavors.defaults(store.flavor, store.options, os.environ)
    arguments = filesystem_arguments((flavored, store.options, overrides or {}), tuning.concurrency)
    scrub = scrubber(arguments)
    try:
        # Nothing cached: neither the instance (it belongs to one event loop) nor a listing (others write too).
        files = s3fs.S3FileSystem(asynchronous=True, skip_instance_cache=True, use_listings_cache=False, **arguments)
        client = await files.set_session()
    except UNOPENED as error:
        raise refusal(store.root, error, scrub) from None
    prepare(client)
    try:
        yield S3Store(
            S3Client(client, root.location.bucket, tuning, meter or Meter(), retry or Retry()), root, scrub, tuning
        )
    finally:
        with anyio.move_on_after(5, shield=True):  # a cancelled sweep closes its sockets, too
            await client.close()


class S3Store:
    """An open bucket. Keys are exact: nothing strips, expands, decodes or joins them."""

    keeps_tags = True

    def __init__(self, client: S3Client, root: Root, scrub: Scrub, tuning: Tuning) -> None:
        self._client = client
        self._root = root
        self._bucket = root.location.bucket
        self._scrub = scrub
        self._tuning = tuning
        self._pages = S3Pages(client, root.location.bucket, scrub, all_versions=tuning.all_versions)
        # S3 Express lists in no order that it tells, and where a listing of versions begins is not the same on every
        # server (moto leaves out the first one): there each place is listed on its own.
        self._leapfrog = Leapfrog(
            self._pages, ordered=not (tuning.all_versions or root.location.bucket.endswith("--x-s3"))
        )
        self._undo: Undo | None = None
        self._suspended = False
        self._conditional: bool | None = None
        self._probing = anyio.Lock()
        self._packer = Packer(
            self._send_delete,
            self._explain,
            client.deletes,
            client.retry,
            min(tuning.page_size, MOST_PER_REQUEST),
            self._part,
            self._repeated,
        )

    async def undo(self) -> Undo:
        """Whether the bucket keeps versions. Raises StoreRefused when it cannot be reached."""
        if self._undo is None:
            self._undo = await self._find_undo()
        return Undo.NONE if self._tuning.all_versions and self._undo is Undo.VERSIONED else self._undo

    async def _find_undo(self) -> Undo:
        try:
            answer = await self._client.read("other", "get_bucket_versioning")
        except EXPECTED as error:
            if code_of(error) in DENIED | {"NotImplemented", "MethodNotAllowed", "501"}:
                return Undo.UNKNOWN
            raise refusal(f"s3://{self._bucket}", error, self._scrub) from None
        self._suspended = answer.get("Status") == "Suspended"
        return Undo.VERSIONED if answer.get("Status") == "Enabled" else Undo.NONE

    async def list(self, location: Location) -> Sequence[StoredObject]:
        """Every object at or under *location*."""
        refused = self._root.not_listed(location)
        if refused is not None:
            raise refused
        return await self._pages.alone(location.path)

    def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Listed]]:
        """The same for many, in order: neighbours share requests (:mod:`marksweep.store.leapfrog`)."""
        return self._root.listing(locations, lambda allowed: self._leapfrog.listing(allowed, emptied=emptied))

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        """Delete exactly these keys, packed; without conditions S3 says "deleted" of a key that was not there, too."""
        refused: list[KeyOutcome] = []
        going: list[StoredObject] = []
        for found in {(o.key, o.version): o for o in objects}.values():
            if self._root.holds(found.key) and _unspeakable(found.key) is None:
                going.append(found)
            else:
                reason = "it is empty, outside the root, or cannot be sent in XML"
                refused.append(KeyFailed(found.key, "InvalidKey", reason, found.version))
        if going:
            await self._probe()
        return refused + await self._packer.delete(going)

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """What a delete marker made at or after *since* hides at or under *location*; ``version`` is that marker's."""
        if (refused := self._root.not_listed(location)) is not None:
            raise refused
        try:
            return await s3_restore.undeletable(self._call, location.path, since)
        except EXPECTED as error:
            raise refusal(location.key, error, self._scrub) from None

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        """Delete the delete markers of *objects*; return what did not come back."""
        return await s3_restore.undelete(self._call, objects, self._explain)

    async def _call(self, operation: str, **arguments: object) -> Mapping[str, Any]:
        if operation == "delete_objects":
            return await self._client.send("other", operation, **arguments)
        return await self._client.read("other", operation, **arguments)

    async def tidy(self, locations: Sequence[Location]) -> None:
        """A bucket has no folders; what looks like one is an object, and was listed as such."""

    def objection(self, location: Location) -> str | None:
        """Outside the root, the root itself, or a key that cannot be sent."""
        return self._root.outside(location) or _unspeakable(location.path)

    def objection_to(self, found: StoredObject) -> str | None:
        """A key that XML 1.0 cannot carry: no DeleteObjects request could name it."""
        return _unspeakable(found.key)

    def spellings(self, uri: str) -> tuple[str, ...]:
        """The lexical keys of *uri*: buckets have no links."""
        return claims(uri)

    async def _probe(self) -> None:
        """Find out once whether this server honours an etag in a delete, with a key that does not exist."""
        async with self._probing:
            if self._conditional is None:
                self._conditional = await self._honours_etags()

    async def _honours_etags(self) -> bool:
        try:
            undo = await self.undo()
        except StoreRefused:  # the deletes themselves will say what is wrong
            return False
        # A version is immutable; and in a bucket that has, or had, versions the delete of a missing key may leave a marker.
        if self._tuning.all_versions or undo is Undo.VERSIONED or self._suspended:
            return False
        if undo is Undo.UNKNOWN:
            self._client.meter.remark(
                f"s3://{self._bucket} does not say whether it keeps versions (it wants s3:GetBucketVersioning), so no"
                f" condition is tried in a delete: {_UNCONDITIONAL}"
            )
            return False
        folder = "/".join([*self._root.location.segments, ""])
        absent = StoredObject(f"{folder}.marksweep-probe-{uuid4().hex}", 0, "0" * 32)
        try:
            answer = await self._client.send("other", "delete_objects", Delete=_request([absent], conditional=True))
        except EXPECTED as error:
            if code_of(error) in _NO_CONDITIONS:
                self._client.meter.remark(f"s3://{self._bucket} takes no conditions in a delete: {_UNCONDITIONAL}")
            return False
        codes = {str(member.get("Code")) for member in answer.get("Errors") or ()}
        if codes & DENIED:
            self._client.meter.remark(
                f"s3://{self._bucket} refuses conditions in a delete to these credentials (it wants"
                f" s3:GetObject): {_UNCONDITIONAL}"
            )
            return False
        if not codes:
            self._client.meter.remark(f"s3://{self._bucket} ignores conditions in a delete: {_UNCONDITIONAL}")
        return bool(codes)

    async def _send_delete(self, objects: Sequence[StoredObject]) -> Mapping[str, Any]:
        request = _request(objects, conditional=bool(self._conditional))
        return await self._client.send("delete", "delete_objects", Delete=request)

    def _part(self, key: str) -> str:
        # S3 limits partitions, which are prefixes: here the folder of one step's outputs.
        return "/".join(key.split("/")[: len(self._root.location.segments) + 1])

    def _repeated(self) -> None:
        self._client.meter.retries += 1

    def _explain(self, error: Exception) -> tuple[str, str]:
        return explain(error, self._scrub)


_UNCONDITIONAL = "an object that somebody rewrites between its last listing and its delete is deleted"


def _request(objects: Sequence[StoredObject], *, conditional: bool) -> dict[str, object]:
    members = []
    for found in objects:
        member = {"Key": found.key}
        if found.version:
            member["VersionId"] = found.version
        elif conditional and found.tag:
            member["ETag"] = found.tag
        members.append(member)
    return {"Objects": members, "Quiet": False}


def _unspeakable(key: str) -> str | None:
    if not key:
        return "its key is empty"
    if _NO_XML.search(key):
        return "its key holds a character that XML cannot carry"
    if "\ufffd" in key:  # what botocore puts in place of bytes that are not UTF-8: the real key is another one
        return "its key may not be valid UTF-8"
    return None
