"""JSON Lines for programs that read logs: one object a line, written as things happen. ``docs/how-to/watch-a-sweep.md``.

Every line has ``time`` (RFC 3339, UTC), ``level``, ``event``, ``command`` and ``plan`` (its id; null until it is known).
Characters that a terminal or a CI runner obeys, and those that nobody sees, stand as ``\\uXXXX``, as in ``--json``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Final, Literal

from rich.console import Console

from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, Outcome
from marksweep.report.progress import MarkProgress, SweepProgress
from marksweep.report.text import json_text
from marksweep.report.ticker import Ticker
from marksweep.store.tuning import Meter
from marksweep.sweep.observer import BatchStep, CanaryStep

Level = Literal["info", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = ("info", "warning", "error")
PERIOD = 10.0
"""Seconds after which a line says how far the work is, whether or not it went on."""
PART = 0.05
"""The part of the work after which such a line is written earlier."""
LOOK = 0.5
"""Seconds between two looks at whether such a line is due, and at what the stores answer."""
_INSIDE: Final = re.compile(r"##\[")
"""What GitHub's runner obeys anywhere in a line; at its beginning no line of ours has anything but a brace."""
_BATCHES: Final[dict[BatchStep, str]] = {"list": "batch-listed", "claim": "batch-claimed", "delete": "batch-deleted"}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LogLines:
    """Writes the lines of one command, from any thread, the same ones to every stream that :meth:`to` was given.

    A stream that cannot be written to any more (a full disk, a reader that went away) gets no more, and nothing else happens.
    """

    def __init__(self, command: str, *, now: Callable[[], datetime] = _utc_now) -> None:
        self.plan: str | None = None
        self._streams: list[tuple[IO[bytes], int]] = []
        self._command = command
        self._now = now
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anybody reads."""
        return bool(self._streams)

    def to(self, stream: IO[bytes], least: Level = "info") -> None:
        """Write to *stream*, too, what is no less than *least*."""
        self._streams.append((stream, LEVELS.index(least)))

    def write(self, level: Level, event: str, **members: object) -> None:
        """One line. *members* are JSON values and must hold no secret: what errors and plans may hold, they may."""
        if not self._streams:
            return
        moment = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": moment, "level": level, "event": event, "command": self._command, "plan": self.plan, **members}
        text = _INSIDE.sub(r"#\\u0023[", json_text(line, indent=None)).encode() + b"\n"
        with self._lock:
            for stream, least in [s for s in self._streams if LEVELS.index(level) >= s[1]]:
                try:
                    stream.write(text)
                    stream.flush()
                except (OSError, ValueError):
                    self._streams.remove((stream, least))


class _Lines(Ticker):
    """What the lines of a mark and of a sweep share: a thread that writes how far it is, and when a store slows down."""

    def _begin(self, log: LogLines, meter: Meter) -> None:
        self._log = log
        self._stores = meter
        self._slow: dict[str, str] = {}
        self._said = self._clock()
        self._part = 0.0

    def far(self) -> dict[str, object]:
        """How far the work is: the members of a ``progress`` line."""
        raise NotImplementedError

    def look(self) -> None:
        """Write what is due now."""
        slow = dict(self._stores.throttled)
        for place in slow.keys() - self._slow.keys():
            self._log.write("warning", "store-slowed", place=place, why=slow[place])
        for place in self._slow.keys() - slow.keys():
            self._log.write("info", "store-recovered", place=place)
        self._slow = slow
        now, part = self._clock(), self.fraction() or 0.0
        if now - self._said < PERIOD and part - self._part < PART:
            return
        self._said, self._part = now, part
        self._log.write("info", "progress", **self.far())

    def _show(self) -> None:
        while not self._ended.wait(LOOK):
            self.look()


def _console() -> Console:
    """Nothing is ever printed on it."""
    return Console(quiet=True)


class MarkLines(_Lines, MarkProgress):
    """A :class:`~marksweep.mark.observer.MarkObserver` that writes lines."""

    def __init__(self, log: LogLines, meter: Meter, *, clock: Callable[[], float] = time.monotonic) -> None:
        MarkProgress.__init__(self, _console(), meter, clock=clock)
        self._begin(log, meter)
        log.write("info", "phase", phase="survey")

    def comparing(self) -> None:
        super().comparing()
        self._log.write("info", "phase", phase="examine", versions=self.versions)

    def sizing(self, entries: int) -> None:
        super().sizing(entries)
        self._log.write("info", "phase", phase="measure", places=entries)

    def writing(self) -> None:
        super().writing()
        self._log.write("info", "phase", phase="write")

    def warn(self, message: str) -> None:
        super().warn(message)
        self._log.write("warning", "warning", message=message)

    def far(self) -> dict[str, object]:
        return {"versions": self.versions, "places": self.places, "sized": self.measured, "bytes": self.bytes}


class SweepLines(_Lines, SweepProgress):
    """A :class:`~marksweep.sweep.observer.SweepObserver` that writes lines. *phase*: ``sweep``, or ``rehearse``."""

    def __init__(
        self, log: LogLines, meter: Meter, phase: str = "sweep", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        SweepProgress.__init__(self, _console(), meter, clock=clock)
        self._begin(log, meter)
        self._phase = phase

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        super().planned(entries, bytes_, settled)
        self._part = self.fraction() or 0.0
        self._log.write("info", "phase", phase=self._phase, entries=entries, bytes=bytes_, settled=settled)

    def resumed(self, entries: int) -> None:
        super().resumed(entries)
        self._log.write("info", "resumed", entries=entries)

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None:
        super().outcome(id_, uri, outcome)
        match outcome:
            case Kept(because, detail):
                self._log.write("warning", "entry-kept", id=id_, uri=uri, code=because.value, detail=detail)
            case Failed(code, message):
                self._log.write("error", "entry-failed", id=id_, uri=uri, code=code, detail=message)
            case Deleted() | AlreadyGone():
                pass

    def draining(self, seconds: float) -> None:
        super().draining(seconds)
        self._log.write("info", "phase", phase="drain", seconds=seconds)

    def canary(self, step: CanaryStep, entries: int, witnesses: int) -> None:
        super().canary(step, entries, witnesses)
        if step == "over" and not entries:
            return  # there was none
        self._log.write("info", "phase", phase="canary", step=step, entries=entries, witnesses=witnesses)

    def batch(self, step: BatchStep, began: float, entries: int, objects: int, bytes_: int) -> None:
        looked = {} if step == "claim" else {"objects": objects, "bytes": bytes_}
        seconds = round(self._clock() - began, 3)
        self._log.write("info", _BATCHES[step], entries=entries, **looked, seconds=seconds)

    def far(self) -> dict[str, object]:
        return {
            "entries": self.entries, "settled": min(self.entries, self.settled + self.done), "deleted": self.deleted,
            "gone": self.gone, "kept": self.kept, "failed": self.failed, "objects": self.objects, "bytes": self.bytes,
        }  # fmt: skip
