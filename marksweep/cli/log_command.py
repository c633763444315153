"""``marksweep log``: the plans of a folder, and what became of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.report.document import Document

MOST = 1_000


def log(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The folder, and those below it; default: this one, and `plans` in it.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Only plans in this state: planned, approved, swept, …"),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Verify nothing: list what the files say of themselves, and say so.")
    ] = False,
    most: Annotated[int, typer.Option("--max", min=1, metavar="N", help="Look at so many plans at most.")] = MOST,
    trust: opt.TrustFile = None,
    approvals: opt.Approvals = 0,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """List a folder's plans, newest first: planned, approved, swept, partly, restored, expired, unreadable or untrusted."""
    import itertools

    from marksweep.cli.authority import authority
    from marksweep.cli.plan_log import LogProgress, Look, newest_first, plan_files, plan_line, totals
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import utc_now
    from marksweep.report.log_documents import LogResult, PlanState

    screen = Screen(json, quiet)

    def work() -> tuple[Document, ExitStatus]:
        known = [s.value for s in PlanState]
        if strange := [s for s in state or () if s not in known]:
            raise UsageError(f"--state {strange[0]!r} is no state of a plan", f"give one of: {', '.join(known)}")
        place = folder or Path()
        try:
            paths = list(itertools.islice(plan_files(place, below=folder is not None), most + 1))
        except OSError as error:
            raise UsageError(f"the folder {place} cannot be read: {error.strerror}", "give another folder") from None
        look = Look(utc_now(), None if fast else authority(trust, place, screen.tell), approvals)
        lines = []
        with LogProgress(screen.err, len(paths), quiet=screen.still or fast) as progress:
            for path in paths[:most]:
                lines.append(plan_line(path, look))
                progress.looked(path)
        wanted = newest_first([line for line in lines if not state or line.state.value in state])
        result = LogResult(
            folder=str(place), verified=not fast, states=tuple(PlanState(s) for s in state or ()), plans=tuple(wanted),
            totals=totals(wanted), more=len(paths) > most,
        )  # fmt: skip
        return result, ExitStatus.DONE

    conclude(screen, work)
