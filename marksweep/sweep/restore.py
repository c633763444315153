"""A sweep undone, unit by unit: bytes first, then rows, so that no row ever comes back without its bytes.

For each unit: look whether the rows could come back, and whether what is there and what the store can bring back are together
what the plan saw; write the intent down; bring the bytes back; see by a listing that they are there; put the rows back in one
transaction; write the outcome down. What is refused on the way leaves everything as it was, or says so in the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import anyio

from marksweep.catalog.port import Catalog, InDoubt, Lost, Reinserted
from marksweep.errors import Incomplete, StoreRefused
from marksweep.model.entry import Entry
from marksweep.model.outcome import Mode
from marksweep.model.store import KeyDenied, KeyFailed
from marksweep.model.uri import Location, locate
from marksweep.plan.swept import SweptPlan
from marksweep.store.port import Store
from marksweep.sweep.places import OpenStores
from marksweep.sweep.recover import resolve_doubt
from marksweep.sweep.remaining import batches
from marksweep.sweep.restore_bytes import NOTHING, Wanted, look, missing
from marksweep.sweep.restore_journal import RESTORING, RestoreJournal, Taken
from marksweep.sweep.turns import Turns

PAGE = 200
"""Units that are looked up in the journal at a time."""
AT_ONCE = 16
"""Units whose bytes are brought back at one time."""
ROUNDS = 3
"""How often a store is asked: where a retried delete left two markers, each round takes one off."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry that did not come back: why."""

    id: str
    uri: str
    code: str
    detail: str


@dataclass(slots=True)
class Restored:
    """What a restore came to, in entries; ``objects`` and ``bytes`` are those that the stores brought back."""

    back: int = 0
    refused: int = 0
    objects: int = 0
    bytes: int = 0
    lines: list[Line] = field(default_factory=list)


