"""Are all bytes of a unit there, or in the store's hands? Only what the plan saw, whole, is ever brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from marksweep.model.entry import Entry, fingerprint
from marksweep.model.store import StoredObject
from marksweep.model.uri import Location
from marksweep.store.port import Store
from marksweep.sweep.restore_journal import RESTORING, Taken


@dataclass(frozen=True, slots=True)
class Wanted:
    """All objects of a unit as its sweep met them (``whole``), and those that are ``away``, with the store's handles.

    ``by_tag`` is off where the store gives what it brings back a new tag.
    """

    whole: tuple[StoredObject, ...]
    away: tuple[StoredObject, ...]
    by_tag: bool


NOTHING = Wanted((), (), by_tag=True)


async def look(store: Store, place: Location, lead: Entry, taken: Sequence[Taken], since: datetime) -> Wanted | str:
    """What is wanted at *place*, or why not all of it can be had. Raises StoreRefused when the store cannot undo."""
    here = list(await store.list(place))
    by_tag = store.keeps_tags
    begun = next((t.keys for t in taken if t.state == RESTORING and t.keys), ())
    if _is_whole(here, lead, taken) or (begun and _same(here, begun, by_tag=by_tag)):
        return Wanted(tuple(here), (), by_tag)
    lies_there = {o.key for o in here}
    away = {o.key: o for o in await store.undeletable(place, since) if o.key not in lies_there}
    found = [*here, *(replace(o, version="") for o in away.values())]
    if begun and _same(found, begun, by_tag=by_tag):
        return Wanted(begun, tuple(away.values()), by_tag)
    if _is_whole(found, lead, taken):
        return Wanted(tuple(found), tuple(away.values()), by_tag)
    planned = "" if lead.objects is None else f", and the plan saw {lead.objects}"
    return (
        f"{len(here)} objects lie there, the store can bring back {len(away)}{planned}: together they are not the same"
    )


async def missing(store: Store, place: Location, wanted: Wanted) -> list[str] | None:
    """The keys that are not there yet; empty when exactly what is wanted is there, null when something else is."""
    here = list(await store.list(place))
    if _same(here, wanted.whole, by_tag=wanted.by_tag):
        return []
    there = {o.key for o in here}
    return [o.key for o in wanted.whole if o.key not in there] or None


def _is_whole(found: Sequence[StoredObject], lead: Entry, taken: Sequence[Taken]) -> bool:
    if lead.fingerprint is not None:
        return fingerprint(found) == lead.fingerprint
    if any(t.keys for t in taken):  # no plan's measure, but its sweep listed them, and did not end
        return any(_same(found, t.keys, by_tag=True) for t in taken if t.keys)
    counted = sum(t.objects for t in taken), sum(t.bytes for t in taken)
    return (len(found), sum(o.size for o in found)) == counted


def _same(found: Sequence[StoredObject], wanted: Sequence[StoredObject], *, by_tag: bool) -> bool:
    if by_tag:
        return set(found) == set(wanted)
    return {(o.key, o.size) for o in found} == {(o.key, o.size) for o in wanted}
