"""``marksweep restore``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, Interrupted, UsageError

if TYPE_CHECKING:
    from marksweep.cli.screen import Screen
    from marksweep.report.document import Document


def restore(
    swept: Annotated[
        Path,
        typer.Argument(metavar="PLAN|JOURNAL", help="The plan that was swept, or its journal.", show_default=False),
    ],
    entry: Annotated[
        list[str] | None, typer.Option("--entry", metavar="ID", help="Only this entry (repeatable); default: all.")
    ] = None,
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    store_options: opt.StoreOptions = None,
    trash: Annotated[
        Path | None,
        typer.Option("--trash", metavar="DIR", help="Where the trash is now, if it was moved since the sweep."),
    ] = None,
    accept_instance: opt.AcceptInstance = None,
    key: opt.KeyFile = None,
    yes: opt.Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what could be brought back; write nothing.")] = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Undo a sweep: bring bytes back where the store can, then the catalog's rows. Run it again to go on."""
    from marksweep.cli.identity import signing
    from marksweep.cli.restoring import RestoreRequest, check_entries, plan_of, restore_plan, trash_folder
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.sweeping import check_catalog
    from marksweep.cli.wire import entries_source, open_catalog, store_adapters
    from marksweep.plan.swept import swept_plan
    from marksweep.store.tuning import Tuning
    from marksweep.sweep.journal_reader import journal_path, read_journal

    screen = Screen(json, quiet)

    def work() -> tuple[Document | None, ExitStatus]:
        request = RestoreRequest(frozenset(entry or ()), dry_run)
        path = plan_of(swept)

        def check(digest: str) -> None:
            with read_journal(journal_path(path), digest):
                pass  # it is this plan's, or this raises

        with swept_plan(path, entries_source(store_options), check) as plan:
            check_entries(plan, request.only)
            with open_catalog(catalog, local_stores, writes=not dry_run) as opened:
                check_catalog(plan, opened, accept_instance)
                policy = plan.header.policy
                tuning = Tuning(all_versions=policy.all_versions, trash=trash_folder(screen, trash, plan))
                stores = store_adapters(store_options, tuning)
                sign = partial(signing, key, screen.tell, make=False)
                asked = partial(ask, screen) if not yes else lambda _: None
                return restore_plan(screen, plan, opened, stores, request, asked, sign)

    conclude(screen, work)


def ask(screen: Screen, entries: int) -> None:
    """Ask whether to go on; raise Interrupted on no, and UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise UsageError("the restore asks before it writes, and there is no terminal to ask at", "add --yes")
    try:
        confirmed = typer.confirm(f"Bring {entries} entries back?", default=False, err=True)
    except typer.Abort:  # Ctrl-C or Ctrl-D
        screen.err.print()
        confirmed = False
    if not confirmed:
        raise Interrupted("not confirmed", "run the same command again when it is right")
