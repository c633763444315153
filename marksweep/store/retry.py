"""How a request that failed in passing is repeated. Times in seconds."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

SLOWED_PAUSE = 1.0
"""The longest pause of a request that the store asked to slow down."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A request is sent at most *attempts* times; one that the store asked to slow down, as long as *patience* lasts."""

    attempts: int = 6
    patience: float = 180.0
    first_pause: float = 0.25
    longest_pause: float = 10.0

    def begin(self) -> Tries:
        """The count for one request."""
        return Tries(self, time.monotonic() + self.patience)


@dataclass(slots=True)
class Tries:
    """How often one request was sent, and until when it may be put off."""

    retry: Retry
    until: float
    failed: int = 0
    slowed: int = field(default=0)

    def pause(self, *, slowed: bool) -> float | None:
        """How long to wait before the next try, exponential with full jitter above the half; null when it was the last."""
        if slowed:
            self.slowed += 1
            if time.monotonic() >= self.until:
                return None
        else:
            self.failed += 1
            if self.failed >= self.retry.attempts:
                return None
        # Who is slowed down waits in the throttle's lane besides: the pause only spreads those that come together.
        longest = min(SLOWED_PAUSE, self.retry.longest_pause) if slowed else self.retry.longest_pause
        doubled = self.retry.first_pause * 2.0 ** min(30, max(self.failed, self.slowed) - 1)
        return min(longest, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads requests
