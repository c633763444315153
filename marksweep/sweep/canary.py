"""The canary: a sweep takes a few entries first, and goes on only if what lives beside them came through it unharmed.

Before the first of them is claimed, the witnesses are listed and recorded in the journal: whatever happens then, they are
compared with what they were before any delete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread
import msgspec

from marksweep.catalog.port import Catalog, ClaimAnswer, ClaimRequest, ClaimRules
from marksweep.errors import Incomplete
from marksweep.model.entry import fingerprint
from marksweep.model.instant import from_text
from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.canary_record import Canary, CanaryState, Harmed, Witness, halt, halted
from marksweep.sweep.journal import Journal
from marksweep.sweep.observer import SweepObserver
from marksweep.sweep.places import OpenStores
from marksweep.sweep.prepare import Unit
from marksweep.sweep.turns import Turns
from marksweep.sweep.witnesses import ladders, listed, live_beside, place_of

LOOKS = 10
"""How often the row of a changed witness is looked at: ZenML deletes a version's bytes first, and its row a moment later."""
PAUSE = 1.0
"""Seconds between two looks."""
PAGE = 500
"""Rows that one look asks about at a time."""

Units = Callable[[], Iterator[Unit]]
"""Reads the units that are left of a plan, from its beginning."""


def admit(journal: Journal, *, cleared: bool) -> None:
    """Raise GuardRefused if a canary of this plan halted its sweep, unless a person *cleared* it, which is noted."""
    canary = journal.canary()
    if not halted(canary):
        return
    if not cleared:
        raise halt(canary, journal.path)
    journal.note_canary(msgspec.structs.replace(canary, state=CanaryState.CLEARED))


def choose(units: Units, most: int, stores: OpenStores) -> list[Unit]:
    """Whole units of *most* entries at most, in plan order; one unit if each is larger. Reads *units* twice.

    Each store has an equal share, and what a small one leaves goes to the others; within a store they are spread evenly, so
    that they lie under many prefixes. Units that are known to hold no object would show nothing, and are left out.
    """

    def candidates() -> Iterator[tuple[Unit, int, int]]:
        for unit in units():
            store = stores.of(unit.location.key)
            if store is not None and unit.entries[0].objects != 0:
                yield unit, id(store), len(unit.left)

    counted: Counter[int] = Counter()
    smallest: tuple[int, Unit] | None = None
    for unit, store, size in candidates():
        counted[store] += size
        smallest = (size, unit) if smallest is None or size < smallest[0] else smallest
    quota = _shares(most, counted)
    passed: Counter[int] = Counter()
    taken: Counter[int] = Counter()
    chosen = []
    for unit, store, size in candidates():
        passed[store] += size
        due = taken[store] * counted[store] < quota[store] * passed[store]
        if due and taken[store] + size <= quota[store]:
            taken[store] += size
            chosen.append(unit)
    return chosen or ([smallest[1]] if smallest else [])


