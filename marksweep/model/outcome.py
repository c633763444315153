"""What became of an entry in a sweep: a closed union, matched exhaustively."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class KeptBecause(enum.StrEnum):
    """Why a sweep left a planned entry alone. Stable names: they stand in journals and receipts."""

    REFERENCED = "referenced"
    CHANGED = "changed"
    PROTECTED = "protected"
    RESTORED = "restored"
    """It was deleted, and brought back by `marksweep restore`."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The row and every key are gone, as the mode says; ``objects`` and ``bytes`` are what the store confirmed."""

    objects: int = 0
    bytes: int = 0
    left: int = 0
    """Objects that appeared under the URI while it was swept: left alone and reported."""


@dataclass(frozen=True, slots=True)
class AlreadyGone:
    """Somebody else removed the row first; its bytes were not touched."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Examined again and left alone."""

    because: KeptBecause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Claimed, but not every key is deleted: the next run tries again. ``objects`` and ``bytes`` are what did go."""

    code: str
    message: str
    objects: int = 0
    bytes: int = 0


Outcome = Deleted | AlreadyGone | Kept | Failed


class Mode(enum.StrEnum):
    """What a sweep of the plan deletes. Signed: a sweep cannot widen it."""

    BOTH = "both"
    ONLY_ARTIFACT = "only_artifact"
    ONLY_METADATA = "only_metadata"


LIMITS = {
    Mode.BOTH: "",
    Mode.ONLY_ARTIFACT: "a pipeline that reads a row before it is marked and links it only after the wait (--drain) ends with"
    " a link to deleted bytes; in the other modes the catalog refuses such a link",
    Mode.ONLY_METADATA: "",
}
"""What a mode cannot promise; in the plan, above the question whether to sweep, and wherever a plan is shown."""
