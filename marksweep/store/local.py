"""Local folders as an artifact store: only below the root, and never through a symbolic link."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime

import anyio
from anyio import to_thread

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location, UriRefused, locate
from marksweep.model.version import ArtifactStore
from marksweep.store import local_fs
from marksweep.store.local_folders import Folders, Segments
from marksweep.store.local_links import Links
from marksweep.store.local_trash import Trash
from marksweep.store.local_trash_place import open_trash
from marksweep.store.port import Store
from marksweep.store.realpath import RealPaths, local_path
from marksweep.store.tuning import Meter, Tuning
from marksweep.store.windows import Listed, gather, windows

THREADS = 4
"""Worker threads of one store: enough to hide a network file system's answers, few enough for a disk."""

PER_HOP = 128
"""Locations that one hop to a worker thread lists or tidies: neighbours share the folders that it opens."""

KEYS_PER_HOP = 500
"""Keys that one hop to a worker thread deletes."""

_NOT_PLAIN = "it is not a plain path below the root"


_PLAIN = Tuning()


@asynccontextmanager
async def open_store(
    store: ArtifactStore,
    overrides: Mapping[str, object] | None = None,
    *,
    tuning: Tuning = _PLAIN,
    meter: Meter | None = None,
    may_be_empty: bool = True,
) -> AsyncIterator[Store]:
    """Open the local folder that *store* names. Raises StoreRefused unless it exists; it is never created.

    Of *tuning* only ``trash`` says something here; no *overrides* are known, and no requests are sent. With *may_be_empty*
    off an empty folder is refused, too: most likely nothing is mounted on it.
    """
    path = local_path(store.root)
    if path is None:
        raise _refused(store.root, "it is not an absolute path", "Give the store an absolute path or a file:// URI.")
    try:
        real, root = local_fs.open_root(path)
    except (OSError, ValueError) as error:
        raise _refused(store.root, _reason(error), "Mount it, or run marksweep where it is mounted.") from None
    with ExitStack() as stack:
        stack.callback(os.close, root)
        if not may_be_empty and not os.listdir(root):  # noqa: PTH208 - a descriptor, not a path
            raise _refused(store.root, "it is empty", "Mount it, or run marksweep where it is mounted.")
        trash = stack.enter_context(open_trash(tuning.trash, store.id, root, real)) if tuning.trash else None
        yield LocalStore(store.root, real, root, trash)


