"""Run the first phase from the command line: mark and prune share it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio

from marksweep.catalog.port import Catalog
from marksweep.cli.filters import Filters
from marksweep.cli.identity import Signing, principal, trust_line
from marksweep.cli.interrupts import Interrupt, StoppableMark
from marksweep.cli.screen import Screen
from marksweep.errors import UsageError
from marksweep.mark.marking import Request, draft
from marksweep.mark.worksheet import Worksheet
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import Draft
from marksweep.plan.verify import VerifiedPlan, verify
from marksweep.plan.writer import write_plan
from marksweep.report.progress import MarkProgress
from marksweep.store.port import Stores
from marksweep.sweep.journal_reader import journal_path


@dataclass(frozen=True, slots=True)
class Marked:
    """The plan that was written, read back and verified, and what a person should know about it."""

    plan: VerifiedPlan
    warnings: tuple[str, ...]


def check_out(out: Path, *, force: bool) -> None:
    """Refuse at once what would be refused when the plan is written, which may be hours later."""
    if force and journal_path(out).exists():
        raise UsageError(
            f"{out} has a journal: a sweep of it was begun",
            "write the new plan to another file, so that none is lost",
        )
    if out.exists() and not force:
        raise UsageError(f"{out} exists already", "choose another path with --out, or replace that plan with --force")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent} to write the plan to", "make it, or choose another path")


def mark_plan(
    screen: Screen,
    catalog: Catalog,
    stores: Stores,
    filters: Filters,
    signing: Signing,
    out: Path,
    expires_after: timedelta,
    *,
    overwrite: bool,
) -> Marked:
    """Mark *catalog*, write the plan to *out*, and read it back as its sweep will."""
    now = catalog.now()
    request = Request(filters.policy(), filters.mode, now, expires_after)
    with Worksheet() as worksheet, MarkProgress(screen.err, quiet=screen.quiet) as progress:
        header = _draft(request, catalog, stores, worksheet, progress)
        write_plan(out, header, worksheet.entries(), signing.key, overwrite=overwrite)
    trust = Trust.of([trust_line(principal(), signing.key)], signing.source)
    return Marked(verify(out, trust, now), tuple(progress.warnings))


def _draft(request: Request, catalog: Catalog, stores: Stores, worksheet: Worksheet, progress: MarkProgress) -> Draft:
    interrupt = Interrupt()
    observer = StoppableMark(progress, interrupt)
    drafts: list[Draft] = []

    async def work() -> None:
        drafts.append(await draft(request, catalog, stores, worksheet, observer))

    anyio.run(interrupt.run, work)
    return drafts[0]
