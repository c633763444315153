"""What a command may show: results to stdout, everything else to stderr, and one way to end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TextIO

import typer
from rich.console import Console

from marksweep.cli.telemetry import Telemetry
from marksweep.errors import ExitStatus, Interrupted, MarksweepError
from marksweep.report.document import Document
from marksweep.report.documents import ErrorFacts, ErrorResult, encode
from marksweep.report.render import render
from marksweep.report.text import plain


@dataclass(slots=True)
class Screen:
    """The two streams of a command; with *json* the result is a document, and stderr still talks to people.

    What stderr does not take, because nobody reads it any more, is lost, and changes nothing else.
    Unless the user chose JSON Lines for stderr: then only ``telemetry`` writes there. *metrics*: its Prometheus file.
    """

    json: bool = False
    quiet: bool = False
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))
    metrics: Path | None = None
    telemetry: Telemetry = field(init=False)

    def __post_init__(self) -> None:
        self.telemetry = Telemetry(quiet=self.quiet, metrics=self.metrics)

    @property
    def still(self) -> bool:
        """Whether no progress is shown to people."""
        return self.quiet or self.telemetry.on_stderr

    def tell(self, message: str) -> None:
        """A word to whoever watches."""
        self.telemetry.say("info", "remark", message=message)
        if not self.still:
            with suppress(OSError, ValueError):
                self.err.print(plain(message), markup=False, highlight=False, soft_wrap=not self.err.is_terminal)

    def notice(self, message: str) -> None:
        """What even a quiet command says: a signal came. Called inside the event loop."""
        self.telemetry.say("warning", "interrupted", message=message)
        if not self.telemetry.on_stderr:
            with suppress(OSError, ValueError):
                sys.stderr.write(f"\n{message}\n")

    def show(self, document: Document) -> None:
        """The result."""
        if self.json:
            sys.stdout.buffer.write(encode(document))
            sys.stdout.buffer.flush()
        else:
            render(document, self.out)


class _Console(Console):
    """One that a reader may leave: rich would end the process, or only the thread, and turn stdout away, too."""

    def on_broken_pipe(self) -> None:
        """As any other error of a stream."""
        raise BrokenPipeError("nobody reads it any more")


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, emoji=False)
    if not console.is_terminal:
        console = _Console(stderr=stderr, highlight=False, emoji=False, width=100)
    return console


def conclude(screen: Screen, work: Callable[[], tuple[Document | None, ExitStatus]]) -> NoReturn:
    """Run *work*, show its result, and exit with its status; the one place where errors become exit statuses."""
    document: Document | None = None
    try:
        screen.telemetry.begin()
        document, status = work()
        if document is not None:
            screen.show(document)
    except MarksweepError as error:
        status = _show_error(screen, error)
    except KeyboardInterrupt:
        status = _show_error(screen, Interrupted("interrupted", "run the same command again"))
    except BrokenPipeError:
        status = ExitStatus.BUG
    except Exception as error:
        status = _show_bug(screen, error)
    with suppress(KeyboardInterrupt):  # a collector that is waited for can be given up, and the outcome is what it is
        screen.telemetry.end(int(status), document)
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    raise typer.Exit(int(status))


def _let_go(stream: TextIO) -> None:
    """Python ends with 120, and not with our status, if *stream* holds at the end what nobody takes."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            stream.close()


def _show_bug(screen: Screen, error: Exception) -> ExitStatus:
    remedy, lines = "This is a bug in marksweep. Please report it with the lines above.", traceback.format_exc()
    facts = ErrorFacts(
        code="bug", fact=repr(error), remedy=remedy, deleted="see the journal", status=int(ExitStatus.BUG)
    )
    screen.telemetry.failed(facts, traceback=lines)
    if not screen.telemetry.on_stderr:
        with suppress(OSError, ValueError):
            screen.err.print(plain_lines(lines), markup=False, highlight=False, soft_wrap=True)
            screen.err.print(remedy)
    return ExitStatus.BUG


def _show_error(screen: Screen, error: MarksweepError) -> ExitStatus:
    document = ErrorResult(
        error=ErrorFacts(
            code=error.code, fact=error.fact, remedy=error.remedy, deleted=error.deleted, status=int(error.status)
        )
    )
    screen.telemetry.failed(document.error)
    with suppress(OSError, ValueError):  # whoever reads neither stream still gets the status
        if screen.json:
            screen.show(document)
        elif not screen.telemetry.on_stderr:
            render(document, screen.err)
    return error.status


def plain_lines(text: str) -> str:
    """Every line made harmless by itself."""
    return "\n".join(plain(line) for line in text.splitlines())