def _shares(most: int, counted: Counter[int]) -> dict[int, int]:
    """*most*, divided among stores by how much each has: equal parts, none larger than what is there."""
    shares: dict[int, int] = {}
    for number, (store, count) in enumerate(sorted(counted.items(), key=lambda item: item[1])):
        shares[store] = min(count, (most - sum(shares.values())) // (len(counted) - number))
    return shares


@dataclass(frozen=True, slots=True)
class Watch:
    """Draws a canary, and judges it when its entries are swept. *units* reads those that no run has taken yet."""

    plan: VerifiedPlan
    catalog: Catalog
    turns: Turns
    stores: OpenStores
    journal: Journal
    observer: SweepObserver
    units: Units
    stopping: Callable[[], bool]

    async def begin(self, most: int | None) -> Canary | None:
        """The canary to sweep now: one that an earlier run left, or a new one if *most* entries are asked for.

        None when none is asked for, or one has passed; then the whole plan may be swept. Raises StoreRefused when a live
        version beside it cannot be listed.
        """
        canary = self.journal.canary()
        if most and (canary is None or canary.state in (CanaryState.CLEARED, CanaryState.VOID)):
            canary = await self._draw(most)
        if canary is None or canary.state is not CanaryState.DRAWN:
            self.observer.canary("over", 0, 0)
            return None
        self.observer.canary("sweeping", canary.entries, len(canary.witnesses))
        return canary

    async def _draw(self, most: int) -> Canary | None:
        """A canary of *most* entries at most, recorded with its witnesses; None when nothing is left, or when *stopping*."""
        self.observer.canary("drawing", 0, 0)
        chosen = await anyio.to_thread.run_sync(choose, self.units, most, self.stores)
        if not chosen:
            return None
        above = list(ladders(chosen, self.stores))
        alive, beside = await self.turns(live_beside, self.catalog, self.plan.entries, above, self.stopping)
        witnesses = []
        async for live, found in listed([v for v in alive if place_of(v.uri, self.stores)], self.stores):
            if isinstance(found, Exception):
                raise found
            if found:
                size = sum(o.size for o in found)
                witnesses.append(Witness(live.id, live.uri, live.updated, len(found), size, fingerprint(found)))
        if self.stopping():
            return None
        canary = Canary(
            state=CanaryState.DRAWN, entries=sum(len(unit.left) for unit in chosen), units=tuple(u.id for u in chosen),
            beside=beside, witnesses=tuple(witnesses), deleted_before=self._deleted(),
        )  # fmt: skip
        self.journal.note_canary(canary)
        return canary

    async def judge(self, canary: Canary, rules: ClaimRules) -> None:
        """Record how *canary*, all of it swept, ended.

        Raises GuardRefused when a witness was harmed, and Incomplete when one cannot be seen, or when nothing was deleted.
        """
        self.observer.canary("comparing", canary.entries, len(canary.witnesses))
        suspects: list[Harmed] = []
        unseen: list[tuple[Witness, Exception]] = []
        async for witness, found in listed(canary.witnesses, self.stores):
            if isinstance(found, Exception):
                unseen.append((witness, found))
            elif fingerprint(found) != witness.fingerprint:
                suspects.append(Harmed(witness, len(found), sum(o.size for o in found)))
        harmed = await self._unexplained(suspects, rules)
        if harmed:
            canary = msgspec.structs.replace(canary, state=CanaryState.HALTED, harmed=tuple(harmed))
            self.journal.note_canary(canary)
            raise halt(canary, self.journal.path)
        if unseen:
            witness, error = unseen[0]
            raise Incomplete(
                f"the canary is swept, and {len(unseen)} of its {len(canary.witnesses)} witnesses cannot be listed now:"
                f" version {witness.id}: {error}",
                "run the same sweep again when the store answers: it compares them before it takes anything else",
            )
        state = CanaryState.PASSED if self._deleted() > canary.deleted_before else CanaryState.VOID
        self.journal.note_canary(msgspec.structs.replace(canary, state=state))
        self.observer.canary("over", canary.entries, len(canary.witnesses))
        if state is CanaryState.VOID and next(self.units(), None) is not None:
            raise Incomplete(
                f"none of the canary's {canary.entries} entries was deleted, so it has shown nothing",
                "look at why they were kept (`marksweep status`), and run the same sweep again: it draws another canary",
            )

    async def _unexplained(self, suspects: Sequence[Harmed], rules: ClaimRules) -> Sequence[Harmed]:
        """Those of *suspects* whose row is still there as it was: nobody deleted or changed the version in the catalog."""
        for look in range(LOOKS):
            if not suspects:
                break
            if look:
                await anyio.sleep(PAUSE)
            explained: set[str] = set()
            for start in range(0, len(suspects), PAGE):
                page = [h.witness for h in suspects[start : start + PAGE]]
                requests = [ClaimRequest(w.id, w.uri, from_text(w.updated), w.id) for w in page]
                answers = await self.turns(self.catalog.recheck, requests, rules)
                explained |= {a.id for a in answers if a.answer in (ClaimAnswer.GONE, ClaimAnswer.CHANGED)}
            suspects = [h for h in suspects if h.witness.id not in explained]
        return suspects

    def _deleted(self) -> int:
        """Entries that the sweep of this plan has deleted so far. (Of objects, a run that was cut has not noted them all.)"""
        return sum(tally.entries for tally in self.journal.tallies() if tally.state == "deleted")
