"""Doing many things at once in a store: a task group that lets no exception group out, and a listing in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from marksweep.model.store import StoredObject
from marksweep.model.uri import Location

Listed = Sequence[StoredObject] | Exception
"""What one location's listing came to: its objects, or the :class:`~marksweep.errors.StoreRefused` that stopped it."""

ListMany = Callable[[Sequence[Location]], Awaitable[Sequence[Listed]]]
"""Lists a few locations one after the other; expected failures are values, one result per location."""

T = TypeVar("T")
R = TypeVar("R")


async def gather(parts: Sequence[T], run: Callable[[T], Awaitable[R]]) -> list[R]:
    """Run *run* for every part at once; its results in the order of *parts*.

    Whatever *run* raises is raised here as itself, once all the others are done: one failure does not cancel what its
    siblings have already asked a store to do, and no exception group leaves the task group.
    """
    results: dict[int, R] = {}
    raised: list[Exception] = []

    async def one(position: int, part: T) -> None:
        try:
            results[position] = await run(part)
        except Exception as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        for position, part in enumerate(parts):
            group.start_soon(one, position, part)
    if raised:
        raise raised[0]
    return [results[position] for position in range(len(parts))]


async def windows(
    locations: Sequence[Location], list_many: ListMany, *, batch: int, window: int
) -> AsyncIterator[tuple[Location, Listed]]:
    """Yield each of *locations* with its listing, in the given order; at most *window* are listed ahead of the reader.

    The task group of a window is closed before anything is yielded: a cancel scope that stays open across a ``yield``
    would belong to whichever task happens to resume the generator.
    """
    for start in range(0, len(locations), window):
        ahead = locations[start : start + window]
        parts = [ahead[first : first + batch] for first in range(0, len(ahead), batch)]
        for part, results in zip(parts, await gather(parts, list_many), strict=True):
            for location, listed in zip(part, results, strict=True):
                yield location, listed
