"""What a command tells programs while it runs: JSON Lines, OpenTelemetry, a Prometheus file. Nothing unless asked for.

None of it can fail or delay the work: what cannot be written or sent is lost, and said once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from marksweep import __version__
from marksweep.cli.log_options import CHOSEN, LogChoice, LogFormat
from marksweep.errors import UsageError
from marksweep.mark import observer as marked
from marksweep.model.outcome import Mode
from marksweep.report.counts import RunCounts
from marksweep.report.document import Document
from marksweep.report.documents import ErrorFacts, MarkResult, PruneResult, RestoreResult, SweepResult
from marksweep.report.log_lines import Level, LogLines, MarkLines, SweepLines
from marksweep.store.tuning import Meter
from marksweep.sweep import observer as swept

if TYPE_CHECKING:
    from marksweep.report.metrics_file import MetricsFile
    from marksweep.report.otel import OtelRun


class Telemetry:
    """Of one command. *quiet* leaves only warnings and errors on stderr; *metrics* is the Prometheus file."""

    def __init__(self, *, quiet: bool, metrics: Path | None) -> None:
        self._choice = CHOSEN.get(LogChoice())
        self._quiet = quiet
        self._metrics_path = metrics
        self._counts = RunCounts()
        self._log = LogLines(self._choice.command)
        self._metrics: MetricsFile | None = None
        self._otel: OtelRun | None = None
        self._error: ErrorFacts | None = None
        self._stack = ExitStack()
        if self.on_stderr:
            sys.stderr.flush()
            least: Level = "warning" if quiet else "info"
            self._log.to(sys.stderr.buffer, least)

    @property
    def on_stderr(self) -> bool:
        """Whether stderr holds JSON Lines, and so no words for people."""
        return self._choice.format is LogFormat.JSON

    def begin(self) -> None:
        """The command begins. Raises UsageError for a file that cannot be written to, or an extra that is absent."""
        if (file := self._choice.file) is not None:
            try:
                stream = self._stack.enter_context(file.open("ab", buffering=0))
            except OSError as error:
                raise UsageError(
                    f"the log {file} cannot be written to: {error.strerror}", "give another file to --log-file"
                ) from None
            self._log.to(stream)
        self.say("info", "command-started", version=__version__)
        if self._metrics_path is not None:
            self._metrics = _metrics_file(self._metrics_path, self._choice.command, self._counts, self._lost_metrics)
        self._otel = _otel(self._choice.command, self._counts, self._lost_telemetry)

    def say(self, level: Level, event: str, **members: object) -> None:
        """One line of the log."""
        self._log.write(level, event, **members)

    def failed(self, error: ErrorFacts, **more: str) -> None:
        """The command ends early."""
        self._error = error
        self.say("error", "error", **msgspec.structs.asdict(error), **more)

    def end(self, status: int, document: Document | None) -> None:
        """The command ends with *status*, having shown *document*."""
        if isinstance(document, MarkResult | PruneResult):
            self._counts.planned_entries, self._counts.planned_bytes = document.plan.entries, document.plan.bytes
            self._know(document.plan.id, document.plan.mode, document.plan.catalog.server_id)
        if self._metrics is not None:
            self._metrics.end(status)
        if self._otel is not None:
            self._otel.end(status, self._error.code if self._error else None)
        self.say("info", "finished", status=status, **_ending(document))
        self._stack.close()

    @contextmanager
    def mark(
        self, first: marked.MarkObserver, meter: Meter, mode: Mode, server_id: str
    ) -> Iterator[marked.MarkObserver]:
        """An observer of a mark, which tells *first* and everything that was asked for."""
        self._know(None, mode, server_id, meter)
        with ExitStack() as stack:
            lines = [stack.enter_context(MarkLines(self._log, meter))] if self._log else []
            spans: list[marked.MarkObserver] = []
            if self._otel is not None:
                self._otel.marking()
                stack.callback(self._otel.pause)
                spans.append(self._otel)
            yield marked.Several(self._counts, first, *lines, *spans)

    @contextmanager
    def sweep(
        self, first: swept.SweepObserver, meter: Meter, plan: tuple[str, Mode, str], phase: str = "sweep"
    ) -> Iterator[swept.SweepObserver]:
        """The same of a sweep, or a rehearsal, of *plan*: its id, its mode, and its catalog's server id."""
        id_, mode, server_id = plan
        self._know(id_, mode, server_id, meter)
        with ExitStack() as stack:
            lines = [stack.enter_context(SweepLines(self._log, meter, phase))] if self._log else []
            spans = [self._otel] if self._otel is not None else []
            yield swept.Several(self._counts, first, *lines, *spans)

    def _know(self, plan: str | None, mode: Mode, server_id: str, meter: Meter | None = None) -> None:
        self._log.plan = plan
        if self._otel is not None:
            self._otel.know(mode=mode.value, server_id=server_id, **({"plan": plan} if plan else {}))
            self._otel.meter = meter or self._otel.meter
        if self._metrics is not None:
            self._metrics.mode, self._metrics.server_id = mode.value, server_id
            self._metrics.meter = meter or self._metrics.meter
            self._metrics.begin()

    def _lost_metrics(self) -> None:
        self._lost("the file given to --metrics-file cannot be written any more")

    def _lost_telemetry(self) -> None:
        self._lost("spans or metrics cannot be sent to the OpenTelemetry collector")

    def _lost(self, what: str) -> None:
        message = f"{what}; the work goes on without them"
        self.say("warning", "warning", message=message)
        if not (self._quiet or self.on_stderr):
            with suppress(OSError, ValueError):  # whoever read it has gone
                sys.stderr.write(f"{message}\n")


