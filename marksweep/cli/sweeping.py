"""Run the second phase from the command line: sweep and prune share it."""

from __future__ import annotations

import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import anyio

from marksweep.catalog.port import Catalog
from marksweep.cli.identity import Signing
from marksweep.cli.interrupts import Interrupt
from marksweep.cli.receipts import leave_receipt
from marksweep.cli.screen import Screen
from marksweep.cli.summaries import books_facts, canary_facts, requests
from marksweep.cli.trash import BOUND
from marksweep.cli.wire import database_clock
from marksweep.errors import ExitStatus, Interrupted, MarksweepError, OtherCatalog, UsageError
from marksweep.model.outcome import Mode
from marksweep.plan.swept import SweptPlan
from marksweep.plan.verify import VerifiedPlan
from marksweep.report.documents import CanaryFacts, Line, SweepResult
from marksweep.report.progress import SweepProgress
from marksweep.store.port import Stores
from marksweep.store.tuning import Meter
from marksweep.sweep.books import Books, books
from marksweep.sweep.canary_record import halted
from marksweep.sweep.engine import Sweep
from marksweep.sweep.guards import check_census, removed_before
from marksweep.sweep.journal import SETTLED, Journal
from marksweep.sweep.journal_reader import journal_path
from marksweep.sweep.lock import held
from marksweep.sweep.options import Options
from marksweep.sweep.places import OpenStores, open_stores
from marksweep.sweep.rehearse import rehearse

LINES = 100
"""Kept and failed entries that a result names."""


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """How to run a sweep; nothing here can widen what the plan deletes."""

    ignore_errors: bool
    batch: int | None
    drain: timedelta
    lag: timedelta
    accept_instance: str | None
    trash: Path | None = None


@dataclass(frozen=True, slots=True)
class CanaryRequest:
    """How many entries go first, if any; and whether a person cleared an earlier canary that halted."""

    entries: int | None = None
    cleared: bool = False


NO_CANARY = CanaryRequest()


def check_canary(plan: VerifiedPlan, request: CanaryRequest) -> None:
    """Raise UsageError where a canary could not look at anything."""
    if request.entries and plan.header.plan.mode is Mode.ONLY_METADATA:
        raise UsageError(
            "--canary compares bytes, and a sweep of this plan deletes none: its mode is only-metadata",
            "leave --canary out",
        )


def check_catalog(plan: VerifiedPlan | SweptPlan, catalog: Catalog, accept_instance: str | None) -> None:
    """Raise OtherCatalog unless *plan* was made for *catalog* as it is now."""
    planned, met = plan.header.catalog, catalog.identity()
    for what, was, is_, since in (
        ("kind", planned.kind, met.kind, "it was replaced"),
        ("server id", planned.server_id, met.server_id, "ZenML was set up anew"),
        ("schema revision", planned.schema, met.schema, "it was migrated, or restored from a backup"),
        ("dialect", planned.dialect, met.dialect, "it was moved to another kind of database"),
    ):
        if was != is_:
            raise OtherCatalog(
                f"the plan was made for another catalog: its {what} is {was!r}, and this one's is {is_!r}",
                f"give the plan's own catalog with --catalog, or make a new plan if {since} since",
            )
    if met.instance not in (planned.instance, accept_instance):
        raise OtherCatalog(
            f"this database has the plan's server id, but is another instance of it ({met.instance}, not {planned.instance}):"
            " a copy, a restored backup, or the same database in another place",
            f"if it is the same database and was moved, add --accept-instance {met.instance}; if it was restored, make a new"
            " plan; never sweep from a copy",
        )


def rehearse_plan(
    screen: Screen, plan: VerifiedPlan, catalog: Catalog, stores: Stores
) -> tuple[SweepResult, ExitStatus]:
    """Recheck every entry and say what a sweep would do now; nothing is claimed and nothing is written."""
    began = time.monotonic()
    check_census(plan, catalog, removed_before(plan))

    async def run() -> tuple[Books, list[Line]]:
        with (
            SweepProgress(screen.err, stores.meter, quiet=screen.still) as progress,
            screen.telemetry.sweep(progress, stores.meter, _named(plan), "rehearse") as watching,
        ):
            async with _stores(plan, catalog, stores) as opened:
                found, lines = await rehearse(plan, catalog, opened, watching, LINES)
        return found, [Line(id=i, uri=u, state=s, code=c, detail=d) for i, u, s, c, d in lines]

    found, lines = anyio.run(run)
    status = ExitStatus.ENTRIES_KEPT if found.kept or found.failed else ExitStatus.DONE
    return _result(plan, found, lines, None, began, status, stores.meter, dry_run=True), status


def sweep_plan(
    screen: Screen,
    plan: VerifiedPlan,
    catalog: Catalog,
    stores: Stores,
    request: SweepRequest,
    signing: Callable[[], Signing],
    first: CanaryRequest = NO_CANARY,
) -> tuple[SweepResult, ExitStatus]:
    """Sweep *plan*, resuming whatever an earlier run left; write the receipt."""
    began = time.monotonic()
    planned = plan.header.totals.entries
    with ExitStack() as stack:
        clock = database_clock(catalog)
        with writing_beside(plan.path):
            stack.enter_context(held(plan.path))
            stack.enter_context(catalog.sole_sweeper())
            journal = _journal(plan, catalog, clock, request.trash)
        stack.callback(journal.close)
        stack.enter_context(_accounted(plan, journal))
        key = signing().key
        key.ready()
        before = _settled(journal)
        try:
            _run(screen, plan, catalog, stores, request, first, journal, clock)
        except MarksweepError as error:
            found = books(planned, journal.tallies())
            error.deleted = str(found)
            if halted(journal.canary()):
                leave_receipt(plan, catalog, journal, found, key)
            raise
        found = books(planned, journal.tallies())
        lines = [
            Line(id=i, uri=u, state=s, code=c, detail=d) for i, u, s, c, d in journal.lines(("failed", "kept"), LINES)
        ]
        receipt = leave_receipt(plan, catalog, journal, found, key)
        canary = canary_facts(journal.canary(), LINES)
    result = _result(plan, found, lines, receipt, began, found.status, stores.meter, before=before, canary=canary)
    return result, found.status


