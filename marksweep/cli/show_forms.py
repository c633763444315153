"""Where a shown plan goes, and how each form of it is written there."""

from __future__ import annotations

import io
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, assert_never

from rich.console import Console

from marksweep.cli.form import Form
from marksweep.errors import UsageError
from marksweep.model.entry import Entry
from marksweep.report.documents import ShowResult, encode
from marksweep.report.markdown import markdown
from marksweep.report.render import render


def write(form: Form, result: ShowResult, entries: Iterable[Entry], max_chars: int, stream: TextIO) -> None:
    """Write *result* to *stream* (UTF-8) as *form*; only a report for a browser reads *entries*, all of them."""
    match form:
        case Form.TERMINAL:
            render(result, Console(file=stream, force_terminal=False, highlight=False, emoji=False))
        case Form.MARKDOWN:
            stream.write(markdown(result, max_chars))
        case Form.HTML:
            from marksweep.report.html.page import write_html

            write_html(result, entries, stream)
        case Form.JSON:
            stream.write(encode(result).decode())
        case _:
            assert_never(form)


@contextmanager
def opened(out: Path | None, plan: Path) -> Iterator[TextIO]:
    """Standard output, or *out*, whose old contents stay until all is written. *plan* itself is never replaced."""
    if out is None:
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
        try:
            yield stream
        finally:
            stream.detach()  # flushes; the buffer is not ours to close
        return
    if out.exists() and out.samefile(plan):
        raise UsageError(f"--out {out} is the plan itself", "choose another file")
    try:
        if out.exists() and not out.is_file():  # a pipe or /dev/null is written to, not replaced
            with out.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream
        else:
            yield from _replaced(out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", "choose another file with --out") from None


def _replaced(out: Path) -> Iterator[TextIO]:
    temporary = out.with_name(f".{out.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as stream:
            yield stream
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
