"""What a command may show: results to stdout, everything else to stderr, and one way to end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import typer
from rich.console import Console

from marksweep.errors import ExitStatus, Interrupted, MarksweepError
from marksweep.report.document import Document
from marksweep.report.documents import ErrorFacts, ErrorResult, encode
from marksweep.report.render import render
from marksweep.report.text import plain


@dataclass(slots=True)
class Screen:
    """The two streams of a command; with *json* the result is a document, and stderr still talks to people."""

    json: bool = False
    quiet: bool = False
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))

    def tell(self, message: str) -> None:
        """A word to whoever watches."""
        if not self.quiet:
            self.err.print(plain(message), markup=False, highlight=False, soft_wrap=True)

    def show(self, document: Document) -> None:
        """The result."""
        if self.json:
            sys.stdout.buffer.write(encode(document))
            sys.stdout.buffer.flush()
        else:
            render(document, self.out)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(stderr=stderr, highlight=False, emoji=False, width=100)
    return console


def conclude(screen: Screen, work: Callable[[], tuple[Document | None, ExitStatus]]) -> NoReturn:
    """Run *work*, show its result, and exit with its status; the one place where errors become exit statuses."""
    try:
        document, status = work()
        if document is not None:
            screen.show(document)
    except MarksweepError as error:
        status = _show_error(screen, error)
    except KeyboardInterrupt:
        status = _show_error(screen, Interrupted("interrupted", "run the same command again"))
    except BrokenPipeError:
        sys.stderr.close()
        status = ExitStatus.BUG
    except Exception:
        status = ExitStatus.BUG
        screen.err.print(plain_lines(traceback.format_exc()), markup=False, highlight=False, soft_wrap=True)
        screen.err.print("This is a bug in marksweep. Please report it with the lines above.")
    raise typer.Exit(int(status))


def _show_error(screen: Screen, error: MarksweepError) -> ExitStatus:
    document = ErrorResult(
        error=ErrorFacts(
            code=error.code, fact=error.fact, remedy=error.remedy, deleted=error.deleted, status=int(error.status)
        )
    )
    if screen.json:
        screen.show(document)
    else:
        render(document, screen.err)
    return error.status


def plain_lines(text: str) -> str:
    """Every line made harmless by itself."""
    return "\n".join(plain(line) for line in text.splitlines())
