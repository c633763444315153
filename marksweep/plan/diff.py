"""Two plans side by side: what only one of them holds, what both hold, and what changed about it.

Both are read once, in plan order, and merged as they are read; so memory stays flat however many entries there are. An
entry is the same one if it has the same id and the same place (:attr:`marksweep.model.entry.Entry.order`).
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from marksweep.model.entry import Entry
from marksweep.model.uri import key_of

ARTIFACTS = 20_000
"""Artifacts that are told apart; entries of any others count in the totals only."""

Pair = tuple[Entry | None, Entry | None]
"""An entry as the earlier and as the later plan hold it; one of the two may be missing."""


class Fate(enum.StrEnum):
    """What became of an entry from one plan to the other."""

    NEW = "new"
    GONE = "gone"
    SAME = "same"
    CHANGED = "changed"


def merge(before: Iterable[Entry], now: Iterable[Entry]) -> Iterator[Pair]:
    """The entries of two plans, each in plan order, paired where id and place are the same; in plan order."""
    earlier, later = _ordered(before), _ordered(now)
    old, new = next(earlier, None), next(later, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old[0] < new[0]):
            assert old is not None
            yield old[1], None
            old = next(earlier, None)
        elif old is None or new[0] < old[0]:
            yield None, new[1]
            new = next(later, None)
        else:
            yield old[1], new[1]
            old, new = next(earlier, None), next(later, None)


def _ordered(entries: Iterable[Entry]) -> Iterator[tuple[tuple[bytes, str], Entry]]:
    return (((key_of(entry.uri).encode(), entry.id), entry) for entry in entries)


def fate(pair: Pair) -> Fate:
    """What became of the entry that *pair* holds."""
    before, now = pair
    if before is None:
        return Fate.NEW
    if now is None:
        return Fate.GONE
    return Fate.CHANGED if changes(before, now) else Fate.SAME


def changes(before: Entry, now: Entry) -> tuple[str, ...]:
    """The members in which two entries differ that says something about the bytes or the reason.

    A size or a fingerprint that one of the plans lacks (``--no-size``) cannot differ. ``updated`` says nothing: a catalog
    sets it when somebody adds a tag.
    """
    found = [name for name in ("uri", "reason") if getattr(before, name) != getattr(now, name)]
    for name in ("objects", "bytes", "fingerprint"):
        then, today = getattr(before, name), getattr(now, name)
        if then is not None and today is not None and then != today:
            found.append(name)
    return tuple(found)


@dataclass(slots=True)
class Tally:
    """Entries, and what lies under them: objects and bytes are None if one entry's are."""

    entries: int = 0
    objects: int | None = 0
    bytes: int | None = 0

    def add(self, entry: Entry) -> None:
        """One more."""
        self.entries += 1
        self.objects = None if self.objects is None or entry.objects is None else self.objects + entry.objects
        self.bytes = None if self.bytes is None or entry.bytes is None else self.bytes + entry.bytes


@dataclass(slots=True)
class Movement:
    """What became of one artifact's entries, by fate; and all of them before and now."""

    fates: dict[Fate, Tally] = field(default_factory=lambda: {fate: Tally() for fate in Fate})
    before: Tally = field(default_factory=Tally)
    now: Tally = field(default_factory=Tally)

    def add(self, pair: Pair) -> Fate:
        """One more entry; its bytes count as they are now, or were if it is gone."""
        before, now = pair
        if before is not None:
            self.before.add(before)
        if now is not None:
            self.now.add(now)
        found, entry = fate(pair), now or before
        if entry is not None:
            self.fates[found].add(entry)
        return found

    @property
    def moved(self) -> tuple[int, int]:
        """How much changed, to compare artifacts by: bytes that came, went or changed, then entries."""
        tallies = [tally for found, tally in self.fates.items() if found is not Fate.SAME]
        return sum(tally.bytes or 0 for tally in tallies), sum(tally.entries for tally in tallies)


class Difference:
    """The difference of two plans; filled by :meth:`add`, pair by pair. It keeps the first *most* pairs of each fate."""

    def __init__(self, most: int) -> None:
        self.total = Movement()
        self.first: dict[Fate, list[Pair]] = {found: [] for found in Fate}
        self._most = most
        self._artifacts: dict[tuple[str, str], Movement] = {}

    def add(self, pair: Pair) -> Fate:
        """Take the next pair of :func:`merge`."""
        found = self.total.add(pair)
        if found is not Fate.SAME and len(self.first[found]) < self._most:
            self.first[found].append(pair)
        entry = pair[0] or pair[1]
        if entry is not None:
            key = (entry.project, entry.artifact)
            movement = self._artifacts.get(key)
            if movement is None and len(self._artifacts) < ARTIFACTS:
                movement = self._artifacts[key] = Movement()
            if movement is not None:
                movement.add(pair)
        return found

    @property
    def differs(self) -> bool:
        """Whether any entry came, went or changed."""
        return any(tally.entries for found, tally in self.total.fates.items() if found is not Fate.SAME)

    def artifacts(self, most: int) -> list[tuple[str, str, Movement]]:
        """(project, artifact, what became of its entries) of the *most* artifacts that changed most."""
        moved = ((*key, movement) for key, movement in self._artifacts.items() if movement.moved != (0, 0))
        return heapq.nsmallest(most, moved, key=lambda one: (*(-number for number in one[2].moved), one[0], one[1]))

    def artifacts_changed(self) -> int:
        """How many of the artifacts that are told apart changed at all."""
        return sum(movement.moved != (0, 0) for movement in self._artifacts.values())


def compare(before: Iterable[Entry], now: Iterable[Entry], most: int = 0) -> Difference:
    """The difference of two plans' entries, with the first *most* of each fate."""
    difference = Difference(most)
    for pair in merge(before, now):
        difference.add(pair)
    return difference
