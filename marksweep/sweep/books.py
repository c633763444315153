"""At the end the books balance: planned = deleted + gone + kept + failed + not attempted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marksweep.errors import ExitStatus
from marksweep.model.outcome import KeptBecause
from marksweep.sweep.journal_reader import Tally


@dataclass(frozen=True, slots=True)
class Books:
    """Entries of a plan by what became of them, over all its runs; and what the stores confirmed as deleted."""

    planned: int
    deleted: int
    gone: int
    referenced: int
    changed: int
    protected: int
    failed: int
    in_doubt: int
    objects: int
    bytes: int
    left: int
    restored: int = 0

    @property
    def not_attempted(self) -> int:
        """What is left to do, besides what failed."""
        return self.planned - self.deleted - self.gone - self.kept - self.failed

    @property
    def kept(self) -> int:
        return self.referenced + self.changed + self.protected + self.restored

    @property
    def status(self) -> ExitStatus:
        """The exit status that this sum means."""
        if self.failed:
            return ExitStatus.DELETES_FAILED
        if self.not_attempted:
            return ExitStatus.INCOMPLETE
        return ExitStatus.ENTRIES_KEPT if self.kept else ExitStatus.DONE

    def __str__(self) -> str:
        begun = f"; {self.in_doubt} more were begun" if self.in_doubt else ""
        confirmed = f"{self.objects} objects, {self.bytes} bytes"
        return f"{self.deleted} of {self.planned} entries were deleted ({confirmed}){begun}"


def books(planned: int, tallies: Sequence[Tally]) -> Books:
    """The books of a plan with *planned* entries, from its journal's tallies."""

    def entries(state: str, code: str | None = None) -> int:
        return sum(t.entries for t in tallies if t.state == state and code in (None, t.code))

    return Books(
        planned=planned,
        deleted=entries("deleted"),
        gone=entries("gone"),
        referenced=entries("kept", KeptBecause.REFERENCED.value),
        changed=entries("kept", KeptBecause.CHANGED.value),
        protected=entries("kept", KeptBecause.PROTECTED.value),
        failed=entries("failed"),
        in_doubt=sum(entries(s) for s in ("intended", "marked", "claimed")),
        objects=sum(t.objects for t in tallies),
        bytes=sum(t.bytes for t in tallies),
        left=sum(t.left for t in tallies),
        restored=entries("kept", KeptBecause.RESTORED.value),
    )
