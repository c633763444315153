"""Before a claim: list what the plan says is there, and set aside whatever is not as planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from marksweep.catalog.port import ClaimRequest, ClaimRules
from marksweep.model.entry import Entry, fingerprint
from marksweep.model.instant import from_text
from marksweep.model.outcome import AlreadyGone, Failed, Kept, KeptBecause, Outcome
from marksweep.model.policy import CLOCK_SKEW, RECHECK_MARGIN
from marksweep.model.store import StoredObject
from marksweep.model.uri import Location, locate
from marksweep.plan.document import Header
from marksweep.store.port import Store
from marksweep.sweep.places import OpenStores


@dataclass(slots=True)
class Unit:
    """Entries that share bytes (mostly one), with the objects to delete once they are claimed.

    ``done`` are those that an earlier run settled: their bytes are the others' too, and nothing more is asked of them.
    """

    entries: Sequence[Entry]
    objects: Sequence[StoredObject] = ()
    done: Set[str] = frozenset()

    @property
    def id(self) -> str:
        return self.entries[0].id

    @property
    def location(self) -> Location:
        """The widest place of the unit: the others lie in it."""
        return locate(self.entries[0].uri)

    @property
    def left(self) -> list[Entry]:
        """The entries that have no outcome yet."""
        return [e for e in self.entries if e.id not in self.done]

    def requests(self, prefix: str = "") -> list[ClaimRequest]:
        """What to ask the catalog for; *prefix* stands before each URI in the row."""
        return [
            ClaimRequest(e.id, prefix + e.uri, from_text(e.updated), self.id, e.reason == "model_links_ignored")
            for e in self.left
        ]

    def outcomes(self, outcome: Outcome) -> list[tuple[Entry, str, Outcome]]:
        """The same outcome for every entry that is left."""
        return [(e, self.id, outcome) for e in self.left]


@dataclass(slots=True)
class Prepared:
    """A batch: units ready to claim, and what became of the others."""

    ready: list[Unit] = field(default_factory=list)
    settled: list[tuple[Entry, str, Outcome]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(isinstance(outcome, Failed) for _, _, outcome in self.settled)

    @property
    def extent(self) -> tuple[int, int, int]:
        """Entries, objects and bytes that are ready to claim."""
        objects = [o for unit in self.ready for o in unit.objects]
        return sum(len(unit.left) for unit in self.ready), len(objects), sum(o.size for o in objects)


async def prepare(batch: Iterable[Unit], stores: OpenStores | None) -> Prepared:
    """List and compare a batch of units. Without *stores* (only-metadata) nothing is looked at."""
    prepared = Prepared()
    by_store: dict[int, tuple[Store, list[Unit]]] = {}
    for unit in batch:
        if stores is None:
            prepared.ready.append(unit)
            continue
        store = stores.of(unit.location.key)
        if store is None:
            prepared.settled += unit.outcomes(Kept(KeptBecause.PROTECTED, "it lies in no store that the plan names"))
        elif objection := next((o for o in (store.objection(locate(e.uri)) for e in unit.entries) if o), None):
            prepared.settled += unit.outcomes(Kept(KeptBecause.PROTECTED, objection))
        else:
            by_store.setdefault(id(store), (store, []))[1].append(unit)
    for store, units in by_store.values():
        order = iter(units)
        async for _, found in store.listing([unit.location for unit in units]):
            _compare(next(order), found, store, prepared)
    return prepared


def changed(settled: Iterable[tuple[Entry, str, Outcome]]) -> list[str]:
    """The ids of those that are kept because their objects changed: their rows may be gone as well."""
    return [e.id for e, _, o in settled if isinstance(o, Kept) and o.because is KeptBecause.CHANGED]


def or_gone(
    settled: Iterable[tuple[Entry, str, Outcome]], found: Mapping[str, object | None]
) -> list[tuple[Entry, str, Outcome]]:
    """*settled*, where what has no row any more (null in *found*) is gone and not changed."""
    gone = {id_ for id_, references in found.items() if references is None}
    return [(e, unit, AlreadyGone() if e.id in gone else outcome) for e, unit, outcome in settled]


def _compare(unit: Unit, found: Sequence[StoredObject] | Exception, store: Store, prepared: Prepared) -> None:
    if isinstance(found, Exception):
        prepared.settled += unit.outcomes(Failed("listing", str(found)))
        return
    objection = next((o for o in map(store.objection_to, found) if o), None)
    if objection:
        prepared.settled += unit.outcomes(Kept(KeptBecause.PROTECTED, objection))
    elif not _as_planned(unit.entries[0], found):
        before = unit.entries[0].objects
        prepared.settled += unit.outcomes(
            Kept(KeptBecause.CHANGED, f"its objects changed since the plan was made ({before} then, {len(found)} now)")
        )
    else:
        unit.objects = found
        prepared.ready.append(unit)


def _as_planned(first: Entry, found: Sequence[StoredObject]) -> bool:
    """Whether *found* is what the *first* entry of a unit says: content, and the numbers that people were shown.

    The fingerprint binds content alone: a planner could sign the right one beside any number of bytes.
    """
    return (
        first.fingerprint in (None, fingerprint(found))
        and first.objects in (None, len(found))
        and first.bytes in (None, sum(o.size for o in found))
    )


def claim_rules(header: Header, artifacts_before: datetime | None) -> ClaimRules:
    """What the signed policy of a plan allows a claim."""
    created = from_text(header.plan.created)
    return ClaimRules(
        header.plan.mode,
        created - CLOCK_SKEW if header.policy.ignore_model_links else None,
        created - RECHECK_MARGIN,
        artifacts_before,
    )
