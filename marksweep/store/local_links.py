"""Whether a symbolic link stands in the way to a place, asked of many places that lie in the same folders.

What a folder was found to be is remembered for a moment. Nothing rests on it: whatever lists or deletes walks the path anew.
"""

from __future__ import annotations

import errno
import os
import stat
import time

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOMENT = 1.0
"""Seconds for which a folder is believed to be what it was."""
_MOST = 10_000
"""Folders that are remembered."""

_SOUND, _NOTHING = 0, 1


class Links:
    """The links below one root, given as a descriptor."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._folders: dict[str, int | str] = {}
        """By relative path: a folder, none, or the link that is in the way to it."""
        self._until = 0.0

    def first(self, path: str) -> str | None:
        """The topmost symbolic link at or above *path*, as a relative path; null when there is none.

        Raises OSError for a folder that cannot be opened, and ValueError for what cannot be a name.
        """
        now = time.monotonic()
        if now > self._until or len(self._folders) > _MOST:
            self._folders.clear()
            self._until = now + _MOMENT
        cut = path.find("/")
        while cut >= 0:
            folder = path[:cut]
            found = self._folders.get(folder)
            if found is None:
                found = self._folders[folder] = self._look(folder)
            if found == _NOTHING:
                return None
            if found != _SOUND:
                return str(found)
            cut = path.find("/", cut + 1)
        return path if self._is_link(path) else None

    def _look(self, path: str) -> int | str:
        # What is above was found to be folders; the last name is not followed.
        try:
            os.close(os.open(path, _FOLDER, dir_fd=self._root))
        except FileNotFoundError:
            return _NOTHING
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            return path if self._is_link(path) else _NOTHING
        return _SOUND

    def _is_link(self, path: str) -> bool:
        try:
            return stat.S_ISLNK(os.lstat(path, dir_fd=self._root).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
