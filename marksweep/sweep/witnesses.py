"""The witnesses of a canary: live versions in the nearest folder above each of its entries in which anything else lives.

ZenML gives each output of a step a folder of its own (``step/output/<step run>/<id>``), so the folder right above a place is
often empty but for it. The search climbs until it meets a live version, and no higher than the store's root.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, TypeVar

from marksweep.catalog.port import Catalog
from marksweep.errors import StoreRefused
from marksweep.model.entry import Entry
from marksweep.model.instant import to_text
from marksweep.model.store import StoredObject
from marksweep.model.uri import Location, UriRefused, claims, locate
from marksweep.model.version import Surveyed
from marksweep.store.port import Store
from marksweep.sweep.places import OpenStores
from marksweep.sweep.prepare import Unit

MOST = 10_000
"""Live versions that are listed, twice, for one canary: the nearest ones, and of equally near ones an even sample."""

_SCRATCH = """
PRAGMA temp_store = FILE;
CREATE TABLE beside (
  id TEXT PRIMARY KEY, uri TEXT NOT NULL, updated TEXT NOT NULL, folder TEXT NOT NULL, steps INTEGER NOT NULL,
  draw INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE touched (folder TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Placed(Protocol):
    """Something that lies at a URI."""

    @property
    def uri(self) -> str: ...


P = TypeVar("P", bound=Placed)


class Live(NamedTuple):
    """A version of the catalog that is no entry of the plan, as its row stands."""

    id: str
    uri: str
    updated: str


def ladders(units: Sequence[Unit], stores: OpenStores) -> Iterator[list[str]]:
    """For each spelling of each unit's place the keys of the folders above it, the nearest first, up to its store's root."""
    for unit in units:
        store = stores.of(unit.location.key)
        if store is not None:
            for key in store.spellings(unit.entries[0].uri):
                yield [folder for folder in _upwards(key) if folder != key and stores.of(folder) is store]


def live_beside(
    catalog: Catalog,
    planned: Callable[[], Iterator[Entry]],
    above: Sequence[Sequence[str]],
    stopping: Callable[[], bool],
) -> tuple[list[Live], int]:
    """The live versions in the nearest inhabited folder of each ladder in *above*, :data:`MOST` at most; and their number.

    Alive is what the catalog has and is not *planned*. One pass over each, on disk. Ends early, with nothing, when *stopping*.
    """
    rungs: dict[str, int] = {}
    for ladder in above:
        for steps, folder in enumerate(ladder):
            rungs[folder] = min(steps, rungs.get(folder, steps))
    with closing(sqlite3.connect("")) as scratch:  # a private file, which SQLite removes
        scratch.executescript(_SCRATCH)
        for page in catalog.survey(tags=False):
            if stopping():
                return [], 0
            scratch.executemany("INSERT OR IGNORE INTO beside VALUES (?,?,?,?,?,?)", _rows(page, rungs))
        scratch.executemany("DELETE FROM beside WHERE id = ?", ((entry.id,) for entry in planned()))
        folders = [row[0] for row in scratch.execute("SELECT DISTINCT folder FROM beside")]
        inhabited = {rung for folder in folders for rung in _upwards(folder)}
        touched = {next((rung for rung in ladder if rung in inhabited), "") for ladder in above}
        near = ((folder,) for folder in folders if any(rung in touched for rung in _upwards(folder)))
        scratch.executemany("INSERT INTO touched VALUES (?)", near)
        found = "FROM beside WHERE folder IN (SELECT folder FROM touched)"
        (beside,) = scratch.execute(f"SELECT count(*) {found}").fetchone()
        rows = scratch.execute(f"SELECT id, uri, updated {found} ORDER BY steps, draw, id LIMIT ?", (MOST,))
        return [Live(*row) for row in rows], beside


def _rows(page: Sequence[Surveyed], rungs: Mapping[str, int]) -> Iterator[tuple[str, str, str, str, int, int]]:
    """Of the versions in *page* those at or below one of *rungs*: each with the deepest such folder, the steps up to it from
    the nearest place of the canary, and its place in a draw.
    """
    for version in (surveyed.version for surveyed in page):
        above = (folder for key in claims(version.uri) for folder in _upwards(key) if folder in rungs)
        folder = max(above, key=len, default=None)
        if folder is not None:
            draw = zlib.crc32(version.id.encode())
            yield version.id, version.uri, to_text(version.updated), folder, rungs[folder], draw


def _upwards(key: str) -> Iterator[str]:
    """*key*, and the keys of the folders above it, up to the bucket."""
    while True:
        yield key
        above = key[:-1].rpartition("/")[0]
        if not above or above.endswith("/"):
            return
        key = f"{above}/"


def place_of(uri: str, stores: OpenStores) -> tuple[Store, Location] | None:
    """Where *uri* can be listed; None if it has no one plain meaning, or its store would not delete there either."""
    try:
        location = locate(uri)
    except UriRefused:
        return None
    store = stores.of(location.key)
    return None if store is None or store.objection(location) else (store, location)


async def listed(
    versions: Sequence[P], stores: OpenStores
) -> AsyncIterator[tuple[P, Sequence[StoredObject] | Exception]]:
    """What the place of each of *versions* holds now, or why that cannot be said; store by store."""
    by_store: dict[int, tuple[Store, list[tuple[Location, P]]]] = {}
    for version in versions:
        place = place_of(version.uri, stores)
        if place is None:
            yield version, StoreRefused("it may not be listed any more", "look at what stands there now")
        else:
            by_store.setdefault(id(place[0]), (place[0], []))[1].append((place[1], version))
    for store, group in by_store.values():
        order = iter(group)
        async for _, found in store.listing([location for location, _ in group]):
            yield next(order)[1], found
