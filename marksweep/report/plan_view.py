"""A plan on a terminal as ``mark`` shows it, and the parts of it that ``show`` has, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.cells import cell_len
from rich.text import Text

from marksweep.model.outcome import LIMITS
from marksweep.model.store import Undo
from marksweep.plan.document import StoreFacts
from marksweep.report.authority_view import sweep_option, trust_option
from marksweep.report.diff_view import since_view
from marksweep.report.documents import MarkResult, PlanSummary
from marksweep.report.overview_documents import StoreShare
from marksweep.report.parts import (
    BAD,
    CAUTION,
    GOOD,
    QUIET,
    STRONG,
    Column,
    Part,
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
from marksweep.report.sweep_view import requests_line
from marksweep.report.text import age, count, counted, duration, extent, plain, size, when
from marksweep.report.words import NOTHING, catalog_words, dangers, filters, kept_meaning, mode_words, undo_words

GROUPS = 10
"""Artifacts that the table of the biggest shows."""


def mark_view(result: MarkResult, width: int) -> Iterator[Part]:
    """``mark``: the plan, its warnings, and what to do next."""
    yield from plan_view(result.plan, width)
    if result.compared is not None:
        yield from since_view(result.compared, width)
    if result.warnings:
        yield section(f"{counted(len(result.warnings), 'warning')}")
        for warning in result.warnings:
            yield indented(joined(Text("! ", style=CAUTION), warning), 2)
    yield Text()
    policy = result.trusted.policy if result.trusted is not None else None
    if policy is not None:
        yield long_fact("policy", policy)
    yield Text(f"Marked in {age(result.seconds)}. Nothing was deleted.", style=QUIET)
    yield from requests_line(result.requests)
    if result.plan.entries:
        path, chosen, protected = result.plan.path, trust_option(result.trusted), sweep_option(result.trusted)
        yield from commands(
            [
                ("review", ["marksweep", "show", path, *chosen, "--entries", "50"]),
                ("approve (others)", ["marksweep", "approve", path, *chosen]),
                ("rehearse", ["marksweep", "sweep", path, *protected, "--dry-run"]),
                ("delete", ["marksweep", "sweep", path, *protected]),
            ]
        )


def plan_view(plan: PlanSummary, width: int) -> Iterator[Part]:
    """A plan at a glance: what, dangers, facts, biggest artifacts, what is kept and why."""
    yield title(plan, width)
    if plan.expired:
        yield Text(f"! expired on {when(plan.expires)}: no sweep takes it; make a new plan", style=BAD)
    if LIMITS[plan.mode]:
        yield Text(f"! {LIMITS[plan.mode]}", style=CAUTION)
    for sentence in plan.broken:
        yield words(f"! breaks the policy: {sentence}", BAD)
    for danger in dangers(plan.policy):
        yield Text(f"! {danger}", style=BAD)
    if plan.entries and not plan.policy.sizes:
        yield Text("! --no-size: the objects were not looked at, so a sweep cannot tell if they changed", style=CAUTION)
    yield fact_list(facts(plan, plan.stores))
    yield long_fact("file", plan.path)
    if not plan.entries:
        yield Text()
        yield Text(NOTHING, style=GOOD)
    else:
        yield from _biggest(plan, width)
    yield from kept(plan)


def title(plan: PlanSummary, width: int) -> Text:
    """The plan and its totals."""
    totals = [
        Text(counted(plan.entries, "entry", "entries")),
        Text(counted(plan.objects, "object")),
        Text(size(plan.bytes), style=STRONG),
        Text(mode_words(plan.mode)),
    ]
    return headline(words(f"Plan {plan.id}", STRONG), totals, width)


def facts(plan: PlanSummary, stores: Iterable[StoreFacts | StoreShare]) -> Iterator[tuple[str | Text, str | Text]]:
    """Who made the plan, when and from what; of *stores*, whether a delete there can be undone, and what lies there."""
    yield "made", f"{when(plan.created)} by {plan.signer.principal} ({plan.tool})"
    yield "expires", Text(_expiry(plan), style=BAD if plan.expired else "")
    yield "catalog", catalog_words(plan.catalog)
    for store in stores:
        style = {Undo.VERSIONED: GOOD, Undo.SOFT_DELETE: GOOD, Undo.NONE: BAD, Undo.UNKNOWN: CAUTION}[store.undo]
        holds = f"; {extent(store.entries, store.bytes)}" if isinstance(store, StoreShare) else ""
        where = f"{store.root} ({store.flavor}): " if store.root else "outside of all roots: "
        yield "store", joined(where, Text(undo_words(store.undo), style=style), holds)
    yield "filters", "; ".join(filters(plan.policy)) or "none"
    needed = f"; {plan.approvals_needed} needed" if plan.approvals_needed else ""
    yield "approved", (f"by {listed(plan.approvals)}" if plan.approvals else "by nobody yet") + needed
    if plan.entries_uri is not None:
        yield "entries", f"are not in this card, but at {plan.entries_uri}"
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


def kept(plan: PlanSummary) -> Iterator[Part]:
    """How many versions are kept, by reason, most first."""
    total = sum(plan.kept.values())
    yield section(f"kept: {total:,} of the catalog's {counted(plan.versions_in_catalog, 'version')}")
    if plan.kept:
        rows: Iterable[tuple[str, str, str]] = (
            (reason, count(versions), kept_meaning(reason))
            for reason, versions in sorted(plan.kept.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        yield table([Column("reason", width=20), Column("versions", "right"), Column("meaning", style=QUIET)], rows)
