"""``marksweep explain``: why a version is an orphan or kept, and which versions are kept for which reason."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.cli.filters import Filters, with_filters
from marksweep.errors import ExitStatus, UsageError
from marksweep.model.verdict import KeptReason

if TYPE_CHECKING:
    from marksweep.report.document import Document


@with_filters
def explain(
    filters: Filters,
    needle: Annotated[
        str | None,
        typer.Argument(
            metavar="ID|NAME|URI",
            help="A version's id, an artifact's name, artifact@version, or any URI: of a version, in one, or above some.",
            show_default=False,
        ),
    ] = None,
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="PLAN", help="Say what this plan and its sweep did with it, under the plan's own policy."
        ),
    ] = None,
    trust: opt.TrustFile = None,
    why_kept: Annotated[bool, typer.Option("--why-kept", help="List the kept versions by reason instead.")] = False,
    reason: Annotated[
        KeptReason | None, typer.Option("--reason", help="With --why-kept: only those kept for this reason.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, metavar="N", help="Versions to name: 20, or 5 of each reason, unless given."),
    ] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Say why a version is an orphan or kept: every rule asked, its answer, and the references found."""
    from marksweep.cli.authority import authority, mark_authority, policy_folder
    from marksweep.cli.explaining import Question, explain_kept, explain_needle
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import entries_source, open_catalog, store_adapters, utc_now
    from marksweep.plan.verify import inspect

    screen = Screen(json, quiet)

    def work() -> tuple[Document, ExitStatus]:
        if why_kept == (needle is not None):
            raise UsageError(
                "explain is about one thing at a time: an ID, NAME or URI, or --why-kept",
                "write `marksweep explain ID`, or `marksweep explain --why-kept`",
            )
        if reason is not None and not why_kept:
            raise UsageError("--reason is given without --why-kept", "add --why-kept, or leave --reason out")
        question = Question(needle, filters.policy(), limit, reason)
        with ExitStack() as stack:
            known = None
            if plan is not None:
                found = authority(trust, plan, screen.tell)
                fetch, rules = entries_source(), found.rulebook
                known = stack.enter_context(inspect(plan, found.trust, utc_now(), rules=rules, fetch=fetch))
            opened = stack.enter_context(open_catalog(catalog, local_stores))
            if plan is None and policy_folder(Path()) is not None:
                book = mark_authority(trust, Path()).rulebook
                question = question.in_repository(book.catalogs.get(opened.identity().server_id, book.general))
            answer = explain_kept if why_kept else explain_needle
            return answer(screen, opened, store_adapters(None), question, known), ExitStatus.DONE

    conclude(screen, work)