def _metrics_file(path: Path, command: str, counts: RunCounts, lost: Callable[[], None]) -> MetricsFile:
    try:
        from marksweep.report.metrics_file import MetricsFile
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"--metrics-file needs {missing.name}, which is not installed", "install it: pip install 'marksweep[otel]'"
        ) from None
    if path.suffix != ".prom" or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(
            f"no metrics can be written to {path}",
            "give --metrics-file a name that ends in .prom (others are not read), in a folder that is writable",
        )
    return MetricsFile(path, command, counts, lost)


def _otel(command: str, counts: RunCounts, lost: Callable[[], None]) -> OtelRun | None:
    if not any(name.startswith("OTEL_") for name in os.environ):
        return None
    try:
        from marksweep.report.otel import OtelRun, wanted
    except ModuleNotFoundError:  # the variables are the machine's; the extra says whether marksweep heeds them
        return None
    try:
        return OtelRun(command, os.environ, counts, lost) if wanted(os.environ) else None
    except Exception:  # the SDK raises whatever it likes for a variable that it cannot read, and that stops no sweep
        lost()
        return None


def _ending(document: Document | None) -> dict[str, object]:
    """What the last line says of the result, besides the exit status."""
    match document:
        case MarkResult(plan=plan, requests=requests, seconds=seconds):
            facts = {"path": plan.path, "digest": plan.digest, "entries": plan.entries, "bytes": plan.bytes}
            return {**facts, "requests": msgspec.structs.asdict(requests), "seconds": seconds}
        case SweepResult(path=path, digest=digest, books=books, requests=requests, seconds=seconds):
            facts = {"path": path, "digest": digest, "dry_run": document.dry_run, "receipt": document.receipt}
            books_now, asked = msgspec.structs.asdict(books), msgspec.structs.asdict(requests)
            return {**facts, "books": books_now, "requests": asked, "seconds": seconds}
        case PruneResult(sweep=sweep) if sweep is not None:
            return _ending(sweep)
        case RestoreResult():
            kept = ("path", "digest", "dry_run", "swept", "restored", "refused", "objects", "bytes", "seconds")
            return {name: getattr(document, name) for name in kept}
        case _:
            return {}
