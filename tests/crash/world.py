"""A small catalog that a plan was made for, put back as it was as often as a test likes, and swept in this process.

The plan holds what can befall an entry between mark and sweep: units that share bytes (one whole, one with a version that
somebody removed, one with a version that somebody linked), entries linked again, changed in the catalog, changed in the
store, and gone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from marksweep.catalog.port import Catalog
from marksweep.cli.wire import database_clock, open_catalog, store_adapters
from marksweep.mark.marking import Request, draft
from marksweep.mark.observer import Silent as QuietMark
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import Entry
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.keys import create_key
from marksweep.plan.verify import VerifiedPlan, verify
from marksweep.plan.writer import write_plan
from marksweep.store.port import Stores
from marksweep.sweep.books import Books, books
from marksweep.sweep.engine import Sweep
from marksweep.sweep.journal import Journal
from marksweep.sweep.journal_reader import journal_path
from marksweep.sweep.observer import Silent as QuietSweep
from marksweep.sweep.options import Options
from marksweep.sweep.places import open_stores
from tests.bench.generate import Generated, small
from tests.crash.carried import InMariaDb, carried, local_stores
from tests.crash.invariants import Expected, Observed, observe
from tests.crash.process import SweepCommand
from tests.support import databases
from tests.support.catalogs import dashed
from tests.support.databases import Connection
from tests.support.mariadb import MariaDbServer
from tests.support.zenml_database import Where, database_of, reading

POLICY = Policy(grace=False, min_age=timedelta(0), max_share=100)
SEED = 7
"""Of the generated catalog."""

Wrap = Callable[[Any], Any]
"""Puts something around a real catalog, journal or the stores."""


@dataclass
class World:
    """One catalog with a plan; ``expected`` says what a sweep has to make of it, ``before`` what was there."""

    folder: Path
    catalog: Generated
    mode: Mode
    trust: Trust
    expected: Expected
    before: Observed
    pristine: dict[Path, tuple[bytes, int]] = field(default_factory=dict)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    """Of a database that is no file."""
    batch: int = 3
    """How many entries a claim takes if a test does not say."""

    @property
    def plan_path(self) -> Path:
        return plan_path(self.folder)

    @property
    def journal_path(self) -> Path:
        return journal_path(self.plan_path)

    def keep(self) -> None:
        """Remember every file and row as it is now, for :meth:`restore`."""
        self.pristine = {
            path: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.folder.rglob("*") if path.is_file()
        }
        if isinstance(self.catalog, InMariaDb):
            self.rows = self.catalog.db.keep()

    def restore(self) -> None:
        """Put every row and file back, a file with its time; what came since is removed."""
        if isinstance(self.catalog, InMariaDb):
            self.catalog.db.restore(self.rows)
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self.pristine:
                path.unlink()
        for path, (content, modified) in self.pristine.items():
            if not path.is_file() or path.stat().st_mtime_ns != modified or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                os.utime(path, ns=(modified, modified))

    def observe(self) -> Observed:
        return observe(self.catalog.root, self.catalog.database)

    @property
    def local_stores(self) -> Path:
        return local_stores(self.catalog.root)

    def edit(self) -> AbstractContextManager[Connection]:
        """Somebody else writes to the catalog, foreign keys on, as ZenML does."""
        return _editing(self.catalog.database)

    def command(self, batch: int) -> SweepCommand:
        """The sweep as a process of its own."""
        return SweepCommand(self.plan_path, self.catalog.url, batch, self.local_stores)

    def sweep(
        self,
        *,
        batch: int | None = None,
        around_catalog: Wrap | None = None,
        around_stores: Wrap | None = None,
        around_journal: Wrap | None = None,
        at_the_end: Callable[[], None] | None = None,
        **options: Any,
    ) -> Books:
        """One run of the sweep, to its end or to what it raises; with something around its parts if given.

        *options* are more of the engine's own. *at_the_end* is called before the journal is closed, which would move what
        stands in its write-ahead log.
        """
        with open_catalog(self.catalog.url, self.local_stores, writes=True) as catalog:
            clock = database_clock(catalog)
            with verify(self.plan_path, self.trust, clock()) as plan:
                journal = Journal(self.journal_path, {"plan": plan.digest}, clock)
                try:
                    _run(
                        plan,
                        around_catalog(catalog) if around_catalog else catalog,
                        around_stores(store_adapters(None)) if around_stores else store_adapters(None),
                        around_journal(journal) if around_journal else journal,
                        Options(batch=batch or self.batch, **options),
                        clock,
                    )
                    return books(plan.header.totals.entries, journal.tallies())
                finally:
                    if at_the_end:
                        at_the_end()
                    journal.close()


def _run(
    plan: VerifiedPlan, catalog: Catalog, stores: Stores, journal: Journal, options: Options, clock: Callable[[], Any]
) -> None:
    async def run() -> None:
        if plan.header.plan.mode is Mode.ONLY_METADATA:
            await Sweep(plan, catalog, None, journal, options, QuietSweep(), clock).run()
            return
        async with open_stores([s.root for s in plan.header.stores], catalog.stores(), stores) as opened:
            await Sweep(plan, catalog, opened, journal, options, QuietSweep(), clock).run()

    anyio.run(run)


def plan_path(folder: Path) -> Path:
    return folder / "plan.json"


def make_world(
    folder: Path,
    mode: Mode = Mode.BOTH,
    *,
    versions: int = 32,
    eventful: bool = True,
    server: MariaDbServer | None = None,
) -> World:
    """Generate a catalog (in MariaDB if there is a *server*), mark it, and (if *eventful*) let things happen to its entries."""
    folder.mkdir(parents=True)
    catalog = small(folder / "zenml", versions, SEED)
    if server:
        catalog = carried(catalog, server)
    database = catalog.database
    cast = _Cast.of(catalog) if eventful else None
    if cast:
        cast.share(database)
    trust, entries = mark(folder, catalog.url, mode, local_stores(catalog.root))
    if cast:
        cast.happen(database)
    kept, gone = (cast.kept(mode), cast.gone()) if cast else (frozenset(), frozenset())
    ids = {e.id for e in entries}
    assert kept | gone <= ids
    world = World(folder, catalog, mode, trust, Expected(entries, mode, kept, gone), observe(catalog.root, database))
    world.batch = 6 if server else 3  # fewer claims, as each trial takes longer
    world.keep()
    return world


def mark(folder: Path, url: str, mode: Mode, stores: Path | None = None) -> tuple[Trust, list[Entry]]:
    """Mark the catalog at *url* into ``plan.json``; return whom to trust and the plan's entries. *stores*: its local ones."""
    key = create_key(folder / "key", "test")
    trust = Trust.of([f"test {key.public.line}"])
    (folder / "allowed_signers").write_text(f"test {key.public.line}\n")
    with open_catalog(url, stores) as catalog, Worksheet() as worksheet:
        now = catalog.now()
        request = Request(POLICY, mode, now, timedelta(days=14))
        made = anyio.run(draft, request, catalog, store_adapters(None), worksheet, QuietMark())
        write_plan(plan_path(folder), made, worksheet.entries(), key)
        entries = list(worksheet.entries())
    return trust, entries


