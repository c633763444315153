"""From a document to a terminal: one view per document, and one way to print what a view yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from marksweep.report.diff_documents import DiffResult
from marksweep.report.diff_view import diff_view
from marksweep.report.document import Document
from marksweep.report.documents import (
    ErrorResult,
    MarkResult,
    PruneResult,
    RestoreResult,
    ShowResult,
    StatusResult,
    SweepResult,
    VerifyResult,
)
from marksweep.report.explain_documents import ExplainResult
from marksweep.report.explain_view import error_view, explain_view
from marksweep.report.grants_documents import GrantsResult
from marksweep.report.grants_view import grants_view
from marksweep.report.init_documents import InitResult
from marksweep.report.init_view import init_view
from marksweep.report.log_documents import LogResult
from marksweep.report.log_view import log_view
from marksweep.report.overview_view import prune_view, show_view
from marksweep.report.parts import Part, Verbatim
from marksweep.report.plan_view import mark_view
from marksweep.report.receipt_view import receipt_view
from marksweep.report.restore_view import restore_view
from marksweep.report.sweep_view import status_view, sweep_view
from marksweep.report.trust_documents import ApproveResult, KeyResult, KeysImportResult, ReceiptResult
from marksweep.report.trust_view import approve_view, keys_import_view, keys_view, verify_view

WIDTH: Final = 100
"""Columns used at most, and exactly so many where the output is no terminal."""

VIEWS: dict[type[Document], Callable[[Any, int], Iterator[Part]]] = {
    MarkResult: mark_view,
    ShowResult: show_view,
    PruneResult: prune_view,
    VerifyResult: verify_view,
    ApproveResult: approve_view,
    SweepResult: sweep_view,
    StatusResult: status_view,
    RestoreResult: restore_view,
    DiffResult: diff_view,
    ExplainResult: explain_view,
    GrantsResult: grants_view,
    KeyResult: keys_view,
    LogResult: log_view,
    KeysImportResult: keys_import_view,
    ReceiptResult: receipt_view,
    InitResult: init_view,
    ErrorResult: error_view,
}
"""Document -> its view: takes the document and the width in columns."""

_ASCII = str.maketrans({"·": "-", "…": "...", "✓": "+", "✗": "x", "“": '"', "”": '"', "█": "#"})


def render(document: Document, console: Console) -> None:
    """Print *document* for people on *console*. A console that is no terminal is given a width of 100 columns."""
    if not console.is_terminal:
        console.width = WIDTH
    width = min(console.width, WIDTH)
    if console.encoding.lower().replace("_", "-").startswith("utf"):
        _print(document, console, width)
        return
    with console.capture() as captured:
        _print(document, console, width)
    shown = captured.get().translate(_ASCII)
    console.file.write(shown.encode(console.encoding, "backslashreplace").decode(console.encoding))
    console.file.flush()


def _print(document: Document, console: Console, width: int) -> None:
    for part in VIEWS[type(document)](document, width):
        if isinstance(part, Verbatim):
            console.print(part.text, soft_wrap=True)
        else:
            console.print(_Trimmed(part), width=width)


@dataclass(frozen=True, slots=True)
class _Trimmed:
    """A renderable without the spaces that rich puts at the ends of its lines."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in Segment.split_lines(console.render(self.inner, options)):
            while line and not line[-1].text.rstrip():
                line.pop()
            if line:
                last = line.pop()
                line.append(Segment(last.text.rstrip(), last.style))
            yield from line
            yield Segment.line()
