"""A store in memory whose server lists in whatever order a test asks for; its requests are counted.

It goes through :class:`~marksweep.store.leapfrog.Leapfrog` as the adapters for buckets do.
"""

from __future__ import annotations

import bisect
import enum
import hashlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio

from marksweep.errors import StoreRefused
from marksweep.model.store import (
    KeyChanged,
    KeyDeleted,
    KeyDenied,
    KeyFailed,
    KeyGone,
    KeyOutcome,
    StoredObject,
    Undo,
)
from marksweep.model.uri import Location, claims, locate
from marksweep.store.leapfrog import Leapfrog, Page
from marksweep.store.windows import Listed


class Ordering(enum.StrEnum):
    """How a server lists."""

    UTF8 = "utf8"
    """As S3 and GCS do."""
    SEGMENTS = "segments"
    """Folder by folder, as servers over a file system do; what lies below the start key itself is skipped."""
    SHUFFLED = "shuffled"
    """In no order, though the same one each time. A start key leaves out what is smaller."""
    STARTLESS = "startless"
    """In UTF-8 order from the very first key, wherever a listing is asked to start."""


class Bucket:
    """The server: objects, and their pages of *page* keys in the given order; requests are counted."""

    def __init__(self, ordering: Ordering = Ordering.UTF8, page: int = 1_000, few: int | None = None) -> None:
        self.requests: Counter[str] = Counter()
        self.denied: set[str] = set()
        self.broken: Callable[[str], None] = lambda prefix: None
        """Called with the prefix of each listing; may raise what the listing is refused with."""
        self.deleted: dict[str, tuple[datetime, StoredObject]] = {}
        self.objects: dict[str, StoredObject] = {}
        self.page = page
        self.few = few or page
        self._ordering = ordering
        self._listed: list[str] | None = None

    def put(self, keys: Iterable[str], body: bytes = b"x") -> None:
        """Write *body* to each of *keys*."""
        tag = hashlib.sha256(body).hexdigest()[:8]
        for key in keys:
            self.objects[key] = StoredObject(key, len(body), tag)
        self._listed = None

    def remove(self, key: str) -> None:
        """Delete *key*, so that it can be brought back."""
        self.deleted[key] = (datetime.now(UTC), self.objects.pop(key))
        self._listed = None

    def restore(self, key: str) -> None:
        """Bring *key* back."""
        self.objects[key] = self.deleted.pop(key)[1]
        self._listed = None

    def keys(self) -> list[str]:
        """Every key in the order of the server."""
        if self._listed is None:
            self._listed = sorted(self.objects, key=self._rank)
        return self._listed

    def list(self, prefix: str, start: str, at: int, most: int) -> tuple[list[StoredObject], int | None]:
        """One page of the keys with *prefix* after *start*, the first *at* left out; and where the next one begins."""
        self.requests["list"] += 1
        self.broken(prefix)
        keys = self.keys()
        if self._ordering is Ordering.UTF8:  # as it is with thousands of pages
            first = max(bisect.bisect_left(keys, prefix), bisect.bisect_right(keys, start)) + at
            page = list(itertools.takewhile(lambda key: key.startswith(prefix), keys[first : first + most + 1]))
        else:
            of_all = (key for key in keys if key.startswith(prefix) and self._follows(key, start))
            page = list(itertools.islice(of_all, at, at + most + 1))
        return [self.objects[key] for key in page[:most]], at + most if len(page) > most else None

    def _rank(self, key: str) -> Any:
        match self._ordering:
            case Ordering.UTF8 | Ordering.STARTLESS:
                return key  # code points compare as their UTF-8 bytes do
            case Ordering.SEGMENTS:
                return key.split("/")
            case Ordering.SHUFFLED:
                return hashlib.sha256(key.encode()).digest()

    def _follows(self, key: str, start: str) -> bool:
        match self._ordering:
            case Ordering.UTF8 | Ordering.SHUFFLED:
                return key > start
            case Ordering.STARTLESS:
                return True
            case Ordering.SEGMENTS:
                below = start and key.startswith(f"{start}/")
                return not below and key.split("/") > start.split("/")


