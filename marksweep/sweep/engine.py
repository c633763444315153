"""The sweep: a pipeline of batches, list -> claim -> delete, in plan order.

One task lists ahead, one claims (claims are one at a time: the catalog has one writer), and deletes of claimed batches
overlap with both. Expected failures are outcomes; anything else stops new batches, lets what is in flight finish, and is
raised at the end, outside the task group.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from marksweep.catalog.port import Catalog, ClaimAnswer, ClaimRequest, ClaimRules
from marksweep.catalog.port import Claimed as Answer
from marksweep.model.entry import Entry
from marksweep.model.instant import from_text
from marksweep.model.outcome import Deleted, Failed, Mode, Outcome
from marksweep.model.verdict import TOMBSTONE
from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.answers import freed, refusal, whole
from marksweep.sweep.canary import Watch, admit
from marksweep.sweep.destroy import destroy, units_of, untouched
from marksweep.sweep.journal import Intended, Journal, Pending
from marksweep.sweep.observer import SweepObserver
from marksweep.sweep.options import Options
from marksweep.sweep.places import OpenStores
from marksweep.sweep.prepare import Prepared, Unit, changed, claim_rules, or_gone, prepare
from marksweep.sweep.recover import resolve_doubt, vouch
from marksweep.sweep.remaining import Remaining, batches
from marksweep.sweep.turns import Turns, changing

T = TypeVar("T")
Journaled = tuple[Entry | Pending, str, Outcome]
"""An entry, the id of its unit, and what became of it."""
BUSY_PAUSES = (0.1, 0.5, 2.0)
"""Seconds before a row that somebody else holds is asked for again; then it is kept."""
IN_FLIGHT = 4
"""Batches whose bytes are being deleted at one time."""


@dataclass(slots=True)
class Sweep:
    """One run over a verified plan; *clock* is the database's. Without *stores* (only-metadata) no bytes are looked at."""

    plan: VerifiedPlan
    catalog: Catalog
    stores: OpenStores | None
    journal: Journal
    options: Options
    observer: SweepObserver
    clock: Callable[[], datetime]
    stopping: bool = False
    trouble: list[Exception] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)
    _batch: int = 0
    _resumed: int = 0
    _left: Remaining = field(init=False)

    def __post_init__(self) -> None:
        self._left = Remaining(self.plan, self.journal)

    @property
    def mode(self) -> Mode:
        return self.plan.header.plan.mode

    @property
    def rules(self) -> ClaimRules:
        """What the signed policy allows a claim."""
        policy = self.plan.header.policy
        keeps = policy.keep_artifacts or self.catalog.capabilities().empty_artifacts is not None
        age = policy.min_age if policy.grace else timedelta(0)
        return claim_rules(self.plan.header, None if keeps else self.clock() - age)

    async def run(self) -> None:
        """Finish what an earlier run began, then sweep the rest of the plan. Raises what stopped it, never a group."""
        try:
            vouch(self.plan, self.journal)
            admit(self.journal, cleared=self.options.canary_cleared)
            self._resumed, gone = await resolve_doubt(self.catalog, self.turns, self.journal, self.mode)
            self._report(gone)
            self._batch = self.journal.next_batch()
            if self.mode is Mode.ONLY_ARTIFACT:
                await self._look_again()
            await self._canary_first()
            await self._all()
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):  # the one that matters, not a cancellation that it caused
                error = error.exceptions[0]
            raise error from None
        if self.trouble:
            raise self.trouble[0]

    def stop(self) -> None:
        """Begin nothing new; :meth:`run` returns when what is in flight has ended."""
        self.stopping = True

    async def _canary_first(self) -> None:
        """The canary, if there is one to sweep: its units alone, and then what lives beside them is looked at."""
        if self.stores is None:
            return
        ports = (self.catalog, self.turns, self.stores, self.journal)
        watch = Watch(self.plan, *ports, self.observer, self._left.untaken, lambda: self.stopping)
        if (canary := await watch.begin(self.options.canary)) is not None:
            self._left.only = frozenset(canary.units)
            await self._all()
            self._left.only = None
            if not self.stopping:
                await watch.judge(canary, self.rules)

    async def _all(self) -> None:
        """All that is left: what was begun, then what no run has taken yet, then the bytes of marked rows."""
        if not self.stopping:
            await self._finish_claimed()
        if not self.stopping:
            await self._stream()
        if self.mode is Mode.ONLY_ARTIFACT and not self.stopping:
            await self._settle_marked()

    async def _look_again(self) -> None:
        """Only-artifact, resumed: what an earlier second look let go is asked again, unless its bytes have begun to go."""
        assert self.stores is not None
        for page in self._left.begun("claimed", "failed"):
            self.journal.advance(await untouched(units_of(page), self.stores), "marked")

    async def _finish_claimed(self) -> None:
        """Delete what earlier claims took and earlier runs did not finish deleting."""
        for page in self._left.begun("claimed", "failed"):
            if self.stopping:
                return
            self._resumed += len(page)
            self.observer.resumed(self._resumed)
            await self._destroy([p.id for p in page], resumed=True)

    async def _stream(self) -> None:
        send, receive = anyio.create_memory_object_stream[Prepared](1)
        limiter = anyio.Semaphore(IN_FLIGHT)
        async with anyio.create_task_group() as tasks, receive:
            tasks.start_soon(self._list_ahead, send)
            async for prepared in receive:
                if self.stopping:
                    break
                await limiter.acquire()
                claimed = await self._guarded(self._claim(prepared))
                if claimed:
                    tasks.start_soon(self._destroy_and_release, claimed, limiter)
                else:
                    limiter.release()

    async def _list_ahead(self, send: MemoryObjectSendStream[Prepared]) -> None:
        with send:
            for batch in batches(self._left.untaken(), self._batch_size):
                if self.stopping:
                    return
                began = time.monotonic()
                prepared = await self._guarded(prepare(batch, self.stores))
                if prepared is None:
                    return
                self.observer.batch("list", began, *prepared.extent)
                try:
                    await send.send(prepared)
                except anyio.BrokenResourceError:
                    return

    def _batch_size(self) -> int:
        """Units per claim: what the user says, else what the catalog says, which follows how long claims take."""
        return self.options.batch or self.catalog.capabilities().claim_batch

    async def _claim(self, prepared: Prepared) -> list[str]:
        """Claim the units that are ready; journal the outcome of all others. Return the ids whose bytes may go now."""
        if ids := changed(prepared.settled):
            prepared.settled = or_gone(prepared.settled, await self.turns(self.catalog.references, ids))
        self._settle(prepared.settled)
        taken: list[str] = []
        left = prepared.ready
        for pause in (*BUSY_PAUSES, None):
            if self.stopping or not left:
                break
            answers = await self._claim_once(left, last=pause is None)
            taken += [a.id for a in answers if a.answer is ClaimAnswer.CLAIMED]
            settled = {a.id for a in answers if a.answer is not ClaimAnswer.BUSY}
            left = [
                Unit(u.entries, u.objects, u.done | settled) for u in left if any(e.id not in settled for e in u.left)
            ]
            if left and pause is not None:
                await anyio.sleep(pause)
        return taken if self.mode is Mode.BOTH else []

    async def _claim_once(self, ready: Sequence[Unit], *, last: bool) -> Sequence[Answer]:
        """One claim; what somebody else holds at the moment has no outcome yet, unless this is the *last* try."""
        units = {e.id: unit for unit in ready for e in unit.left}
        entries = {e.id: e for unit in ready for e in unit.left}
        requests = [r for unit in ready for r in unit.requests()]
        number, self._batch = self._batch, self._batch + 1

        def refused(answers: Sequence[Answer]) -> list[Journaled]:
            decided = [a for a in whole(answers, requests) if last or a.answer is not ClaimAnswer.BUSY]
            return [(entries[a.id], units[a.id].id, r) for a in decided if (r := refusal(a)) is not None]

        def intent(answers: Sequence[Answer]) -> None:
            self.journal.settle(refused(answers))  # before the commit too: a crash after it must not forget them
            taken = [a for a in answers if a.answer is ClaimAnswer.CLAIMED]
            self.journal.intend(
                number, [Intended(entries[a.id], units[a.id].id, units[a.id].objects, a.image) for a in taken]
            )

        began = time.monotonic()
        answers = await changing(self.turns, self.catalog.claim, requests, self.rules, intent)
        self._report(refused(answers))
        claimed = [a.id for a in answers if a.answer is ClaimAnswer.CLAIMED]
        self.observer.batch("claim", began, len(claimed), 0, 0)
        self._advance(claimed, entries, units)
        return whole(answers, requests)

    def _advance(self, claimed: list[str], entries: dict[str, Entry], units: dict[str, Unit]) -> None:
        match self.mode:
            case Mode.ONLY_METADATA:
                self._settle([(entries[i], units[i].id, Deleted()) for i in claimed])
            case Mode.ONLY_ARTIFACT:
                self.journal.advance(claimed, "marked")
            case Mode.BOTH:
                self.journal.advance(claimed, "claimed")

    async def _settle_marked(self) -> None:
        """Only-artifact, second half: drain, look again, and delete the bytes of rows that nobody linked meanwhile."""
        if any(self._left.begun("marked")):
            self.observer.draining(self.options.drain.total_seconds())
            await self._pause(self.options.drain.total_seconds())
        for page in self._left.begun("marked"):
            if self.stopping:
                return
            by_id = {p.id: p for p in page}
            requests = [ClaimRequest(p.id, TOMBSTONE + p.uri, from_text(p.updated), p.unit, linked=True) for p in page]

            def intent(answers: Sequence[Answer]) -> None:
                self.journal.advance([a.id for a in answers if a.answer is ClaimAnswer.CLAIMED], "claimed")

            answers = await changing(self.turns, self.catalog.settle, requests, self.rules, intent)
            self._settle([(by_id[a.id], by_id[a.id].unit, r) for a in answers if (r := refusal(a)) is not None])
            await self._destroy([a.id for a in answers if a.answer is ClaimAnswer.CLAIMED], resumed=True)

    async def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self.stopping:
            await anyio.sleep(min(1.0, seconds))
            seconds -= 1.0

    async def _destroy_and_release(self, ids: list[str], limiter: anyio.Semaphore) -> None:
        try:
            await self._destroy(ids)
        finally:
            limiter.release()

    async def _destroy(self, ids: Sequence[str], *, resumed: bool = False) -> None:
        if not ids:
            return
        taken = self.journal.taken(ids)
        if self.stores is None:  # only-metadata: with its row an entry is done
            self._settle([(entry, entry.unit, Deleted()) for entry in taken])
            return
        units = units_of(taken)
        await self._pause(self.options.lag.total_seconds())
        if self.stopping and self.options.lag:
            return  # too early: the journal holds them as claimed, and the next run deletes them
        since, began = self.rules.since, time.monotonic()
        work = destroy(units, self.mode, since, self.catalog, self.turns, self.stores, self.journal, resumed=resumed)
        outcomes = await self._guarded(work) or []
        self.observer.batch("delete", began, *freed([outcome for _, _, outcome in outcomes]))
        self._report(outcomes)

    def _settle(self, outcomes: Sequence[Journaled]) -> None:
        if outcomes:
            self.journal.settle(outcomes)
            self._report(outcomes)

    def _report(self, outcomes: Sequence[Journaled]) -> None:
        for entry, _, outcome in outcomes:
            self.observer.outcome(entry.id, entry.uri, outcome)
            if isinstance(outcome, Failed) and not self.options.ignore_errors:
                self.stopping = True

    async def _guarded(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run *work*; what it raises stops new batches and is raised when everything in flight has ended."""
        try:
            return await work
        except Exception as error:
            self.trouble.append(error)
            self.stopping = True
            return None
