"""Files below an open folder, reached segment by segment and never through a symbolic link.

Every function here takes a file descriptor of the store's root, or the :class:`~marksweep.store.local_folders.Folders` below
it, which see to it that no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.local_folders import FOLDER, Folders, LinkInTheWay, Segments


def open_root(path: str) -> tuple[str, int]:
    """The real path and a descriptor of the store's root, whose own path may hold links.

    Raises OSError unless it is a folder that exists.
    """
    real = os.path.realpath(path, strict=True)
    return real, os.open(real, FOLDER)


@contextmanager
def folder(root: int, segments: Sequence[str]) -> Iterator[int]:
    """A descriptor of the folder *segments* below *root*; raises as :meth:`~marksweep.store.local_folders.Folders.at`."""
    with Folders(root) as folders:
        yield folders.at(segments)


def tag(found: os.stat_result) -> str:
    """The tag of a local file: its modification time in nanoseconds."""
    return str(found.st_mtime_ns)


def list_objects(folders: Folders, segments: Segments) -> list[StoredObject]:
    """Everything that is not a folder at or below *segments*; empty when nothing is there.

    What vanishes meanwhile is left out. Raises OSError for what cannot be read, and when a folder turns into something
    else while it is listed.
    """
    try:
        folders.at(segments)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        return _list_file(folders, segments)
    found: list[StoredObject] = []
    for place, entries in _folders(folders, segments):
        prefix = "/".join(place)
        found += [StoredObject(f"{prefix}/{name}", size, mtime) for name, size, mtime in entries]
    return found


def _list_file(folders: Folders, segments: Segments) -> list[StoredObject]:
    try:
        here = os.lstat(segments[-1], dir_fd=folders.at(segments[:-1]))
    except (FileNotFoundError, NotADirectoryError):
        return []
    if stat.S_ISLNK(here.st_mode):
        raise LinkInTheWay("/".join(segments))
    if stat.S_ISDIR(here.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), segments[-1])
    return [StoredObject("/".join(segments), here.st_size, tag(here))]


def _folders(folders: Folders, segments: Segments) -> Iterator[tuple[Segments, list[tuple[str, int, str]]]]:
    # Depth first, a folder before what is below it.
    waiting: list[Segments] = [segments]
    while waiting:
        place = waiting.pop()
        files: list[tuple[str, int, str]] = []
        try:
            with os.scandir(folders.at(place)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((*place, entry.name))
                        continue
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    files.append((entry.name, seen.st_size, tag(seen)))
        except FileNotFoundError:
            continue
        yield place, files


def delete_objects(root: int, objects: Sequence[StoredObject]) -> list[KeyOutcome]:
    """Unlink each of *objects* that is still as it was listed: a link itself, never what it points at."""
    outcomes: list[KeyOutcome] = []
    with Folders(root) as folders:
        for place, members in by_folder(objects).items():
            try:
                parent = folders.at(place)
            except (FileNotFoundError, NotADirectoryError):
                outcomes += [KeyGone(found.key) for found in members]
            except (OSError, ValueError) as error:
                outcomes += [failed(found.key, error) for found in members]
            else:
                outcomes += [_unlink(parent, found) for found in members]
    return outcomes


def by_folder(objects: Sequence[StoredObject]) -> dict[Segments, list[StoredObject]]:
    """*objects* by the folder that they lie in."""
    folders: dict[Segments, list[StoredObject]] = {}
    for found in objects:
        folders.setdefault(tuple(found.key.split("/")[:-1]), []).append(found)
    return folders


def _unlink(parent: int, found: StoredObject) -> KeyOutcome:
    name = found.key.rpartition("/")[2]
    try:
        now = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(now.st_mode) or (now.st_size, tag(now)) != (found.size, found.tag):
            return KeyChanged(found.key)
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return KeyGone(found.key)
    except (OSError, ValueError) as error:
        return failed(found.key, error)
    return KeyDeleted(found.key)


def failed(key: str, error: OSError | ValueError) -> KeyFailed | KeyDenied:
    """What the system said of *key*: denied where rights are missing."""
    if isinstance(error, OSError):
        kind = KeyDenied if isinstance(error, PermissionError) else KeyFailed
        return kind(
            key, errno.errorcode.get(error.errno or 0, "OSError"), error.strerror or "the system gave no reason"
        )
    return KeyFailed(key, "InvalidKey", "no file can have this name")


def remove_empty_folders(root: int, places: Sequence[Segments]) -> None:
    """Remove the empty folders at and below each of *places*, deepest first. One that is not empty, or refuses, stays."""
    with Folders(root) as folders:
        for place in places:
            if not _remove(folders, place):
                try:
                    below = [found for found, _ in _folders(folders, place)]
                except OSError:
                    continue
                for found in reversed(below):  # a folder comes before what is below it: reversed, after
                    _remove(folders, found)


def _remove(folders: Folders, place: Segments) -> bool:
    try:
        os.rmdir(place[-1], dir_fd=folders.at(place[:-1]))
    except (OSError, ValueError) as error:
        return isinstance(error, FileNotFoundError | ValueError)
    return True
