"""Times as they stand in files: RFC 3339, UTC, ending in ``Z``, with a fraction only where there is one."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """An aware time as text. A fraction keeps exactly the digits that it has."""
    text = (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()[: -len("+00:00")]
    return (text.rstrip("0") if moment.microsecond else text) + "Z"


def from_text(text: str) -> datetime:
    """The aware time of :func:`to_text`; raise ValueError for anything else."""
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is not a time in UTC (it must end in Z)")
    return datetime.fromisoformat(text)
