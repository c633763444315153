"""Files below an open folder, reached segment by segment and never through a symbolic link.

Every function here takes a file descriptor of the store's root. A path is walked with ``O_NOFOLLOW | O_DIRECTORY``, one
segment at a time, so that a link that is swapped in at any moment ends the walk instead of leading it astray.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject

Segments = tuple[str, ...]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened: one that is there, and is no link."""


class LinkInTheWay(OSError):
    """A symbolic link stands where a folder was expected; ``filename`` is its path relative to the root."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ELOOP, "a symbolic link", path)


def open_root(path: str) -> tuple[str, int]:
    """The real path and a descriptor of the store's root, whose own path may hold links.

    Raises OSError unless it is a folder that exists.
    """
    real = os.path.realpath(path, strict=True)
    return real, os.open(real, FOLDER)


@contextmanager
def folder(root: int, segments: Sequence[str]) -> Iterator[int]:
    """A descriptor of the folder *segments* below *root*.

    Raises FileNotFoundError, NotADirectoryError, :class:`LinkInTheWay`, or another OSError of the walk.
    """
    current = os.open(".", FOLDER, dir_fd=root)
    try:
        for depth, name in enumerate(segments):
            below = _step(current, name, segments[: depth + 1])
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _step(parent: int, name: str, path: Sequence[str]) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except OSError as error:
        # Linux says ENOTDIR for a link here, BSD and macOS say ELOOP.
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(parent, name):
            raise LinkInTheWay("/".join(path)) from None
        raise


def _is_link(parent: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode)
    except FileNotFoundError:
        return False


def first_link(root: int, segments: Segments) -> str | None:
    """The topmost symbolic link at or above *segments* below *root*, as a relative path; null when there is none."""
    try:
        with folder(root, segments[:-1]) as parent:
            return "/".join(segments) if _is_link(parent, segments[-1]) else None
    except LinkInTheWay as link:
        return str(link.filename)
    except (FileNotFoundError, NotADirectoryError):
        return None


def tag(found: os.stat_result) -> str:
    """The tag of a local file: its modification time in nanoseconds."""
    return str(found.st_mtime_ns)


def list_objects(root: int, segments: Segments) -> list[StoredObject]:
    """Everything that is not a folder at or below *segments*; empty when nothing is there.

    What vanishes meanwhile is left out. Raises OSError for what cannot be read, and when a folder turns into something
    else while it is listed.
    """
    try:
        with folder(root, segments[:-1]) as parent:
            here = os.lstat(segments[-1], dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return []
    if stat.S_ISLNK(here.st_mode):
        raise LinkInTheWay("/".join(segments))
    if not stat.S_ISDIR(here.st_mode):
        return [StoredObject("/".join(segments), here.st_size, tag(here))]
    found: list[StoredObject] = []
    for place, entries in _folders(root, segments):
        prefix = "/".join(place)
        found += [StoredObject(f"{prefix}/{name}", size, mtime) for name, size, mtime in entries]
    return found


def _folders(root: int, segments: Segments) -> Iterator[tuple[Segments, list[tuple[str, int, str]]]]:
    # Depth first, a folder before what is below it. Each folder is walked to anew: two descriptors, however deep it is.
    waiting: list[Segments] = [segments]
    while waiting:
        place = waiting.pop()
        files: list[tuple[str, int, str]] = []
        try:
            with folder(root, place) as current, os.scandir(current) as entries:
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
    for place, members in by_folder(objects).items():
        try:
            with folder(root, place) as parent:
                outcomes += [_unlink(parent, found) for found in members]
        except (FileNotFoundError, NotADirectoryError):
            outcomes += [KeyGone(found.key) for found in members]
        except (OSError, ValueError) as error:
            outcomes += [failed(found.key, error) for found in members]
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


def remove_empty_folders(root: int, segments: Segments) -> None:
    """Remove the empty folders at and below *segments*, deepest first. One that is not empty, or refuses, stays."""
    try:
        places = [place for place, _ in _folders(root, segments)]
    except OSError:
        return
    for place in reversed(places):  # a folder comes before what is below it: reversed, after
        try:
            with folder(root, place[:-1]) as parent:
                os.rmdir(place[-1], dir_fd=parent)
        except OSError:
            continue
