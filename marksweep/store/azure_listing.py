"""List many places of a container, which has no start key to jump with: shared prefixes first, as long as that pays.

The places that share a prefix are listed by pages of that prefix. A page pays while it passes more than one of them; when
the pages no longer do, what is left falls apart by folder, and each part is listed likewise, side by side, down to a single
place on its own. A place is covered by such a listing when it ended, or when it has come past the place in both orders of
:mod:`marksweep.store.order` and was in order so far: Azure lists by name, or folder by folder in an account with a
hierarchical namespace. Where the order is neither, only a listing that ended covers anything.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence

from marksweep.errors import StoreRefused
from marksweep.model.store import StoredObject
from marksweep.model.uri import Location
from marksweep.store import order
from marksweep.store.azure_client import CURRENT, SNAPSHOT, VERSION, AzureClient
from marksweep.store.azure_errors import EXPECTED, refusal, status_of
from marksweep.store.azure_options import Scrub
from marksweep.store.azure_xml import Blob
from marksweep.store.leapfrog import Page
from marksweep.store.windows import Listed, gather

AHEAD = 16_384
"""Places that are listed ahead of the reader."""
SHARED = 2_048
"""Places that are listed page after page; more of them fall apart by the next character and are listed side by side."""
CREDIT = 16
"""For so many places there may be one page that does not pay, before a prefix is given up."""
GIVE_UP = 16
"""Places that are listed on their own at one time; when all of them are refused, so are the others of their prefix."""
_INCOMPLETE = "the server says that there is more, but not where: its listing cannot be completed"
_REMEDY = "Try `az storage blob list` with the same account, container and credentials."


class AzurePages:
    """The listing of one container, of current blobs or of all their versions and snapshots."""

    def __init__(self, client: AzureClient, scrub: Scrub, *, all_versions: bool) -> None:
        self._client = client
        self._scrub = scrub
        self._all_versions = all_versions
        self._include = ("snapshots", "versions") if all_versions else ()

    async def page(self, prefix: str, more: object | None) -> Page:
        """One page of everything that begins with *prefix*, or what continues at *more*. Raises StoreRefused."""
        token = None if more is None else str(more)
        try:
            blobs, following = await self._client.page(prefix, token, include=self._include)
        except EXPECTED as error:
            raise refusal(f"{self._client.place}/{prefix}", error, self._scrub) from None
        return Page([stored(blob, all_versions=self._all_versions) for blob in blobs], following)

    async def alone(self, path: str) -> Sequence[StoredObject]:
        """Everything at and below *path*. Raises StoreRefused.

        One request in the usual case: the prefix without its slash brings the blob *path* and everything below, besides
        siblings like ``path-2``, which are dropped. When that is more than one page, siblings may be what fills it: then
        ``path/`` is listed on its own, and the blob *path* is asked for by its name.
        """
        inside = f"{path}/"
        first = await self.page(path, None)
        if first.more is not None and not self._all_versions:
            beside = [found for found in first.objects if found.key == path] or await self._named(path)
            return beside + [found for found in await self._whole(inside, None) if found.key.startswith(inside)]
        whole = [*first.objects, *(await self._whole(path, first.more) if first.more is not None else ())]
        return [found for found in whole if found.key == path or found.key.startswith(inside)]

    async def _whole(self, prefix: str, more: object | None) -> Sequence[StoredObject]:
        listed: list[StoredObject] = []
        met: set[object] = set()
        while True:
            page = await self.page(prefix, more)
            listed += page.objects
            if page.more is None:
                return listed
            if page.more in met:
                raise StoreRefused(_INCOMPLETE, _REMEDY)
            met.add(page.more)
            more = page.more

    async def _named(self, path: str) -> list[StoredObject]:
        try:
            blob = await self._client.read("list", lambda: self._client.blob(path).get_blob_properties(retry_total=0))
        except EXPECTED as error:
            if status_of(error) == 404:
                return []
            raise refusal(f"{self._client.place}/{path}", error, self._scrub) from None
        return [StoredObject(path, int(blob.size), str(blob.etag).strip('"'))]


def stored(blob: Blob, *, all_versions: bool) -> StoredObject:
    """*blob* as the port speaks of it."""
    version = ""
    if all_versions and blob.snapshot:
        version = f"{SNAPSHOT}{blob.snapshot}"
    elif all_versions and blob.version_id:
        version = f"{CURRENT if blob.is_current_version else VERSION}{blob.version_id}"
    return StoredObject(blob.name, blob.size, blob.etag, version)


class Shared:
    """Lists places through *pages*, sharing requests where their prefixes do."""

    def __init__(self, pages: AzurePages) -> None:
        self._pages = pages

    async def listing(self, locations: Sequence[Location]) -> AsyncIterator[tuple[Location, Listed]]:
        """Yield each of *locations* with its listing, in the given order."""
        for first in range(0, len(locations), AHEAD):
            ahead = locations[first : first + AHEAD]
            found = await self._group(sorted({location.path for location in ahead}))
            for location in ahead:
                yield location, found[location.path]

    async def _group(self, paths: Sequence[str]) -> dict[str, Listed]:
        if len(paths) < 2:
            return await self._alone(paths)
        prefix = _shared_prefix(paths)
        if len(paths) > SHARED:
            return await self._each(_parts(paths, lambda path: path[len(prefix) : len(prefix) + 1]))
        try:
            found = await self._flat(prefix, paths)
        except StoreRefused:  # whose fault it is shows when places are listed on their own
            return await self._alone(paths)
        left = [path for path in paths if path not in found]
        folder = prefix.rfind("/") + 1
        parts = _parts(left, lambda path: path[folder:].partition("/")[0])
        if len(parts) < 2 and _shared_prefix(left) == prefix:  # places inside each other
            return found | await self._alone(left)
        return found | await self._each(parts)

    async def _each(self, parts: Sequence[Sequence[str]]) -> dict[str, Listed]:
        single = [part[0] for part in parts if len(part) == 1]
        found = await self._alone(single)
        for some in await gather([part for part in parts if len(part) > 1], self._group):
            found |= some
        return found

    async def _flat(self, prefix: str, paths: Sequence[str]) -> dict[str, Listed]:
        lists = Attributed(paths)
        passed, idle, ordered, last = 0, 0, True, ""
        more: object | None = None
        met: set[object] = set()
        while True:
            page, before = await self._pages.page(prefix, more), passed
            keys = [found.key for found in page.objects]
            lists.add(page.objects)
            if page.more is None:
                return {path: lists.of(path) for path in paths}
            if page.more in met:
                raise StoreRefused(_INCOMPLETE, _REMEDY)
            met.add(page.more)
            ordered = ordered and order.is_ordered(last, keys)
            last = keys[-1] if keys else last
            while ordered and passed < len(paths) and order.reached(last, paths[passed]):
                passed += 1
            idle += passed < before + 2
            if passed == len(paths) or idle > len(paths) // CREDIT:
                return {path: lists.of(path) for path in paths[:passed]} if ordered else {}
            more = page.more

    async def _alone(self, paths: Sequence[str]) -> dict[str, Listed]:
        async def one(path: str) -> Listed:
            try:
                return await self._pages.alone(path)
            except StoreRefused as refused:
                return refused

        found = dict(zip(paths[:GIVE_UP], await gather(paths[:GIVE_UP], one), strict=True))
        rest = paths[GIVE_UP:]
        refusals = [listed for listed in found.values() if isinstance(listed, Exception)]
        if rest and len(refusals) == len(found):
            return found | dict.fromkeys(rest, refusals[0])
        return found | dict(zip(rest, await gather(rest, one), strict=True))


class Attributed:
    """Objects of a shared listing, given to each of the places that they lie at or under."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._lists: dict[str, list[StoredObject]] = {path: [] for path in paths}

    def add(self, objects: Sequence[StoredObject]) -> None:
        """Take in a page."""
        folder, owners = "", self._owners("")
        for found in objects:
            if (at := found.key.rpartition("/")[0]) != folder:
                folder, owners = at, self._owners(at)
            for owner in owners:
                owner.append(found)
            if (named := self._lists.get(found.key)) is not None:
                named.append(found)

    def of(self, path: str) -> Sequence[StoredObject]:
        """What has come for *path* so far."""
        return self._lists[path]

    def _owners(self, folder: str) -> list[list[StoredObject]]:
        owners: list[list[StoredObject]] = []
        while folder:
            if folder in self._lists:
                owners.append(self._lists[folder])
            folder = folder.rpartition("/")[0]
        return owners


def _shared_prefix(paths: Sequence[str]) -> str:
    return os.path.commonprefix([paths[0], paths[-1]]) if paths else ""  # noqa: RUF071 - keys are text


def _parts(paths: Sequence[str], name: Callable[[str], str]) -> list[list[str]]:
    parts: dict[str, list[str]] = {}
    for path in paths:
        parts.setdefault(name(path), []).append(path)
    return list(parts.values())
