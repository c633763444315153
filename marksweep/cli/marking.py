"""Run the first phase from the command line: mark and prune share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import msgspec

from marksweep.catalog.port import Catalog
from marksweep.cli.filters import Filters
from marksweep.cli.identity import Signing, principal, trust_line
from marksweep.cli.interrupts import Interrupt, StoppableMark
from marksweep.cli.screen import Screen
from marksweep.errors import UsageError
from marksweep.mark.marking import Request, draft
from marksweep.mark.previous import Comparison, Earlier
from marksweep.mark.worksheet import Worksheet
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import Draft
from marksweep.plan.verify import VerifiedPlan, inspect, verify
from marksweep.plan.writer import write_plan
from marksweep.report.progress import MarkProgress
from marksweep.store.port import Stores
from marksweep.sweep.journal_reader import journal_path


@dataclass(frozen=True, slots=True)
class Marked:
    """The plan that was written, read back and verified, and what a person should know about it."""

    plan: VerifiedPlan
    warnings: tuple[str, ...]
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class MarkOrder:
    """What to mark, and where to: *now* by the database's clock; *overwrite* replaces a plan at *out*."""

    policy: Policy
    mode: Mode
    out: Path
    expires_after: timedelta
    now: datetime
    earlier: Earlier = field(default_factory=Earlier)
    overwrite: bool = False


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


@contextmanager
def earlier_plans(compare: Path | None, seen_in: Path | None, trusted: Trust, now: datetime) -> Iterator[Earlier]:
    """The plans given with ``--compare`` and ``--seen-in``, each whole and signed by somebody who is *trusted*.

    Raises what :func:`marksweep.plan.verify.inspect` raises: they may have expired, and need no approvals.
    """
    with ExitStack() as stack:
        plans = [stack.enter_context(inspect(path, trusted, now)) if path else None for path in (compare, seen_in)]
        yield Earlier(*plans)


def signed_policy(filters: Filters, max_jump: int | None, earlier: Earlier) -> Policy:
    """The policy of a mark that looks back at *earlier*."""
    seen_in = earlier.seen_in.digest if earlier.seen_in is not None else None
    return msgspec.structs.replace(filters.policy(), max_jump=max_jump, seen_in=seen_in)


def mark_plan(screen: Screen, catalog: Catalog, stores: Stores, order: MarkOrder, signing: Signing) -> Marked:
    """Mark *catalog*, write the plan, and read it back as its sweep will."""
    request = Request(order.policy, order.mode, order.now, order.expires_after, order.earlier)
    with Worksheet() as worksheet, MarkProgress(screen.err, stores.meter, quiet=screen.quiet) as progress:
        header = _draft(request, catalog, stores, worksheet, progress)
        write_plan(order.out, header, worksheet.entries(), signing.key, overwrite=order.overwrite)
        comparison = order.earlier.comparison(worksheet)
    trust = Trust.of([trust_line(principal(), signing.key)], signing.source)
    return Marked(verify(order.out, trust, order.now), (*progress.warnings, *stores.meter.remarks), comparison)


def _draft(request: Request, catalog: Catalog, stores: Stores, worksheet: Worksheet, progress: MarkProgress) -> Draft:
    interrupt = Interrupt()
    observer = StoppableMark(progress, interrupt)
    drafts: list[Draft] = []

    async def work() -> None:
        drafts.append(await draft(request, catalog, stores, worksheet, observer))

    anyio.run(interrupt.run, work)
    return drafts[0]
