"""List many places with as few requests as can be: pages of a flat listing where they are dense, jumps where they are not.

A page begins just before the next place and covers every place up to its last key. The next page begins at the first place
that is not covered, wherever that is: a dense heap costs one request per page of keys, a sparse one a request per place.
Where pages keep covering one place each, places are listed on their own, many at a time, with a page now and then to see
whether it has become denser. So it costs at most what the better of the two plain ways costs.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from marksweep.errors import StoreRefused
from marksweep.model.store import StoredObject
from marksweep.model.uri import Location
from marksweep.store import order
from marksweep.store.windows import Listed, gather

RANGE = 2_048
"""Places, at least, that are listed one page after the other; ranges are listed side by side."""
PAGES = 10
"""Requests that a range should be worth, as the last ones were: its last page is cut short, since the next one has begun."""
RANGES = 8
"""Ranges that are listed at one time, ahead of the reader."""
ALONE_AT_MOST = 64
"""Places that are listed on their own, at one time, before a page is tried again."""
SURE = 6
"""Pages in a row that covered one place each, before more than two places are listed on their own: a few come by chance."""
GIVE_UP = 16
"""Places that are listed on their own at one time; when all of them are refused, so are the others of their range."""
LISTING_REMEDY = (
    "List the place with the store's own tool, with the same endpoint and credentials: the server is at fault."
)


@dataclass(frozen=True, slots=True)
class Page:
    """Objects in the server's order, and what continues the listing; null where it ended."""

    objects: Sequence[StoredObject]
    more: object | None


class Pages(Protocol):
    """What a server with a flat listing can do. Both raise :class:`~marksweep.errors.StoreRefused`."""

    async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
        """One page of the keys that begin with *within* and come after *start*, or what continues at *more*.

        *few*: only the first few keys are of interest.
        """
        ...

    async def alone(self, path: str) -> Sequence[StoredObject]:
        """Everything at and below *path*, whatever the order is that the server lists in."""
        ...


