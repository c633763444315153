"""What an Azure account keeps of deleted blobs (versions, soft delete), and how they are brought back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import anyio
from azure.core import MatchConditions

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, StoredObject, Undo
from marksweep.model.uri import Location
from marksweep.store.azure_client import VERSION, AzureClient
from marksweep.store.azure_errors import EXPECTED, code_of, explain, is_refusal, refusal, status_of
from marksweep.store.azure_options import Scrub
from marksweep.store.azure_xml import Blob
from marksweep.store.windows import gather

DELETED = "deleted:"
"""What begins the handle of a soft-deleted blob; its version's id follows where the account keeps versions."""
SAMPLE = 100
"""Blobs that are looked at for versions."""
COPYING = 600
"""Seconds that Azure may take to copy an earlier version over a missing blob."""
_OCCUPIED = frozenset({"BlobAlreadyExists", "TargetConditionNotMet", "ConditionNotMet"})


class Restorer:
    """Undo for one container."""

    def __init__(self, client: AzureClient, root: Location, scrub: Scrub) -> None:
        self._client = client
        self._prefix = f"{root.path}/" if root.segments else ""
        self._scrub = scrub
        self._undo: Undo | None = None

    async def undo(self) -> Undo:
        """Whether a delete can be undone, as far as these credentials may see. Raises StoreRefused when nothing answers.

        Whether an account makes versions is told only by its blobs: those below the root are looked at.
        """
        if self._undo is None:
            self._undo = await self._find_undo()
        return self._undo

    async def _find_undo(self) -> Undo:
        try:
            blobs, _ = await self._client.page(self._prefix, None, include=("versions",), most=SAMPLE)
            if any(blob.version_id for blob in blobs):
                return Undo.VERSIONED
            settings = await self._client.read(
                "other", lambda: self._client.service.get_service_properties(retry_total=0)
            )
        except EXPECTED as error:
            if is_refusal(error) or status_of(error) in (400, 409, 501):
                return Undo.UNKNOWN
            raise refusal(self._client.place, error, self._scrub) from None
        policy = settings.get("delete_retention_policy")
        return Undo.SOFT_DELETE if policy is not None and policy.enabled else Undo.NONE

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """What can be brought back at or under *location*; see :func:`recoverable`. Raises StoreRefused."""
        if await self.undo() is Undo.NONE:
            raise StoreRefused(
                f"{self._client.place} keeps nothing of what is deleted: no soft delete, no versions",
                "For the next time: `az storage account blob-service-properties update --enable-delete-retention true`.",
            )
        found: list[Blob] = []
        more: str | None = None
        while True:
            try:
                blobs, more = await self._client.page(location.path, more, include=("deleted", "versions"))
            except EXPECTED as error:
                raise refusal(location.key, error, self._scrub) from None
            found += [b for b in blobs if b.name == location.path or b.name.startswith(f"{location.path}/")]
            if more is None:
                return recoverable(found, since)

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        """Bring these back, where nothing lies at their key; those that could not be."""
        return [failed for failed in await gather(objects, self._undelete) if failed is not None]

    async def _undelete(self, found: StoredObject) -> KeyFailed | KeyDenied | None:
        blob, deleted = self._client.blob(found.key), found.version.startswith(DELETED)
        version = found.version.removeprefix(DELETED if deleted else VERSION)
        try:
            if await self._exists(blob):
                return _occupied(found)
            if deleted:
                await self._client.once("other", lambda: blob.undelete_blob(retry_total=0))
            return await self._copy(found, blob, version) if version else None
        except EXPECTED as error:
            code, message = explain(error, self._scrub)
            if code in _OCCUPIED:
                return _occupied(found)
            return (KeyDenied if is_refusal(error) else KeyFailed)(found.key, code, message, found.version)

    async def _exists(self, blob: Any) -> bool:
        try:
            await self._client.read("other", lambda: blob.get_blob_properties(retry_total=0))
        except EXPECTED as error:
            if status_of(error) == 404 and code_of(error) != "ContainerNotFound":
                return False
            raise
        return True

    async def _copy(self, found: StoredObject, blob: Any, version: str) -> KeyFailed | None:
        # The condition, not the look before, is what makes sure that nothing is overwritten.
        source = f"{blob.url}{'&' if '?' in blob.url else '?'}versionid={quote(version, safe='')}"
        copied = await self._client.once(
            "other",
            lambda: blob.start_copy_from_url(source, match_condition=MatchConditions.IfMissing, retry_total=0),
        )
        status = copied.get("copy_status")
        with anyio.move_on_after(COPYING):
            while status == "pending":
                await anyio.sleep(1)
                seen = await self._client.read("other", lambda: blob.get_blob_properties(retry_total=0))
                status = seen.copy.status
        if status == "success":
            return None
        return KeyFailed(found.key, "CopyNotDone", f"the copy of its earlier version is {status}", found.version)


def _occupied(found: StoredObject) -> KeyFailed:
    return KeyFailed(found.key, "Occupied", "the key holds a blob now, which is left alone", found.version)


def recoverable(blobs: Iterable[Blob], since: datetime) -> list[StoredObject]:
    """Of a listing with deleted blobs and versions: the newest of each name that holds no blob now.

    A soft-deleted one counts if it was deleted at or after *since*. Of a blob whose versions were kept Azure does not tell
    when it was deleted: the newest of them counts always, and size and tag say whether it is the one that is wanted.
    """
    names: defaultdict[str, list[Blob]] = defaultdict(list)
    for blob in blobs:
        if not blob.snapshot:
            names[blob.name].append(blob)
    found: list[StoredObject] = []
    for name, several in names.items():
        if any(not blob.deleted and (not blob.version_id or blob.is_current_version) for blob in several):
            continue
        newest = max(several, key=lambda blob: (blob.version_id, str(blob.deleted_time or "")))
        if newest.deleted and (newest.deleted_time is None or newest.deleted_time < since):
            continue
        handle = f"{DELETED}{newest.version_id}" if newest.deleted else f"{VERSION}{newest.version_id}"
        found.append(StoredObject(name, newest.size, newest.etag, handle))
    return found
