"""Run a restore from the command line: the journal, the locks, the stores, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio

from marksweep.catalog.port import Catalog
from marksweep.cli.identity import Signing
from marksweep.cli.interrupts import Interrupt
from marksweep.cli.receipts import leave_receipt
from marksweep.cli.screen import Screen
from marksweep.cli.sweeping import binding, writing_beside
from marksweep.cli.trash import earlier_trash, plan_folder
from marksweep.cli.wire import database_clock
from marksweep.errors import ExitStatus, Interrupted, SignatureRefused, UsageError
from marksweep.model.instant import from_text
from marksweep.model.outcome import Mode
from marksweep.model.policy import CLOCK_SKEW, RECHECK_MARGIN
from marksweep.plan.receipt import receipt_path
from marksweep.plan.swept import SweptPlan
from marksweep.report.documents import Line, RestoreResult
from marksweep.store.port import Stores
from marksweep.sweep.books import books
from marksweep.sweep.journal import Journal
from marksweep.sweep.journal_reader import journal_path
from marksweep.sweep.lock import held
from marksweep.sweep.places import OpenStores, open_stores
from marksweep.sweep.restore import Restore
from marksweep.sweep.restore_journal import TAKEN, RestoreJournal

LINES = 100
"""Entries that did not come back and that a result names."""
_SUFFIX = ".journal"


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What to bring back: all if *only* is empty."""

    only: frozenset[str]
    dry_run: bool


def plan_of(given: Path) -> Path:
    """The plan that *given* is, or whose journal it is. Raises UsageError when no journal lies beside it."""
    plan = given.with_name(given.name.removesuffix(_SUFFIX)) if given.name.endswith(_SUFFIX) else given
    if not journal_path(plan).is_file():
        raise UsageError(
            f"there is no journal at {journal_path(plan)}: nothing that was swept can be brought back without it",
            "give the plan in the folder where it was swept: its journal lies beside it",
        )
    return plan


def check_entries(plan: SweptPlan, only: frozenset[str]) -> None:
    """Raise UsageError unless all of *only* are entries of *plan*."""
    if strange := only.difference(entry.id for entry in plan.entries()) if only else None:
        raise UsageError(
            f"the plan has no entry {min(strange)}", "`marksweep show PLAN --entries N --json` lists their ids"
        )


def trash_folder(screen: Screen, given: Path | None, plan: SweptPlan) -> Path | None:
    """The folder of *plan* in its trash, if it had one; one that is not there is only told of: other stores need none."""
    trash = given or earlier_trash(plan)
    if trash is None:
        return None
    folder = plan_folder(trash.absolute(), plan)
    if folder.is_dir():
        return folder
    if given is not None:
        raise UsageError(f"the trash {given} has no folder of this plan", "give the folder that the sweep was given")
    screen.tell(
        f"The trash {trash} is not there: local files cannot be brought back. If it was moved, give it with --trash."
    )
    return None


def restore_plan(
    screen: Screen,
    plan: SweptPlan,
    catalog: Catalog,
    stores: Stores,
    request: RestoreRequest,
    ask: Callable[[int], None],
    signing: Callable[[], Signing],
) -> tuple[RestoreResult, ExitStatus]:
    """Bring back what the sweep of *plan* deleted, as far as that can be done; *ask* (with the number of entries) may raise."""
    began = time.monotonic()
    interrupt = Interrupt(tell=screen.notice)
    with ExitStack() as stack:
        with writing_beside(plan.path):
            stack.enter_context(held(plan.path))
            if not request.dry_run:
                stack.enter_context(catalog.sole_sweeper())
            journal = RestoreJournal(journal_path(plan.path), binding(plan), database_clock(catalog))
        stack.callback(journal.close)
        swept = sum(t.entries for t in journal.tallies() if t.state in TAKEN)
        if not request.dry_run and swept:
            ask(len(request.only) or swept)
        header = plan.header
        run = Restore(
            plan, catalog, None, journal, request.only,
            deleted_since=from_text(journal.meta()["started"]) - CLOCK_SKEW,
            changed_since=from_text(header.plan.created) - RECHECK_MARGIN, most=LINES, dry_run=request.dry_run,
        )  # fmt: skip

        async def work() -> None:
            async with _stores(plan, catalog, stores) as run.stores:
                await interrupt.run(run.run, run.stop)

        anyio.run(work)
        receipt = None if request.dry_run else _receipt(screen, plan, catalog, journal, signing)
    if interrupt.requested:
        raise Interrupted("the restore was interrupted; its journal is saved", "run the same command again: it goes on")
    found = run.result
    status = ExitStatus.DELETES_FAILED if found.refused else ExitStatus.DONE
    return RestoreResult(
        path=str(plan.path), digest=plan.digest, mode=header.plan.mode, dry_run=request.dry_run, swept=swept,
        restored=found.back, refused=found.refused, objects=found.objects, bytes=found.bytes,
        lines=tuple(Line(id=n.id, uri=n.uri, state="refused", code=n.code, detail=n.detail) for n in found.lines),
        receipt=str(receipt) if receipt else None, seconds=round(time.monotonic() - began, 3), status=int(status),
    ), status  # fmt: skip


def _receipt(
    screen: Screen, plan: SweptPlan, catalog: Catalog, journal: Journal, signing: Callable[[], Signing]
) -> Path | None:
    """Rewrite the receipt that a sweep left, if it did; what is back is back, whether or not anybody can sign for it."""
    if not receipt_path(plan.path).exists():
        return None
    try:
        found = books(plan.header.totals.entries, journal.tallies())
        return leave_receipt(plan, catalog, journal, found, signing().key)
    except (UsageError, SignatureRefused) as error:
        screen.tell(f"The receipt is still the one of the sweep, and its books are not these: {error.fact}")
        return None


def _stores(plan: SweptPlan, catalog: Catalog, stores: Stores) -> AbstractAsyncContextManager[OpenStores | None]:
    if plan.header.plan.mode is Mode.ONLY_METADATA:
        return nullcontext(None)
    return open_stores([s.root for s in plan.header.stores], catalog.stores(), stores)