class BucketPages:
    """What :class:`~marksweep.store.leapfrog.Leapfrog` asks of a server."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
        await anyio.lowlevel.checkpoint()
        at = more if isinstance(more, int) else 0
        return Page(*self._bucket.list(within, start, at, self._bucket.few if few and not at else self._bucket.page))

    async def alone(self, path: str) -> Sequence[StoredObject]:
        await anyio.lowlevel.checkpoint()
        inside = f"{path}/"
        found: list[StoredObject] = []
        at: int | None = 0
        while at is not None:
            page, at = self._bucket.list(path, "", at, self._bucket.page)
            found += [o for o in page if o.key == path or o.key.startswith(inside)]
        return found


class MemoryStore:
    """A store below *root* in *bucket*. It keeps what is deleted."""

    keeps_tags = True

    def __init__(self, bucket: Bucket, root: Location) -> None:
        self._bucket = bucket
        self._root = root
        self._leapfrog = Leapfrog(BucketPages(bucket))

    async def undo(self) -> Undo:
        return Undo.VERSIONED

    async def list(self, location: Location) -> Sequence[StoredObject]:
        if (why := self._outside(location)) is not None:
            raise StoreRefused(f"{location.key} is not listed: {why}", f"Only what lies below {self._root.key} is.")
        return await BucketPages(self._bucket).alone(location.path)

    async def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Listed]]:
        listed = self._leapfrog.listing([o for o in locations if self._outside(o) is None], emptied=emptied)
        for location in locations:
            if (why := self._outside(location)) is None:
                yield await anext(listed)
            else:
                yield location, StoreRefused(f"{location.key} is not listed: {why}", "List what lies below the root.")

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        self._bucket.requests["delete"] += 1
        await anyio.lowlevel.checkpoint()
        return [self._delete(found) for found in {found.key: found for found in objects}.values()]

    def _delete(self, found: StoredObject) -> KeyOutcome:
        key = found.key
        if self.objection_to(found) is not None:
            return KeyFailed(key, "InvalidKey", "it is empty or outside the root")
        if key in self._bucket.denied:
            return KeyDenied(key, "AccessDenied", "not this one")
        if (there := self._bucket.objects.get(key)) is None:
            return KeyGone(key)
        if there.tag != found.tag:
            return KeyChanged(key)
        self._bucket.remove(key)
        return KeyDeleted(key)

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        path, inside = location.path, f"{location.path}/"
        return [
            StoredObject(key, was.size, was.tag, "the one before")
            for key, (when, was) in self._bucket.deleted.items()
            if when >= since and (key == path or key.startswith(inside))
        ]

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        occupied = [found.key for found in objects if found.key in self._bucket.objects]
        for found in objects:
            if found.key not in occupied:
                self._bucket.restore(found.key)
        return [KeyFailed(key, "Occupied", "it holds an object") for key in occupied]

    async def tidy(self, locations: Sequence[Location]) -> None:
        """There are no folders."""

    def objection(self, location: Location) -> str | None:
        return self._outside(location)

    def objection_to(self, found: StoredObject) -> str | None:
        prefix = f"{self._root.path}/"
        return None if found.key.startswith(prefix) and found.key != prefix else "it is outside the root"

    def spellings(self, uri: str) -> tuple[str, ...]:
        return claims(uri)

    def _outside(self, location: Location) -> str | None:
        root = self._root
        if (location.scheme, location.bucket) != (root.scheme, root.bucket):
            return "it lies outside the root of the artifact store"
        if location.segments[: len(root.segments)] != root.segments:
            return "it lies outside the root of the artifact store"
        return "it is the root of the artifact store" if location.segments == root.segments else None


def places(paths: Iterable[str]) -> list[Location]:
    """Locations of *paths* below a bucket of nobody."""
    return [locate(f"s3://memory/{path}") for path in paths]


def brute(objects: Mapping[str, StoredObject], path: str) -> set[str]:
    """The keys at and below *path*, found the slow way."""
    return {key for key in objects if key == path or key.startswith(f"{path}/")}