@dataclass(frozen=True)
class _Cast:
    """Which orphan plays what. Row ids."""

    whole: tuple[str, str]
    """One URI, both unreferenced: swept together."""
    nested: tuple[str, str]
    """One inside the other; somebody removes the inner row: the outer one is swept."""
    linked_unit: tuple[str, str]
    """One URI, and one is linked again: both are kept."""
    twin_gone: tuple[str, str]
    """One URI, and somebody removes the first row: the other is swept."""
    linked: str
    row_changed: str
    bytes_changed: str
    vanished: str
    """Somebody removed its row and left its bytes."""
    pruned: str
    """Somebody removed its row and its bytes."""
    uris: dict[str, str]

    @classmethod
    def of(cls, catalog: Generated) -> _Cast:
        with reading(catalog.database) as database:
            shown = {r[0] for r in database.execute("SELECT artifact_version_id FROM artifact_visualization")}
        orphans = [v for v in catalog.versions if v in catalog.orphans]
        plain = [v for v in orphans if v not in shown]
        assert len(plain) >= 13, f"only {len(plain)} plain orphans: generate more versions"
        take = iter(plain)
        pairs = [(next(take), next(take)) for _ in range(4)]
        return cls(*pairs, next(take), next(take), next(take), next(take), next(take), dict(catalog.uris))

    def share(self, database: Where) -> None:
        """Before mark: give the pairs their common places."""
        with _editing(database) as db:
            for first, second in (self.whole, self.linked_unit, self.twin_gone):
                shutil.rmtree(self.uris[second])
                _move(db, second, self.uris[first])
                self.uris[second] = self.uris[first]
            outer, inner = self.nested
            place = f"{self.uris[outer]}/inside"
            shutil.move(self.uris[inner], place)
            _move(db, inner, place)
            self.uris[inner] = place

    def happen(self, database: Where) -> None:
        """After mark: what other people do meanwhile."""
        with _editing(database) as db:
            (step,) = db.execute("SELECT id FROM step_run LIMIT 1").fetchone()
            for number, version in enumerate((self.linked, self.linked_unit[1])):
                db.execute(
                    "INSERT INTO step_run_input_artifact (name, type, input_index, step_id, artifact_id)"
                    " VALUES (?, 'manual', 0, ?, ?)",
                    (f"again_{number}", step, version),
                )
            db.execute(
                "UPDATE artifact_version SET updated = '2026-02-03 04:05:06.000007' WHERE id = ?", (self.row_changed,)
            )
            for version in self._removed:
                db.execute("DELETE FROM run_metadata_resource WHERE resource_id = ?", (version,))
                db.execute("DELETE FROM artifact_version WHERE id = ?", (version,))
        shutil.rmtree(self.uris[self.pruned])
        (Path(self.uris[self.bytes_changed]) / "data.json").write_text("somebody wrote this after the mark")

    @property
    def _removed(self) -> tuple[str, ...]:
        first = min(self.twin_gone)  # of equal URIs the lower id comes first: the one that carries the objects
        return (self.vanished, self.pruned, self.nested[1], first)

    def kept(self, mode: Mode) -> frozenset[str]:
        looked_at = () if mode is Mode.ONLY_METADATA else (self.bytes_changed,)
        return frozenset(dashed(v) for v in (*self.linked_unit, self.linked, self.row_changed, *looked_at))

    def gone(self) -> frozenset[str]:
        return frozenset(dashed(v) for v in self._removed)


def _move(db: Connection, version: str, uri: str) -> None:
    db.execute("UPDATE artifact_version SET uri = ? WHERE id = ?", (uri, version))


def _editing(database: Where) -> AbstractContextManager[Connection]:
    return databases.editing(database_of(database))
