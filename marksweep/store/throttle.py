"""As fast as a store lets us: halve when it says slow down, grow slowly, never above what the user allows.

The additive-increase, multiplicative-decrease of congestion control (Chiu and Jain 1989), as S3's performance guide asks
clients to do on ``503 SlowDown``. One lane for the bucket and one per prefix, since S3 limits each partition of a bucket.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import anyio

from marksweep.store.tuning import Meter

SLOWEST = 0.02
"""The share of the rate before the first refusal that no halving goes below: a server that refuses whatever comes is not
made well by coming ever slower."""
FIRST_GUESS = 1_000.0
"""Units per second that are assumed where a store refuses before anything went well."""
ONE_EVENT = 0.5
"""Seconds in which refusals of what was under way together count once, and after which a lane may grow."""
QUICKLY, SLOWLY = 1.5, 0.1
"""After a calm moment a rate grows by half up to the last refused rate's half again, then by a tenth of that per second."""
FREE_AGAIN = 2.0
"""Times the rate before the first refusal at which a limit is dropped: what caused it has passed."""
LONGEST_HOLD = 60.0
"""Seconds that a Retry-After can hold a lane."""


class Lane:
    """The pace of one place: free until the store refuses, then limited, growing back to free.

    As TCP does after a loss (RFC 5681): fast up to half of what was too much, slowly from there on.
    """

    def __init__(self, most: float | None) -> None:
        self.most = most
        self.rate: float | None = None
        self.held_until = 0.0
        self.measured: float | None = None
        self._before = 0.0
        self._refused_rate = 0.0
        self._refused_at = self._grown_at = float("-inf")
        self._next = 0.0
        self._went = 0
        self._since: float | None = None

    @property
    def limit(self) -> float | None:
        """Units per second now; null for no limit."""
        if self.rate is None or self.most is None:
            return self.rate if self.most is None else self.most
        return min(self.rate, self.most)

    def book(self, now: float, units: int) -> float:
        """Take a place in the lane for *units*; return when they may go."""
        start = max(now, self.held_until, self._next)
        limit = self.limit
        self._next = start if limit is None else start + units / limit
        return start

    def went(self, now: float, units: int) -> bool:
        """*units* were answered well; whether the limit changed."""
        self._measure(now, units)
        calm = now - max(self._grown_at, self._refused_at)
        if self.rate is None or calm < ONE_EVENT:
            return False
        self._grown_at = now
        if self.rate < self._refused_rate / 2:
            self.rate = min(self.rate * QUICKLY, self._refused_rate / 2)
        else:
            self.rate += max(SLOWLY * self._refused_rate, SLOWLY * self._before / 2) * min(2.0, calm)
        if self.rate >= FREE_AGAIN * self._before:
            self.rate = None
        self._next = min(self._next, now + ONE_EVENT)
        return True

    def refused(self, now: float, retry_after: float | None, guess: float) -> bool:
        """The store asked to slow down; whether the limit changed. *guess*: units per second, if this lane saw none yet."""
        if retry_after:
            self.held_until = max(self.held_until, now + min(retry_after, LONGEST_HOLD))
        if now - self._refused_at < ONE_EVENT:
            return False
        self._refused_at = now
        known = [rate for rate in (self.limit, self.measured) if rate is not None]
        now_at = min(known, default=guess) if self.rate is None else self.rate
        if self.rate is None:
            self._before = now_at
        self._refused_rate = max(now_at, 2 * SLOWEST * self._before)
        self.rate = self._refused_rate / 2
        self._next = max(now, min(self._next, now + ONE_EVENT))
        return True

    def _measure(self, now: float, units: int) -> None:
        if self._since is None:
            self._since = now
        self._went += units
        if now - self._since >= 1.0:
            self.measured = max(self._went / (now - self._since), 0.5 * (self.measured or 0.0))
            self._since, self._went = now, 0


class Throttle:
    """The pace of one bucket and of its prefixes, in *unit* a second. *place* names it in the *meter* and in progress lines."""

    def __init__(
        self,
        place: str,
        meter: Meter,
        *,
        most: float | None = None,
        unit: str = "keys",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._unit = unit
        self._meter = meter
        self._clock = clock
        self._bucket = Lane(most)
        self._prefixes: dict[str, Lane] = {}

    async def take(self, prefix: str, keys: int) -> None:
        """Wait until *keys* under *prefix* may be sent."""
        lanes = (self._bucket, self._prefixes.get(prefix, self._bucket))
        at = max(lane.book(self._clock(), keys) for lane in dict.fromkeys(lanes))
        while (wait := max(at, *(lane.held_until for lane in lanes)) - self._clock()) > 0:  # noqa: ASYNC110 - it may be held for longer meanwhile
            await anyio.sleep(wait * random.uniform(1.0, 1.1))  # noqa: S311 - it spreads requests, it hides nothing

    def went(self, prefix: str, keys: int) -> None:
        """*keys* under *prefix* were answered well: a slowed lane grows a little."""
        for name, lane in (("", self._bucket), (prefix, self._prefixes.get(prefix))):
            if lane is not None and lane.went(self._clock(), keys):
                self._note(name, lane, None)
        if (lane := self._prefixes.get(prefix)) is not None and lane.rate is None:
            del self._prefixes[prefix]

    def refused(self, prefix: str, code: str, retry_after: float | None = None) -> None:
        """The store answered *code* (SlowDown, 429, 503, ...): halve, and honour its Retry-After in seconds.

        The prefix is halved first; the whole bucket is when another prefix of it was refused, too.
        """
        self._meter.refusals += 1
        others = [lane for name, lane in self._prefixes.items() if name != prefix and lane.rate is not None]
        lane = self._prefixes.setdefault(prefix, Lane(None))
        now, guess = self._clock(), self._bucket.measured or FIRST_GUESS
        if lane.refused(now, retry_after, guess):
            self._note(prefix, lane, code)
        if others and self._bucket.refused(now, retry_after, guess):
            self._note("", self._bucket, code)

    def _note(self, name: str, lane: Lane, code: str | None) -> None:
        place = f"{self._place}/{name}" if name else self._place
        self._meter.rates.append((self._clock(), place, lane.limit))
        if lane.rate is None:
            self._meter.throttled.pop(place, None)
        else:
            why = code or self._meter.throttled.get(place, "").partition(" ")[0]
            self._meter.throttled[place] = f"{why} {lane.rate:,.0f} {self._unit}/s"
