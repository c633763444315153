"""A process that has imported marksweep and forks a child for each run of it: a start costs no imports.

    python -m tests.crash.nursery

One JSON line in, of :class:`Run`; two lines out: the child's process id, and its exit status when it has ended, negative
for a signal. It has no threads, so that a fork copies a whole process; one child at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Run:
    """One run of marksweep; its output is appended to ``log``."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    log: str


class Child:
    """One run under way, as much of ``subprocess.Popen`` as its killer needs."""

    def __init__(self, pid: int, said: int) -> None:
        self.pid = pid
        self._said = said
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._read() if self._status is None and select.select([self._said], [], [], 0)[0] else self._status

    def wait(self, timeout: float = 60) -> int:
        """Its exit status once it has ended; *timeout* in seconds."""
        if self._status is None:
            assert select.select([self._said], [], [], timeout)[0], f"process {self.pid} did not end in {timeout} s"
            return self._read()
        return self._status

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _read(self) -> int:
        self._status = int(os.read(self._said, 100))
        return self._status


class Nursery:
    """A running :mod:`tests.crash.nursery`, ended at the end of the block."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def start(self, run: Run) -> Child:
        """Fork a child; the one before must have ended and been waited for."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(run)).encode() + b"\n")
        return Child(int(self._process.stdout.readline()), self._process.stdout.fileno())


def main() -> None:
    """Serve until the input ends."""
    from tests.chaos.sweeper import warm_up  # it imports all that the command line does

    warm_up()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _be_marksweep(Run(**json.loads(line)))
        os.write(1, f"{pid}\n".encode())
        _, ended = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(ended)}\n".encode())


def _be_marksweep(run: Run) -> None:
    from marksweep.cli.main import main as marksweep

    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(run.environment)
        os.chdir(run.folder)
        sys.argv = ["marksweep", *run.argv]
        marksweep()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
