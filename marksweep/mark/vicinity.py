"""What could overlap an orphan's place: asked of every URI in a catalog, so it must be quick and small.

A filter of fixed size over hashed keys. It never says no to what overlaps; where it says yes to what does not, the exact
comparison (:mod:`marksweep.mark.overlap`) finds out.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence

_SLOTS = 1 << 24
"""Bytes. A million orphans fill so much of it that one live URI in ten is compared in vain."""
_MASK = _SLOTS - 1
_PLACE, _ABOVE = 1, 2
_NOTED = 10_000


class Vicinity:
    """The places of the orphans (by their keys, see :mod:`marksweep.model.uri`), and everything above them."""

    def __init__(self) -> None:
        self._slots = bytearray(_SLOTS)
        self._shallowest = 1 << 30
        """Slashes in the shortest path of a place: nothing that is not deeper lies inside one."""
        self._noted: set[str] = set()
        """Some of what is above places, whole: the filter holds it, and all that is above it."""

    def add(self, keys: Iterable[str]) -> None:
        """One orphan's place, by all its keys."""
        slots, noted = self._slots, self._noted
        for key in keys:
            slots[hash(key) & _MASK] |= _PLACE
            depth = key.count("/")
            if depth < self._shallowest:
                self._shallowest = depth
            cut = key.rfind("/", 0, -1)
            while cut >= 0 and (above := key[: cut + 1]) not in noted:
                slots[hash(above) & _MASK] |= _ABOVE
                noted.add(above)
                cut = key.rfind("/", 0, cut)
            if len(noted) > _NOTED:
                noted.clear()

    def meets(self, keys: Iterable[str]) -> bool:
        """Whether something at *keys* may be in a place, or have one in it."""
        slots, shallowest = self._slots, self._shallowest
        for key in keys:
            if slots[hash(key) & _MASK]:
                return True
            depth = key.count("/")
            if depth > shallowest and self._inside(key, depth - shallowest):
                return True
        return False

    def near(self, keys: Sequence[str]) -> set[int]:
        """The positions of those that :meth:`meets` says yes to; asked of millions, so all but the deep ones without a loop."""
        slots, shallowest = self._slots, self._shallowest
        masked = map(operator.and_, map(hash, keys), itertools.repeat(_MASK))
        found = set(itertools.compress(itertools.count(), map(slots.__getitem__, masked)))
        for at, depth in enumerate(map(str.count, keys, itertools.repeat("/"))):
            if depth > shallowest and at not in found and self._inside(keys[at], depth - shallowest):
                found.add(at)
        return found

    def _inside(self, key: str, levels: int) -> bool:
        """Whether one of the so many nearest places around *key* may be an orphan's."""
        cut = len(key) - 1
        for _ in range(levels):
            cut = key.rfind("/", 0, cut)
            if self._slots[hash(key[: cut + 1]) & _MASK] & _PLACE:
                return True
        return False
