"""Run the first phase from the command line: mark and prune share it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio

from marksweep.catalog.port import Catalog
from marksweep.cli.filters import Filters
from marksweep.cli.identity import Signing, principal, trust_line
from marksweep.cli.screen import Screen
from marksweep.mark.marking import Request, draft
from marksweep.mark.worksheet import Worksheet
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.verify import VerifiedPlan, verify
from marksweep.plan.writer import write_plan
from marksweep.report.progress import MarkProgress
from marksweep.store.port import Stores


@dataclass(frozen=True, slots=True)
class Marked:
    """The plan that was written, read back and verified, and what a person should know about it."""

    plan: VerifiedPlan
    warnings: tuple[str, ...]


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
        header = anyio.run(draft, request, catalog, stores, worksheet, progress)
        write_plan(out, header, worksheet.entries(), signing.key, overwrite=overwrite)
    trust = Trust.of([trust_line(principal(), signing.key)], signing.source)
    return Marked(verify(out, trust, now), tuple(progress.warnings))
