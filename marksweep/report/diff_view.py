"""``diff`` on a terminal, and what ``mark --compare`` shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

from marksweep.report.diff_documents import (
    DiffArtifact,
    DiffEntry,
    DiffFact,
    DiffReason,
    DiffResult,
    DiffRows,
    DiffSide,
    DiffTotals,
    PlanDifference,
)
from marksweep.report.parts import (
    BAD,
    CAUTION,
    GOOD,
    QUIET,
    STRONG,
    Column,
    Part,
    Verbatim,
    fact_list,
    headline,
    indented,
    joined,
    long_fact,
    section,
    table,
    words,
)
from marksweep.report.text import count, counted, share, size, when

NEW, GONE, CHANGED = "newly orphaned", "no longer orphaned", "changed"
"""What the fates are called."""
PARTS = {"policy": "policy", "catalog": "catalog", "store": "stores", "plan": "plan"}
"""What the parts of the headers are called, in the order in which their differences are shown."""
REASONS = {
    "referenced": "something refers to it now",
    "swept": "the earlier plan's sweep deleted it",
    "absent": "the catalog no longer has it",
    "kept": "a rule keeps it now",
    "moved": "the catalog has it at another URI now",
    "unsettled": "no rule about single versions keeps it: ask `marksweep explain ID`",
}
"""Why a version is no longer orphaned."""


def diff_view(result: DiffResult, width: int) -> Iterator[Part]:
    """``diff``: totals then and now, the biggest changes, what the headers say differently, and the first entries."""
    difference, totals = result.difference, result.difference.totals
    yield headline(Text("Difference", style=STRONG), _fates(totals), width)
    if not difference.same_catalog:
        yield Text(
            "! The two plans were made for different catalogs: their ids say nothing about each other.", style=BAD
        )
    for remark in result.remarks:
        yield indented(joined(Text("! ", style=CAUTION), remark), 0)
    yield from _sides(difference)
    if not difference.differs:
        yield Text()
        yield Text("The two plans hold the same entries.", style=GOOD)
    yield from difference_view(difference, width)
    yield from _why(result.reasons)
    for title, entries, tally in (
        (NEW, result.entries.new, totals.new.entries),
        (GONE, result.entries.gone, totals.gone.entries),
        (CHANGED, result.entries.changed, totals.changed.entries),
    ):
        yield from _entries(title, entries, tally)


def since_view(difference: PlanDifference, width: int) -> Iterator[Part]:
    """What ``mark --compare`` says about the plan before."""
    yield section(f"since the plan of {when(difference.before.created)}")
    yield from _sides(difference)
    yield from difference_view(difference, width)


def difference_view(difference: PlanDifference, width: int) -> Iterator[Part]:
    """Entries by fate, artifacts by change, and what the headers say differently."""
    totals = difference.totals
    yield section("entries")
    fates = (
        (NEW, CAUTION, totals.new),
        (GONE, GOOD, totals.gone),
        (CHANGED, CAUTION, totals.changed),
        ("same", "", totals.same),
    )
    rows = [
        (words(name, style if tally.entries else QUIET), count(tally.entries), count(tally.objects), size(tally.bytes))
        for name, style, tally in fates
    ]
    yield table([Column(""), *(Column(header, "right") for header in ("entries", "objects", "size"))], rows)
    yield from _artifacts(difference.artifacts, difference.more_artifacts, width)
    for part, title in PARTS.items():
        yield from _facts(title, [fact for fact in difference.facts if fact.part == part])
    yield from _rows(difference.rows)


def _fates(totals: DiffTotals) -> list[str | Text]:
    return [
        f"{count(totals.new.entries)} {NEW}",
        f"{count(totals.gone.entries)} {GONE}",
        f"{count(totals.changed.entries)} {CHANGED}",
        f"{count(totals.same.entries)} same",
    ]


def _sides(difference: PlanDifference) -> Iterator[Part]:
    yield fact_list([("then", _side(difference.before)), ("now", _side(difference.now))])
    for label, side in (("old plan", difference.before), ("new plan", difference.now)):
        if side.path is not None:
            yield long_fact(label, side.path)


def _side(side: DiffSide) -> str:
    of = share(side.entries, side.versions_in_catalog)
    entries = counted(side.entries, "entry", "entries")
    return (
        f"{entries} ({of} of the catalog), {counted(side.objects, 'object')}, {size(side.bytes)}, {when(side.created)}"
    )


def _artifacts(artifacts: Sequence[DiffArtifact], more: int, width: int) -> Iterator[Part]:
    if not artifacts:
        return
    yield section("the artifacts that changed most (+ new, - no longer orphaned, ~ changed)")
    projects = {artifact.project for artifact in artifacts}
    rows = []
    for one in artifacts:
        name = one.artifact if len(projects) == 1 else f"{one.project}: {one.artifact}"
        rows.append((name, movement(one), f"{size(one.bytes_before)} -> {size(one.bytes_now)}"))
    columns = [Column("artifact", width=max(20, width - 47)), Column("entries", "right"), Column("size", "right")]
    yield table(columns, rows)
    if more:
        yield Text(f"  … and {counted(more, 'more artifact')}", style=QUIET)


def movement(artifact: DiffArtifact) -> str:
    """What became of an artifact's entries, shortly: ``+3 -1 ~2``."""
    signs = (("+", artifact.new), ("-", artifact.gone), ("~", artifact.changed))
    return " ".join(f"{sign}{count(number)}" for sign, number in signs if number)


def _facts(title: str, facts: Sequence[DiffFact]) -> Iterator[Part]:
    if facts:
        yield section(f"{title}: what is different")
    for fact in facts:
        now = words(fact.now or "none", BAD if fact.danger else STRONG)
        yield indented(joined(f"{fact.name}: {fact.before or 'none'} -> ", now), 2)


def _rows(rows: Sequence[DiffRows]) -> Iterator[Part]:
    if rows:
        yield section("rows of the catalog")
        shown = [(row.table, _held(row.before), _held(row.now)) for row in rows]
        yield table([Column("table", width=40), Column("then", "right"), Column("now", "right")], shown)


def _held(rows: int | None) -> str:
    return "no such table" if rows is None else count(rows)


def _why(reasons: Iterable[DiffReason] | None) -> Iterator[Part]:
    found = list(reasons or ())
    if found:
        yield section("why they are no longer orphaned")
        rows = [
            (reason.reason, count(reason.entries), size(reason.bytes), REASONS.get(reason.reason, ""))
            for reason in found
        ]
        columns = [
            Column("reason"),
            Column("entries", "right"),
            Column("size", "right"),
            Column("meaning", style=QUIET),
        ]
        yield table(columns, rows)


def _entries(title: str, entries: Sequence[DiffEntry], total: int) -> Iterator[Part]:
    if not entries:
        return
    more = total - len(entries)
    yield section(f"{title}, the first {len(entries):,} of {total:,}" if more > 0 else title)
    for entry in entries:
        extent = f"{counted(entry.objects, 'object')}, {size(entry.bytes)}"
        facts = f"  project {entry.project}, {extent}, from {when(entry.created)}"
        yield indented(joined(words(f"{entry.artifact} {entry.version}", STRONG), facts), 2)
        yield Verbatim(joined(Text("    "), words(entry.id, QUIET), Text("  "), entry.uri))
        for change in entry.changes:
            yield indented(words(change, CAUTION), 4)
        if entry.why is not None:
            yield indented(joined(words(entry.why.reason, STRONG), f": {entry.why.detail}"), 4)
    if more > 0:
        yield Text(f"  … and {more:,} more", style=QUIET)
