"""Whether anything else in the catalog has the place of an entry: the mark's comparison, made once more before a sweep.

A claim compares an entry with what came or changed since the plan was made; that nothing older shares its bytes is the
planner's word. Whoever has the planner's key could name an orphan whose place holds the bytes of something alive.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

from marksweep.catalog.port import Catalog
from marksweep.errors import GuardRefused
from marksweep.mark.vicinity import Vicinity
from marksweep.model.verdict import TOMBSTONE
from marksweep.plan.document import shown
from marksweep.plan.verify import VerifiedPlan
from marksweep.store.port import Stores
from marksweep.sweep.prepare import claim_rules

_SCRATCH = """
PRAGMA temp_store = FILE;
CREATE TABLE planned (name BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE place (name BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_BATCH = 10_000


def check_neighbours(plan: VerifiedPlan, catalog: Catalog, stores: Stores) -> None:
    """Raise GuardRefused if a version that is no entry of *plan*, and older than it, has, holds or lies in an entry's place.

    What came or changed since is the claim's to find: it keeps that entry alone. One pass over plan and catalog, on disk.
    """
    since = claim_rules(plan.header, None).since
    with closing(sqlite3.connect("")) as scratch:  # a private file, which SQLite removes
        scratch.executescript(_SCRATCH)
        vicinity = _enter(plan, stores, scratch)

        def sift(uris: Sequence[str]) -> list[int]:
            keys = [key or "" for key in stores.sole_keys(uris)]
            near = vicinity.near(keys)
            odd = [at for at, key in enumerate(keys) if not key]
            near.update(at for at in odd if vicinity.meets(stores.spellings(_place(uris[at]))))
            return sorted(near)

        for page in catalog.places(sift):
            touching = {
                id_: uri
                for id_, uri in page.picked
                if not _has(scratch, "planned", id_) and _touches(scratch, stores.spellings(_place(uri)))
            }
            for id_, version in catalog.described(list(touching)).items():
                if max(version.created, version.updated) < since:
                    raise GuardRefused(
                        f"{plan.path} would delete bytes of the version {id_} ({shown(version.artifact)}), which is not in"
                        f" it: one of its entries has, holds or lies in the place {shown(touching[id_])}",
                        "make a new plan: a mark keeps what shares its place, so find out who made this one",
                    )


def _enter(plan: VerifiedPlan, stores: Stores, scratch: sqlite3.Connection) -> Vicinity:
    vicinity = Vicinity()
    ids: list[tuple[bytes]] = []
    places: list[tuple[bytes]] = []
    for entry in plan.entries():
        keys = stores.spellings(entry.uri)
        vicinity.add(keys)
        ids.append((_name(entry.id),))
        places += ((_name(key),) for key in keys)
        if len(ids) == _BATCH:
            _write(scratch, ids, places)
    _write(scratch, ids, places)
    return vicinity


def _write(scratch: sqlite3.Connection, ids: list[tuple[bytes]], places: list[tuple[bytes]]) -> None:
    with scratch:
        scratch.executemany("INSERT OR IGNORE INTO planned VALUES (?)", ids)
        scratch.executemany("INSERT OR IGNORE INTO place VALUES (?)", places)
    ids.clear()
    places.clear()


def _touches(scratch: sqlite3.Connection, keys: Sequence[str]) -> bool:
    """Whether one of *keys* is, holds, or lies in the place of an entry."""
    return any(_holds(scratch, key) or any(_has(scratch, "place", above) for above in _above(key)) for key in keys)


def _has(scratch: sqlite3.Connection, table: str, name: str) -> bool:
    return scratch.execute(f"SELECT 1 FROM {table} WHERE name = ?", (_name(name),)).fetchone() is not None


def _holds(scratch: sqlite3.Connection, key: str) -> bool:
    """Keys end in a slash, and what is inside of one begins with it: the next one in order tells."""
    row = scratch.execute("SELECT name FROM place WHERE name >= ? ORDER BY name LIMIT 1", (_name(key),)).fetchone()
    return row is not None and bytes(row[0]).startswith(_name(key))


def _above(key: str) -> Iterator[str]:
    cut = key.rfind("/", 0, -1)
    while cut >= 0:
        yield key[: cut + 1]
        cut = key.rfind("/", 0, cut)


def _name(text: str) -> bytes:
    """As bytes: a catalog, and a file system, may hold what is no Unicode text."""
    return text.encode("utf-8", "surrogateescape")


def _place(uri: str) -> str:
    """A row that an only-artifact sweep marked may yet get its URI back."""
    return uri.removeprefix(TOMBSTONE)
