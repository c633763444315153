"""A fuse around the outside world: catalog, stores and journal, each real, each touched only through here.

Every touch has two points at which the power can be cut: before it acts, and after it acted and before the caller hears.
From the blow on every further touch raises too: the process is dead. (What another thread had begun is finished, as a
system call would be.) A delete is a touch per key, so that a request can stop half-way.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from marksweep.model.store import KeyOutcome, StoredObject
from marksweep.model.uri import Location
from marksweep.model.version import ArtifactStore

FREE = {"capabilities", "identity", "now", "close", "undo", "objection", "objection_to", "spellings"}
"""Questions about what the adapter is, and how a touch is not counted: nothing outside changes by them."""


class PowerCut(BaseException):
    """The machine is off. Not an Exception: nobody may catch it and carry on."""


class Fuse:
    """Blows at the point number *at*; with None it only counts. ``points`` are the names of those passed."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.points: list[str] = []
        self.blown: str | None = None
        self._lock = threading.Lock()

    def point(self, name: str) -> None:
        with self._lock:
            if self.blown is not None:
                raise PowerCut(self.blown)
            if len(self.points) == self.at:
                self.blown = name
                raise PowerCut(name)
            self.points.append(name)

    def alive(self) -> None:
        if self.blown is not None:
            raise PowerCut(self.blown)

    def around(self, name: str) -> Callable[[Any], Any]:
        """Wraps something synchronous: a catalog or a journal."""
        return lambda real: _Fused(real, self, name)

    def around_stores(self, real: Any) -> Any:
        """Wraps the stores port."""
        return _FusedStores(real, self)


class _Fused:
    """Every method of something synchronous, a touch each."""

    def __init__(self, real: Any, fuse: Fuse, name: str) -> None:
        self._real, self._fuse, self._name = real, fuse, name

    def __getattr__(self, attribute: str) -> Any:
        real = getattr(self._real, attribute)
        if not callable(real):
            return real

        def touch(*args: Any, **kwargs: Any) -> Any:
            name = f"{self._name}.{attribute}"
            if attribute in FREE:
                self._fuse.alive()
                return real(*args, **kwargs)
            self._fuse.point(f"before {name}")
            answer = real(*args, **kwargs)
            self._fuse.point(f"after {name}")
            return answer

        return touch


class _FusedStores:
    def __init__(self, real: Any, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._real, attribute)

    @asynccontextmanager
    async def open(self, store: ArtifactStore) -> AsyncIterator[Any]:
        async with self._real.open(store) as opened:
            yield _FusedStore(opened, self._fuse)


class _FusedStore:
    def __init__(self, real: Any, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse

    def __getattr__(self, attribute: str) -> Any:
        assert attribute in FREE, attribute
        return getattr(self._real, attribute)

    async def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Any]]:
        self._fuse.point("before store.listing")
        async for answer in self._real.listing(locations, emptied=emptied):
            yield answer
        self._fuse.point("after store.listing")

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        answers: list[KeyOutcome] = []
        for found in objects:
            self._fuse.point(f"before store.delete {found.key}")
            answers += await self._real.delete([found])
            self._fuse.point(f"after store.delete {found.key}")
        return answers

    async def tidy(self, locations: Sequence[Location]) -> None:
        self._fuse.point("before store.tidy")
        await self._real.tidy(locations)
        self._fuse.point("after store.tidy")
