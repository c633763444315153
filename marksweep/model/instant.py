"""Times as they stand in files: RFC 3339, UTC, ending in ``Z``, a fraction only where there is one; and spans in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def to_text(moment: datetime) -> str:
    """An aware time as text. A fraction keeps exactly the digits that it has."""
    text = (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()[: -len("+00:00")]
    return (text.rstrip("0") if moment.microsecond else text) + "Z"


def from_text(text: str) -> datetime:
    """The aware time of :func:`to_text`; raise ValueError for anything else."""
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is not a time in UTC (it must end in Z)")
    return datetime.fromisoformat(text)


def roughly(age: timedelta) -> str:
    """The two largest units of a span, cut off: ``12 hours 24 minutes``, ``30 days``."""
    minutes, seconds = divmod(age.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    units = [(age.days, "day"), (hours, "hour"), (minutes, "minute"), (seconds, "second")]
    largest = next((at for at, (number, _) in enumerate(units) if number), len(units) - 1)
    shown = [(number, unit) for number, unit in units[largest : largest + 2] if number]
    return " ".join(f"{number:,} {unit}{'' if number == 1 else 's'}" for number, unit in shown) or "0 seconds"
