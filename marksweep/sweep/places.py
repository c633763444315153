"""Which open store an entry lies in: the stores that the plan names, matched by root, opened once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType

from marksweep.errors import StoreRefused
from marksweep.model.store import Undo
from marksweep.model.uri import contains
from marksweep.model.version import ArtifactStore
from marksweep.store.port import Store, Stores


class OpenStores:
    """The stores of one sweep; a key belongs to the store with the deepest root around it."""

    def __init__(self, by_root: Mapping[str, Store]) -> None:
        self._by_root = dict(sorted(by_root.items(), key=lambda item: len(item[0]), reverse=True))

    def of(self, key: str) -> Store | None:
        """The store that *key* lies in, or None when the plan names no such store."""
        return next((store for root, store in self._by_root.items() if contains(root, key)), None)


@asynccontextmanager
async def open_stores(
    planned_roots: Collection[str],
    known: Mapping[str, ArtifactStore],
    stores: Stores,
    promised: Mapping[str, Undo] = MappingProxyType({}),
) -> AsyncIterator[OpenStores]:
    """Open every store of the catalog whose root the plan names; raise StoreRefused when one is missing or unreachable.

    *promised*: by root, what the plan says of undoing a delete there; StoreRefused, too, where that is not so (any more).
    """
    wanted = {store.root: store for store in known.values() if store.root in planned_roots}
    missing = sorted(set(planned_roots) - set(wanted))
    if missing:
        raise StoreRefused(
            f"the plan's store {missing[0]!r} is not configured in the catalog any more",
            "make a new plan: what the catalog says of this store changed since this one was made",
        )
    async with AsyncExitStack() as stack:
        by_root: dict[str, Store] = {}
        for store in wanted.values():
            opened = await stack.enter_async_context(stores.open(store))
            undo, told = await opened.undo(), promised.get(store.root, Undo.UNKNOWN)
            if undo is Undo.NONE and told in (Undo.VERSIONED, Undo.SOFT_DELETE):
                raise StoreRefused(
                    f"the plan says that a delete in {store.root!r} can be undone ({told}), and the store says that it cannot",
                    "turn its versioning or soft delete on again, or make a new plan: people approved what this one says",
                )
            by_root.update(dict.fromkeys(stores.root_keys(store), opened))
        yield OpenStores(by_root)
