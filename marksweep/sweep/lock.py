"""One sweep of a plan at a time: a lock file beside it, held with ``flock``.

A file of its own, because SQLite's POSIX locks on the journal are dropped when anything in this process opens and closes it.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marksweep.errors import Locked


def lock_path(plan: Path) -> Path:
    """The lock file that belongs to *plan*."""
    return plan.with_name(plan.name + ".lock")


@contextmanager
def held(plan: Path) -> Iterator[None]:
    """Hold the plan's lock; raise Locked naming the holder when another process has it."""
    path = lock_path(plan)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 256).decode("utf-8", "replace").strip() or "another process"
            raise Locked(
                f"another sweep of this plan is running: {holder} holds {path}",
                "wait for it, or look at its progress with `marksweep status`",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(plan: Path) -> bool:
    """Whether a sweep of *plan* is running now, as far as its lock file tells."""
    try:
        descriptor = os.open(lock_path(plan), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
