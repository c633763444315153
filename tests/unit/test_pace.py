"""The batch size follows how long claims took."""

from __future__ import annotations

import contextlib
import time

import pytest

from marksweep.catalog.zenml.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the steady clock says, in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def sizes(clock: list[float], *took: float) -> list[int]:
    """The size after each claim that took so long, from 200 on, between 20 and 2,000, with 0.125 s to spend."""
    pace = Pace(start=200, smallest=20, largest=2_000, seconds=0.125)
    found = []
    for seconds in took:
        with pace:
            clock[0] += seconds
        found.append(pace.size)
    return found


def test_a_claim_that_took_too_long_shrinks_the_next_in_proportion(clock: list[float]) -> None:
    """Twice the time: half the size. One that was stuck for long does not bring it down to nothing at once."""
    assert sizes(clock, 0.25, 60.0) == [100, 25]


def test_a_fast_claim_lets_the_next_grow_by_half_at_most(clock: list[float]) -> None:
    """A claim that found nothing to do says little about the next."""
    assert sizes(clock, 0.001, 0.001) == [300, 450]


def test_the_size_stays_between_its_ends(clock: list[float]) -> None:
    """However slow, or fast, the server is."""
    assert sizes(clock, *[9.0] * 5)[-1] == 20
    assert sizes(clock, *[0.001] * 20)[-1] == 2_000


def test_a_claim_that_failed_counts_too(clock: list[float]) -> None:
    """One that waited for a lock until the server gave up was too big, or the server too busy."""
    pace = Pace(start=200, smallest=20, largest=2_000, seconds=0.125)
    with contextlib.suppress(RuntimeError), pace:
        clock[0] += 0.25
        raise RuntimeError
    assert pace.size == 100
