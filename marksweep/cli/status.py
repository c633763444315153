"""What the journal of a plan says, read without disturbing a sweep that is running."""

from __future__ import annotations

from marksweep.cli.summaries import books_facts, canary_facts
from marksweep.model.instant import from_text
from marksweep.plan.verify import SignedPlan
from marksweep.report.documents import Line, StatusResult
from marksweep.sweep.books import books
from marksweep.sweep.journal_reader import journal_path, read_journal
from marksweep.sweep.lock import is_held

LINES = 100
"""Kept and failed entries that are named."""


def finished(plan: SignedPlan) -> bool:
    """Whether an earlier run left nothing to do of *plan*."""
    books = sweep_status(plan).books
    return not (books.not_attempted or books.failed or books.in_doubt)


def sweep_status(plan: SignedPlan) -> StatusResult:
    """The state of *plan*'s sweep; all of it is "not attempted" when there is no journal."""
    planned, running = plan.header.totals.entries, is_held(plan.path)
    path = journal_path(plan.path)
    if not path.exists():
        return StatusResult(
            path=str(plan.path), digest=plan.digest, mode=plan.header.plan.mode, started=None, last=None, running=running,
            books=books_facts(books(planned, [])), rate=None, lines=(),
        )  # fmt: skip
    with read_journal(path, plan.digest) as journal:
        first, last = journal.times()
        done = books(planned, journal.tallies())
        seconds = (from_text(last) - from_text(first)).total_seconds() if first else 0.0
        rate = round((done.planned - done.not_attempted) / seconds, 3) if seconds >= 1 else None
        lines = [
            Line(id=i, uri=u, state=s, code=c, detail=d) for i, u, s, c, d in journal.lines(("failed", "kept"), LINES)
        ]
        return StatusResult(
            path=str(plan.path), digest=plan.digest, mode=plan.header.plan.mode, started=journal.meta()["started"],
            last=last or None, running=running, books=books_facts(done), canary=canary_facts(journal.canary(), LINES),
            rate=rate, lines=tuple(lines),
        )  # fmt: skip
