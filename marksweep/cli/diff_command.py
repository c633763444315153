"""``marksweep diff``: what changed from one plan to the next, or since a plan was made."""

from __future__ import annotations

import enum
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, UsageError
from marksweep.store.tuning import CONCURRENCY, Tuning

if TYPE_CHECKING:
    from marksweep.report.document import Document


class DiffForm(enum.StrEnum):
    """What a difference is shown as."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    JSON = "json"


def diff(
    before: Annotated[Path, typer.Argument(metavar="PLAN", help="The earlier plan.", show_default=False)],
    later: Annotated[Path | None, typer.Argument(metavar="LATER", help="The later plan.", show_default=False)] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Compare with what a mark with the plan's own policy would plan now.")
    ] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Ask the catalog why versions are no longer orphaned; --now asks, too.")
    ] = False,
    entries: Annotated[
        int,
        typer.Option(
            "--entries", "-n", metavar="N", min=0, help="Name the first N entries that are new, gone or changed."
        ),
    ] = 10,
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    store_options: opt.StoreOptions = None,
    concurrency: opt.Concurrency = CONCURRENCY,
    no_size: Annotated[
        bool, typer.Option("--no-size", help="With --now: do not list the stores; objects are not compared.")
    ] = False,
    seen_in: Annotated[
        Path | None,
        typer.Option("--seen-in", metavar="PLAN", help="With --now: the plan that this one was made with, if any."),
    ] = None,
    trust: opt.TrustFile = None,
    form: Annotated[
        DiffForm,
        typer.Option("--format", "-f", metavar="FORM", help="What to show it as: terminal, markdown or json."),
    ] = DiffForm.TERMINAL,
    max_chars: Annotated[
        int, typer.Option("--max-chars", metavar="N", min=4000, help="Markdown: characters that the comment may have.")
    ] = 65_536,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 10 when any entry differs.")
    ] = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Show what is newly orphaned, no longer orphaned or changed between two plans, or since a plan was made."""
    from marksweep.cli.authority import authority
    from marksweep.cli.diffing import diff_result, inquiry
    from marksweep.cli.remarking import drift, remarked
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import agreed_time, entries_source, open_catalog, store_adapters, utc_now
    from marksweep.plan.verify import inspect

    chosen = DiffForm.JSON if json else form
    screen = Screen(chosen is DiffForm.JSON, quiet)

    def work() -> tuple[Document | None, ExitStatus]:
        _check(later, now=now, no_size=no_size, seen_in=seen_in)
        trusted = authority(trust, before, screen.tell).trust
        fetch = entries_source(store_options)
        with ExitStack() as stack:
            old, new, known = (
                stack.enter_context(inspect(path, trusted, utc_now(), fetch=fetch)) if path is not None else None
                for path in (before, later, seen_in)
            )
            assert old is not None, "an argument that must be given"
            opened = stack.enter_context(open_catalog(catalog, local_stores)) if now or why else None
            warnings: tuple[str, ...] = ()
            if now:
                assert opened is not None
                time = agreed_time(opened, utc_now)
                tuning = Tuning(concurrency=concurrency, all_versions=old.header.policy.all_versions)
                stores = store_adapters(store_options, tuning)
                made = remarked(screen, opened, stores, old, known, time, sizes=not no_size)
                new, warnings = stack.enter_context(made)
            assert new is not None, "checked above"
            asked = None
            if opened is not None:
                asked = stack.enter_context(inquiry(opened, store_adapters(None), old, new.header.policy, entries))
            result = diff_result(old, new, entries, asked, warnings, kept_file=not now)
            if now:
                result = drift(result)
        differs = detailed_exitcode and result.difference.differs
        status = ExitStatus.PLAN_HAS_ENTRIES if differs else ExitStatus.DONE
        if chosen is not DiffForm.MARKDOWN:
            return result, status
        from marksweep.report.diff_markdown import diff_markdown

        sys.stdout.buffer.write(diff_markdown(result, max_chars).encode())
        sys.stdout.buffer.flush()
        return None, status

    conclude(screen, work)


def _check(later: Path | None, *, now: bool, no_size: bool, seen_in: Path | None) -> None:
    """Raise UsageError unless there are two sides, and each option has something to be about."""
    if (later is not None) == now:
        raise UsageError(
            "diff compares two plans, or one plan with what would be planned now",
            "write `marksweep diff EARLIER LATER`, or `marksweep diff PLAN --now`",
        )
    if not now and (no_size or seen_in is not None):
        option = "--no-size" if no_size else "--seen-in"
        raise UsageError(f"{option} is about a new mark, and two plans are given", "leave it out, or give --now")