@contextmanager
def _accounted(plan: VerifiedPlan, journal: Journal) -> Iterator[None]:
    """Ctrl-C while no event loop takes it, as when a token waits to be touched: what was deleted by then is said."""
    try:
        yield
    except KeyboardInterrupt:
        error = _interrupted(plan)
        error.deleted = str(books(plan.header.totals.entries, journal.tallies()))
        raise error from None


def _interrupted(plan: VerifiedPlan) -> Interrupted:
    command = shlex.join(["marksweep", "sweep", str(plan.path)])  # after a prune, too: that makes a new plan
    remedy = f"run `{command}` with the options of this run: it resumes"
    return Interrupted("the sweep was interrupted; its journal is saved", remedy)


def _journal(plan: VerifiedPlan, catalog: Catalog, clock: Callable[[], datetime], trash: Path | None) -> Journal:
    """The plan's journal, begun only if the catalog holds what it held; raise GuardRefused if its tables collapsed."""
    path = journal_path(plan.path)
    if not path.exists():
        check_census(plan, catalog, {})
        return Journal(path, binding(plan, trash), clock)
    journal = Journal(path, binding(plan, trash), clock)
    try:
        check_census(plan, catalog, journal.removed())
    except MarksweepError as error:
        error.deleted = str(books(plan.header.totals.entries, journal.tallies()))
        journal.close()
        raise
    return journal


@contextmanager
def writing_beside(plan: Path) -> Iterator[None]:
    """A folder that the lock and the journal cannot be written to is the user's to change."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise UsageError(
            f"the lock and the journal of this sweep cannot be written beside {plan}: {error}",
            "make its folder writable, or move the plan and all that lies beside it to one that is",
        ) from None


def _run(
    screen: Screen,
    plan: VerifiedPlan,
    catalog: Catalog,
    stores: Stores,
    request: SweepRequest,
    first: CanaryRequest,
    journal: Journal,
    clock: Callable[[], datetime],
) -> None:
    options = Options(
        request.ignore_errors, request.batch, request.drain, request.lag, first.entries, canary_cleared=first.cleared
    )
    interrupt = Interrupt(tell=screen.notice)

    async def run() -> None:
        with (
            SweepProgress(screen.err, stores.meter, quiet=screen.still) as progress,
            screen.telemetry.sweep(progress, stores.meter, _named(plan)) as watching,
        ):
            watching.planned(plan.header.totals.entries, plan.header.totals.bytes, _settled(journal))
            async with _stores(plan, catalog, stores) as opened:
                sweep = Sweep(plan, catalog, opened, journal, options, watching, clock)
                await interrupt.run(sweep.run, sweep.stop)

    anyio.run(run)
    if interrupt.requested and books(plan.header.totals.entries, journal.tallies()).not_attempted:
        raise _interrupted(plan)


def _named(plan: VerifiedPlan) -> tuple[str, Mode, str]:
    """The plan's id, its mode, and its catalog: what logs and metrics name it by."""
    return plan.header.plan.id, plan.header.plan.mode, plan.header.catalog.server_id


def _settled(journal: Journal) -> int:
    return sum(t.entries for t in journal.tallies() if t.state in SETTLED)


def _stores(plan: VerifiedPlan, catalog: Catalog, stores: Stores) -> AbstractAsyncContextManager[OpenStores | None]:
    if plan.header.plan.mode is Mode.ONLY_METADATA:
        return nullcontext(None)
    promised = {store.root: store.undo for store in plan.header.stores}
    return open_stores(promised, catalog.stores(), stores, promised)


def binding(plan: VerifiedPlan | SweptPlan, trash: Path | None = None) -> dict[str, str]:
    """What a journal of the sweep of *plan* is bound to, its *trash* among it."""
    catalog = plan.header.catalog
    return {
        "plan": plan.digest,
        "plan_id": plan.header.plan.id,
        "server_id": catalog.server_id,
        "mode": plan.header.plan.mode,
        **({BOUND: str(trash)} if trash is not None else {}),
    }


def _result(
    plan: VerifiedPlan,
    found: Books,
    lines: list[Line],
    receipt: Path | None,
    began: float,
    status: ExitStatus,
    meter: Meter,
    *,
    before: int = 0,
    canary: CanaryFacts | None = None,
    dry_run: bool = False,
) -> SweepResult:
    return SweepResult(
        path=str(plan.path), digest=plan.digest, mode=plan.header.plan.mode, dry_run=dry_run, books=books_facts(found),
        settled_before=before, canary=canary,
        lines=tuple(lines), requests=requests(meter), remarks=tuple(meter.remarks),
        receipt=str(receipt) if receipt else None,
        seconds=round(time.monotonic() - began, 3), status=int(status),
    )  # fmt: skip
