"""What a phase may ask of an artifact store.

Promises that every adapter keeps (``tests/contract/test_store_contract.py`` holds them):

* Only objects under ``uri + "/"``, and the object whose key *is* the URI, are ever listed for a URI. Never a glob, never a
  sibling that shares a prefix, never through a symbolic link, never outside the store's root.
* Only exact keys are deleted, and each key's own result is reported; a key that the store did not answer for has failed.
* A listing is complete or raises :class:`~marksweep.errors.StoreRefused`; it is never silently short.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from marksweep.model.store import KeyDenied, KeyFailed, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location
from marksweep.model.version import ArtifactStore
from marksweep.store.tuning import Meter


class Store(Protocol):
    """One artifact store, open. Every method may be called concurrently."""

    async def undo(self) -> Undo:
        """Whether a delete can be undone here. Raises StoreRefused when the store cannot be reached at all."""
        ...

    async def list(self, location: Location) -> Sequence[StoredObject]:
        """Every object at or under *location*; empty when there is none. Raises StoreRefused."""
        ...

    def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Sequence[StoredObject] | Exception]]:
        """The same for many, concurrently, in the given order; a location whose listing failed carries its error.

        Locations that lie close together share requests. *emptied*: there is most likely nothing at them any more.
        """
        ...

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        """Delete exactly *objects*; one outcome for each (key, version), in any order. Raises nothing for one that failed.

        Objects of many versions may share a call: the adapter packs them into requests as its server likes them.
        """
        ...

    @property
    def keeps_tags(self) -> bool:
        """Whether what :meth:`undelete` brings back has the tag that it had before."""
        ...

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """What lay at or under *location*, was deleted at or after *since* (aware), and can be brought back.

        Key, size and tag are as a listing had them before the delete; ``version`` is the store's handle (delete marker,
        generation, place in the trash). Raises StoreRefused when this store cannot undo.
        """
        ...

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        """Bring exactly these back; return those that could not be.

        A key that holds an object now is never overwritten: it fails with the code ``Occupied``.
        """
        ...

    async def tidy(self, locations: Sequence[Location]) -> None:
        """Remove what is left of emptied *locations* besides objects: empty local folders at or below each, never above."""
        ...

    def objection(self, location: Location) -> str | None:
        """Why objects at *location* must not be deleted here (outside the root, a symbolic link, an impossible key)."""
        ...

    def objection_to(self, found: StoredObject) -> str | None:
        """Why this object could not be deleted exactly (for instance a key that XML cannot carry); null when it can."""
        ...

    def spellings(self, uri: str) -> tuple[str, ...]:
        """Every key (see :mod:`marksweep.model.uri`) that *uri* means here, symbolic links resolved."""
        ...


StoreOpener = AbstractAsyncContextManager[Store]
"""What an adapter's ``open`` returns: entered in the event loop that uses the store."""


class Stores(Protocol):
    """Every store that a catalog names, opened on demand by whoever wires the program."""

    @property
    def meter(self) -> Meter:
        """What all of them did so far."""
        ...

    @property
    def flavors(self) -> frozenset[str]:
        """The flavors that there is an adapter for."""
        ...

    def open(self, store: ArtifactStore) -> StoreOpener:
        """A context manager around the open store; entering it raises StoreRefused when it cannot be used."""
        ...

    def root_keys(self, store: ArtifactStore) -> tuple[str, ...]:
        """The keys of the store's root: as configured, and with symbolic links resolved."""
        ...

    def spellings(self, uri: str) -> tuple[str, ...]:
        """Every key that *uri* means: :func:`marksweep.model.uri.claims`, and local paths with their links resolved."""
        ...

    def sole_keys(self, uris: Sequence[str]) -> Sequence[str | None]:
        """The key of each URI that is plain and has no other; None: ask :meth:`spellings`. For the millions of a catalog."""
        ...
