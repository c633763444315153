"""A plan on a terminal: ``mark``, ``show``, and ``prune`` before its sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.cells import cell_len
from rich.text import Text

from marksweep.model.outcome import LIMITS
from marksweep.model.store import Undo
from marksweep.report.documents import ComparedFacts, EntryLine, MarkResult, PlanSummary, PruneResult, ShowResult
from marksweep.report.parts import (
    BAD,
    CAUTION,
    GOOD,
    QUIET,
    STRONG,
    Column,
    Part,
    Verbatim,
    commands,
    digest_fact,
    fact_list,
    headline,
    indented,
    joined,
    listed,
    long_fact,
    section,
    table,
    words,
)
from marksweep.report.sweep_view import requests_line, sweep_view
from marksweep.report.text import age, count, counted, duration, plain, share, size, when
from marksweep.report.words import catalog_words, dangers, filters, kept_meaning, mode_words, undo_words

GROUPS = 10
"""Artifacts that the table of the biggest shows."""


def mark_view(result: MarkResult, width: int) -> Iterator[Part]:
    """``mark``: the plan, its warnings, and what to do next."""
    yield from plan_view(result.plan, width)
    if result.compared is not None:
        yield from _since(result.compared, result.plan)
    if result.warnings:
        yield section(f"{counted(len(result.warnings), 'warning')}")
        for warning in result.warnings:
            yield indented(joined(Text("! ", style=CAUTION), warning), 2)
    yield Text()
    yield Text(f"Marked in {age(result.seconds)}. Nothing was deleted.", style=QUIET)
    yield from requests_line(result.requests)
    if result.plan.entries:
        path = result.plan.path
        yield from commands(
            [
                ("review", ["marksweep", "show", path, "--entries", "50"]),
                ("approve (others)", ["marksweep", "approve", path]),
                ("rehearse", ["marksweep", "sweep", path, "--dry-run"]),
                ("delete", ["marksweep", "sweep", path]),
            ]
        )


def show_view(result: ShowResult, width: int) -> Iterator[Part]:
    """``show``: the plan, and its first entries."""
    yield from plan_view(result.plan, width)
    if not result.entries:
        return
    more = result.plan.entries - len(result.entries)
    yield section(f"entries, the first {len(result.entries):,} of {count(result.plan.entries)}" if more else "entries")
    for entry in result.entries:
        yield from _entry(entry)
    if more > 0:
        yield Text(f"  … and {more:,} more", style=QUIET)


def prune_view(result: PruneResult, width: int) -> Iterator[Part]:
    """``prune``: the plan, and its sweep."""
    yield from plan_view(result.plan, width)
    yield Text()
    if result.sweep is not None:
        yield from sweep_view(result.sweep, width)
    else:
        yield Text("Nothing was deleted.", style=STRONG)
        if result.plan.entries:
            yield from commands([("delete", ["marksweep", "sweep", result.plan.path])])


def plan_view(plan: PlanSummary, width: int) -> Iterator[Part]:
    """A plan at a glance: what, dangers, facts, biggest artifacts, what is kept and why."""
    totals = [
        Text(counted(plan.entries, "entry", "entries")),
        Text(counted(plan.objects, "object")),
        Text(size(plan.bytes), style=STRONG),
        Text(mode_words(plan.mode)),
    ]
    yield headline(words(f"Plan {plan.id}", STRONG), totals, width)
    if plan.expired:
        yield Text(f"! expired on {when(plan.expires)}: no sweep takes it; make a new plan", style=BAD)
    if LIMITS[plan.mode]:
        yield Text(f"! {LIMITS[plan.mode]}", style=CAUTION)
    for danger in dangers(plan.policy):
        yield Text(f"! {danger}", style=BAD)
    if plan.entries and not plan.policy.sizes:
        yield Text("! --no-size: the objects were not looked at, so a sweep cannot tell if they changed", style=CAUTION)
    yield fact_list(_facts(plan))
    yield long_fact("file", plan.path)
    if not plan.entries:
        yield Text()
        yield Text("Nothing to do: under this policy, no version in the catalog is an orphan.", style=GOOD)
    else:
        yield from _biggest(plan, width)
    yield from _kept(plan)


def _facts(plan: PlanSummary) -> Iterator[tuple[str, str | Text]]:
    yield "made", f"{when(plan.created)} by {plan.signer.principal} ({plan.tool})"
    yield "expires", Text(_expiry(plan), style=BAD if plan.expired else "")
    yield "catalog", catalog_words(plan.catalog)
    for store in plan.stores:
        style = {Undo.VERSIONED: GOOD, Undo.SOFT_DELETE: GOOD, Undo.NONE: BAD, Undo.UNKNOWN: CAUTION}[store.undo]
        yield "store", joined(f"{store.root} ({store.flavor}): ", Text(undo_words(store.undo), style=style))
    yield "filters", "; ".join(filters(plan.policy)) or "none"
    yield "approved", f"by {listed(plan.approvals)}" if plan.approvals else "by nobody yet"
    yield "key", plan.signer.fingerprint
    yield digest_fact(plan.digest)


def _expiry(plan: PlanSummary) -> str:
    try:
        life = datetime.fromisoformat(plan.expires) - datetime.fromisoformat(plan.created)
    except (ValueError, TypeError):
        return when(plan.expires)
    return f"{when(plan.expires)}, {duration(life)} after it was made"


def _biggest(plan: PlanSummary, width: int) -> Iterator[Part]:
    shown = plan.groups[:GROUPS]
    if not shown:
        return
    rows = [(g.artifact, g.project, count(g.entries), size(g.bytes)) for g in shown]
    project = min(16, max(len("project"), *(cell_len(plain(g.project)) for g in shown)))
    yield section("biggest artifacts")
    columns = [
        Column("artifact", width=width - project - 27),
        Column("project", width=project),
        Column("entries", "right"),
        Column("size", "right"),
    ]
    yield table(columns, rows)
    more = plan.entries - sum(group.entries for group in shown)
    if more > 0:
        yield Text(f"  … and {counted(more, 'entry', 'entries')} of other artifacts", style=QUIET)


def _kept(plan: PlanSummary) -> Iterator[Part]:
    total = sum(plan.kept.values())
    yield section(f"kept: {total:,} of the catalog's {counted(plan.versions_in_catalog, 'version')}")
    if plan.kept:
        rows: Iterable[tuple[str, str, str]] = (
            (reason, count(versions), kept_meaning(reason))
            for reason, versions in sorted(plan.kept.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        yield table([Column("reason", width=20), Column("versions", "right"), Column("meaning", style=QUIET)], rows)


def _since(before: ComparedFacts, now: PlanSummary) -> Iterator[Part]:
    yield section(f"since the plan of {when(before.created)}")
    then, today = share(before.entries, before.versions_in_catalog), share(now.entries, now.versions_in_catalog)
    yield fact_list(
        [
            ("entries", f"{count(before.entries)} then, {count(now.entries)} now"),
            ("share", f"{then} of the catalog then, {today} now"),
            ("new", counted(before.new, "entry", "entries")),
            ("gone", counted(before.gone, "entry", "entries")),
        ]
    )
    yield long_fact("compared", before.path)


def _entry(entry: EntryLine) -> Iterator[Part]:
    extent = f"{counted(entry.objects, 'object')}, {size(entry.bytes)}"
    facts = f"  project {entry.project}, {extent}, from {when(entry.created)}"
    note = "" if entry.reason == "unreferenced" else f", {entry.reason}"
    yield joined(Text("  "), words(f"{entry.artifact} {entry.version}", STRONG), facts, words(note, BAD))
    yield Verbatim(joined(Text("    "), words(entry.id, QUIET), Text("  "), entry.uri))
