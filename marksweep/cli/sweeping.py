"""Run the second phase from the command line: sweep and prune share it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import anyio

from marksweep import __version__
from marksweep.catalog.port import Catalog
from marksweep.cli.identity import Signing
from marksweep.cli.interrupts import Interrupt
from marksweep.cli.screen import Screen
from marksweep.cli.summaries import books_facts
from marksweep.cli.wire import database_clock
from marksweep.errors import ExitStatus, Interrupted, MarksweepError, OtherCatalog, UsageError
from marksweep.model.instant import to_text
from marksweep.model.outcome import Mode
from marksweep.plan.receipt import Outcomes, Receipt, write_receipt
from marksweep.plan.verify import VerifiedPlan
from marksweep.report.documents import Line, SweepResult
from marksweep.report.progress import SweepProgress
from marksweep.store.port import Stores
from marksweep.sweep.books import Books, books
from marksweep.sweep.engine import Options, Sweep
from marksweep.sweep.journal import SETTLED, Journal
from marksweep.sweep.journal_reader import journal_path
from marksweep.sweep.lock import held
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
    accept_instance: str | None


def check_catalog(plan: VerifiedPlan, catalog: Catalog, accept_instance: str | None) -> None:
    """Raise OtherCatalog unless *plan* was made for *catalog* as it is now."""
    planned, met = plan.header.catalog, catalog.identity()
    for what, was, is_ in (
        ("kind", planned.kind, met.kind),
        ("server id", planned.server_id, met.server_id),
        ("schema revision", planned.schema, met.schema),
        ("dialect", planned.dialect, met.dialect),
    ):
        if was != is_:
            raise OtherCatalog(
                f"the plan was made for another catalog: its {what} is {was!r}, and this one's is {is_!r}",
                "give the plan's own catalog with --catalog, or make a new plan if it was migrated since",
            )
    if met.instance not in (planned.instance, accept_instance):
        raise OtherCatalog(
            f"this database has the plan's server id, but is another instance of it ({met.instance}, not {planned.instance}):"
            " a copy, or the same database in another place",
            f"if it is the same database and was moved, add --accept-instance {met.instance}; never sweep from a copy",
        )


def rehearse_plan(
    screen: Screen, plan: VerifiedPlan, catalog: Catalog, stores: Stores
) -> tuple[SweepResult, ExitStatus]:
    """Recheck every entry and say what a sweep would do now; nothing is claimed and nothing is written."""
    began = time.monotonic()

    async def run() -> tuple[Books, list[Line]]:
        with SweepProgress(screen.err, quiet=screen.quiet) as progress:
            async with _stores(plan, catalog, stores) as opened:
                found, lines = await rehearse(plan, catalog, opened, progress, LINES)
        return found, [Line(id=i, uri=u, state=s, code=c, detail=d) for i, u, s, c, d in lines]

    found, lines = anyio.run(run)
    status = ExitStatus.ENTRIES_KEPT if found.kept or found.failed else ExitStatus.DONE
    return _result(plan, found, lines, None, began, status, dry_run=True), status


def sweep_plan(
    screen: Screen,
    plan: VerifiedPlan,
    catalog: Catalog,
    stores: Stores,
    request: SweepRequest,
    signing: Callable[[], Signing],
) -> tuple[SweepResult, ExitStatus]:
    """Sweep *plan*, resuming whatever an earlier run left; write the receipt."""
    began = time.monotonic()
    planned = plan.header.totals.entries
    with ExitStack() as stack:
        clock = database_clock(catalog)
        with _writing_beside(plan.path):
            stack.enter_context(held(plan.path))
            journal = Journal(journal_path(plan.path), _binding(plan), clock)
        stack.callback(journal.close)
        key = signing().key
        before = _settled(journal)
        try:
            _run(screen, plan, catalog, stores, request, journal, clock)
        except MarksweepError as error:
            error.deleted = str(books(planned, journal.tallies()))
            raise
        found = books(planned, journal.tallies())
        lines = [
            Line(id=i, uri=u, state=s, code=c, detail=d) for i, u, s, c, d in journal.lines(("failed", "kept"), LINES)
        ]
        receipt = write_receipt(plan.path, _receipt(plan, catalog, journal, found), key)
    return _result(plan, found, lines, receipt, began, found.status, before=before), found.status


@contextmanager
def _writing_beside(plan: Path) -> Iterator[None]:
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
    journal: Journal,
    clock: Callable[[], datetime],
) -> None:
    options = Options(request.ignore_errors, request.batch, request.drain)
    interrupt = Interrupt()

    async def run() -> None:
        with SweepProgress(screen.err, quiet=screen.quiet) as progress:
            progress.planned(plan.header.totals.entries, plan.header.totals.bytes, _settled(journal))
            async with _stores(plan, catalog, stores) as opened:
                sweep = Sweep(plan, catalog, opened, journal, options, progress, clock)
                await interrupt.run(sweep.run, sweep.stop)

    anyio.run(run)
    if interrupt.requested and books(plan.header.totals.entries, journal.tallies()).not_attempted:
        raise Interrupted("the sweep was interrupted; its journal is saved", "run the same command again: it resumes")


def _settled(journal: Journal) -> int:
    return sum(t.entries for t in journal.tallies() if t.state in SETTLED)


def _stores(plan: VerifiedPlan, catalog: Catalog, stores: Stores) -> AbstractAsyncContextManager[OpenStores | None]:
    if plan.header.plan.mode is Mode.ONLY_METADATA:
        return nullcontext(None)
    return open_stores([s.root for s in plan.header.stores], catalog.stores(), stores)


def _binding(plan: VerifiedPlan) -> dict[str, str]:
    catalog = plan.header.catalog
    return {
        "plan": plan.digest,
        "plan_id": plan.header.plan.id,
        "server_id": catalog.server_id,
        "mode": plan.header.plan.mode,
    }


def _receipt(plan: VerifiedPlan, catalog: Catalog, journal: Journal, found: Books) -> Receipt:
    facts = books_facts(found)
    outcomes = Outcomes(**{name: getattr(facts, name) for name in Outcomes.__struct_fields__})
    return Receipt(
        plan=plan.header.plan.id, plan_digest=plan.digest, mode=plan.header.plan.mode, tool=f"marksweep {__version__}",
        started=journal.meta()["started"], finished=to_text(catalog.now()), outcomes=outcomes, journal=journal.digest(),
    )  # fmt: skip


def _result(
    plan: VerifiedPlan,
    found: Books,
    lines: list[Line],
    receipt: Path | None,
    began: float,
    status: ExitStatus,
    *,
    before: int = 0,
    dry_run: bool = False,
) -> SweepResult:
    return SweepResult(
        path=str(plan.path), digest=plan.digest, mode=plan.header.plan.mode, dry_run=dry_run, books=books_facts(found),
        settled_before=before, lines=tuple(lines), receipt=str(receipt) if receipt else None,
        seconds=round(time.monotonic() - began, 3), status=int(status),
    )  # fmt: skip
