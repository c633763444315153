"""The plans of a folder on a terminal: two or three lines for each, the first of them in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from marksweep.report.log_documents import LogResult, PlanLine, PlanState
from marksweep.report.parts import BAD, CAUTION, GOOD, QUIET, STRONG, Part, Verbatim, indented, joined, words
from marksweep.report.text import count, counted, plain, size, when

STYLES = {
    PlanState.UNREADABLE: BAD,
    PlanState.UNTRUSTED: BAD,
    PlanState.RESTORED: CAUTION,
    PlanState.SWEPT: GOOD,
    PlanState.PARTLY: CAUTION,
    PlanState.EXPIRED: QUIET,
    PlanState.APPROVED: STRONG,
    PlanState.PLANNED: "",
}
PEOPLE = 4
"""Approvers that are named."""
DIGEST = 12
"""Hexadecimal digits of a digest that are shown: enough to tell plans apart, and not to be relied on."""


def log_view(result: LogResult, width: int) -> Iterator[Part]:
    """``log``: the plans, newest first, and their sum."""
    if not result.plans:
        where = "this folder" if result.folder == "." else result.folder
        which = f"No {' or '.join(result.states)} plans in " if result.states else "No plans in "
        yield Verbatim(joined(which, words(where, STRONG), "."))
        return
    if not result.verified:
        yield Text("Not verified: this is what the files say of themselves. Leave --fast out to check.", style=CAUTION)
        yield Text()
    rows = [_row(plan) for plan in result.plans]
    heads = ("state", "made (UTC)", "entries", "bytes", "freed", "sha256")
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    yield Verbatim(Text(_columns(heads, widths), style=QUIET))
    for plan, row in zip(result.plans, rows, strict=True):
        style = STYLES.get(plan.state, "")
        line = Text(_columns(row, widths))
        line.stylize(style, 0, len(row[0]))
        yield Verbatim(line)
        yield Verbatim(joined(Text("  "), plan.path))
        if people := _people(plan):
            yield indented(words(people, QUIET), 2)
        if plan.problem is not None:
            yield indented(words(f"! {plan.problem}", CAUTION), 2)
    yield Text()
    totals = result.totals
    said = [counted(totals.plans, "plan"), counted(totals.entries, "entry", "entries"), f"{size(totals.bytes)} planned"]
    yield Text(", ".join([*said, f"{size(totals.freed)} freed"]), style=STRONG)
    if result.more:
        yield Text("There are more: give a narrower folder, or raise --max.", style=CAUTION)


def _row(plan: PlanLine) -> tuple[str, ...]:
    made = when(plan.created).removesuffix(" UTC") if plan.created is not None else ""
    known = plan.digest is not None
    return (
        plain(plan.state),
        made,
        count(plan.entries) if known else "",
        size(plan.bytes) if known else "",
        size(plan.swept.bytes) if plan.swept is not None else "",
        plain(plan.digest.removeprefix("sha256:")[:DIGEST]) if plan.digest is not None else "",
    )


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    left = {0, 1, 5}
    placed = [c.ljust(w) if at in left else c.rjust(w) for at, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(placed).rstrip()


def _people(plan: PlanLine) -> str:
    """Who made, approved and swept it, and what else one should know, in one sentence."""
    said = []
    if plan.signer is not None:
        said.append(f"made by {plan.signer}")
    if plan.approvals:
        more = f" and {len(plan.approvals) - PEOPLE} more" if len(plan.approvals) > PEOPLE else ""
        said.append(f"approved by {', '.join(plan.approvals[:PEOPLE])}{more}")
    if plan.approvals_needed and plan.state is PlanState.PLANNED:
        said.append(f"{len(plan.approvals)} of {plan.approvals_needed} approvals")
    if plan.running:
        said.append("a sweep is running")
    if (swept := plan.swept) is not None:
        said.append(f"swept {when(swept.finished)}" + (f" by {swept.by}" if swept.by is not None else ""))
        numbers = ((swept.kept, "kept"), (swept.restored, "brought back"), (swept.failed, "failed"))
        said += [f"{number:,} {word}" for number, word in numbers if number]
        said += [f"{swept.not_attempted:,} left to do"] if swept.not_attempted else []
        said += ["no receipt"] if swept.source == "journal" else []
    elif plan.state in (PlanState.PLANNED, PlanState.APPROVED) and plan.expires is not None:
        said.append(f"expires {when(plan.expires)}")
    if plan.expired and plan.expires is not None:
        said.append(f"expired {when(plan.expires)}")
    return "; ".join(said)
