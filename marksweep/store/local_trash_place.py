"""Where a trash for local files may be: on the stores' own file system, in nobody's way, and behind no link."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from marksweep.errors import StoreRefused
from marksweep.store.local_folders import FOLDER
from marksweep.store.local_trash import PRIVATE, Trash

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


def folder_name(name: str) -> str:
    """*name* (of a plan, of a store) as the name of one folder: itself if it is plain, else a digest of it."""
    return name if _PLAIN_NAME.fullmatch(name) else hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def misplaced(trash: str, root: str) -> str | None:
    """Why the folder *trash* must not be a trash beside the artifact store at *root*; null when it may. Both are real paths.

    It lies outside of the store, or is a folder directly below its root: deeper down are the places of versions.
    """
    if trash == root:
        return f"it is the artifact store {root} itself"
    if trash.startswith(root.rstrip("/") + "/") and os.path.dirname(trash) != root:  # noqa: PTH120 - text, not a path
        return f"it lies deep inside of the artifact store {root}, where versions lie"
    return None


def real_place(trash: Path) -> str:
    """Where *trash* really is: its own name below the real path of the folder above. Raises OSError if there is none."""
    return str(trash.parent.resolve(strict=True) / trash.name)


@contextmanager
def open_trash(place: Path, store: str, root: int, real_root: str) -> Iterator[Trash]:
    """Open the trash of one plan at *place*, made if need be, for the store with the id *store* and the open *root*.

    Raises StoreRefused when it lies on another file system, inside of the store, behind a link, or where others may write.
    """
    with ExitStack() as stack:
        try:
            trash = real_place(place.parent)
            if reason := misplaced(trash, real_root):
                raise _refused(place.parent, reason, "Give a folder outside of the artifact stores, on the same disk.")
            device = os.fstat(root).st_dev
            above = os.open(os.path.dirname(trash), FOLDER)  # noqa: PTH120 - text, not a path
            stack.callback(os.close, above)
            outer = _private(above, place.parent.name, device, place.parent)
            stack.callback(os.close, outer)
            inner = _private(outer, place.name, device, place)
            stack.callback(os.close, inner)
        except (OSError, ValueError) as error:
            said = str(error) if isinstance(error, ValueError) else error.strerror or "the system gave no reason"
            raise _refused(
                place.parent, said, "Give a folder that you own, or one to be made in such a folder."
            ) from None
        below = os.path.basename(trash) if os.path.dirname(trash) == real_root else None  # noqa: PTH119, PTH120
        yield Trash(inner, folder_name(store), str(place), below)


def _private(above: int, name: str, device: int, shown: Path) -> int:
    """A descriptor of the folder *name* in *above*, made if need be; raise ValueError unless it is ours on *device*."""
    try:
        found = os.open(name, FOLDER, dir_fd=above)
    except FileNotFoundError:
        if os.fstat(above).st_dev != device:
            raise ValueError(_OTHER_DISK) from None
        os.mkdir(name, PRIVATE, dir_fd=above)
        os.fsync(above)
        found = os.open(name, FOLDER, dir_fd=above)
    try:
        seen = os.fstat(found)
        if seen.st_dev != device:
            raise ValueError(_OTHER_DISK)
        if seen.st_uid != os.geteuid() or seen.st_mode & _OTHERS_MAY_WRITE:
            raise ValueError(f"others may write to {shown}, or own it")
    except BaseException:
        os.close(found)
        raise
    return found


_OTHER_DISK = "it is on another file system than the artifact store, where files cannot be renamed to"


def _refused(trash: Path, reason: str, remedy: str) -> StoreRefused:
    return StoreRefused(f"the trash {trash} cannot be used: {reason}", remedy)
