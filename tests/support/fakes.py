"""The ports in memory, for tests of the pure phases: a catalog that is a list, stores that are dictionaries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio

from marksweep.catalog.port import (
    Around,
    Capabilities,
    Claimed,
    ClaimRequest,
    ClaimRules,
    Holder,
    Identity,
    Intent,
    Lost,
    Places,
    Reinserted,
    Sift,
)
from marksweep.errors import StoreRefused
from marksweep.model.outcome import Mode
from marksweep.model.store import KeyDeleted, KeyDenied, KeyFailed, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location, claims, plain_key
from marksweep.model.version import ArtifactStore, Claim, Reference, ReferenceKind, Surveyed, Version
from marksweep.store.port import Store, StoreOpener
from marksweep.store.realpath import RealPaths
from marksweep.store.tuning import Meter

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""The clock of tests; no fake ever looks at the real one."""
OLD = NOW - timedelta(days=100)
"""Old enough for every rule."""


def version(id_: str, uri: str, **changes: object) -> Version:
    """A version that every rule lets go, but for *changes*."""
    facts: dict[str, object] = {
        "id": id_, "artifact_id": f"artifact-of-{id_}", "artifact": f"name-{id_}", "version": "1", "number": 1,
        "project": "default", "uri": uri, "store_id": "store", "created": OLD, "updated": OLD, "registered": False,
    }  # fmt: skip
    return Version(**{**facts, **changes})  # type: ignore[arg-type]


@dataclass
class FakeCatalog:
    """A catalog in memory. ``references_of``: id -> kinds; pages hold two versions, so that every test has several."""

    versions: list[Version]
    references_of: dict[str, set[ReferenceKind]] = field(default_factory=dict)
    others: list[Claim] = field(default_factory=list)
    artifact_stores: dict[str, ArtifactStore] = field(
        default_factory=lambda: {"store": ArtifactStore("store", "main", "s3", "s3://bucket/root")}
    )
    rows: dict[str, int] = field(default_factory=dict)
    server_id: str = "server"
    unfinished: datetime | None = None
    asked_not_before: datetime | None = None
    asked_for_tags: bool | None = None
    left_out: frozenset[ReferenceKind] | None = None

    def identity(self) -> Identity:
        return Identity("fake", self.server_id, "1", "1.0", "memory", "sha256:" + "0" * 64)

    def capabilities(self) -> Capabilities:
        return Capabilities(claim_batch=2)

    def now(self) -> datetime:
        return NOW

    def stores(self) -> Mapping[str, ArtifactStore]:
        return self.artifact_stores

    def oldest_unfinished_run(self, not_before: datetime) -> datetime | None:
        self.asked_not_before = not_before
        return self.unfinished if self.unfinished is not None and self.unfinished >= not_before else None

    def census(self) -> Mapping[str, int]:
        return self.rows

    def survey(self, *, tags: bool, without: frozenset[ReferenceKind] = frozenset()) -> Iterator[Sequence[Surveyed]]:
        self.asked_for_tags, self.left_out = tags, without
        for start in range(0, len(self.versions), 2):
            page = [Surveyed(v, frozenset(self.references_of.get(v.id, ()))) for v in self.versions[start : start + 2]]
            yield [s for s in page if not s.references & without]

    def places(self, sift: Sift) -> Iterator[Places]:
        for start in range(0, len(self.versions), 2):
            page = self.versions[start : start + 2]
            yield Places(len(page), [(page[i].id, page[i].uri) for i in sift([v.uri for v in page])])

    def claims(self, sift: Sift | None = None) -> Iterator[Sequence[Claim]]:
        for claim in self.others:
            yield [claim] if sift is None or sift([claim.uri]) else []

    def find(self, needle: str) -> Sequence[Version]:
        return [v for v in self.versions if needle in (v.id, v.artifact, v.uri)]

    def described(self, ids: Sequence[str]) -> Mapping[str, Version]:
        return {v.id: v for v in self.versions if v.id in ids}

    def around(self, uri: str, most: int) -> Around:
        below = [v for v in self.versions if v.uri.startswith(f"{uri}/")]
        return Around([v for v in self.versions if uri.startswith(f"{v.uri}/")], len(below), below[:most])

    def references(self, ids: Sequence[str]) -> Mapping[str, Sequence[Reference] | None]:
        known = {v.id for v in self.versions}
        return {
            i: [Reference(kind, "somebody") for kind in sorted(self.references_of.get(i, ()))] if i in known else None
            for i in ids
        }

    def recheck(self, requests: Sequence[ClaimRequest], rules: ClaimRules) -> Sequence[Claimed]:
        raise NotImplementedError

    def claim(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        raise NotImplementedError

    def presence(self, ids: Sequence[str]) -> Mapping[str, str]:
        raise NotImplementedError

    def overlapping(self, uris: Mapping[str, str], since: datetime) -> Mapping[str, str]:
        raise NotImplementedError

    def settle(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        raise NotImplementedError

    def reinsert(
        self, unit: Sequence[Lost], mode: Mode, since: datetime, holder: Holder, *, write: bool
    ) -> tuple[Reinserted, str]:
        raise NotImplementedError

    def close(self) -> None: ...


@dataclass
class FakeStore:
    """One store: key (as in ``marksweep.model.uri``) -> bytes. Every method yields to the event loop."""

    keeps_tags = True
    objects: dict[str, int] = field(default_factory=dict)
    objections: dict[str, str] = field(default_factory=dict)
    object_objections: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    listed: list[str] = field(default_factory=list)

    async def undo(self) -> Undo:
        await anyio.lowlevel.checkpoint()
        return Undo.VERSIONED

    async def list(self, location: Location) -> Sequence[StoredObject]:
        await anyio.lowlevel.checkpoint()
        self.listed.append(location.key)
        if location.key in self.broken:
            raise StoreRefused("it is broken", "repair it")
        return [
            StoredObject(key, size, "tag") for key, size in self.objects.items() if f"{key}/".startswith(location.key)
        ]

    async def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Sequence[StoredObject] | Exception]]:
        for location in locations:
            try:
                yield location, await self.list(location)
            except StoreRefused as refused:
                yield location, refused

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        await anyio.lowlevel.checkpoint()
        return [KeyDeleted(found.key) for found in objects if self.objects.pop(found.key, None) is not None]

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        raise StoreRefused("nothing comes back from here", "try another")

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        await anyio.lowlevel.checkpoint()
        return [KeyFailed(found.key, "NotFound", "it is gone") for found in objects]

    async def tidy(self, locations: Sequence[Location]) -> None:
        await anyio.lowlevel.checkpoint()

    def objection(self, location: Location) -> str | None:
        return self.objections.get(location.key)

    def objection_to(self, found: StoredObject) -> str | None:
        return self.object_objections.get(found.key)

    def spellings(self, uri: str) -> tuple[str, ...]:
        return claims(uri)