class Leapfrog:
    """Lists places through *pages*; remembers when the server's order turned out to be none."""

    def __init__(self, pages: Pages, *, ordered: bool = True) -> None:
        self._pages = pages
        self.ordered = ordered
        self._requests = 0

    async def listing(self, locations: Sequence[Location], *, emptied: bool) -> AsyncIterator[tuple[Location, Listed]]:
        """Yield each of *locations* with its listing, in the given order."""
        first, size = 0, RANGE
        while first < len(locations):
            ahead = locations[first : first + size * RANGES]
            paths = sorted({location.path for location in ahead})
            ranges = [paths[at : at + size] for at in range(0, len(paths), size)]
            first, before = first + len(ahead), self._requests

            async def listed(part: Sequence[str]) -> dict[str, Listed]:
                return await self._range(part, emptied)

            found: dict[str, Listed] = {}
            for part in await gather(ranges, listed):
                found |= part
            size = max(RANGE, PAGES * len(paths) // max(1, self._requests - before))
            for location in ahead:
                yield location, found[location.path]

    async def _range(self, paths: Sequence[str], emptied: bool) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        at, single, leaping = 0, 0, self.ordered
        leap = Leap(self._pages, paths)
        while at < len(paths):
            if leaping:
                self._requests += 1
                try:
                    passed = await leap.take(at, found, few=emptied and at == 0)
                except Unordered:
                    self.ordered = False
                    return await self._alone(paths)
                except StoreRefused:
                    passed, leaping = 0, False  # whose fault it is shows when places are listed on their own
                at += passed
                if passed > 1:
                    single = 0
                    continue
            single += 1
            alone = _alone_after(single, leaping=leaping)
            some = await self._alone(paths[at : at + alone])
            found |= some
            at += alone
            if len(some) >= GIVE_UP and (refused := _refusal(some)) is not None:
                return {path: found.get(path, refused) for path in paths}
        if leaping and not self.ordered:  # another range has found out meanwhile
            return await self._alone(paths)
        doubtful = [path for path in paths if path not in found]
        return found | await self._alone(doubtful)

    async def _alone(self, paths: Sequence[str]) -> dict[str, Listed]:
        async def one(path: str) -> Listed:
            try:
                return await self._pages.alone(path)
            except StoreRefused as refused:
                return refused

        self._requests += len(paths)
        return dict(zip(paths, await gather(paths, one), strict=True))


def _alone_after(single: int, *, leaping: bool) -> int:
    """How many places to list on their own after so many pages in a row that covered one; without pages, so many turns."""
    doublings = single - 1 if not leaping or single == 1 else max(1, single - SURE + 1)
    return int(min(ALONE_AT_MOST, 2**doublings))


def _refusal(some: dict[str, Listed]) -> Exception | None:
    # What all of them were refused with; null if one was listed.
    refusals = [listed for listed in some.values() if isinstance(listed, Exception)]
    return refusals[0] if refusals and len(refusals) == len(some) else None


class Unordered(Exception):
    """A page was in no order that can be relied on."""


class Leap:
    """Runs of pages over sorted *paths*, each up to where a jump is shorter than going on."""

    def __init__(self, pages: Pages, paths: Sequence[str]) -> None:
        self._pages = pages
        self._paths = paths
        self._wanted = frozenset(paths)
        common = os.path.commonprefix([paths[0], paths[-1]])  # noqa: RUF071 - keys are text, and cut at a slash below
        self._within = common[: common.rfind("/") + 1]

    async def take(self, first: int, found: dict[str, Listed], *, few: bool) -> int:
        """List from *paths[first]* on; put what is covered for certain into *found*. Return how many places were passed.

        One that was passed and is not in *found* must be listed on its own. Raises StoreRefused, :class:`Unordered`.
        """
        paths = self._paths
        start = order.before(paths[first])
        if start is None:
            return 1
        lists: dict[str, list[StoredObject]] = {}
        more: object | None = None
        met: set[object] = set()
        while True:
            page = await self._pages.page(self._within, start, more, few=few)
            keys = [o.key for o in page.objects]
            if not order.is_ordered(start, keys):
                raise Unordered
            self._attribute(page.objects, lists)
            if page.more is None:
                self._settle(found, lists, start, paths[first:], None)
                return len(paths) - first
            if page.more in met:
                raise StoreRefused(
                    "the server says that there is more, but not where: its listing cannot be completed", LISTING_REMEDY
                )
            met.add(page.more)
            if keys:
                passed = self._passed(first, keys[-1])
                if passed:
                    self._settle(found, lists, start, paths[first : first + passed], keys[-1])
                    return passed
                if keys[-1] != paths[first] and not keys[-1].startswith(f"{paths[first]}/"):
                    return 1  # there may be any number of siblings between a place and what lies below it
            more = page.more

    def _passed(self, first: int, last: str) -> int:
        # How many places, from the first on, a listing has passed that came to key `last`.
        passed = first
        begun = bisect.bisect_right(self._paths, last, lo=first)
        while passed < begun and last >= f"{self._paths[passed]}0":
            passed += 1
        return passed - first

    def _attribute(self, objects: Sequence[StoredObject], lists: dict[str, list[StoredObject]]) -> None:
        folder, owners = "", self._owners("")
        for found in objects:
            if (at := found.key.rpartition("/")[0]) != folder:
                folder, owners = at, self._owners(at)
            for owner in owners:
                lists.setdefault(owner, []).append(found)
            if found.key in self._wanted:
                lists.setdefault(found.key, []).append(found)

    def _owners(self, folder: str) -> list[str]:
        owners: list[str] = []
        while folder:
            if folder in self._wanted:
                owners.append(folder)
            folder = folder.rpartition("/")[0]
        return owners

    def _settle(
        self, found: dict[str, Listed], lists: dict[str, list[StoredObject]], start: str, paths: Sequence[str],
        last: str | None,
    ) -> None:  # fmt: skip
        for path in paths:
            if order.follows(path, start) and (last is None or order.reached(last, path)):
                found[path] = lists.get(path, [])
