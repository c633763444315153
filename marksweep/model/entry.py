"""One orphan in a plan: the signed statement that these bytes, under this URI, of this row, may go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from marksweep.model.store import StoredObject
from marksweep.model.uri import locate

MAX_INTEGER = 2**53 - 1
"""Largest integer in a plan: what every JSON reader can hold exactly."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
Instant = Annotated[str, msgspec.Meta(pattern=INSTANT_PATTERN, max_length=27)]
Digest = Annotated[str, msgspec.Meta(pattern=DIGEST_PATTERN, max_length=71)]

# The same in an entry, of which there may be millions: marksweep.plan.spelling compares many of them at once.
_Instant = Annotated[str, msgspec.Meta(max_length=27, extra_json_schema={"pattern": INSTANT_PATTERN})]
_Digest = Annotated[str, msgspec.Meta(max_length=71, extra_json_schema={"pattern": DIGEST_PATTERN})]

_Bytes = bytes  # the class below has a field of that name

EntryReason = Literal["unreferenced", "model_links_ignored"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a plan. Field order is the order in the file.

    ``uri`` is exactly the catalog's spelling. ``objects``, ``bytes`` and ``fingerprint`` are null when nobody looked
    (``--no-size``). Versions whose URIs are the same or nested are one *unit*: they follow each other in plan order, the
    first carries the unit's objects and bytes, and the others name it in ``shares`` and count 0.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    artifact: Annotated[str, msgspec.Meta(max_length=4096)]
    version: Annotated[str, msgspec.Meta(max_length=4096)]
    project: Annotated[str, msgspec.Meta(max_length=4096)]
    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
    objects: Count | None
    bytes: Count | None
    fingerprint: _Digest | None
    created: _Instant
    updated: _Instant
    reason: EntryReason
    shares: str | None = None

    @property
    def key(self) -> str:
        """The order and prefix key of the entry's URI (see :mod:`marksweep.model.uri`)."""
        return locate(self.uri).key

    @property
    def order(self) -> tuple[_Bytes, str]:
        """Plan order: by key as UTF-8 bytes, then by id. Nested and equal URIs are neighbours in it."""
        return self.key.encode(), self.id


def fingerprint(objects: Iterable[StoredObject]) -> str:
    """SHA-256 over the sorted (key, size, tag) of *objects*, and the version where there is one.

    Another digest means that somebody changed them.
    """
    digest = hashlib.sha256()
    for found in sorted(objects, key=lambda o: (o.key.encode("utf-8", "surrogateescape"), o.version)):
        version = f"\0{found.version}" if found.version else ""
        line = f"{len(found.key)}:{found.key}\0{found.size}\0{found.tag}{version}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return f"sha256:{digest.hexdigest()}"
