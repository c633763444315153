"""Pages of a bucket's flat listing: of current objects, of all their generations, or of soft-deleted ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from marksweep.model.store import StoredObject
from marksweep.store.gcs_client import GcsClient, GcsError, decode
from marksweep.store.leapfrog import Page

FULL = 1_000
"""Keys that Cloud Storage puts into one page at most."""
FEW = 100
"""Keys of a page that is most likely not about any of ours."""
FIELDS = "kind,nextPageToken,items(name,size,generation,timeDeleted,softDeleteTime)"
"""What an answer holds: ``kind`` tells an empty listing from an answer that is none."""


class Found(msgspec.Struct, rename="camel"):
    """One generation of one object."""

    name: str
    generation: str
    size: str = "0"
    time_deleted: datetime | None = None
    soft_delete_time: datetime | None = None


class Listing(msgspec.Struct, rename="camel"):
    """One page."""

    kind: Literal["storage#objects"]
    next_page_token: str = ""
    items: list[Found] | None = None

    @property
    def found(self) -> Sequence[Found]:
        """What it holds."""
        return self.items or ()


class GcsPages:
    """The listing of one bucket, as :class:`marksweep.store.leapfrog.Pages`."""

    def __init__(self, client: GcsClient, *, all_versions: bool) -> None:
        self._client = client
        self._extra: dict[str, str] = {"versions": "true"} if all_versions else {}
        self._all_versions = all_versions
        self.there = False
        """Whether the bucket was listed once: a key that is missing is then missing, and not the bucket."""

    async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
        """One page; see the protocol. Raises StoreRefused."""
        listing = await self._listed(within, start, str(more or ""), FEW if few else FULL)
        # startOffset takes in the key that it names.
        objects = [self._object(found) for found in listing.found if found.name != start]
        return Page(objects, listing.next_page_token or None)

    async def alone(self, path: str) -> Sequence[StoredObject]:
        """Everything at and below *path*. Raises StoreRefused."""
        return [self._object(found) async for found in self.at_or_below(path, self._extra)]

    async def at_or_below(self, path: str, extra: Mapping[str, str]) -> AsyncIterator[Found]:
        """Every generation at and below *path* in the listing that *extra* asks for. Raises StoreRefused.

        One request in the usual case: the prefix without its slash brings the object *path* and everything below, besides
        siblings like ``path-2``, which are dropped here. When that is more than one page, siblings may be what fills it:
        then ``path/`` is listed on its own. (The object *path* is the first of its prefix; its generations may be many.)
        """
        inside = f"{path}/"
        page = await self._listed(path, "", "", FULL, extra)
        whole = not page.next_page_token
        for found in page.found:
            if found.name == path or (whole and found.name.startswith(inside)):
                yield found
        if whole:
            return
        met: set[str] = set()
        while page.next_page_token and page.found and page.found[-1].name == path:
            page = await self._listed(path, "", self._new(page, met, path), FULL, extra)
            for found in page.found:
                if found.name == path:
                    yield found
        met.clear()
        more = ""
        while True:
            page = await self._listed(inside, "", more, FULL, extra)
            for found in page.found:
                if found.name.startswith(inside):
                    yield found
            if not page.next_page_token:
                return
            more = self._new(page, met, path)

    async def current(self, key: str) -> str | None:
        """The generation that *key* has now; null when there is no such object. Raises GcsError."""
        listing = await self.ask(key, "", "", 1, {})
        return next((found.generation for found in listing.found if found.name == key), None)

    async def ask(self, prefix: str, start: str, more: str, most: int, extra: Mapping[str, str]) -> Listing:
        """One page of the keys that begin with *prefix*. Raises GcsError."""
        query = {"prefix": prefix, "maxResults": str(most), "fields": FIELDS, "projection": "noAcl", **extra}
        if start:
            query["startOffset"] = start
        if more:
            query["pageToken"] = more
        try:
            answer = await self._client.read("list", "GET", self._client.target("/o", query))
        except GcsError as error:
            if error.status == 404:  # a listing that finds nothing is no error: it is the bucket that is missing
                raise GcsError(404, "NoSuchBucket", error.message) from None
            raise
        except UnicodeEncodeError:
            raise GcsError(0, "InvalidKey", "the key is not valid Unicode") from None
        listing: Listing = decode(answer, Listing)
        self.there = True
        return listing

    async def _listed(
        self, prefix: str, start: str, more: str, most: int, extra: Mapping[str, str] | None = None
    ) -> Listing:
        try:
            return await self.ask(prefix, start, more, most, self._extra if extra is None else extra)
        except GcsError as error:
            raise error.refusal(self._place(prefix)) from None

    def _new(self, page: Listing, met: set[str], path: str) -> str:
        # The token of the next page, which must be another one than all before.
        token = page.next_page_token
        if token in met:
            error = GcsError(
                200, "Endless", "the server says that there is more, but not where: its listing cannot be completed"
            )
            raise error.refusal(self._place(path))
        met.add(token)
        return token

    def _place(self, prefix: str) -> str:
        return f"gs://{self._client.bucket}/{prefix}".encode(errors="replace").decode()

    def _object(self, found: Found) -> StoredObject:
        version = found.generation if self._all_versions else ""
        return StoredObject(found.name, int(found.size), found.generation, version)
