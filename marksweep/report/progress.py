"""How far a mark or a sweep is, on stderr: one line that renews itself on a terminal, a plain line now and then elsewhere.

Both are context managers and observers. A thread of their own shows :meth:`line`; so the engines only count, and a long
wait for a database still shows that the program lives. What ends within half a second shows nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, Outcome
from marksweep.report.text import count, counted, remaining, size

DELAY = 0.5
"""Seconds until anything is shown on a terminal."""
EVERY = 10.0
"""Seconds between lines where stderr is no terminal."""
BAR = 16
"""Columns of the bar, where there is room for it."""
SPAN = 60.0
"""Seconds over which the rate is measured."""


class Progress:
    """What the two have in common: the thread, the rate, and the line. ``quiet`` shows nothing, ever."""

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._quiet = quiet
        self._every = every
        self._clock = clock
        self._ended = Event()
        self._thread: Thread | None = None
        self._spinner = Spinner("line" if console.options.ascii_only else "dots")
        self._samples: deque[tuple[float, int]] = deque()

    def line(self) -> str:
        """How far it is, in one line without markup."""
        raise NotImplementedError

    def fraction(self) -> float | None:
        """The part that is done, from 0 to 1; None while nobody knows."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if not self._quiet:
            self._thread = Thread(target=self._show, name="marksweep-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        try:
            if self._console.is_terminal and not self._console.is_dumb_terminal:
                self._show_live()
            else:
                while not self._ended.wait(self._every):
                    self._console.print(Text(self.line()), soft_wrap=True)
        except (OSError, ValueError):  # whoever read stderr has gone: the work goes on
            return

    def _show_live(self) -> None:
        if self._ended.wait(DELAY):
            return
        live = Live(
            get_renderable=self._drawn, console=self._console, transient=True, refresh_per_second=5,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        with live:
            self._ended.wait()

    def _drawn(self) -> RenderableType:
        line, done = Text(self.line(), no_wrap=True, overflow="crop"), self.fraction()
        grid = Table.grid(padding=(0, 1, 0, 0))
        room = min(BAR, self._console.width - len(line) - 2)
        if done is None:
            grid.add_row(self._spinner, line)
        elif room >= BAR // 3:
            grid.add_row(ProgressBar(total=1.0, completed=done, width=room), line)
        else:
            grid.add_row(line)
        return grid

    def _restart(self) -> None:
        """Measure the rate from here on."""
        self._samples = deque([(self._clock(), 0)])

    def _pace(self, done: int, left: int | None) -> list[str]:
        """The rate of the last minute, and the time left at that rate, for *done* since :meth:`_restart`."""
        now = self._clock()
        samples = self._samples
        samples.append((now, done))
        while len(samples) > 2 and samples[1][0] <= now - SPAN:
            samples.popleft()
        since, before = samples[0]
        if done <= before or now <= since:
            return []
        rate = (done - before) / (now - since)
        shown = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
        return [shown] if left is None else [shown, f"{remaining(left / rate)} left"]


class MarkProgress(Progress):
    """Watches a mark (a :class:`~marksweep.mark.observer.MarkObserver`). ``warnings`` are what it was told, unaltered."""

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, quiet=quiet, every=every, clock=clock)
        self.warnings: list[str] = []
        self.versions = 0
        self.places: int | None = None
        self.measured = 0
        self.bytes = 0
        self._comparing = False
        self._restart()

    def surveyed(self, versions: int) -> None:
        """So many more versions were read."""
        self.versions += versions

    def comparing(self) -> None:
        """URIs are compared with each other now."""
        self._comparing = True

    def sizing(self, entries: int) -> None:
        """So many places will be listed."""
        self._restart()
        self.places = entries

    def sized(self, entries: int, bytes_: int) -> None:
        """So many more were listed."""
        self.measured += entries
        self.bytes += bytes_

    def warn(self, message: str) -> None:
        """Keep a warning for the end."""
        self.warnings.append(message)

    def line(self) -> str:
        if self.places is not None:
            left = max(0, self.places - self.measured)
            total = counted(self.places, "place")
            return ", ".join(
                [f"sized {self.measured:,} of {total}", size(self.bytes), *self._pace(self.measured, left)]
            )
        if self._comparing:
            return f"comparing the places of {counted(self.versions, 'version')}"
        return ", ".join([f"read {counted(self.versions, 'version')}", *self._pace(self.versions, None)])

    def fraction(self) -> float | None:
        return min(1.0, self.measured / self.places) if self.places else None


class SweepProgress(Progress):
    """Watches a sweep (a :class:`~marksweep.sweep.observer.SweepObserver`). The counters are of this run alone."""

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, quiet=quiet, every=every, clock=clock)
        self.entries = 0
        self.settled = 0
        self.resuming = 0
        self.deleted = self.gone = self.kept = self.failed = 0
        self.objects = self.bytes = 0
        self._drained_at: float | None = None
        self._restart()

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        """What the plan holds, and what earlier runs have settled."""
        self.entries, self.settled = entries, settled
        self._restart()

    def resumed(self, entries: int) -> None:
        """So many entries of an earlier run are finished first."""
        self.resuming = entries

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None:
        """Count one entry."""
        match outcome:
            case Deleted(objects, bytes_):
                self.deleted += 1
                self.objects, self.bytes = self.objects + objects, self.bytes + bytes_
            case AlreadyGone():
                self.gone += 1
            case Kept():
                self.kept += 1
            case Failed(objects=objects, bytes=bytes_):
                self.failed += 1
                self.objects, self.bytes = self.objects + objects, self.bytes + bytes_

    def draining(self, seconds: float) -> None:
        """Rows are marked; their bytes wait for so long."""
        self._drained_at = self._clock() + seconds

    @property
    def done(self) -> int:
        """Entries that this run has brought to an end."""
        return self.deleted + self.gone + self.kept + self.failed

    def line(self) -> str:
        swept = min(self.entries, self.settled + self.done)
        pieces = [f"swept {swept:,} of {counted(self.entries, 'entry', 'entries')}", size(self.bytes)]
        pieces += [f"{count(n)} {word}" for n, word in ((self.kept, "kept"), (self.failed, "failed")) if n]
        if self.done < self.resuming:
            pieces.append(f"{self.resuming - self.done:,} of an earlier run first")
        wait = 0.0 if self._drained_at is None else self._drained_at - self._clock()
        if wait > 0:
            return ", ".join([*pieces, f"waiting {remaining(wait)} before the bytes of marked rows go"])
        return ", ".join([*pieces, *self._pace(self.done, self.entries - swept)])

    def fraction(self) -> float | None:
        return min(1.0, (self.settled + self.done) / self.entries) if self.entries else None