class _Refused(Exception):
    """Why a unit does not come back."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass(slots=True)
class Restore:
    """One run. Without *stores* (only-metadata) no bytes are looked at; *only* are the ids asked for, all if it is empty.

    ``deleted_since``: when the sweep began; ``changed_since``: rows changed from here on are compared by place;
    ``most``: lines that are kept. With *dry_run* nothing is written anywhere.
    """

    plan: SweptPlan
    catalog: Catalog
    stores: OpenStores | None
    journal: RestoreJournal
    only: frozenset[str]
    deleted_since: datetime
    changed_since: datetime
    most: int
    dry_run: bool = False
    stopping: bool = False
    turns: Turns = field(default_factory=Turns)
    result: Restored = field(default_factory=Restored)
    trouble: list[Exception] = field(default_factory=list)

    async def run(self) -> None:
        """Bring back what can be; :attr:`result` says what. Raises what stopped it, never a group."""
        mode = self.plan.header.plan.mode
        if not self.dry_run:
            await resolve_doubt(self.catalog, self.turns, self.journal, mode)
        for page in batches(self.plan.units(), lambda: PAGE):
            chosen = [u for u in page if not self.only or any(e.id in self.only for e in u)]
            limiter = anyio.CapacityLimiter(AT_ONCE)
            async with anyio.create_task_group() as tasks:
                for unit in chosen:
                    tasks.start_soon(self._guarded, unit, limiter)
            if self.trouble:
                raise self.trouble[0]

    def stop(self) -> None:
        """Begin no further unit."""
        self.stopping = True

    async def _guarded(self, unit: Sequence[Entry], limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            if self.stopping or self.trouble:
                return
            try:
                await self._unit(unit)
            except Exception as error:  # raised when what is in flight has ended, outside of the task group
                self.trouble.append(error)

    async def _unit(self, unit: Sequence[Entry]) -> None:
        taken = self.journal.taken_among([e.id for e in unit])
        if not taken:
            self._not_taken(unit)
            return
        try:
            await self._bring_back(unit[0], taken)
        except _Refused as refused:
            self._refuse(taken, refused.code, refused.detail)
        except StoreRefused as refused:
            self._refuse(taken, "store", f"{refused.fact}; {refused.remedy}")

    def _not_taken(self, unit: Sequence[Entry]) -> None:
        """What was asked for by name and was not deleted is answered; the rest was never this restore's."""
        asked = [e for e in unit if e.id in self.only]
        states = self.journal.states_among([e.id for e in asked])
        for entry in asked:
            state = states.get(entry.id)
            what = f"the journal says {state}" if state else "the sweep did not reach it"
            self._refuse([entry], "not-deleted", f"this sweep did not delete it: {what}")

    def _refuse(self, entries: Sequence[Entry | Taken], code: str, detail: str) -> None:
        self.result.refused += len(entries)
        room = max(0, self.most - len(self.result.lines))
        self.result.lines += [Line(e.id, e.uri, code, detail) for e in entries[:room]]

    async def _bring_back(self, lead: Entry, taken: Sequence[Taken]) -> None:
        lost = [_lost(t) for t in taken]
        answer = await self._rows(lost, write=False)
        begun = any(t.state == RESTORING for t in taken)
        if answer is Reinserted.THERE and not begun and self.plan.header.plan.mode is not Mode.ONLY_ARTIFACT:
            raise _Refused("occupied", "the catalog holds a version with its id")
        if self.stores is None:
            wanted = NOTHING
        else:
            store, place = self._store(self.stores, lead, taken), locate(lead.uri)
            found = await look(store, place, lead, taken, self.deleted_since)
            if isinstance(found, str):
                raise _Refused("bytes", found)
            wanted = found
        if not self.dry_run:
            self.journal.begin_restore(taken, wanted.whole)
            if wanted.away:
                await self._bytes(store, place, taken, wanted)
            await self._finish(lost, taken, touched=self.stores is not None and (begun or bool(wanted.away)))
        self.result.back += len(taken)
        self.result.objects += len(wanted.away)
        self.result.bytes += sum(o.size for o in wanted.away)

    def _store(self, stores: OpenStores, lead: Entry, taken: Sequence[Taken]) -> Store:
        store = stores.of(locate(lead.uri).key)
        if store is None:
            raise _Refused("no-store", "the catalog does not configure its store any more")
        for entry in taken:
            if objection := store.objection(locate(entry.uri)):
                raise _Refused("place", objection)
        return store

    async def _bytes(self, store: Store, place: Location, taken: Sequence[Taken], wanted: Wanted) -> None:
        """Bring back what is away; raise _Refused when a listing does not show all of it."""
        away, failures = list(wanted.away), list[KeyFailed | KeyDenied]()
        left: Sequence[str] | None = [o.key for o in away]
        for _ in range(ROUNDS):
            if not away:
                break
            failures = list(await store.undelete(away))
            left = await missing(store, place, wanted)
            if left is None or not left:
                break
            again = {o.key: o for o in await store.undeletable(place, self.deleted_since)}
            away = [again[key] for key in left if key in again]
        if left is None or left:
            moved = left is None or len(left) < len(wanted.away)
            why = f"{failures[0].code}: {failures[0].message}" if failures else "the store did not bring them back"
            detail = (
                f"{len(left)} of its {len(wanted.whole)} objects are not back: {why}" if left else "its place changed"
            )
            self._fall_back(taken, "bytes", detail, touched=moved)

    async def _finish(self, lost: Sequence[Lost], taken: Sequence[Taken], *, touched: bool) -> None:
        try:
            await self._rows(lost, write=True)
        except _Refused as refused:
            self._fall_back(taken, refused.code, refused.detail, touched=touched)
        self.journal.restored(taken)

    def _fall_back(self, taken: Sequence[Taken], code: str, detail: str, *, touched: bool) -> None:
        if touched:
            self.journal.half_restored(taken, f"restore-{code}", detail)
        else:
            self.journal.give_up(taken)
        raise _Refused(code, detail)

    async def _rows(self, lost: Sequence[Lost], *, write: bool) -> Reinserted:
        mode = self.plan.header.plan.mode
        ask = partial(self.catalog.reinsert, lost, mode, self.changed_since, self.journal.holder, write=write)
        try:
            answer, why = await self.turns(ask)
        except InDoubt as doubt:
            raise Incomplete(
                f"the catalog's answer to a restore was lost ({doubt})",
                "run the same restore again: it asks the catalog what happened",
            ) from None
        if answer is Reinserted.REFUSED:
            raise _Refused("rows", why)
        return answer


def _lost(taken: Taken) -> Lost:
    if taken.image is None:
        raise _Refused("image", taken.flaw or "the journal holds no image of its rows")
    return Lost(taken.id, taken.uri, taken.image)
