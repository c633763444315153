"""Which keys a URI means on this machine, symbolic links resolved. Cheap enough for every version in a catalog."""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Sequence

from marksweep.model.uri import claims, plain_key

_ODD = re.compile(r"//|/\.{1,2}(/|$)")
"""Paths whose lexical parent is not their real one."""
_FILE = re.compile(r"file://", re.IGNORECASE)


def local_path(uri: str) -> str | None:
    """The absolute path that *uri* means, as it is written; null when it names no local file."""
    match = _FILE.match(uri)
    path = uri[match.end() :] if match else uri
    return path if path.startswith("/") else None


DEEPEST = 200
"""Folders that are followed one inside the other; a deeper path is left to the system, which does not recurse."""

LENGTHS, ABSENT = 8, 1_000
"""How many absent folders are remembered, of each of so many lengths: a store that is not on this machine costs no look."""

ALIKE = 50
"""Neighbours in one folder after which it is read once, instead of looking at each: logs come by the thousand."""


class RealPaths:
    """Resolves local URIs, remembering the folders that it resolved: neighbours share all but their last few.

    What a link pointed at is remembered, too: use one for a pass over a catalog, not for longer.
    """

    def __init__(self, remembered: int = 8_192) -> None:
        self._folder = functools.lru_cache(maxsize=remembered)(self._look)
        self._folder_before, self._alike = "", 0
        self._links: set[str] = set()
        """The links in the folder that so many neighbours in a row lay in that it was read."""
        self._absent: dict[int, set[str]] = {}
        """Folders that do not exist, in ones that do: no link can lie below. With a slash behind, by length; a few of them."""

    def spellings(self, uri: str) -> tuple[str, ...]:
        """Every key that *uri* could mean: the lexical ones, and the one of its real path. Never raises."""
        key = plain_key(uri)
        if key is not None:
            if not uri.startswith("/"):
                return (key,)
            for length, folders in self._absent.items():
                if uri[:length] in folders:
                    return (key,)
        keys = claims(uri)
        path = local_path(uri)
        if path is None:
            return keys
        try:
            real = self._resolve(path)
        except (OSError, ValueError):  # a link loop, a NUL, a lone surrogate: only the lexical readings are left
            return keys
        key = f"file://{real.rstrip('/')}/"
        return keys if key in keys else tuple(sorted((*keys, key)))

    def sole_keys(self, uris: Sequence[str]) -> list[str | None]:
        """The key of each URI that is plain and has no other spelling; None for the rest."""
        found: list[str | None] = []
        for uri in uris:
            key = plain_key(uri)
            if key is not None and uri[0] == "/":
                for length, folders in self._absent.items():
                    if uri[:length] in folders:
                        break
                else:
                    key = key if self._is_real(uri.rstrip("/")) else None
            found.append(key)
        return found

    def _is_real(self, path: str) -> bool:
        """Whether *path*, which is plain, holds no link."""
        folder, _, name = path.rpartition("/")
        try:
            if folder.count("/") > DEEPEST:
                return False
            real, exists = self._folder(folder)
            if real != folder or not exists or not name:
                return real == folder
            self._alike = self._alike + 1 if folder == self._folder_before else 0
            self._folder_before = folder
            if self._alike < ALIKE:
                return not stat.S_ISLNK(os.lstat(path).st_mode)
            if self._alike == ALIKE:
                self._links = _links_in(folder or "/")
            return name not in self._links
        except (FileNotFoundError, NotADirectoryError):
            return True
        except (OSError, ValueError):
            self._alike = 0
            return False

    def _resolve(self, path: str) -> str:
        if _ODD.search(path) or path.count("/") > DEEPEST:
            return os.path.realpath(path)
        return self._step(path.rstrip("/"))[0]

    def _look(self, path: str) -> tuple[str, bool]:
        real, exists = self._step(path)
        if not exists and real == path and self._folder(path.rpartition("/")[0])[1]:
            self._remember_absent(f"{path}/")
        return real, exists

    def _remember_absent(self, folder: str) -> None:
        if len(folder) in self._absent or len(self._absent) < LENGTHS:
            folders = self._absent.setdefault(len(folder), set())
            if len(folders) < ABSENT:
                folders.add(folder)

    def _step(self, path: str) -> tuple[str, bool]:
        """The real path of *path*, and whether it exists: below what does not, no link can lie."""
        if not path:
            return "", True
        parent, _, name = path.rpartition("/")
        folder, exists = self._folder(parent)
        real = f"{folder}/{name}"
        if not exists:
            return real, False
        try:
            mode = os.lstat(real).st_mode
        except OSError:
            return real, False
        return (os.path.realpath(real), True) if stat.S_ISLNK(mode) else (real, True)


def _links_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
