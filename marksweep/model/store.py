"""Objects of an artifact store, and what a store said of each key."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One key with its size in bytes and its tag (etag, generation, or mtime in ns): together they name its content.

    ``key`` is exact and unescaped: an object key below the bucket, or a path relative to the local store's root.
    ``version`` names one version of it, or a delete marker, where a store keeps several and all are asked for
    (``--all-versions``); empty means the one that there is now.
    """

    key: str
    size: int
    tag: str
    version: str = ""


class Undo(enum.StrEnum):
    """Whether a delete in this store can be undone, as far as the store says."""

    NONE = "none"
    VERSIONED = "versioned"
    SOFT_DELETE = "soft_delete"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class KeyDeleted:
    """The store said that this key is deleted."""

    key: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class KeyGone:
    """The store said that there was no such key."""

    key: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """The key holds other content than was listed; it was left alone."""

    key: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class KeyDenied:
    """The store knows us and refused to delete this key (rights, a lock, a hold, a lease): its code and message."""

    key: str
    code: str
    message: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class KeyFailed:
    """The store did not delete this key: its code and message."""

    key: str
    code: str
    message: str
    version: str = ""


KeyOutcome = KeyDeleted | KeyGone | KeyChanged | KeyDenied | KeyFailed
