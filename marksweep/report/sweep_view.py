"""The books of a sweep on a terminal: ``sweep``, its dry run, and ``status``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from marksweep.model.outcome import Mode
from marksweep.report.authority_view import authority_part, sweep_option
from marksweep.report.documents import BooksFacts, CanaryFacts, Line, RequestFacts, StatusResult, SweepResult
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
    section,
    table,
    words,
)
from marksweep.report.text import age, count, counted, size, when
from marksweep.sweep.canary_record import CanaryState

LINES = 20
"""Kept and failed entries that a terminal shows; the documents name more."""


def sweep_view(result: SweepResult, width: int) -> Iterator[Part]:
    """``sweep``: what became of the plan, the books, the entries that need a word, and what to do next."""
    books = result.books
    yield Verbatim(_headline(result, width))
    yield Text()
    yield _table(books, result.mode, dry_run=result.dry_run)
    yield from _notes(books)
    yield from _canary(result.canary)
    yield from _lines(result.lines)
    yield Text()
    if result.receipt is not None:
        yield Verbatim(joined(Text("receipt  ", style=QUIET), result.receipt))
    before = counted(result.settled_before, "entry", "entries")
    earlier = f" Earlier runs had settled {before}." if result.settled_before else ""
    yield Text(f"Took {age(result.seconds)}.{earlier}", style=QUIET)
    yield from requests_line(result.requests)
    for remark in result.remarks:
        yield words(f"! {remark}", CAUTION)
    yield from authority_part(result.trusted)
    yield from _next(result)


def requests_line(requests: RequestFacts) -> Iterator[Part]:
    """What was asked of the stores; nothing where nothing was."""
    if not (requests.list or requests.delete):
        return
    said = [counted(requests.list, "listing"), counted(requests.delete, "delete")]
    said += [counted(requests.other, "other")] if requests.other else []
    said += [f"{requests.repeated:,} sent again"] if requests.repeated else []
    said += [f"slowed down {counted(requests.slowed, 'time')}"] if requests.slowed else []
    yield Text(f"Requests: {', '.join(said)}.", style=QUIET)


def status_view(result: StatusResult, width: int) -> Iterator[Part]:
    """``status``: how far the sweep of a plan is."""
    books = result.books
    done = books.planned - books.not_attempted
    halted = result.canary is not None and result.canary.state is CanaryState.HALTED
    if halted:
        state = Text("halted by its canary", style=BAD)
    elif result.running:
        state = Text("running", style=CAUTION)
    elif result.started is None:
        state = Text("not begun", style=STRONG)
    elif books.not_attempted:
        state = Text("stopped before its end", style=BAD)
    elif books.failed:
        state = Text(f"{books.failed:,} failed", style=BAD)
    else:
        state = Text("finished", style=GOOD)
    planned = counted(books.planned, "entry", "entries")
    share = f", {done * 100 // books.planned} %" if books.planned else ""
    yield Verbatim(joined(Text("Sweep of ", style=STRONG), words(result.path, STRONG), ": ", state))
    facts: list[tuple[str, str | Text]] = [("progress", f"{done:,} of {planned}{share}")]
    if result.started is not None:
        facts.append(("began", when(result.started)))
    if result.last is not None:
        facts.append(("last", when(result.last)))
    if result.rate is not None:
        facts.append(("rate", f"{result.rate:,.1f} entries a second"))
    yield fact_list([*facts, digest_fact(result.digest)])
    yield Text()
    yield _table(books, result.mode, dry_run=False)
    yield from _notes(books)
    yield from _canary(result.canary)
    yield from _lines(result.lines)
    if not (result.running or halted) and (books.not_attempted or books.failed):
        yield Text()
        why = "begin" if result.started is None else "resume"
        yield from commands([(why, ["marksweep", "sweep", result.path, *sweep_option(result.trusted)])])


def _headline(result: SweepResult, width: int) -> Text:
    books = result.books
    if result.dry_run:
        said = f"a sweep now would delete {books.deleted:,} of {counted(books.planned, 'entry', 'entries')}"
        return headline(words(f"Dry run of {result.path}", STRONG), [said], width)
    kept = books.referenced + books.changed + books.protected + books.restored
    if books.failed:
        state = Text(f"{books.failed:,} failed", style=BAD)
    elif books.not_attempted:
        state = Text("incomplete", style=BAD)
    elif books.planned and result.settled_before == books.planned:
        state = Text("nothing left to do, an earlier run finished it", style=GOOD)
    elif kept:
        state = Text(f"done, {kept:,} kept", style=CAUTION)
    else:
        state = Text("done", style=GOOD)
    freed = "" if result.mode is Mode.ONLY_METADATA else f", {size(books.bytes)} freed"
    deleted = f"{books.deleted:,} of {counted(books.planned, 'entry', 'entries')} deleted{freed}"
    return headline(joined(words(f"Sweep of {result.path}", STRONG), ": ", state), [deleted], width)


def _table(books: BooksFacts, mode: Mode, *, dry_run: bool) -> Part:
    freed = f"{size(books.bytes)} in {counted(books.objects, 'object')}"
    going = {
        Mode.BOTH: f"{freed}, and their rows",
        Mode.ONLY_ARTIFACT: f"{freed}; the rows stay",
        Mode.ONLY_METADATA: "rows; the bytes stay",
    }[mode]
    parts = [
        ("would be deleted" if dry_run else "deleted", books.deleted, going, GOOD),
        ("already gone", books.gone, "the row was gone before this sweep reached it", ""),
        ("kept: referenced", books.referenced, "something refers to it again", CAUTION),
        ("kept: changed", books.changed, "row or objects are not as planned", CAUTION),
        ("kept: protected", books.protected, "something alive uses its place", CAUTION),
        *([("kept: restored", books.restored, "deleted, and brought back since", CAUTION)] if books.restored else []),
        ("would fail" if dry_run else "failed", books.failed, "see below; the next run tries again", BAD),
        ("not attempted", books.not_attempted, "left for the next run", BAD),
    ]
    rows = []
    for name, number, note, style in parts:
        shown = style if number else QUIET
        rows.append(
            (Text(name, style=shown), Text(count(number), style=shown), Text(note if number else "", style=QUIET))
        )
    balance = _balanced(books.planned, sum(number for _, number, _, _ in parts))
    rows.append((Text("planned", style=STRONG), Text(count(books.planned), style=STRONG), balance))
    return table([Column("outcome"), Column("entries", "right"), Column("")], rows)


def _balanced(planned: int, balance: int) -> Text:
    if planned == balance:
        return Text("the sum of the above", style=QUIET)
    return Text(f"yet the above add up to {balance:,}: this is a bug", style=BAD)


def _notes(books: BooksFacts) -> Iterator[Part]:
    if books.in_doubt:
        doubt = counted(books.in_doubt, "entry was begun and has", "entries were begun and have")
        them = "it" if books.in_doubt == 1 else "them"
        yield Text(f"  ! {doubt} no outcome yet: the next run settles {them} first", style=CAUTION)
    if books.left:
        left = counted(books.left, "object appeared", "objects appeared")
        yield Text(f"  ! {left} under swept URIs meanwhile, left alone: somebody still writes there", style=CAUTION)


def _canary(canary: CanaryFacts | None) -> Iterator[Part]:
    if canary is None:
        return
    went = counted(canary.entries, "entry", "entries")
    compared = f"{canary.witnesses:,} of the {counted(canary.beside, 'live version')} beside them"
    match canary.state:
        case CanaryState.DRAWN:
            yield Text(f"  ! canary: {went} first; then {compared} are compared, before the rest", style=CAUTION)
        case CanaryState.PASSED if not canary.witnesses:
            yield Text(f"  ! canary: {went} went first; nothing with bytes lives beside them", style=CAUTION)
        case CanaryState.PASSED:
            yield Text(f"  canary: {went} went first; {compared} were compared, unharmed", style=GOOD)
        case CanaryState.HALTED:
            yield Text("  ! canary: live versions lost or changed bytes, so nothing else is swept:", style=BAD)
        case CanaryState.CLEARED:
            yield Text("  ! canary: live versions lost or changed bytes; a person cleared that:", style=CAUTION)
        case CanaryState.VOID:
            yield Text(f"  ! canary: {went} went first; none was deleted, so it has shown nothing", style=CAUTION)
    for harmed in canary.harmed[:LINES]:
        yield Verbatim(joined(Text("    "), harmed.uri))
        now = f"{counted(harmed.objects_after, 'object')}, {size(harmed.bytes_after)} now"
        before = f"{counted(harmed.objects_before, 'object')}, {size(harmed.bytes_before)} before"
        yield indented(words(f"{harmed.id}  {before}; {now}", QUIET), 6)
    if len(canary.harmed) > LINES:
        yield Text(f"    … and {len(canary.harmed) - LINES:,} more: add --json to see them", style=QUIET)


def _lines(lines: Sequence[Line]) -> Iterator[Part]:
    if not lines:
        return
    yield section("kept and failed")
    for line in lines[:LINES]:
        style = BAD if line.state == "failed" else CAUTION
        state = f"{line.state}: {line.code}" if line.code else line.state
        yield Verbatim(joined(Text("  "), words(state, style), Text("  "), line.uri))
        yield indented(words(f"{line.id}  {line.detail}", QUIET), 4)
    if len(lines) > LINES:
        yield Text(f"  … and {len(lines) - LINES:,} more: add --json to see them", style=QUIET)


def _next(result: SweepResult) -> Iterator[Part]:
    books, again = result.books, ["marksweep", "sweep", result.path, *sweep_option(result.trusted)]
    if result.dry_run:
        yield Text("Nothing was deleted.", style=STRONG)
        if books.deleted:
            yield from commands([("delete", again)])
    elif books.failed or books.not_attempted:
        yield Text("Not everything is done. Run the same command again: it resumes.", style=STRONG)
        yield from commands([("resume", again)])
    elif books.referenced or books.changed or books.protected or books.restored:
        yield Text("What was kept stays kept under this plan; `marksweep mark` looks at it afresh.", style=QUIET)