class LocalStore:
    """An open local store. Keys are paths relative to its root."""

    keeps_tags = True

    def __init__(self, root: str, real: str, descriptor: int, trash: Trash | None = None) -> None:
        self._name = root
        self._trash = trash
        self._root = descriptor
        self._roots = _roots(root, real)
        self._links = Links(descriptor)
        self._paths = RealPaths()
        self._threads = anyio.CapacityLimiter(THREADS)

    async def undo(self) -> Undo:
        """A deleted file is gone: whether there will be a trash is known when the plan is swept."""
        return Undo.NONE

    async def list(self, location: Location) -> Sequence[StoredObject]:
        """Every file and link at or below *location*; raises StoreRefused for what may not or cannot be read."""
        (found,) = await self._list_many([location])
        if isinstance(found, Exception):
            raise found
        return found

    def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Listed]]:
        """The same for many, in order, several threads at a time."""
        return windows(locations, self._list_many, batch=PER_HOP, window=2 * THREADS * PER_HOP)

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        """Unlink each object that still has the listed size and mtime, or move it to the trash; others are left alone."""
        wanted = {found.key: found for found in objects}
        outcomes: list[KeyOutcome] = [KeyFailed(key, "InvalidKey", _NOT_PLAIN) for key in wanted if not _is_plain(key)]
        plain = [found for key, found in wanted.items() if _is_plain(key)]

        async def unlink(part: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
            # Not abandoned on cancel: a thread that deletes is waited for.
            remove = local_fs.delete_objects if self._trash is None else self._trash.take
            return await to_thread.run_sync(remove, self._root, part, limiter=self._threads)

        for part in await gather([plain[at : at + KEYS_PER_HOP] for at in range(0, len(plain), KEYS_PER_HOP)], unlink):
            outcomes += part
        return outcomes

    async def tidy(self, locations: Sequence[Location]) -> None:
        """Remove the empty folders at and below *locations*. One that cannot be removed stays: it harms nobody."""
        places = [found for found in map(self._segments, locations) if not isinstance(found, str)]

        async def remove(part: Sequence[Segments]) -> None:
            await to_thread.run_sync(local_fs.remove_empty_folders, self._root, part, limiter=self._threads)

        await gather([places[at : at + PER_HOP] for at in range(0, len(places), PER_HOP)], remove)

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """What lies in the trash of it. Raises StoreRefused when there is no trash, or it cannot be read."""
        segments, trash = self._segments(location), self._trash
        if isinstance(segments, str):
            raise _refused(location.path, segments, f"Only what lies below {self._name} is brought back.")
        if trash is None:
            fact = "what is deleted from a local store without a trash is gone"
            raise _refused(location.path, fact, "another time, sweep with --trash DIR")
        try:
            return await to_thread.run_sync(trash.held, segments, since, limiter=self._threads)
        except (OSError, ValueError) as error:
            raise _refused(trash.shown, _reason(error), "Make it readable for the user that runs marksweep.") from None

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        """Move these back out of the trash; a path that is taken stays as it is."""
        failures: list[KeyFailed | KeyDenied] = [
            KeyFailed(o.key, "InvalidKey", _NOT_PLAIN) for o in objects if not _is_plain(o.key)
        ]
        if self._trash is None:
            return [KeyFailed(o.key, "NoTrash", "this store was opened without its trash") for o in objects]
        plain = [o for o in objects if _is_plain(o.key)]
        return failures + await to_thread.run_sync(self._trash.give_back, self._root, plain, limiter=self._threads)

    def objection(self, location: Location) -> str | None:
        """Outside the root, the root itself, the trash, or a symbolic link at or above the location."""
        segments = self._segments(location)
        if isinstance(segments, str):
            return segments
        if self._trash is not None and segments[0] == self._trash.inside:
            return "it lies in the trash"
        try:
            link = self._links.first("/".join(segments))
        except (OSError, ValueError) as error:
            return f"its folders cannot be read: {_reason(error)}"
        return None if link is None else f"its path holds a symbolic link: {link}"

    def objection_to(self, found: StoredObject) -> str | None:
        """Any file that was listed can be unlinked by its name."""
        return None if _is_plain(found.key) else "its key is not a plain path below the root"

    def spellings(self, uri: str) -> tuple[str, ...]:
        """The lexical keys of *uri*, and the key of its real path."""
        return self._paths.spellings(uri)

    def _segments(self, location: Location) -> Segments | str:
        # The path below the root, or why there is none.
        if location.scheme != "file":
            return "it is not a local path"
        for root in self._roots:
            if location.segments[: len(root)] == root:
                return location.segments[len(root) :] or "it is the root of the artifact store"
        return "it lies outside the root of the artifact store"

    async def _list_many(self, locations: Sequence[Location]) -> Sequence[Listed]:
        return await to_thread.run_sync(self._list_each, locations, limiter=self._threads)

    def _list_each(self, locations: Sequence[Location]) -> Sequence[Listed]:
        with Folders(self._root) as folders:
            return [self._list(folders, location) for location in locations]

    def _list(self, folders: Folders, location: Location) -> Listed:
        segments = self._segments(location)
        if isinstance(segments, str):
            return _refused(location.path, segments, f"Only what lies below {self._name} is listed.")
        try:
            return local_fs.list_objects(folders, segments)
        except (OSError, ValueError) as error:
            remedy = "Make it readable for the user that runs marksweep, then run it again."
            return _refused(location.path, _reason(error), remedy)


def _roots(root: str, real: str) -> tuple[Segments, ...]:
    # As configured and with its links resolved: versions were written under either.
    resolved = tuple(part for part in real.split("/") if part)
    try:
        written = locate(root).segments
    except UriRefused:
        return (resolved,)
    return (written, resolved) if written != resolved else (resolved,)


def _is_plain(key: str) -> bool:
    return "\0" not in key and not {"", ".", ".."}.intersection(key.split("/"))


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "no file can have this name"
    name = errno.errorcode.get(error.errno or 0, "OSError")
    where = f" at {error.filename}" if isinstance(error.filename, str) else ""
    return f"{error.strerror} ({name}){where}"


def _refused(place: str, reason: str, remedy: str) -> StoreRefused:
    return StoreRefused(f"{place} cannot be used: {reason}", remedy)
