"""A line that says how far the work is, shown by a thread of its own; what :mod:`marksweep.report.progress` is made of."""

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

from marksweep.report.text import remaining

DELAY = 0.5
"""Seconds until anything is shown on a terminal."""
EVERY = 10.0
"""Seconds between lines where stderr is no terminal."""
BAR = 16
"""Columns of the bar, where there is room for it."""
SPAN = 60.0
"""Seconds over which the rate is measured."""


class Ticker:
    """A context manager: the thread, the rate, and the line. ``quiet`` shows nothing, ever."""

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
        self.hush()

    def hush(self) -> None:
        """Show nothing from here on: the terminal is somebody else's, to ask something."""
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
