"""How much lies under each orphan, listed key by key; an orphan that cannot be looked at is kept."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from anyio.lowlevel import checkpoint

from marksweep.errors import StoreRefused
from marksweep.mark.observer import MarkObserver
from marksweep.mark.worksheet import Place, Worksheet
from marksweep.model.entry import fingerprint
from marksweep.model.store import StoredObject, Undo
from marksweep.model.uri import Location, locate
from marksweep.model.verdict import KeptReason
from marksweep.model.version import ArtifactStore
from marksweep.store.port import Store, Stores
from marksweep.store.windows import gather

WINDOW = 6_144
"""Places that are listed together, while the sizes of those before them are written down."""
BREATH = 256
"""Places that are written down before the event loop has a turn."""

Found = Sequence[StoredObject] | Exception
Measured = list[tuple[str, Found]]
"""Ids of units, with what lies at their places."""


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
        await _measure_all(worksheet, opened, observer, sizes=sizes)
    return {i: u for i, u in undo.items() if i in worksheet.store_ids()}


async def _measure_all(
    worksheet: Worksheet, opened: Mapping[str, Store | None], observer: MarkObserver, *, sizes: bool
) -> None:
    listed: Measured = []
    of: Store | None = None
    for window in _windows(worksheet):
        store = opened[window[0].store_id]
        if store is None:
            _keep(worksheet, [p.id for p in window], KeptReason.STORE_UNREACHABLE)
            continue
        wanted = _checked(worksheet, window, store, observer)
        if not sizes:
            observer.sized(len(window), 0)
            continue
        # What was listed is written down while the next window is listed.
        both: list[Callable[[], Awaitable[Measured | None]]] = [
            partial(_record_all, worksheet, listed, of, observer),
            partial(_list_all, store, wanted),
        ]
        _, ahead = await gather(both, _run)
        listed, of = ahead or [], store
    await _record_all(worksheet, listed, of, observer)


def _windows(worksheet: Worksheet) -> Iterator[list[Place]]:
    """Neighbours in one store, a window at a time; read by key, since keeping one changes what is read."""
    after: Place | None = None
    while page := worksheet.places(after, WINDOW):
        after = page[-1]
        for _, group in itertools.groupby(page, key=lambda p: p.store_id):
            yield list(group)


def _checked(
    worksheet: Worksheet, window: Sequence[Place], store: Store, observer: MarkObserver
) -> list[tuple[str, Location]]:
    # Those that may be deleted, by the place that holds all of the unit; the others are kept.
    wanted: list[tuple[str, Location]] = []
    for place in window:
        locations = [locate(uri) for _, uri in worksheet.unit(place.id)] if place.shared else [locate(place.uri)]
        objection = next((o for o in map(store.objection, locations) if o is not None), None)
        if objection is not None:
            observer.warn(f"version {place.id} is kept: {objection}")
            _keep(worksheet, [place.id], KeptReason.UNSAFE_URI)
        else:
            wanted.append((place.id, locations[0]))
    return wanted


async def _list_all(store: Store, wanted: Sequence[tuple[str, Location]]) -> Measured:
    ids = iter(wanted)
    return [(next(ids)[0], found) async for _, found in store.listing([location for _, location in wanted])]


async def _run(work: Callable[[], Awaitable[Measured | None]]) -> Measured | None:
    return await work()


async def _record_all(worksheet: Worksheet, listed: Measured, store: Store | None, observer: MarkObserver) -> None:
    for number, (id_, found) in enumerate(listed):
        assert store is not None
        observer.sized(1, _record(worksheet, id_, found, store, observer))
        if number % BREATH == 0:
            await checkpoint()


def _record(worksheet: Worksheet, id_: str, found: Found, store: Store, observer: MarkObserver) -> int:
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
