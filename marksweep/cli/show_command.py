"""``marksweep show``: a plan, as people or programs want to see it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.cli.form import Form
from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.report.document import Document


def show(
    plan: opt.PlanPath,
    trust: opt.TrustFile = None,
    form: Annotated[
        Form,
        typer.Option("--format", "-f", metavar="FORM", help="What to show it as: terminal, markdown, html or json."),
    ] = Form.TERMINAL,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it to this file, in place of what it held."),
    ] = None,
    entries: Annotated[
        int | None,
        typer.Option(
            "--entries",
            "-n",
            metavar="N",
            min=0,
            help="List the first N entries; default: 0, in Markdown what fits, in HTML all.",
        ),
    ] = None,
    max_chars: Annotated[
        int, typer.Option("--max-chars", metavar="N", min=2000, help="Markdown: characters that the comment may have.")
    ] = 65_536,
    json: opt.Json = False,
) -> None:
    """Show what a plan would delete, what it keeps and why. The plan is verified first; an expired one is shown as such."""
    from marksweep.cli.authority import authority
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.show_forms import opened, write
    from marksweep.cli.summaries import entry_lines, overview, summary, trust_facts
    from marksweep.cli.wire import entries_source, utc_now
    from marksweep.plan.verify import inspect
    from marksweep.report.documents import ShowResult
    from marksweep.report.markdown import most_entries
    from marksweep.report.overview_words import approve_lines

    chosen = Form.JSON if json else form
    screen = Screen(chosen is Form.JSON)

    def work() -> tuple[Document | None, ExitStatus]:
        _check(form, json, out, entries)
        now = utc_now()
        authorized = authority(trust, plan, screen.tell)
        with inspect(plan, authorized.trust, now, rules=authorized.rulebook, fetch=entries_source()) as verified:
            found = summary(verified, now)
            fitting = most_entries(max_chars) if chosen is Form.MARKDOWN else 0
            trusted = trust_facts(authorized)
            result = ShowResult(
                plan=found,
                overview=overview(verified, now, for_review=True),
                entries=entry_lines(verified, fitting if entries is None else entries),
                approve=approve_lines(found, trusted),
                trusted=trusted,
            )
            if out is None and chosen in (Form.TERMINAL, Form.JSON):
                return result, ExitStatus.DONE
            with opened(out, plan) as stream:
                write(chosen, result, verified.entries(), max_chars, stream)
        if out is not None:
            screen.tell(f"Written to {out}.")
        return None, ExitStatus.DONE

    conclude(screen, work)


def _check(form: Form, json: bool, out: Path | None, entries: int | None) -> None:
    """Raise UsageError for options that contradict each other."""
    if json and form not in (Form.TERMINAL, Form.JSON):
        raise UsageError(f"--json and --format {form} ask for two forms at once", "give one of them")
    if form is not Form.HTML:
        return
    if entries is not None:
        raise UsageError("--entries is not for --format html: a report has every entry", "leave it out")
    if out is None and sys.stdout.isatty():
        raise UsageError("--format html writes a page for a browser, not for a terminal", "add --out FILE")
