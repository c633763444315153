"""Run the first phase from the command line: mark and prune share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import msgspec

from marksweep.catalog.port import Catalog
from marksweep.cli.big_plans import EntriesPlace, check_outside, size_warnings
from marksweep.cli.filters import Filters
from marksweep.cli.identity import Signing, principal, trust_line
from marksweep.cli.interrupts import Interrupt, StoppableMark
from marksweep.cli.screen import Screen
from marksweep.errors import UsageError
from marksweep.mark.marking import Request, draft
from marksweep.mark.observer import MarkObserver
from marksweep.mark.previous import Earlier
from marksweep.mark.worksheet import Worksheet
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.card import Fetch, refuse_to_fetch
from marksweep.plan.document import Draft
from marksweep.plan.openssh import KeygenKey
from marksweep.plan.rules import Rules
from marksweep.plan.rules_mark import life, tightened
from marksweep.plan.verify import VerifiedPlan, inspect, verify
from marksweep.plan.writer import write_card, write_plan
from marksweep.report.progress import MarkProgress
from marksweep.store.port import Stores
from marksweep.sweep.journal_reader import journal_path


@dataclass(frozen=True, slots=True)
class Marked:
    """The plan that was written, read back and verified, and what a person should know about it."""

    plan: VerifiedPlan
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MarkOrder:
    """What to mark, and where to: *now* by the database's clock; *overwrite* replaces a plan at *out*.

    With *entries_to* the entries go there, and a card to *out*.
    """

    policy: Policy
    mode: Mode
    out: Path
    expires_after: timedelta
    now: datetime
    earlier: Earlier = field(default_factory=Earlier)
    overwrite: bool = False
    entries_to: EntriesPlace | None = None


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
def earlier_plans(
    compare: Path | None, seen_in: Path | None, trusted: Trust, now: datetime, fetch: Fetch = refuse_to_fetch
) -> Iterator[Earlier]:
    """The plans given with ``--compare`` and ``--seen-in``, each whole and signed by somebody who is *trusted*.

    Raises what :func:`marksweep.plan.verify.inspect` raises: they may have expired, and need no approvals.
    """
    with ExitStack() as stack:
        yield Earlier(
            *(
                stack.enter_context(inspect(path, trusted, now, fetch=fetch)) if path else None
                for path in (compare, seen_in)
            )
        )


def signed_policy(filters: Filters, max_jump: int | None, earlier: Earlier) -> Policy:
    """The policy of a mark that looks back at *earlier*."""
    seen_in = earlier.seen_in.digest if earlier.seen_in is not None else None
    return msgspec.structs.replace(filters.policy(), max_jump=max_jump, seen_in=seen_in)


def under_rules(
    rules: Rules, policy: Policy, expires_after: timedelta, tell: Callable[[str], None]
) -> tuple[Policy, timedelta]:
    """*policy* and *expires_after* as *rules* let them be; *tell* hears when a plan is to expire sooner than was asked.

    Raises GuardRefused for what they forbid.
    """
    lives = life(expires_after, rules)
    if lives < expires_after:
        tell(f"The plan expires after {lives}, not {expires_after}: max_age of {rules.source} is that long.")
    return tightened(policy, rules), lives


def mark_plan(screen: Screen, catalog: Catalog, stores: Stores, order: MarkOrder, signing: Signing) -> Marked:
    """Mark *catalog*, write the plan, and read it back as its sweep will."""
    request = Request(order.policy, order.mode, order.now, order.expires_after, order.earlier)
    if order.entries_to is not None:
        check_outside(order.entries_to, order.out, catalog, stores)
    signing.key.ready()
    with (
        Worksheet() as worksheet,
        MarkProgress(screen.err, stores.meter, quiet=screen.still) as progress,
        screen.telemetry.mark(progress, stores.meter, order.mode, catalog.identity().server_id) as watching,
    ):
        header = _draft(request, catalog, stores, worksheet, watching, Interrupt(tell=screen.notice))
        watching.writing()
        if isinstance(signing.key, KeygenKey):
            progress.hush()
        _write(order, header, worksheet, signing)
    trust = Trust.of([trust_line(principal(), signing.key.public)], signing.source)
    place = order.entries_to
    plan = verify(order.out, trust, order.now, fetch=refuse_to_fetch if place is None else place.fetch)
    size = size_warnings(plan, is_card=place is not None)
    return Marked(plan, (*progress.warnings, *stores.meter.remarks, *size))


def _write(order: MarkOrder, header: Draft, worksheet: Worksheet, signing: Signing) -> None:
    place, entries = order.entries_to, worksheet.entries()
    if place is None:
        write_plan(order.out, header, entries, signing.key, overwrite=order.overwrite)
    else:
        uri = place.uri(header.plan.id)
        write_card(order.out, uri, place.create, header, entries, signing.key, overwrite=order.overwrite)


def _draft(
    request: Request,
    catalog: Catalog,
    stores: Stores,
    worksheet: Worksheet,
    watching: MarkObserver,
    interrupt: Interrupt,
) -> Draft:
    observer = StoppableMark(watching, interrupt)
    drafts: list[Draft] = []

    async def work() -> None:
        drafts.append(await draft(request, catalog, stores, worksheet, observer))

    anyio.run(interrupt.run, work)
    return drafts[0]
