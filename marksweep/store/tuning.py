"""How a store is used, as the user chose it; and what using it came to: requests by kind, throttling, remarks."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

PAGE_SIZE = 250
"""Keys per delete request, not the 1,000 that S3 takes: a throttled page returns as a herd (Hadoop's S3A found so)."""

CONCURRENCY = 32
"""Requests of one store that are under way at once."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Choices that no adapter may widen what is deleted by. Rates are keys per second, null for no ceiling.

    ``all_versions``: list and delete every version and delete marker of an object, not only the current one; it stands in
    the signed plan. ``trash``: local files are moved there instead of deleted.
    """

    page_size: int = PAGE_SIZE
    concurrency: int = CONCURRENCY
    max_rate: float | None = None
    all_versions: bool = False
    trash: Path | None = None


@dataclass(slots=True)
class Meter:
    """What the stores of one run did. Written from the event loop, read by whoever shows it.

    ``requests``: sent, by kind (``list``, ``delete``, ``other``); ``retries`` are those among them that were sent again.
    ``throttled``: per place, why and how far it is slowed down at the moment. ``rates``: (seconds of the monotonic clock,
    place, keys per second or null for no limit) whenever a limit changed. ``remarks``: what the user should know of a store.
    """

    requests: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    refusals: int = 0
    throttled: dict[str, str] = field(default_factory=dict)
    rates: deque[tuple[float, str, float | None]] = field(default_factory=lambda: deque(maxlen=10_000))
    remarks: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        """Note *text* once."""
        if text not in self.remarks:
            self.remarks.append(text)
