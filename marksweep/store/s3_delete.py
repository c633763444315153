"""Packed deletes: many keys in one request, an answer for each key, and only the failed ones asked for again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from marksweep.model.store import KeyDeleted, KeyFailed, KeyGone, KeyOutcome
from marksweep.store.windows import gather

Send = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""Sends one DeleteObjects request for the keys and returns its parsed answer; raises whatever the client raises."""

Explain = Callable[[Exception], tuple[str, str]]
"""The code and the message of a request that failed as a whole, without credentials."""

PASSING = frozenset(
    {
        "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown",
        "Throttling", "TooManyRequests", "429", "500", "503",
    }
)  # fmt: skip
"""Error codes that a later attempt may not meet again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How deletes are packed and repeated. Times in seconds.

    Pages of 250 keys, not of the 1,000 that S3 takes: a throttled page returns as a herd (Hadoop's S3A found so).
    """

    page: int = 250
    attempts: int = 5
    first_pause: float = 0.25
    longest_pause: float = 10.0

    def pause(self, attempt: int) -> float:
        """How long to wait before *attempt* (1 is the second): exponential, with full jitter above the half."""
        longest = min(self.longest_pause, self.first_pause * 2.0 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads requests, it hides nothing


async def delete_keys(keys: Sequence[str], send: Send, explain: Explain, pace: Pace) -> list[KeyOutcome]:
    """Delete exactly *keys* (distinct, not empty), several pages at once; one outcome for each. Raises nothing."""
    pages = pages_of(keys, pace.page)

    async def settle(page: Sequence[str]) -> list[KeyOutcome]:
        return await _settle(page, send, explain, pace)

    return [outcome for outcomes in await gather(pages, settle) for outcome in outcomes]


async def _settle(page: Sequence[str], send: Send, explain: Explain, pace: Pace) -> list[KeyOutcome]:
    settled: dict[str, KeyOutcome] = {}
    waiting = page
    for attempt in range(pace.attempts):
        if attempt:
            await anyio.sleep(pace.pause(attempt))
        try:
            answers = read_answer(waiting, await send(waiting))
        except Exception as error:  # whatever it was, these keys are not known to be deleted
            code, message = explain(error)
            answers = {key: KeyFailed(key, code, message) for key in waiting}
        settled |= answers
        waiting = [key for key in waiting if _may_pass(answers[key])]
        if not waiting:
            break
    return list(settled.values())


def _may_pass(outcome: KeyOutcome) -> bool:
    return isinstance(outcome, KeyFailed) and outcome.code in PASSING


def read_answer(asked: Sequence[str], answer: Mapping[str, Any]) -> dict[str, KeyOutcome]:
    """What a DeleteObjects answer says of each key in *asked*, a page of :func:`pages_of`.

    A key that it does not mention has failed; where it mentions one twice, the error counts.
    """
    outcomes: dict[str, KeyOutcome] = {
        key: KeyFailed(key, "NoAnswer", "the store's answer does not mention this key") for key in asked
    }
    echoes = {_echo(key): key for key in asked} | {key: key for key in asked}
    for deleted in answer.get("Deleted") or ():
        key = echoes.get(deleted.get("Key"))
        if key is not None:
            outcomes[key] = KeyDeleted(key)
    for failed in answer.get("Errors") or ():
        key = echoes.get(failed.get("Key"))
        if key is not None:
            outcomes[key] = _failure(key, str(failed.get("Code") or "Unknown"), str(failed.get("Message") or ""))
    return outcomes


def _failure(key: str, code: str, message: str) -> KeyOutcome:
    return KeyGone(key) if code == "NoSuchKey" else KeyFailed(key, code, message or "the store gave no reason")


def pages_of(keys: Sequence[str], size: int) -> list[Sequence[str]]:
    """*keys* in pages of at most *size*, no two keys of a page spelled alike in an answer."""
    rounds: list[list[str]] = []
    met: Counter[str] = Counter()
    for key in keys:
        spelling = _echo(key)
        if met[spelling] == len(rounds):
            rounds.append([])
        rounds[met[spelling]].append(key)
        met[spelling] += 1
    return [some[at : at + size] for some in rounds for at in range(0, len(some), size)]


def _echo(key: str) -> str:
    # XML turns a bare carriage return into a newline, and not every server escapes it in its answer (moto does not).
    return key.replace("\r\n", "\n").replace("\r", "\n") if "\r" in key else key
