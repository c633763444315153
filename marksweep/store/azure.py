"""Azure Blob Storage through adlfs's own client: exact names, an answer for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import adlfs
import anyio

from marksweep.model.store import KeyDenied, KeyFailed, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location, claims
from marksweep.model.version import ArtifactStore
from marksweep.store.azure_client import AzureClient
from marksweep.store.azure_delete import Packer
from marksweep.store.azure_errors import UNOPENED, refusal
from marksweep.store.azure_listing import AzurePages, Shared
from marksweep.store.azure_options import Scrub, filesystem_arguments, scrubber
from marksweep.store.azure_undo import Restorer
from marksweep.store.keys import Root, root_of
from marksweep.store.port import Store
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from marksweep.store.windows import Listed

_SOFT_DELETE_STAYS = "soft delete is on: --all-versions cannot free the bytes before its retention has passed"


@asynccontextmanager
async def open_store(
    store: ArtifactStore,
    overrides: Mapping[str, object] | None = None,
    *,
    tuning: Tuning | None = None,
    meter: Meter | None = None,
    retry: Retry | None = None,
) -> AsyncIterator[Store]:
    """Open the container that *store* names, in the running event loop; no request is sent yet.

    *overrides* (from ``--store-options``) win over the environment; see :data:`marksweep.store.azure_options.KNOWN`.
    Raises StoreRefused when no client can be made.
    """
    root = root_of(store, "az", "an Azure container", "az://container/path")
    tuning = tuning or Tuning()
    arguments = filesystem_arguments(overrides or {})
    scrub = scrubber(arguments)
    try:
        # Nothing cached: neither the instance (its client belongs to one event loop) nor a listing (others write too).
        # Not `asynchronous`: adlfs would then end every process with a traceback, for want of a loop to close it in.
        files = adlfs.AzureBlobFileSystem(skip_instance_cache=True, use_listings_cache=False, **arguments)
        client = AzureClient(files.service_client, root.location.bucket, tuning, meter or Meter(), retry or Retry())
    except UNOPENED as error:
        raise refusal(store.root, error, scrub) from None
    try:
        yield AzureStore(client, root, scrub, tuning)
    finally:
        with anyio.move_on_after(5, shield=True):  # a cancelled sweep closes its sockets, too
            await files.service_client.close()
            if hasattr(files.credential, "close"):
                await files.credential.close()


class AzureStore:
    """An open container. Names are exact: nothing strips, expands, decodes or joins them."""

    keeps_tags = False  # what comes back gets a new generation or etag

    def __init__(self, client: AzureClient, root: Root, scrub: Scrub, tuning: Tuning) -> None:
        self._client = client
        self._root = root
        self._all_versions = tuning.all_versions
        self._pages = AzurePages(client, scrub, all_versions=tuning.all_versions)
        self._shared = Shared(self._pages)
        self._packer = Packer(client, scrub, tuning.page_size)
        self._restorer = Restorer(client, root.location, scrub)

    async def undo(self) -> Undo:
        """Whether the account keeps what is deleted. Raises StoreRefused when it cannot be reached."""
        undo = await self._restorer.undo()
        if self._all_versions and undo is Undo.SOFT_DELETE:
            self._client.meter.remark(f"{self._client.place}: {_SOFT_DELETE_STAYS}")
        return Undo.UNKNOWN if self._all_versions and undo is Undo.VERSIONED else undo

    async def list(self, location: Location) -> Sequence[StoredObject]:
        """Every blob at or under *location*."""
        refused = self._root.not_listed(location)
        if refused is not None:
            raise refused
        return await self._pages.alone(location.path)

    def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Listed]]:
        """The same for many, in order: neighbours share requests (:mod:`marksweep.store.azure_listing`)."""
        return self._root.listing(locations, self._shared.listing)

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        """Delete exactly these blobs, packed, each only while its etag is the one listed."""
        refused: list[KeyOutcome] = []
        going: list[StoredObject] = []
        for found in {(o.key, o.version): o for o in objects}.values():
            if (failed := self._invalid(found)) is not None:
                refused.append(failed)
            else:
                going.append(found)
        return refused + await self._packer.delete(going)

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """Soft-deleted blobs and earlier versions at or under *location*. Raises StoreRefused."""
        refused = self._root.not_listed(location)
        if refused is not None:
            raise refused
        return await self._restorer.undeletable(location, since)

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        """Bring exactly these back; those that could not be."""
        invalid = [failed for found in objects if (failed := self._invalid(found)) is not None]
        return invalid + list(await self._restorer.undelete([o for o in objects if self._invalid(o) is None]))

    async def tidy(self, locations: Sequence[Location]) -> None:
        """A container has no folders; what looks like one is a blob, and was listed as such."""

    def objection(self, location: Location) -> str | None:
        """Outside the root, or the root itself."""
        return self._root.outside(location) or _unspeakable(location.path)

    def objection_to(self, found: StoredObject) -> str | None:
        """A name that a URL cannot carry exactly, or a blob that names no content."""
        return _unspeakable(found.key) or (None if found.tag else "the store gave no etag for it")

    def spellings(self, uri: str) -> tuple[str, ...]:
        """The lexical keys of *uri*: containers have no links."""
        return claims(uri)

    def _invalid(self, found: StoredObject) -> KeyFailed | None:
        if self._root.holds(found.key) and self.objection_to(found) is None:
            return None
        reason = "it is empty, outside the root, without an etag, or cannot be sent in a URL"
        return KeyFailed(found.key, "InvalidKey", reason, found.version)


def _unspeakable(key: str) -> str | None:
    if not key:
        return "its name is empty"
    if {".", ".."} & set(key.split("/")):  # a server or a proxy may read the path of the URL as another blob's
        return "its name holds a '.' or '..' segment"
    if "\\" in key:  # Azure reads it as a slash
        return "its name holds a backslash"
    return "its name may not be valid UTF-8" if "\ufffd" in key else None
