"""What is left of a plan: entries that the journal has as begun, and units that no run has taken yet."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.journal import Journal, Pending
from marksweep.sweep.prepare import Unit

T = TypeVar("T")
PAGE = 200
"""Units that are taken out of the journal, or looked up in it, at a time."""


@dataclass(slots=True)
class Remaining:
    """Read afresh each time. While *only* is set (a canary is under way), nothing but those units is left."""

    plan: VerifiedPlan
    journal: Journal
    only: frozenset[str] | None = None

    def begun(self, *states: str) -> Iterator[list[Pending]]:
        """The journal's entries in *states*, some whole units at a time."""
        after = ""
        while page := self.journal.pending(states, after=after, most=PAGE):
            after = page[-1].unit
            if allowed := [p for p in page if self._is_left(p.unit)]:
                yield allowed

    def untaken(self) -> Iterator[Unit]:
        """The plan's units with entries that no earlier run settled or took, in plan order."""
        for units in batches(self.plan.units(), lambda: PAGE):
            done = self.journal.settled([e.id for unit in units for e in unit])
            left = (unit for unit in units if any(e.id not in done for e in unit))
            yield from (Unit(unit, done=done) for unit in left if self._is_left(unit[0].id))

    def _is_left(self, unit: str) -> bool:
        return self.only is None or unit in self.only


def batches(units: Iterable[T], size: Callable[[], int]) -> Iterator[list[T]]:
    """*units*, so many at a time as *size* says then."""
    iterator = iter(units)
    while batch := list(itertools.islice(iterator, size())):
        yield batch
