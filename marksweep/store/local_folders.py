"""Folders below a root, each opened once for all that lies in it, and never through a symbolic link.

A path is walked with ``O_NOFOLLOW | O_DIRECTORY``, one segment at a time and each from the descriptor of the folder above,
so that a link that is swapped in at any moment ends the walk instead of leading it astray. The last few folders of a walk
stay open: the next path goes on from the deepest that it shares.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence

Segments = tuple[str, ...]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened: one that is there, and is no link."""

HELD = 8
"""Descriptors that one walk keeps, however deep it is."""


class LinkInTheWay(OSError):
    """A symbolic link stands where a folder was expected; ``filename`` is its path relative to the root."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ELOOP, "a symbolic link", path)


class Folders:
    """The folders below one root, given as a descriptor, for one thread and a moment: leaving it closes what it opened.

    A folder that is renamed or replaced meanwhile is still met as the one that it was.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._path: Segments = ()
        self._open: deque[int] = deque()
        """The last few folders on the way to the path."""

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(0)

    def at(self, segments: Sequence[str]) -> int:
        """A descriptor of the folder *segments* below the root, good until the next call.

        Raises FileNotFoundError, NotADirectoryError, :class:`LinkInTheWay`, or another OSError of the walk.
        """
        self._leave(_shared(self._path, segments))
        current = self._open[-1] if self._open else self._root
        for depth in range(len(self._path), len(segments)):
            path = tuple(segments[: depth + 1])
            current = _step(current, path)
            self._path = path
            self._open.append(current)
            if len(self._open) > HELD:
                os.close(self._open.popleft())
        return current

    def _leave(self, depth: int) -> None:
        # Back up to the folder at that depth; to the root, if that folder is not open any more.
        while self._open and len(self._path) > depth:
            os.close(self._open.pop())
            self._path = self._path[:-1]
        if not self._open:
            self._path = ()


def _shared(path: Segments, other: Sequence[str]) -> int:
    shared = 0
    for mine, theirs in zip(path, other, strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared


def _step(parent: int, path: Segments) -> int:
    try:
        return os.open(path[-1], FOLDER, dir_fd=parent)
    except OSError as error:
        # Linux says ENOTDIR for a link here, BSD and macOS say ELOOP.
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and is_link(parent, path[-1]):
            raise LinkInTheWay("/".join(path)) from None
        raise


def is_link(parent: int, name: str) -> bool:
    """Whether *name* in the open folder *parent* is a symbolic link; false when nothing is there."""
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode)
    except FileNotFoundError:
        return False
