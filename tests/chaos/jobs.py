"""What a child of the zygote is to do, and the other end of the zygote's pipe."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Job:
    """One child. ``log`` gets its output.

    For a sweep: ``argv`` of marksweep; ``weaken`` are names of :data:`tests.chaos.mutants.MUTANTS`; ``point`` is a name of
    :data:`tests.chaos.sweeper.POINTS` and the how-manieth time kills it; ``flight`` and ``events`` are files that it keeps.
    For a writer: ``given`` are the fields of :class:`tests.chaos.writer.Given`.
    """

    number: int
    what: str
    log: str
    argv: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    weaken: Sequence[str] = ()
    point: tuple[str, int] | None = None
    flight: str | None = None
    events: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Child:
    """One running child."""

    zygote: Zygote
    number: int
    ended: queue.Queue[int]

    def wait(self, timeout: float) -> int | None:
        """Its exit status, negative for a signal; None when it has not ended after *timeout* seconds."""
        try:
            status = self.ended.get(timeout=timeout)
        except queue.Empty:
            return None
        self.ended.put(status)
        return status

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self.zygote.say({"kill": self.number})


class Zygote:
    """A running :mod:`tests.chaos.zygote`, ended with all of its children at the end of the block."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ends: dict[int, queue.Queue[int]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Zygote:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._reader.join(60)
        self._process.stdout.close()

    def start(self, what: str, log: Path, **given: Any) -> Child:
        """Fork a child; *given* are fields of :class:`Job`."""
        job = Job(number=next(self._numbers), what=what, log=str(log), **given)
        ended: queue.Queue[int] = queue.Queue()
        self._ends[job.number] = ended
        self.say(asdict(job))
        return Child(self, job.number, ended)

    def say(self, order: Mapping[str, Any]) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            end = json.loads(line)
            self._ends.pop(end["number"]).put(end["status"])
