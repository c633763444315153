"""What a restore brought back, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.documents import RestoreResult
from marksweep.report.parts import (
    BAD,
    GOOD,
    QUIET,
    STRONG,
    Part,
    Verbatim,
    commands,
    headline,
    indented,
    joined,
    section,
    words,
)
from marksweep.report.text import age, counted, size

LINES = 20
"""Entries that did not come back and that a terminal shows; the document names more."""


def restore_view(result: RestoreResult, width: int) -> Iterator[Part]:
    """``restore``: what came back, what did not and why, and what to do next."""
    if result.dry_run:
        state, name = Text("nothing was written", style=STRONG), "Dry run of the restore of"
        verb = "could be brought back"
    else:
        state = Text(f"{result.refused:,} did not come back", style=BAD) if result.refused else Text("done", style=GOOD)
        name, verb = "Restore of", "brought back"
    bytes_ = f", {size(result.bytes)} in {counted(result.objects, 'object')}" if result.objects else ""
    said = f"{counted(result.restored, 'entry', 'entries')} {verb}{bytes_}"
    yield Verbatim(headline(joined(words(f"{name} {result.path}", STRONG), ": ", state), [said], width))
    if result.lines:
        yield section("could not be brought back" if result.dry_run else "not brought back")
        for line in result.lines[:LINES]:
            yield Verbatim(joined(Text("  "), words(line.code, BAD), Text("  "), line.uri))
            reason = line.detail.removeprefix(f"{line.uri} cannot be used: ")
            yield indented(words(f"{line.id}  {reason}", QUIET), 4)
        if len(result.lines) > LINES:
            yield Text(f"  … and {len(result.lines) - LINES:,} more: add --json to see them", style=QUIET)
    yield Text()
    if result.receipt is not None:
        yield Verbatim(joined(Text("receipt  ", style=QUIET), result.receipt, " (rewritten: commit it again)"))
    yield Text(f"Took {age(result.seconds)}.", style=QUIET)
    if result.dry_run and result.restored:
        yield from commands([("restore", ["marksweep", "restore", result.path])])
