"""How far a mark or a sweep is, on stderr: one line that renews itself on a terminal, a plain line now and then elsewhere.

Both are context managers and observers. A thread of their own shows :meth:`line`; so the engines only count, and a long
wait for a database still shows that the program lives. What ends within half a second shows nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console

from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, Outcome
from marksweep.report.text import count, counted, remaining, size
from marksweep.report.ticker import EVERY, Ticker
from marksweep.store.tuning import Meter
from marksweep.sweep.observer import BatchStep, CanaryStep


def throttled(meter: Meter) -> list[str]:
    """Where a store asked to come slower, why, and how fast we go there now; empty when none does."""
    slowed = list(meter.throttled.items())
    if not slowed:
        return []
    place, why = slowed[0]
    more = f" and {len(slowed) - 1} more" if len(slowed) > 1 else ""
    return [f"slowed down at {place} ({why}){more}"]


class MarkProgress(Ticker):
    """Watches a mark (a :class:`~marksweep.mark.observer.MarkObserver`). ``warnings`` are what it was told, unaltered."""

    def __init__(
        self,
        console: Console,
        meter: Meter | None = None,
        *,
        quiet: bool = False,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, quiet=quiet, every=every, clock=clock)
        self._meter = meter or Meter()
        self.warnings: list[str] = []
        self.versions = 0
        self.places: int | None = None
        self.measured = 0
        self.bytes = 0
        self._comparing = self._writing = False
        self._restart()

    def surveyed(self, versions: int) -> None:
        """So many more versions were read."""
        self.versions += versions

    def comparing(self) -> None:
        """URIs are compared with each other now."""
        self._comparing = True

    def sizing(self, entries: int) -> None:
        """So many places will be listed."""
        self._restart()
        self.places = entries

    def sized(self, entries: int, bytes_: int) -> None:
        """So many more were listed."""
        self.measured += entries
        self.bytes += bytes_

    def writing(self) -> None:
        """The plan is being written."""
        self._writing = True

    def warn(self, message: str) -> None:
        """Keep a warning for the end."""
        self.warnings.append(message)

    def line(self) -> str:
        """Versions read, then places sized, then the plan."""
        if self._writing:
            return "writing the plan"
        if self.places is not None:
            left = max(0, self.places - self.measured)
            total = counted(self.places, "place")
            return ", ".join(
                [
                    f"sized {self.measured:,} of {total}",
                    size(self.bytes),
                    *self._pace(self.measured, left),
                    *throttled(self._meter),
                ]
            )
        if self._comparing:
            return f"comparing the places of {counted(self.versions, 'version')}"
        return ", ".join([f"read {counted(self.versions, 'version')}", *self._pace(self.versions, None)])

    def fraction(self) -> float | None:
        """The part of the places that is sized."""
        return min(1.0, self.measured / self.places) if self.places else None


class SweepProgress(Ticker):
    """Watches a sweep (a :class:`~marksweep.sweep.observer.SweepObserver`). The counters are of this run alone."""

    def __init__(
        self,
        console: Console,
        meter: Meter | None = None,
        *,
        quiet: bool = False,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, quiet=quiet, every=every, clock=clock)
        self._meter = meter or Meter()
        self.entries = 0
        self.settled = 0
        self.resuming = 0
        self.deleted = self.gone = self.kept = self.failed = 0
        self.objects = self.bytes = 0
        self._drained_at: float | None = None
        self._canary = ""
        self._restart()

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        """What the plan holds, and what earlier runs have settled."""
        self.entries, self.settled = entries, settled
        self._restart()

    def resumed(self, entries: int) -> None:
        """So many entries of an earlier run are finished first."""
        self.resuming = entries

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None:
        """Count one entry."""
        match outcome:
            case Deleted(objects, bytes_):
                self.deleted += 1
                self.objects, self.bytes = self.objects + objects, self.bytes + bytes_
            case AlreadyGone():
                self.gone += 1
            case Kept():
                self.kept += 1
            case Failed(objects=objects, bytes=bytes_):
                self.failed += 1
                self.objects, self.bytes = self.objects + objects, self.bytes + bytes_

    def draining(self, seconds: float) -> None:
        """Rows are marked; their bytes wait for so long."""
        self._drained_at = self._clock() + seconds

    def canary(self, step: CanaryStep, entries: int, witnesses: int) -> None:
        """What is being done about the canary."""
        beside = counted(witnesses, "live version")
        self._canary = {
            "drawing": "canary: looking for what lives beside it",
            "sweeping": f"canary: {counted(entries, 'entry', 'entries')} first, beside {beside}",
            "comparing": f"canary: comparing {beside}",
            "over": "",
        }[step]

    def batch(self, step: BatchStep, began: float, entries: int, objects: int, bytes_: int) -> None:
        """Nothing that this line shows: it counts entries one by one."""

    @property
    def done(self) -> int:
        """Entries that this run has brought to an end."""
        return self.deleted + self.gone + self.kept + self.failed

    def line(self) -> str:
        """Entries settled, by this run and earlier ones; and the bytes that this one freed."""
        swept = min(self.entries, self.settled + self.done)
        pieces = [f"swept {swept:,} of {counted(self.entries, 'entry', 'entries')}", size(self.bytes)]
        pieces += [f"{count(n)} {word}" for n, word in ((self.kept, "kept"), (self.failed, "failed")) if n]
        if self.done < self.resuming:
            pieces.append(f"{self.resuming - self.done:,} of an earlier run first")
        if self._canary:
            pieces.append(self._canary)
        wait = 0.0 if self._drained_at is None else self._drained_at - self._clock()
        if wait > 0:
            return ", ".join([*pieces, f"waiting {remaining(wait)} before the bytes of marked rows go"])
        return ", ".join([*pieces, *self._pace(self.done, self.entries - swept), *throttled(self._meter)])

    def fraction(self) -> float | None:
        """The part of the entries that is settled."""
        return min(1.0, (self.settled + self.done) / self.entries) if self.entries else None
