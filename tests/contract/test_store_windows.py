"""The task groups of the stores: order, a bounded look-ahead, and no exception group."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from marksweep.model.uri import Location, locate
from marksweep.store.windows import Listed, gather, windows

pytestmark = pytest.mark.anyio


async def test_results_come_in_the_order_of_the_parts() -> None:
    """Whoever is done first, the results stand where their parts stood."""

    async def run(part: int) -> int:
        await anyio.sleep(0.001 * (5 - part))
        return part * 2

    assert await gather([1, 2, 3, 4], run) == [2, 4, 6, 8]
    assert await gather([], run) == []


async def test_a_bug_is_raised_as_itself_after_the_others_are_done() -> None:
    """No exception group, and nobody is cancelled in the middle of a delete."""
    done = []

    async def run(part: int) -> None:
        if part == 1:
            raise ZeroDivisionError("a bug")
        await anyio.sleep(0.002)
        done.append(part)

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await gather([0, 1, 2], run)
    assert done == [0, 2]


async def test_the_look_ahead_is_bounded() -> None:
    """No more than one window is listed ahead of the reader."""
    asked: list[Location] = []

    async def list_many(some: Sequence[Location]) -> Sequence[Listed]:
        asked.extend(some)
        return [[] for _ in some]

    locations = [locate(f"/root/v{number}") for number in range(10)]
    met = []
    async for location, _ in windows(locations, list_many, batch=2, window=4):
        met.append(location)
        assert len(asked) <= (len(met) + 3) // 4 * 4
    assert met == asked == locations
