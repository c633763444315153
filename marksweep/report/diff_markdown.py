"""``diff`` as Markdown, for a comment on a pull request. Names stand in ``<code>``, each character that means something
there written as a reference (:func:`marksweep.report.markdown_text.escaped`).

A comment has room for so many characters (65,536 on GitHub): what does not fit is counted, never cut in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from marksweep.report.diff_documents import DiffEntry, DiffFact, DiffResult, DiffSide, DiffTally, PlanDifference
from marksweep.report.diff_view import CHANGED, GONE, NEW, PARTS, REASONS, movement
from marksweep.report.markdown_text import escaped
from marksweep.report.text import count, counted, share, size, when

MAX_CHARACTERS = 65_536
"""What GitHub takes as the body of a comment."""
_TAIL = 120
"""Characters that are kept free for a sentence about what is left out."""
_WIDEST = 200
"""Cells of a name or a URI; the middle of a longer one is cut out."""


def diff_markdown(result: DiffResult, most: int = MAX_CHARACTERS) -> str:
    """*result* in at most *most* characters, at least some 4,000: totals, what is different, then rows while there is room."""
    difference = result.difference
    text = "\n".join([*_head(result), ""])
    for title, header, rows, total in _tables(result):
        text += _table(title, header, rows, total, most - len(text))
    if not difference.differs:
        text += "\nThe two plans hold the same entries.\n"
    return text


def _head(result: DiffResult) -> Iterator[str]:
    difference, totals = result.difference, result.difference.totals
    yield "### marksweep: what changed between two plans"
    yield ""
    yield "| | entries | objects | size |"
    yield "| --- | ---: | ---: | ---: |"
    for label, side in (("then", difference.before), ("now", difference.now)):
        yield f"| {label}, {when(side.created)} | {count(side.entries)} | {count(side.objects)} | {size(side.bytes)} |"
    for label, tally in ((NEW, totals.new), (GONE, totals.gone), (CHANGED, totals.changed), ("same", totals.same)):
        yield _tally(label, tally)
    yield ""
    for label, side in (("then", difference.before), ("now", difference.now)):
        yield _side(label, side)
    if not difference.same_catalog:
        yield "- **The two plans were made for different catalogs: their ids say nothing about each other.**"
    for remark in result.remarks:
        yield f"- {_code(remark)}"


def _tally(label: str, tally: DiffTally) -> str:
    shown = f"**{label}**" if tally.entries and label != "same" else label
    return f"| {shown} | {count(tally.entries)} | {count(tally.objects)} | {size(tally.bytes)} |"


def _side(label: str, side: DiffSide) -> str:
    file = f" {_code(side.path)}" if side.path is not None else ""
    of = share(side.entries, side.versions_in_catalog)
    return f"- {label}:{file} plan {_code(side.id)}, {of} of the catalog, by {_code(side.signer)}, {_code(side.digest)}"


_Row = str
_Tables = Iterator[tuple[str, Sequence[str], list[_Row], int]]


def _tables(result: DiffResult) -> _Tables:
    """(title, header, rows, how many rows there are in all) of each table, the most important first."""
    difference, totals = result.difference, result.difference.totals
    yield "What is different", ("", "then", "now"), [*_facts(difference)], len(difference.facts) + len(difference.rows)
    if result.reasons:
        reasons = [
            f"| {_code(r.reason)} | {count(r.entries)} | {size(r.bytes)} | {REASONS.get(r.reason, '')} |"
            for r in result.reasons
        ]
        yield "Why they are no longer orphaned", ("reason", "entries", "size", "meaning"), reasons, len(reasons)
    artifacts = [
        f"| {_code(one.project)} | {_code(one.artifact)} | {movement(one)} | {size(one.bytes_before)} | {size(one.bytes_now)} |"
        for one in difference.artifacts
    ]
    changed = len(artifacts) + difference.more_artifacts
    title = "Artifacts that changed most (+ new, - no longer orphaned, ~ changed)"
    yield title, ("project", "artifact", "entries", "size then", "size now"), artifacts, changed
    for label, entries, tally in (
        (NEW, result.entries.new, totals.new), (GONE, result.entries.gone, totals.gone),
        (CHANGED, result.entries.changed, totals.changed),
    ):  # fmt: skip
        if entries:
            yield (
                label.capitalize(),
                ("artifact", "version", "size", "URI", "note"),
                [*_entries(entries)],
                tally.entries,
            )


def _facts(difference: PlanDifference) -> Iterator[_Row]:
    for part, label in PARTS.items():
        for fact in difference.facts:
            if fact.part == part:
                yield f"| {label}: {_code(fact.name)} | {_choice(fact.before)} | {_now(fact)} |"
    for row in difference.rows:
        yield f"| rows of {_code(row.table)} | {_rows(row.before)} | {_rows(row.now)} |"


def _now(fact: DiffFact) -> str:
    return f"**{_choice(fact.now)}**" if fact.danger else _choice(fact.now)


def _choice(text: str) -> str:
    return _code(text) if text else "none"


def _rows(rows: int | None) -> str:
    return "no such table" if rows is None else count(rows)


def _entries(entries: Iterable[DiffEntry]) -> Iterator[_Row]:
    for entry in entries:
        notes = [*entry.changes, *([f"{entry.why.reason}: {entry.why.detail}"] if entry.why else [])]
        note = ", ".join(_code(said) for said in notes)
        cells = (_code(entry.artifact), _code(entry.version), size(entry.bytes), _code(entry.uri), note)
        yield f"| {' | '.join(cells)} |"


def _table(title: str, header: Sequence[str], rows: Sequence[_Row], total: int, room: int) -> str:
    """The table with as many of *rows* as there is *room* for, and how many of *total* are left out."""
    if not rows:
        return ""
    text = f"\n#### {title}\n\n| {' | '.join(header)} |\n|{' --- |' * len(header)}\n"
    shown = 0
    for row in rows:
        if len(text) + len(row) + 1 > room - _TAIL:
            break
        text += row + "\n"
        shown += 1
    left = f"\n{counted(total - shown, 'more row')} not shown.\n" if total > shown else ""
    if not shown:
        left = f"\n{title}: {counted(total, 'row')} not shown.\n"
        return left if len(left) <= room else ""
    return text + left


def _code(text: str) -> str:
    return f"<code>{escaped(text, _WIDEST)}</code>"
