"""A file that one process holds at a time, with ``flock``, and that says who does."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marksweep.errors import Locked


@contextmanager
def flocked(path: Path, fact: str, remedy: str, *, remove: bool = False) -> Iterator[None]:
    """Hold *path*, made if it is not there; raise Locked (*fact*, and who holds it) when another process has it.

    With *remove* the file is gone afterwards. Raises OSError when it cannot be written.
    """
    descriptor = _open_and_lock(path, fact, remedy)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        if remove:  # while it is held: whoever opened it meanwhile sees that it is not the file of that name any more
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _open_and_lock(path: Path, fact: str, remedy: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 256).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            raise Locked(f"{fact}: {holder} holds {path}", remedy) from None
        if _is_still(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether *path* is the file that was opened: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
