"""A plan as a whole, on a terminal: ``show``, and ``prune`` before its sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from marksweep.report.authority_view import authority_facts
from marksweep.report.documents import EntryLine, PlanSummary, PruneResult, ShowResult
from marksweep.report.overview_documents import Overview, Risk, Severity, Slice
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
    fact_list,
    joined,
    long_fact,
    section,
    table,
    words,
)
from marksweep.report.plan_view import facts, kept, title
from marksweep.report.sweep_view import sweep_view
from marksweep.report.text import count, counted, plain, size, when
from marksweep.report.trust_documents import TrustFacts
from marksweep.report.words import NOTHING

ARTIFACTS = 10
"""Artifacts that the table of the biggest shows."""
BAR = 16
"""Columns of the longest bar."""
_STYLES = {Severity.DANGER: BAD, Severity.CAUTION: CAUTION, Severity.NOTE: QUIET}


def show_view(result: ShowResult, width: int) -> Iterator[Part]:
    """``show``: the plan, its first entries, and how to approve it."""
    plan = result.plan
    yield from _reviewed(plan, result.overview, result.trusted, width)
    if result.entries:
        more = plan.entries - len(result.entries)
        yield section(f"entries, the first {len(result.entries):,} of {count(plan.entries)}" if more else "entries")
        for entry in result.entries:
            yield from _entry(entry)
        if more > 0:
            yield Text(f"  … and {more:,} more", style=QUIET)
    if result.approve:
        ours, *by_hand = result.approve
        yield section("to approve it")
        yield Verbatim(words(f"  {ours}", STRONG))
        yield Text("  or with nothing but OpenSSH:", style=QUIET)
        for line in by_hand:
            yield Verbatim(words(f"  {line}"))


def prune_view(result: PruneResult, width: int) -> Iterator[Part]:
    """``prune``: the plan, and its sweep."""
    yield from _reviewed(result.plan, result.overview, None, width)
    yield Text()
    if result.sweep is not None:
        yield from sweep_view(result.sweep, width)
    else:
        yield Text("Nothing was deleted.", style=STRONG)
        if result.plan.entries:
            yield from commands([("delete", ["marksweep", "sweep", result.plan.path])])


def _reviewed(plan: PlanSummary, overview: Overview, trusted: TrustFacts | None, width: int) -> Iterator[Part]:
    """A plan for its reviewers: what, risks, facts, biggest artifacts, ages and sizes, what is kept and why."""
    yield title(plan, width)
    if overview.risks:
        yield fact_list(_risk(risk) for risk in overview.risks)
        yield Text()
    chosen = None if trusted is not None and trusted.own else trusted
    yield fact_list([*facts(plan, overview.stores), *authority_facts(chosen)])
    yield long_fact("file", plan.path)
    if plan.entries:
        yield from _biggest(overview, width)
        yield from _distribution("age when marked", overview.ages)
        yield from _distribution("size", overview.sizes)
    else:
        yield Text()
        yield Text(NOTHING, style=GOOD)
    yield from kept(plan)


def _risk(risk: Risk) -> tuple[Text, Text]:
    style = _STYLES[risk.severity]
    return Text(risk.severity, style=f"not dim {style}"), words(risk.text, style)


def _biggest(overview: Overview, width: int) -> Iterator[Part]:
    shown = overview.branches[:ARTIFACTS]
    project = min(16, max(len("project"), *(cell_len(plain(branch.project)) for branch in shown)))
    bars = _bars([branch.bytes for branch in shown], [branch.entries for branch in shown])
    yield section(f"biggest of {counted(overview.artifacts, 'artifact')}")
    columns = [
        Column("artifact", width=width - project - BAR - 29),
        Column("project", width=project),
        Column("entries", "right"),
        Column("size", "right"),
        Column(""),
    ]
    rows = ((b.artifact, b.project, count(b.entries), size(b.bytes), bar) for b, bar in zip(shown, bars, strict=True))
    yield table(columns, rows)
    more = overview.more_entries + sum(branch.entries for branch in overview.branches[ARTIFACTS:])
    if more > 0:
        yield Text(f"  … and {counted(more, 'entry', 'entries')} of other artifacts", style=QUIET)


def _distribution(name: str, slices: Iterable[Slice]) -> Iterator[Part]:
    shown = [part for part in slices if part.entries]
    bars = _bars([part.bytes for part in shown], [part.entries for part in shown])
    yield Text()
    rows = ((part.label, count(part.entries), size(part.bytes), bar) for part, bar in zip(shown, bars, strict=True))
    yield table([Column(f"{name:<18}"), Column("entries", "right"), Column("size", "right"), Column("")], rows)


def _bars(sizes: Sequence[int | None], entries: Sequence[int]) -> list[str]:
    """A bar for each of them: of the bytes, or of the entries where not all bytes are known, or there are none."""
    known = [octets for octets in sizes if octets is not None]
    amounts = known if len(known) == len(sizes) and any(known) else entries
    longest = max(amounts, default=0)
    return ["█" * -(-BAR * amount // longest) if longest else "" for amount in amounts]


def _entry(entry: EntryLine) -> Iterator[Part]:
    size_of = f"{counted(entry.objects, 'object')}, {size(entry.bytes)}"
    named = f"  project {entry.project}, {size_of}, from {when(entry.created)}"
    note = "" if entry.reason == "unreferenced" else f", {entry.reason}"
    yield joined(Text("  "), words(f"{entry.artifact} {entry.version}", STRONG), named, words(note, BAD))
    yield Verbatim(joined(Text("    "), words(entry.id, QUIET), Text("  "), entry.uri))
