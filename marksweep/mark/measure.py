"""How much lies under each orphan, listed key by key; an orphan that cannot be looked at is kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

from marksweep.errors import StoreRefused
from marksweep.mark.observer import MarkObserver
from marksweep.mark.worksheet import Place, Worksheet
from marksweep.model.entry import fingerprint
from marksweep.model.store import StoredObject, Undo
from marksweep.model.uri import Location, locate
from marksweep.model.verdict import KeptReason
from marksweep.model.version import ArtifactStore
from marksweep.store.port import Store, Stores

WINDOW = 1_000
"""Places that are listed before their sizes are written down."""


async def measure(
    worksheet: Worksheet, known: Mapping[str, ArtifactStore], stores: Stores, observer: MarkObserver, *, sizes: bool
) -> dict[str, Undo]:
    """Check, and with *sizes* list, every unit of the worksheet. Return per store id whether a delete can be undone."""
    observer.sizing(worksheet.units())
    undo: dict[str, Undo] = {}
    async with AsyncExitStack() as stack:
        opened: dict[str, Store | None] = {}
        for store_id in worksheet.store_ids():
            try:
                store = await stack.enter_async_context(stores.open(known[store_id]))
                undo[store_id] = await store.undo()
                opened[store_id] = store
            except StoreRefused as refused:
                observer.warn(f"store {known[store_id].name!r} cannot be reached; its orphans are kept: {refused.fact}")
                opened[store_id] = None
        for window in _windows(worksheet):
            open_store = opened[window[0].store_id]
            if open_store is None:
                _keep(worksheet, [p.id for p in window], KeptReason.STORE_UNREACHABLE)
            else:
                await _measure_window(worksheet, window, open_store, observer, sizes=sizes)
    return {i: u for i, u in undo.items() if i in worksheet.store_ids()}


def _windows(worksheet: Worksheet) -> Iterator[list[Place]]:
    """Neighbours in one store, a window at a time; read by key, since keeping one changes what is read."""
    after: Place | None = None
    while page := worksheet.places(after, WINDOW):
        after = page[-1]
        for _, group in itertools.groupby(page, key=lambda p: p.store_id):
            yield list(group)


async def _measure_window(
    worksheet: Worksheet, window: Sequence[Place], store: Store, observer: MarkObserver, *, sizes: bool
) -> None:
    wanted: list[tuple[str, Location]] = []
    for place in window:
        locations = [locate(uri) for _, uri in worksheet.unit(place.id)] if place.shared else [locate(place.uri)]
        objection = next((o for o in map(store.objection, locations) if o is not None), None)
        if objection is not None:
            observer.warn(f"version {place.id} is kept: {objection}")
            _keep(worksheet, [place.id], KeptReason.UNSAFE_URI)
        else:
            wanted.append((place.id, locations[0]))
    if not sizes:
        observer.sized(len(window), 0)
        return
    ids = iter(wanted)
    async for _, found in store.listing([location for _, location in wanted]):
        id_, _ = next(ids)
        observer.sized(1, _record(worksheet, id_, found, store, observer))


def _record(
    worksheet: Worksheet, id_: str, found: Sequence[StoredObject] | Exception, store: Store, observer: MarkObserver
) -> int:
    if isinstance(found, Exception):
        observer.warn(f"version {id_} is kept, because its place could not be listed: {found}")
        _keep(worksheet, [id_], KeptReason.STORE_UNREACHABLE)
        return 0
    objection = next((o for o in map(store.objection_to, found) if o is not None), None)
    if objection is not None:
        observer.warn(f"version {id_} is kept, because one of its objects could not be deleted: {objection}")
        _keep(worksheet, [id_], KeptReason.UNSAFE_URI)
        return 0
    size = sum(o.size for o in found)
    worksheet.measure(id_, len(found), size, fingerprint(found))
    return size


def _keep(worksheet: Worksheet, firsts: Sequence[str], reason: KeptReason) -> None:
    """Keep whole units: what shares bytes with something kept is kept."""
    for first in firsts:
        worksheet.keep([id_ for id_, _ in worksheet.unit(first)], reason)
