"""In which order a server lists keys, and what a page of its listing therefore covers.

S3 and GCS list in the order of the keys' UTF-8 bytes. Servers over a file system (SeaweedFS) list folder by folder: in the
order of the segments. Both agree on most names; where they do not (``a-b/`` comes before ``a/`` as bytes, and after it by
segments), a page says nothing about what it skipped. So a place counts as covered only where both orders say so, and a
page that is in neither order says that the server has none to rely on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def by_segments(key: str) -> list[str]:
    """*key* as servers over a file system compare it."""
    return key.split("/")


def is_ordered(start: str, keys: Sequence[str]) -> bool:
    """Whether *keys*, listed after *start*, increase in one of the two orders. Code points compare as UTF-8 bytes do."""
    if not keys:
        return True
    if start < keys[0] and all(a <= b for a, b in itertools.pairwise(keys)):
        return True
    segments = [by_segments(key) for key in (start, *keys)]
    return all(a <= b for a, b in itertools.pairwise(segments))


def before(path: str) -> str | None:
    """A key shortly before *path* in both orders, with hardly any room between: to list from *path* on. Null: there is none.

    Servers over a file system that list after it skip what lies below a folder of that very name: nothing at, below or
    after *path* lies there.
    """
    last = ord(path[-1])
    if last <= 0x20:
        return None
    return f"{path[:-1]}{chr(0xD7FF if last == 0xE000 else last - 1)}~"


def reached(last: str, path: str) -> bool:
    """Whether a listing that came to key *last* has passed everything at and below *path*, in both orders."""
    if last < f"{path}0":  # "0" follows "/"
        return False
    segments = by_segments(path)
    return by_segments(last)[: len(segments)] > segments


def follows(path: str, start: str) -> bool:
    """Whether *path*, and so all below it, comes after key *start* in both orders."""
    return start < path and by_segments(start) < by_segments(path)
