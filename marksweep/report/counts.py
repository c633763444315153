"""What one run has counted so far, for metrics: it watches a mark, a sweep, or both, one after the other."""

from __future__ import annotations

from collections import Counter

from marksweep.mark import observer as mark
from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, KeptBecause, Outcome
from marksweep.sweep import observer as sweep

OUTCOMES = ("deleted", "gone", *(reason.value for reason in KeptBecause), "failed")
"""What can become of an entry, in the words of the books."""


class RunCounts(mark.Silent, sweep.Silent):
    """Written by the phases, read by whoever exports it, from any thread. ``bytes`` and ``objects`` are confirmed deletes."""

    def __init__(self) -> None:
        self.versions = 0
        self.places = 0
        self.measured = 0
        self.measured_bytes = 0
        self.planned_entries: int | None = None
        self.planned_bytes: int | None = None
        self.settled_before = 0
        self.outcomes: Counter[str] = Counter()
        self.objects = 0
        self.bytes = 0

    def surveyed(self, versions: int) -> None:
        self.versions += versions

    def sizing(self, entries: int) -> None:
        self.places = entries

    def sized(self, entries: int, bytes_: int) -> None:
        self.measured += entries
        self.measured_bytes += bytes_

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        self.planned_entries, self.planned_bytes, self.settled_before = entries, bytes_, settled

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None:
        match outcome:
            case Deleted(objects, bytes_):
                self.outcomes["deleted"] += 1
                self.objects, self.bytes = self.objects + objects, self.bytes + bytes_
            case Failed(objects=objects, bytes=bytes_):
                self.outcomes["failed"] += 1
                self.objects, self.bytes = self.objects + objects, self.bytes + bytes_
            case AlreadyGone():
                self.outcomes["gone"] += 1
            case Kept(because):
                self.outcomes[because.value] += 1
