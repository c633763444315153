"""The pace of a bucket: free, halved, growing back; with a clock of its own."""

from __future__ import annotations

import time

import anyio
import pytest

from marksweep.store.throttle import FIRST_GUESS, LONGEST_HOLD, SLOWEST, Throttle
from marksweep.store.tuning import Meter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rate(meter: Meter) -> float | None:
    """The limit that was noted last, in keys per second."""
    return meter.rates[-1][2]


async def test_nothing_waits_before_a_refusal() -> None:
    throttle = Throttle("s3://b", Meter())
    began = time.monotonic()
    for _ in range(1_000):
        await throttle.take("p", 250)
    assert time.monotonic() - began < 1


async def test_a_refusal_halves_once_per_event_and_success_grows_back_to_free() -> None:
    """What was under way together counts once; growth is slow; in the end the limit is dropped."""
    clock, meter = Clock(), Meter()
    throttle = Throttle("s3://b", meter, clock=clock)
    for _ in range(20):
        throttle.refused("p", "SlowDown")
    assert meter.refusals == 20
    assert rate(meter) == FIRST_GUESS / 2
    assert meter.throttled == {"s3://b/p": "SlowDown 500 keys/s"}
    clock.now += 1
    throttle.refused("p", "SlowDown")
    assert rate(meter) == FIRST_GUESS / 4
    rates = []
    for _ in range(200):
        clock.now += 1
        throttle.went("p", 100)
        rates.append(rate(meter))
    assert rates[0] == FIRST_GUESS / 4 + 0.1 * FIRST_GUESS / 2
    limited = [each for each in rates if each is not None]
    assert limited == sorted(limited)
    assert rates[-1] is None
    assert meter.throttled == {}


async def test_a_rate_never_falls_to_nothing() -> None:
    clock, meter = Clock(), Meter()
    throttle = Throttle("s3://b", meter, clock=clock)
    for _ in range(50):
        clock.now += 1
        throttle.refused("p", "503")
    assert rate(meter) == SLOWEST * FIRST_GUESS


async def test_after_a_storm_the_rate_is_soon_back() -> None:
    """Ten seconds of refusals, then none: half of what was too much at once, and free within a minute."""
    clock, meter = Clock(), Meter()
    throttle = Throttle("s3://b", meter, clock=clock)
    for _ in range(10):
        clock.now += 1
        throttle.refused("p", "503")
    calm = 0
    while meter.throttled:
        clock.now += 0.5
        throttle.went("p", 100)
        calm += 1
    assert calm * 0.5 < 60


async def test_one_prefix_slows_down_alone_two_slow_the_bucket_down() -> None:
    clock, meter = Clock(), Meter()
    throttle = Throttle("s3://b", meter, clock=clock)
    throttle.refused("p", "SlowDown")
    assert [*meter.throttled] == ["s3://b/p"]
    throttle.refused("q", "SlowDown")
    assert sorted(meter.throttled) == ["s3://b", "s3://b/p", "s3://b/q"]


async def test_a_limit_is_kept() -> None:
    """``--max-rate``: so many keys per second, refused or not."""
    throttle = Throttle("s3://b", Meter(), most=1_000)
    began = time.monotonic()
    for _ in range(5):
        await throttle.take("p", 100)
    assert 0.39 < time.monotonic() - began < 2


async def test_retry_after_holds_everything_that_waits_and_is_bounded() -> None:
    """Those that had booked before it came wait, too; a server that asks for a day is asked again after a minute."""
    meter = Meter()
    throttle = Throttle("s3://b", meter)
    throttle.refused("p", "SlowDown", 0.3)
    began = time.monotonic()
    await throttle.take("q", 1)
    assert time.monotonic() - began < 0.2
    await throttle.take("p", 1)
    assert time.monotonic() - began >= 0.25
    clock = Clock()
    held = Throttle("s3://b", meter, clock=clock)
    held.refused("p", "SlowDown", 86_400.0)
    with anyio.move_on_after(0.05) as scope:
        await held.take("p", 1)
    assert scope.cancelled_caught
    clock.now += LONGEST_HOLD + 1
    with anyio.fail_after(1):
        await held.take("p", 1)