@dataclass
class FakeStores:
    """The stores port: by store id; one that is not there cannot be opened. *spell* adds keys to a URI's own."""

    by_id: dict[str, FakeStore] = field(default_factory=dict)
    flavors: frozenset[str] = frozenset({"s3", "local"})
    meter: Meter = field(default_factory=Meter)
    spell: Callable[[str], tuple[str, ...]] = claims

    def open(self, store: ArtifactStore) -> StoreOpener:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Store]:
            await anyio.lowlevel.checkpoint()
            if store.id not in self.by_id:
                raise StoreRefused("nobody answers", "start it")
            yield self.by_id[store.id]

        return opened()

    def root_keys(self, store: ArtifactStore) -> tuple[str, ...]:
        return self.spell(store.root) if store.root else ()

    def spellings(self, uri: str) -> tuple[str, ...]:
        return self.spell(uri)

    def sole_keys(self, uris: Sequence[str]) -> Sequence[str | None]:
        return [key if self.spell(uri) == (key := plain_key(uri),) else None for uri in uris]


def real_path_stores() -> FakeStores:
    """Stores that resolve symbolic links of local paths, as the program's do."""
    return FakeStores(spell=RealPaths().spellings)


@dataclass
class Watcher:
    """An observer that remembers."""

    warnings: list[str] = field(default_factory=list)
    versions: int = 0
    bytes: int = 0
    entries: int = 0
    to_size: int | None = None
    compared: bool = False

    def surveyed(self, versions: int) -> None:
        self.versions += versions

    def comparing(self) -> None:
        self.compared = True

    def sizing(self, entries: int) -> None:
        self.to_size = entries

    def sized(self, entries: int, bytes_: int) -> None:
        self.entries += entries
        self.bytes += bytes_

    def warn(self, message: str) -> None:
        self.warnings.append(message)
