"""A request that changes nothing, repeated while it fails in passing, at the pace that the server allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from marksweep.store.retry import Retry
from marksweep.store.throttle import Throttle
from marksweep.store.tuning import Meter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a failed request means: the server's code, whether it asks to come slower (``retry_after`` in seconds, if it
    named any), and whether the same request may go well later."""

    code: str
    slowed: bool
    may_pass: bool
    retry_after: float | None


async def repeated(
    ask: Callable[[], Awaitable[T]],
    trouble: Callable[[Exception], Trouble | None],
    throttle: Throttle,
    retry: Retry,
    meter: Meter,
) -> T:
    """The answer to *ask*. Raises what it raises last; at once what is no *trouble* (null) or does not pass."""
    tries = retry.begin()
    while True:
        await throttle.take("", 1)
        try:
            answer = await ask()
        except Exception as error:
            met = trouble(error)
            if met is not None and met.slowed:
                throttle.refused("", met.code, met.retry_after)
            if met is None or not met.may_pass or (pause := tries.pause(slowed=met.slowed)) is None:
                raise
            meter.retries += 1
            await anyio.sleep(pause)
        else:
            throttle.went("", 1)
            return answer
