"""Packed deletes: many keys in one request, an answer for each key, and only the failed ones asked for again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.retry import Retry
from marksweep.store.s3_client import PASSING, SLOW_DOWN, is_slow_down, may_pass, retry_after
from marksweep.store.s3_errors import DENIED
from marksweep.store.throttle import Throttle
from marksweep.store.windows import gather

Send = Callable[[Sequence[StoredObject]], Awaitable[Mapping[str, Any]]]
"""Sends one DeleteObjects request for the objects and returns its parsed answer; raises whatever the client raises."""

Explain = Callable[[Exception], tuple[str, str]]
"""The code and the message of a request that failed as a whole, without credentials."""

Named = tuple[str, str]
"""Key and version of an object."""

_CHANGED = frozenset({"PreconditionFailed", "412"})
_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})


@dataclass(frozen=True, slots=True)
class Packer:
    """How deletes are packed, paced and repeated. ``part`` names the prefix whose pace a key counts for."""

    send: Send
    explain: Explain
    throttle: Throttle
    retry: Retry
    page_size: int
    part: Callable[[str], str]
    repeated: Callable[[], None] = lambda: None

    async def delete(self, objects: Sequence[StoredObject]) -> list[KeyOutcome]:
        """Delete exactly *objects* (distinct, not empty), several pages at once; one outcome for each. Raises nothing."""
        pages = pages_of(objects, self.page_size)
        return [outcome for outcomes in await gather(pages, self._settle) for outcome in outcomes]

    async def _settle(self, page: Sequence[StoredObject]) -> list[KeyOutcome]:
        settled: dict[Named, KeyOutcome] = {}
        waiting, tries, part = page, self.retry.begin(), self.part(page[0].key)
        while True:
            await self.throttle.take(part, len(waiting))
            again, slow = await self._once(waiting, part, settled)
            if not again or (pause := tries.pause(slowed=slow)) is None:
                return list(settled.values())
            waiting = again
            self.repeated()
            await anyio.sleep(pause)

    async def _once(
        self, page: Sequence[StoredObject], part: str, settled: dict[Named, KeyOutcome]
    ) -> tuple[list[StoredObject], bool]:
        # Those to be asked for again, and whether the store asked to come slower.
        try:
            answers = read_answer(page, await self.send(page))
        except Exception as error:  # whatever it was, these keys are not known to be deleted
            code, message = self.explain(error)
            settled |= {(o.key, o.version): _failure(o, code, message) for o in page}
            if slow := is_slow_down(error):
                self.throttle.refused(part, code, retry_after(error))
            return (list(page) if may_pass(error) else []), slow
        settled |= answers
        again = [o for o in page if _may_pass(answers[o.key, o.version])]
        codes = {a.code for o in again if isinstance(a := answers[o.key, o.version], KeyFailed)} & SLOW_DOWN
        if codes:
            self.throttle.refused(part, min(codes))
        if len(again) < len(page):
            self.throttle.went(part, len(page) - len(again))
        return again, bool(codes)


def _may_pass(outcome: KeyOutcome) -> bool:
    return isinstance(outcome, KeyFailed) and outcome.code in PASSING


def read_answer(asked: Sequence[StoredObject], answer: Mapping[str, Any]) -> dict[Named, KeyOutcome]:
    """What a DeleteObjects answer says of each object in *asked*, a page of :func:`pages_of`.

    One that it does not mention has failed; where it mentions one twice, the error counts.
    """
    outcomes: dict[Named, KeyOutcome] = {
        (o.key, o.version): KeyFailed(o.key, "NoAnswer", "the store's answer does not mention this key", o.version)
        for o in asked
    }
    echoes = {(_echo(o.key), o.version): o for o in asked} | {(o.key, o.version): o for o in asked}

    def meant(member: Mapping[str, Any]) -> StoredObject | None:
        # A delete marker that was asked for by its version is named as a marker only by some servers (SeaweedFS). A plain
        # delete is answered with the version that it made in some buckets; a null version with none in others.
        key, version = str(member.get("Key")), str(member.get("VersionId") or member.get("DeleteMarkerVersionId") or "")
        return (
            echoes.get((key, version)) or echoes.get((key, "")) or (echoes.get((key, "null")) if not version else None)
        )

    for deleted in answer.get("Deleted") or ():
        if (found := meant(deleted)) is not None:
            outcomes[found.key, found.version] = KeyDeleted(found.key, found.version)
    for failed in answer.get("Errors") or ():
        # An error that names no version (moto's of a lock) is that of the only one that was asked for.
        alone = [o for o in asked if o.key == failed.get("Key")] if "VersionId" not in failed else []
        if (found := meant(failed) or (alone[0] if len(alone) == 1 else None)) is not None:
            code, message = str(failed.get("Code") or "Unknown"), str(failed.get("Message") or "")
            outcomes[found.key, found.version] = _failure(found, code, message)
    return outcomes


def _failure(found: StoredObject, code: str, message: str) -> KeyOutcome:
    key, version, reason = found.key, found.version, message or "the store gave no reason"
    if code in _GONE:
        return KeyGone(key, version)
    if code in _CHANGED:
        return KeyChanged(key, version)
    return KeyDenied(key, code, reason, version) if code in DENIED else KeyFailed(key, code, reason, version)


def pages_of(objects: Sequence[StoredObject], size: int) -> list[Sequence[StoredObject]]:
    """*objects* in pages of at most *size*, no two of a page spelled alike in an answer."""
    rounds: list[list[StoredObject]] = []
    met: Counter[Named] = Counter()
    for found in objects:
        spelling = (_echo(found.key), found.version)
        if met[spelling] == len(rounds):
            rounds.append([])
        rounds[met[spelling]].append(found)
        met[spelling] += 1
    return [some[at : at + size] for some in rounds for at in range(0, len(some), size)]


def _echo(key: str) -> str:
    # XML turns a bare carriage return into a newline, and not every server escapes it in its answer (moto does not).
    return key.replace("\r\n", "\n").replace("\r", "\n")
