"""One question to the catalog at a time: its methods block, run in a worker thread, and may share one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from marksweep.catalog.port import Claimed, ClaimRequest, ClaimRules, InDoubt, Intent
from marksweep.errors import Incomplete

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Turns:
    """A queue of one. Make it inside the event loop that uses it."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    async def __call__(self, question: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Call *question* in a worker thread when nobody else's is running. A call that began is never abandoned."""
        async with self._lock:
            return await anyio.to_thread.run_sync(question, *arguments)


async def changing(
    turns: Turns,
    question: Callable[[Sequence[ClaimRequest], ClaimRules, Intent], Sequence[Claimed]],
    requests: Sequence[ClaimRequest],
    rules: ClaimRules,
    intent: Intent,
) -> Sequence[Claimed]:
    """Ask *question*, which changes the catalog; raise Incomplete when its answer was lost."""
    try:
        return await turns(question, requests, rules, intent)
    except InDoubt as doubt:
        raise Incomplete(
            f"the catalog's answer to a claim was lost ({doubt})",
            "run the same sweep again: it asks the catalog what happened before it does anything else",
        ) from None
