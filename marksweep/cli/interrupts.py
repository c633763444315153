"""Stopping on Ctrl-C (or SIGTERM) without tearing anything: ask the work to stop, and let worker threads finish.

The event loop's own reaction would cancel the main task at once and leave worker threads behind, inside a claim or a delete,
while their database and folder handles are closed under them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio

from marksweep.errors import ExitStatus, Interrupted
from marksweep.mark.observer import MarkObserver


def _tell(message: str) -> None:
    sys.stderr.write(f"\n{message}\n")


@dataclass(slots=True)
class Interrupt:
    """Whether a person asked to stop, and what to do when it happens; *tell* says so."""

    requested: bool = False
    tell: Callable[[str], None] = _tell

    async def run(self, work: Callable[[], Awaitable[None]], stop: Callable[[], None] | None = None) -> None:
        """Run *work*. The first signal calls *stop*; the second ends the process at once, as a kill would (which is safe)."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, stop)
            try:
                await work()
            except Exception as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _watch(self, stop: Callable[[], None] | None) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                if self.requested:
                    self._say("stopped at once")
                    os._exit(int(ExitStatus.INTERRUPTED))
                self.requested = True
                if stop is not None:
                    stop()
                self._say("stopping: what is in flight is finished first (press Ctrl-C again to stop at once)")

    def _say(self, message: str) -> None:
        """Ctrl-C ends the reader of a pipe, too: that nobody hears of it must not tear what is in flight."""
        with suppress(OSError, ValueError):
            self.tell(message)


@dataclass(slots=True)
class StoppableMark:
    """An observer of a mark that ends it, from inside, once a person asked to stop."""

    watching: MarkObserver
    interrupt: Interrupt

    def _check(self) -> None:
        if self.interrupt.requested:
            raise Interrupted("the mark was interrupted; no plan was written", "run the same command again")

    def surveyed(self, versions: int) -> None:
        self._check()
        self.watching.surveyed(versions)

    def comparing(self) -> None:
        self._check()
        self.watching.comparing()

    def sizing(self, entries: int) -> None:
        self._check()
        self.watching.sizing(entries)

    def sized(self, entries: int, bytes_: int) -> None:
        self._check()
        self.watching.sized(entries, bytes_)

    def writing(self) -> None:
        self.watching.writing()

    def warn(self, message: str) -> None:
        self.watching.warn(message)
