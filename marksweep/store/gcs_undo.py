"""What a bucket keeps of deleted objects, and bringing it back: soft-deleted and noncurrent generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import quote

import msgspec

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, StoredObject, Undo
from marksweep.model.uri import Location
from marksweep.store.gcs_client import Answer, GcsClient, GcsError, decode
from marksweep.store.gcs_listing import Found, GcsPages
from marksweep.store.windows import gather

SOFT = "soft:"
"""Begins the handle of a soft-deleted generation."""
NONCURRENT = "noncurrent:"
"""Begins the handle of a generation that a versioned bucket keeps."""
_DAY = 86_400


class _Versioning(msgspec.Struct):
    enabled: bool = False


class _SoftDelete(msgspec.Struct, rename="camel"):
    retention_duration_seconds: str = "0"


class Bucket(msgspec.Struct, rename="camel"):
    """What a bucket says of itself."""

    kind: Literal["storage#bucket"]
    versioning: _Versioning = msgspec.field(default_factory=_Versioning)
    soft_delete_policy: _SoftDelete = msgspec.field(default_factory=_SoftDelete)

    @property
    def retention(self) -> int:
        """Seconds that deleted objects are kept; 0 for not at all."""
        return int(self.soft_delete_policy.retention_duration_seconds)


class _Rewritten(msgspec.Struct, rename="camel"):
    done: bool
    rewrite_token: str = ""


class Undoer:
    """Tells what can be undone in one bucket, and undoes it."""

    def __init__(self, client: GcsClient, pages: GcsPages, *, all_versions: bool) -> None:
        self._client = client
        self._pages = pages
        self._all_versions = all_versions
        self._known: Bucket | None = None

    async def undo(self) -> Undo:
        """Whether a delete can be undone. Raises StoreRefused when the bucket cannot be reached."""
        bucket = await self._bucket()
        if bucket is None:
            return Undo.UNKNOWN
        if bucket.versioning.enabled and not self._all_versions:
            return Undo.VERSIONED
        if bucket.retention <= 0:
            return Undo.NONE
        if self._all_versions:
            self._client.meter.remark(
                f"gs://{self._client.bucket} keeps deleted objects for {bucket.retention / _DAY:g} days (soft delete) and"
                " charges for them: --all-versions does not reach those"
            )
        return Undo.SOFT_DELETE

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """Per key the newest generation that was deleted at or after *since*. Raises StoreRefused."""
        bucket = await self._bucket()
        if bucket is not None and not bucket.versioning.enabled and bucket.retention <= 0:
            raise StoreRefused(
                f"gs://{self._client.bucket} keeps neither deleted objects nor old generations",
                "What was deleted there is gone. To be able to undo the next sweep: `gcloud storage buckets update"
                " --soft-delete-duration=7d`.",
            )
        newest: dict[str, StoredObject] = {}

        def note(handle: str, found: Found, at: datetime | None) -> None:
            if at is None or at < since:
                return
            known = newest.get(found.name)
            if known is None or int(known.tag) < int(found.generation):
                newest[found.name] = StoredObject(
                    found.name, int(found.size), found.generation, f"{handle}{found.generation}"
                )

        if bucket is None or bucket.versioning.enabled:
            async for found in self._pages.at_or_below(location.path, {"versions": "true"}):
                note(NONCURRENT, found, found.time_deleted)
        if bucket is None or bucket.retention > 0:
            # A server that does not know softDeleted lists what is there: that has no time of a soft delete.
            async for found in self._pages.at_or_below(location.path, {"softDeleted": "true"}):
                note(SOFT, found, found.soft_delete_time)
        return [newest[key] for key in sorted(newest)]

    async def undelete(
        self, objects: Sequence[StoredObject], is_ours: Callable[[str], bool]
    ) -> Sequence[KeyFailed | KeyDenied]:
        """Bring exactly these back; return those that could not be."""

        async def one(found: StoredObject) -> KeyFailed | KeyDenied | None:
            if not is_ours(found.key):
                return KeyFailed(found.key, "InvalidKey", "it is no key of this store", found.version)
            try:
                await self._bring_back(found)
            except GcsError as error:
                return _failure(found, error)
            return None

        return [failure for failure in await gather(objects, one) if failure is not None]

    async def _bring_back(self, found: StoredObject) -> None:
        if await self._pages.current(found.key) is not None:
            raise GcsError(412, "conditionNotMet", "")
        key, none_there = quote(found.key, safe=""), {"ifGenerationMatch": "0"}
        generation = found.version.partition(":")[2]
        if found.version == f"{SOFT}{generation}" and generation.isdecimal():
            await self._post(f"/o/{key}/restore", {"generation": generation, **none_there})
            return
        if found.version != f"{NONCURRENT}{generation}" or not generation.isdecimal():
            raise GcsError(0, "InvalidVersion", "it names no generation that was listed as deleted")
        target = f"/o/{key}/rewriteTo/b/{quote(self._client.bucket, safe='')}/o/{key}"
        query = {"sourceGeneration": generation, **none_there}
        while True:
            answer: _Rewritten = decode(await self._post(target, query), _Rewritten)
            if answer.done:
                return
            query = {**query, "rewriteToken": answer.rewrite_token}

    async def _post(self, path: str, query: Mapping[str, str]) -> Answer:
        # Repeated as it is: on the condition that there is nothing, it cannot happen twice.
        return await self._client.read("other", "POST", self._client.target(path, query))

    async def _bucket(self) -> Bucket | None:
        """What the bucket says of itself, asked once; null when we may not ask. Raises StoreRefused."""
        if self._known is not None:
            return self._known
        target = self._client.target("", {"fields": "kind,versioning,softDeletePolicy"})
        try:
            self._known = decode(await self._client.read("other", "GET", target), Bucket)
        except GcsError as error:
            if error.denied and await self._may_be_listed():
                return None
            if error.status == 404:
                error = GcsError(404, "NoSuchBucket", error.message)
            raise error.refusal(f"gs://{self._client.bucket}") from None
        return self._known

    async def _may_be_listed(self) -> bool:
        try:
            await self._pages.current("/")
        except GcsError:
            return False
        return True


def _failure(found: StoredObject, error: GcsError) -> KeyFailed | KeyDenied:
    if error.status == 412:
        return KeyFailed(
            found.key,
            "Occupied",
            "there is an object at this key (it may have come back with a lost answer); it was not overwritten",
            found.version,
        )
    kind = KeyDenied if error.denied else KeyFailed
    return kind(found.key, error.code, error.message, found.version)
