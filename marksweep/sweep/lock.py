"""One sweep of a plan at a time: a lock file beside it, held with ``flock``.

A file of its own, because SQLite's POSIX locks on the journal are dropped when anything in this process opens and closes it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import AbstractContextManager
from pathlib import Path

from marksweep.flock import flocked


def lock_path(plan: Path) -> Path:
    """The lock file that belongs to *plan*."""
    return plan.with_name(plan.name + ".lock")


def held(plan: Path) -> AbstractContextManager[None]:
    """Hold the plan's lock; raise Locked naming the holder when another process has it."""
    return flocked(
        lock_path(plan),
        "another sweep of this plan is running",
        "wait for it, or look at its progress with `marksweep status`",
    )


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
