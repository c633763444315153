"""After a claim: delete exactly the keys of the intent, read every key's answer, look once more, say what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from marksweep.catalog.port import Catalog
from marksweep.errors import StoreRefused
from marksweep.model.outcome import Deleted, Failed, Kept, KeptBecause, Mode, Outcome
from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.model.uri import Location, locate
from marksweep.model.verdict import TOMBSTONE
from marksweep.store.port import Store
from marksweep.sweep.journal import Journal, Pending
from marksweep.sweep.places import OpenStores
from marksweep.sweep.turns import Turns


@dataclass(frozen=True, slots=True)
class Claimed:
    """A unit that a claim took: its entries as the journal holds them, each with the unit's objects."""

    entries: Sequence[Pending]

    @property
    def id(self) -> str:
        return self.entries[0].unit

    @property
    def location(self) -> Location:
        """The widest place: the shortest key of the unit."""
        if len(self.entries) == 1:
            return locate(self.entries[0].uri)
        return min((locate(e.uri) for e in self.entries), key=lambda location: len(location.key))

    @property
    def objects(self) -> list[StoredObject]:
        return list({(o.key, o.version): o for e in self.entries for o in e.objects}.values())

    def outcomes(self, outcome: Outcome) -> list[tuple[Pending, str, Outcome]]:
        """*outcome* for the first entry; the others share its fate and count nothing."""
        shared: Outcome
        match outcome:
            case Deleted():
                shared = Deleted()
            case Failed(code, message):
                shared = Failed(code, message)
            case _:
                shared = outcome
        return [(e, self.id, outcome if e is self.entries[0] else shared) for e in self.entries]


def units_of(pending: Sequence[Pending]) -> list[Claimed]:
    """Neighbours of one unit, the one that carries the objects first."""
    units: dict[str, list[Pending]] = {}
    for entry in pending:
        units.setdefault(entry.unit, []).append(entry)
    return [Claimed(sorted(entries, key=lambda e: (e.id != e.unit, e.id))) for entries in units.values()]


async def destroy(
    units: Sequence[Claimed],
    mode: Mode,
    since: datetime,
    catalog: Catalog,
    turns: Turns,
    stores: OpenStores,
    journal: Journal,
    *,
    resumed: bool = False,
) -> list[tuple[Pending, str, Outcome]]:
    """Delete the bytes of claimed *units* and journal what became of each. Return the outcomes.

    The rows are seen absent (or marked, in mode only-artifact) once more, by a read that waits for open transactions; a row
    that came back (a server that lost an acknowledged commit, a restored backup) is planned again and its bytes are left.
    What is *resumed* rests on a journal that somebody may have damaged: only objects that are listed
    in the unit's place, and are what they were, go.
    """
    outcomes: list[tuple[Pending, str, Outcome]] = []
    present = await turns(catalog.presence, [e.id for u in units for e in u.entries])
    back = {i for i, uri in present.items() if mode is Mode.BOTH or not uri.startswith(TOMBSTONE)}
    reverted = [u for u in units if any(e.id in back for e in u.entries)]
    journal.abort([e.id for u in reverted for e in u.entries])
    going = [u for u in units if u not in reverted]
    uris = {e.id: e.uri for u in going for e in u.entries}
    taken = await turns(catalog.overlapping, uris, since) if uris else {}
    for unit in [u for u in going if any(e.id in taken for e in u.entries)]:
        going.remove(unit)
        who = next(taken[e.id] for e in unit.entries if e.id in taken)
        row = "removed" if mode is Mode.BOTH else "marked"
        outcomes += unit.outcomes(Kept(KeptBecause.PROTECTED, f"its row is {row} and its bytes are left: {who}"))
    outcomes += await _delete(going, stores, resumed=resumed)
    journal.settle(outcomes)
    return outcomes


async def untouched(units: Sequence[Claimed], stores: OpenStores) -> list[str]:
    """The ids of the entries whose objects are all there as their claim found them; a listing that fails tells nothing."""
    ids: list[str] = []
    for unit in units:
        if (store := stores.of(unit.location.key)) is not None:
            async for _, found in store.listing([unit.location]):
                if not isinstance(found, Exception) and set(unit.objects) <= set(found):
                    ids += [e.id for e in unit.entries]
    return ids


async def _delete(units: Sequence[Claimed], stores: OpenStores, *, resumed: bool) -> list[tuple[Pending, str, Outcome]]:
    outcomes: list[tuple[Pending, str, Outcome]] = []
    by_store: dict[int, tuple[Store, list[Claimed]]] = {}
    for unit in units:
        store = stores.of(unit.location.key)
        if store is None:
            outcomes += unit.outcomes(Failed("no-store", "the catalog does not configure its store any more"))
        else:
            by_store.setdefault(id(store), (store, []))[1].append(unit)
    for store, in_store in by_store.values():
        if resumed:
            in_store, failed = await _as_listed(in_store, store)
            outcomes += failed
        deleted = await store.delete([o for u in in_store for o in u.objects])
        answers = {(a.key, a.version): a for a in deleted}
        places = [u.location for u in in_store]
        await store.tidy(places)
        order = iter(in_store)
        async for _, left in store.listing(places, emptied=True):
            unit = next(order)
            outcomes += unit.outcomes(_outcome(unit, answers, left))
    return outcomes


async def _as_listed(
    units: Sequence[Claimed], store: Store
) -> tuple[list[Claimed], list[tuple[Pending, str, Outcome]]]:
    """The units with those of their objects that a listing of their own places names now; the others are gone already."""
    going: list[Claimed] = []
    failed: list[tuple[Pending, str, Outcome]] = []
    order = iter(units)
    async for _, found in store.listing([u.location for u in units]):
        unit = next(order)
        if isinstance(found, Exception):
            failed += unit.outcomes(Failed("listing", str(found)))
        else:
            here = set(found)
            listed = [replace(e, objects=tuple(o for o in e.objects if o in here)) for e in unit.entries]
            going.append(Claimed(listed))
    return going, failed


def _outcome(
    unit: Claimed, answers: Mapping[tuple[str, str], KeyOutcome], left: Sequence[StoredObject] | Exception
) -> Outcome:
    """Done only when the store said so for each key, and a closing listing holds nothing that was to go."""
    deleted = bytes_ = 0
    failure: tuple[str, str] | None = None
    spared: set[tuple[str, str]] = set()
    for found in unit.objects:
        match answers.get((found.key, found.version)):
            case KeyDeleted():
                deleted += 1
                bytes_ += found.size
            case KeyGone():
                pass
            case KeyChanged():
                spared.add((found.key, found.version))
            case KeyDenied(_, code, message) | KeyFailed(_, code, message):
                failure = failure or (code, message)
            case None:
                failure = failure or ("no-answer", "the store did not answer for one of its keys")
    if failure is None and isinstance(left, StoreRefused):
        failure = ("listing", left.fact)
    elif failure is None and isinstance(left, Exception):
        failure = ("listing", str(left))
    if failure is not None:
        return Failed(*failure, deleted, bytes_)
    remaining = set() if isinstance(left, Exception) else set(left)
    same = [o for o in unit.objects if (o.key, o.version) not in spared and o in remaining]
    if same:
        return Failed(
            "still-there", f"the store said deleted, and still lists {len(same)} of its keys", deleted, bytes_
        )
    return Deleted(deleted, bytes_, left=len(remaining))
