"""Pages of a bucket's flat listing, of current objects or of all their versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from marksweep.model.store import StoredObject
from marksweep.store import order
from marksweep.store.leapfrog import Page
from marksweep.store.s3_client import S3Client
from marksweep.store.s3_errors import EXPECTED, refusal
from marksweep.store.s3_options import Scrub
from marksweep.store.s3_xml import LISTED, Listing

FEW = 100
"""Keys of a page that is most likely not about any of ours."""


class S3Pages:
    """The listing of one bucket, as :class:`marksweep.store.leapfrog.Pages`."""

    def __init__(self, client: S3Client, bucket: str, scrub: Scrub, *, all_versions: bool) -> None:
        self._client = client
        self._name = f"s3://{bucket}"
        self._scrub = scrub
        self._all_versions = all_versions

    async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
        """One page; see the protocol. Raises StoreRefused."""
        listing = await self._list(within, start, more, FEW if few else None)
        return Page(listing.objects, listing.more)

    async def alone(self, path: str) -> Sequence[StoredObject]:
        """Everything at and below *path*. Raises StoreRefused.

        One request in the usual case: the prefix without its slash brings the object *path* and everything below, besides
        siblings like ``path-2``, which are dropped here. It is read on while its pages end inside, or are in no order (then
        anything may be anywhere). Where siblings fill an ordered page, ``path/`` is listed on its own: the object *path*
        is the first of its prefix, so it has been seen.
        """
        inside = f"{path}/"
        listed: list[StoredObject] = []
        async for page in self._pages(path):
            listed += [found for found in page.objects if found.key == path or found.key.startswith(inside)]
            keys = [found.key for found in page.objects]
            if page.more is None or not keys or not order.is_ordered("", keys):
                continue
            if order.reached(keys[-1], path):
                return listed
            if keys[-1] != path and not keys[-1].startswith(inside):
                break
        else:
            return listed
        listed = [found for found in listed if found.key == path]
        async for page in self._pages(inside):
            listed += [found for found in page.objects if found.key.startswith(inside)]
        return listed

    async def _pages(self, within: str) -> AsyncIterator[Listing]:
        met: set[object] = set()
        more: object | None = None
        while True:
            page = await self._list(within, None, more, None)
            yield page
            if page.more is None:
                return
            if page.more in met:
                error = OSError("the server says that there is more, but not where: its listing cannot be completed")
                raise refusal(f"{self._name}/{within}", error, self._scrub)
            met.add(page.more)
            more = page.more

    async def _list(self, within: str, start: str | None, more: object | None, most: int | None) -> Listing:
        arguments: dict[str, object] = {"Prefix": within}
        if most is not None:
            arguments["MaxKeys"] = most
        if isinstance(more, tuple):
            arguments["KeyMarker"], version = more
            if version:
                arguments["VersionIdMarker"] = version
        elif more is not None:
            arguments["ContinuationToken"] = more
        elif start is not None:
            arguments["StartAfter"] = start
        operation = "list_object_versions" if self._all_versions else "list_objects_v2"
        try:
            answer = await self._client.read("list", operation, **arguments)
        except EXPECTED as error:
            raise refusal(f"{self._name}/{within}", error, self._scrub) from None
        listing: Listing = answer[LISTED]
        return listing
