"""A trash for local files: what a sweep deletes is moved there, by a rename, and a restore moves it back.

``DIR/<plan>/<store>/<path below the store's root>``, on the store's own file system, readable by nobody else. Nothing in it
is ever overwritten: a name that is taken goes to ``<store>.2``, ``<store>.3`` and so on. Every step below the trash and
below the store's root is taken with a descriptor of the folder above, never through a symbolic link.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store import local_fs
from marksweep.store.local_folders import FOLDER, Folders, Segments
from marksweep.store.local_move import move

PRIVATE = 0o700
"""The rights of every folder of a trash."""
_COPIES = 1_000
"""Objects of one key in one plan's trash; a second one is rare."""


@dataclass(frozen=True, slots=True)
class Trash:
    """One plan's trash for one store. ``inside``: the folder below the store's root that holds it, if one does."""

    folder: int
    store: str
    shown: str
    inside: str | None

    def take(self, root: int, objects: Sequence[StoredObject]) -> list[KeyOutcome]:
        """Move each of *objects* that is still as it was listed. When this returns, what it calls deleted lies here durably."""
        outcomes: list[KeyOutcome] = []
        for place, members in local_fs.by_folder(objects).items():
            try:
                with local_fs.folder(root, place) as parent, _Targets(self, place) as targets:
                    moved = [_take(parent, targets, found) for found in members]
                    targets.sync()
                outcomes += moved
            except (FileNotFoundError, NotADirectoryError):
                outcomes += [KeyGone(found.key) for found in members]
            except (OSError, ValueError) as error:
                outcomes += [local_fs.failed(found.key, error) for found in members]
        return outcomes

    def held(self, segments: Segments, since: datetime) -> list[StoredObject]:
        """What lay at or below *segments* and came here at or after *since*; of one key the last. Raises OSError."""
        found: dict[str, StoredObject] = {}
        for copy in self._copies():
            with local_fs.folder(self.folder, (copy,)) as top, Folders(top) as folders:
                for place, members in local_fs.by_folder(local_fs.list_objects(folders, segments)).items():
                    current = folders.at(place)
                    for member in members:
                        came = os.lstat(member.key.rpartition("/")[2], dir_fd=current).st_ctime
                        if datetime.fromtimestamp(came, UTC) >= since:
                            found[member.key] = replace(member, version=f"{copy}/{member.key}")
        return list(found.values())

    def give_back(self, root: int, objects: Sequence[StoredObject]) -> list[KeyFailed | KeyDenied]:
        """Move *objects* (as :meth:`held` has them) back to where they were; return those that could not be."""
        failures: list[KeyFailed | KeyDenied] = []
        copies = set(self._copies())
        for found in objects:
            copy, _, key = found.version.partition("/")
            if copy not in copies or key != found.key:
                failures.append(KeyFailed(found.key, "NotFound", f"it does not lie in the trash {self.shown}"))
            elif failure := self._give_back(root, copy, found):
                failures.append(failure)
        return failures

    def _give_back(self, root: int, copy: str, found: StoredObject) -> KeyFailed | KeyDenied | None:
        *place, name = found.key.split("/")
        try:
            with local_fs.folder(self.folder, (copy, *place)) as source, _made(root, place, 0o777) as target:
                now = os.lstat(name, dir_fd=source)
                if (now.st_size, local_fs.tag(now)) != (found.size, found.tag):
                    return KeyFailed(found.key, "Changed", f"it was changed in the trash {self.shown}")
                try:
                    move(source, target, name)
                except FileExistsError:
                    if not os.path.samestat(now, os.lstat(name, dir_fd=target)):
                        return KeyFailed(found.key, "Occupied", "another file has its place now")
                    os.unlink(name, dir_fd=source)  # a crash left both names of one file
                os.fsync(target)
        except (FileNotFoundError, NotADirectoryError):
            return KeyFailed(found.key, "NotFound", f"it does not lie in the trash {self.shown}")
        except (OSError, ValueError) as error:
            return local_fs.failed(found.key, error)
        self._remove_emptied((copy, *place))
        return None

    def _remove_emptied(self, path: Sequence[str]) -> None:
        """The folder *path* of the trash and those above it, as far as they are empty."""
        with suppress(OSError):
            for depth in range(len(path), 0, -1):
                with local_fs.folder(self.folder, path[: depth - 1]) as above:
                    os.rmdir(path[depth - 1], dir_fd=above)

    def _copies(self) -> Iterator[str]:
        for number in itertools.count(1):
            name = self.copy(number)
            try:
                os.lstat(name, dir_fd=self.folder)
            except FileNotFoundError:
                return
            yield name

    def copy(self, number: int) -> str:
        """The name of the folder for a key's first, second, … object."""
        return self.store if number == 1 else f"{self.store}.{number}"


class _Targets:
    """The folders of the trash that one folder's files go to: the first, and further ones where a name is taken."""

    def __init__(self, trash: Trash, place: Sequence[str]) -> None:
        self._trash, self._place = trash, place
        self._stack = ExitStack()
        self._open: dict[int, int] = {}

    def __enter__(self) -> _Targets:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[int]:
        for number in range(1, _COPIES):
            if number not in self._open:
                path = (self._trash.copy(number), *self._place)
                try:
                    self._open[number] = self._stack.enter_context(_made(self._trash.folder, path, PRIVATE))
                except NotADirectoryError:  # a file of the trash has the name of a folder
                    continue
            yield self._open[number]

    def sync(self) -> None:
        """Make what was moved here durable."""
        for target in self._open.values():
            os.fsync(target)

    @property
    def shown(self) -> str:
        return self._trash.shown


def _take(parent: int, targets: _Targets, found: StoredObject) -> KeyOutcome:
    name = found.key.rpartition("/")[2]
    try:
        now = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(now.st_mode) or not _is(found, now):
            return KeyChanged(found.key)
        for target in targets:
            try:
                move(parent, target, name)
            except FileExistsError:
                if os.path.samestat(now, os.lstat(name, dir_fd=target)):  # a crash left both names of one file
                    os.unlink(name, dir_fd=parent)
                    return KeyDeleted(found.key)
                continue
            if _is(found, os.lstat(name, dir_fd=target)):
                return KeyDeleted(found.key)
            return _put_back(parent, target, found, targets.shown)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not _exists(parent, name):  # if it is there, the trash is gone
            return KeyGone(found.key)
        return local_fs.failed(found.key, error)
    return KeyFailed(found.key, "TrashFull", f"the trash {targets.shown} holds too many files of this name")


def _put_back(parent: int, target: int, found: StoredObject, trash: str) -> KeyOutcome:
    # Somebody wrote another file there between the look and the rename: it is theirs.
    try:
        move(target, parent, found.key.rpartition("/")[2])
    except OSError:
        return KeyFailed(found.key, "Displaced", f"it was rewritten while it was moved, and lies in the trash {trash}")
    return KeyChanged(found.key)


def _exists(parent: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return True


def _is(found: StoredObject, now: os.stat_result) -> bool:
    return (now.st_size, local_fs.tag(now)) == (found.size, found.tag)


@contextmanager
def _made(top: int, segments: Sequence[str], mode: int) -> Iterator[int]:
    """A descriptor of the folder *segments* below *top*; what is missing is made, durably."""
    current = os.open(".", FOLDER, dir_fd=top)
    try:
        for name in segments:
            try:
                below = os.open(name, FOLDER, dir_fd=current)
            except FileNotFoundError:
                try:
                    os.mkdir(name, mode, dir_fd=current)
                    os.fsync(current)
                except FileExistsError:
                    pass
                below = os.open(name, FOLDER, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)
