"""``marksweep show``: a plan, as people or programs want to see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus

if TYPE_CHECKING:
    from marksweep.report.document import Document


def show(
    plan: opt.PlanPath,
    trust: opt.TrustFile = None,
    entries: Annotated[int, typer.Option("--entries", "-n", min=0, help="List the first N entries, too.")] = 0,
    json: opt.Json = False,
) -> None:
    """Show what a plan would delete, what it keeps and why. The plan is verified first; an expired one is shown as such."""
    from marksweep.cli.identity import trust as trusted
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import entry_lines, summary
    from marksweep.cli.wire import utc_now
    from marksweep.plan.verify import inspect
    from marksweep.report.documents import ShowResult

    def work() -> tuple[Document, ExitStatus]:
        now = utc_now()
        with inspect(plan, trusted(trust), now) as verified:
            return ShowResult(plan=summary(verified, now), entries=entry_lines(verified, entries)), ExitStatus.DONE

    conclude(Screen(json), work)
