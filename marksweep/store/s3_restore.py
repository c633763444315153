"""What S3 can bring back in a bucket with versions: keys whose latest version is a delete marker, by deleting that marker.

Pure functions over ``call(operation, **arguments)``, which adds the bucket and raises what the client raises.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyDenied, KeyFailed, StoredObject
from marksweep.store.s3_xml import LISTED, MARKER, Listing

PAGE = 250
"""Markers per request, as for other deletes."""

Failures = list[KeyFailed | KeyDenied]
Explain = Callable[[Exception], tuple[str, str]]
"""The code and the message of a request that failed as a whole, without credentials."""


class Call(Protocol):
    """Sends one request and returns its parsed answer."""

    def __call__(self, operation: str, **arguments: object) -> Awaitable[Mapping[str, Any]]: ...


@dataclass(slots=True)
class _Key:
    """What a listing of versions says of one key; ``marker`` is its latest version if that is a delete marker."""

    object: StoredObject | None = None
    marker: str | None = None
    marked: datetime | None = None
    occupied: bool = False


async def undeletable(call: Call, path: str, since: datetime) -> list[StoredObject]:
    """The objects at the key *path* and below it that were deleted at or after *since*, each with its delete marker.

    Raises StoreRefused for a bucket that never kept versions, OSError for a listing without an end, or the client's errors.
    """
    if not (await call("get_bucket_versioning")).get("Status"):
        raise StoreRefused(
            f"what lay at {path} cannot be brought back: its bucket keeps no versions",
            "restore it from a backup; turn the bucket's versioning on to be able to undo the next sweep",
        )
    versions = await _versions(call, path)
    return [
        StoredObject(key, found.object.size, found.object.tag, found.marker)
        for key, found in versions.items()
        if (key == path or key.startswith(f"{path}/")) and found.object and found.marker and found.marked
        if found.marked >= since
    ]


async def undelete(call: Call, objects: Sequence[StoredObject], explain: Explain) -> Failures:
    """Delete the markers of *objects* that are still the latest version of their keys; return what did not come back."""
    failures: Failures = []
    for at in range(0, len(objects), PAGE):
        failures += await _undelete_page(call, objects[at : at + PAGE], explain)
    return failures


async def _undelete_page(call: Call, page: Sequence[StoredObject], explain: Explain) -> Failures:
    try:
        now = await _versions(call, os.path.commonprefix([found.key for found in page]))  # noqa: RUF071 - keys, not paths
        going, failures = [], list[KeyFailed | KeyDenied]()
        for found in page:
            seen = now.get(found.key, _Key())
            if seen.marker == found.version:
                going.append({"Key": found.key, "VersionId": found.version})
            elif seen.occupied:
                failures.append(KeyFailed(found.key, "Occupied", "the key holds an object now"))
            else:
                failures.append(
                    KeyFailed(found.key, "NotFound", "its delete marker is not the key's latest version now")
                )
        if not going:
            return failures
        answer = await call("delete_objects", Delete={"Objects": going, "Quiet": False})
    except Exception as error:  # whatever it was, these keys are not known to be back
        code, message = explain(error)
        return [KeyFailed(found.key, code, message) for found in page]
    unmarked = {
        (
            str(d.get("Key")),
            str(d.get("VersionId") or d.get("DeleteMarkerVersionId")),
        )  # SeaweedFS names only the latter
        for d in answer.get("Deleted") or ()
    }
    refused = {str(e.get("Key")): e for e in answer.get("Errors") or ()}
    for asked in going:
        key = asked["Key"]
        if key in refused:
            failures.append(_refusal(key, refused[key]))
        elif (key, asked["VersionId"]) not in unmarked:
            failures.append(KeyFailed(key, "NoAnswer", "the store's answer does not mention this key"))
    return failures


def _refusal(key: str, error: Mapping[str, Any]) -> KeyFailed | KeyDenied:
    code, message = str(error.get("Code") or "Unknown"), str(error.get("Message") or "the store gave no reason")
    return (KeyDenied if code == "AccessDenied" else KeyFailed)(key, code, message)


async def _versions(call: Call, prefix: str) -> dict[str, _Key]:
    """All keys that begin with *prefix*: the newest object that each ever held, and its latest version if it is a marker."""
    keys: dict[str, _Key] = {}
    following: dict[str, str] = {}
    while True:
        page = await call("list_object_versions", Prefix=prefix, **following)
        listing: Listing = page[LISTED]
        for version, (latest, made) in zip(listing.objects, listing.versions, strict=True):
            _add_version(keys.setdefault(version.key, _Key()), version, made, latest=latest)
        if not isinstance(listing.more, tuple):
            return keys
        marker, version_marker = listing.more
        after = {"KeyMarker": marker} | ({"VersionIdMarker": version_marker} if version_marker else {})
        if after == following:
            raise OSError(
                "the server says that there are more versions, but not where: its listing cannot be completed"
            )
        following = after


def _add_version(key: _Key, version: StoredObject, made: str, *, latest: bool) -> None:
    # Newest first, as S3 lists the versions of a key.
    if version.tag == MARKER:
        if latest:
            key.marker, key.marked = version.version, _moment(made)
        return
    key.occupied = key.occupied or latest
    if key.object is None:
        key.object = replace(version, version="")


def _moment(written: str) -> datetime:
    """A time as it stands in an answer."""
    found = datetime.fromisoformat(written)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
