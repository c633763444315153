"""Where a mark keeps what it knows while it works: a scratch database on disk, so that memory stays flat.

It holds the orphans so far, and every key that anybody lays claim to. A version that turns out to be kept leaves the
orphans, and from then on its keys count as alive.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from marksweep.mark.kept import KeptRecord
from marksweep.model.entry import Entry, EntryReason
from marksweep.model.instant import to_text
from marksweep.model.verdict import KeptReason
from marksweep.model.version import Version

_COLUMNS = """(
  id TEXT NOT NULL, key BLOB NOT NULL, artifact TEXT, version TEXT, project TEXT, uri TEXT, store_id TEXT,
  created TEXT, updated TEXT, reason TEXT, objects INTEGER, bytes INTEGER, fingerprint TEXT, shares TEXT
)"""
_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -16000;
CREATE TABLE orphan {_COLUMNS};
CREATE TABLE spelling (key BLOB NOT NULL, owner TEXT, own INTEGER NOT NULL, holder TEXT);
CREATE TABLE seen (artifact_id TEXT NOT NULL, created TEXT NOT NULL, number INTEGER, id TEXT NOT NULL);
CREATE TABLE met (id TEXT NOT NULL, uri TEXT NOT NULL);
CREATE TABLE earlier (id TEXT NOT NULL, uri TEXT NOT NULL);
"""


_ORPHAN = "INSERT INTO orphan VALUES (?,?,?,?,?,?,?,?,?,?,NULL,NULL,NULL,NULL)"
_SPELLING = "INSERT INTO spelling VALUES (?,?,?,?)"
_MET = "INSERT INTO met VALUES (?,?)"
_SEEN = "INSERT INTO seen VALUES (?,?,?,?)"
_ROWS = 1_000
"""Rows that are written at a time."""


class Spelling(NamedTuple):
    """One key: whose it is, whether it is alive (or an orphan's own), and who to name."""

    key: bytes
    owner: str | None
    orphan: bool
    holder: str | None


class Place(NamedTuple):
    """What the sizing of one unit needs: its first entry, and whether others share it."""

    key: bytes
    id: str
    uri: str
    store_id: str
    shared: bool


class Worksheet:
    """The scratch database; a context manager that removes it."""

    def __init__(self, *, lists_kept: bool = False) -> None:
        """With *lists_kept*, what is kept is not only counted: ``record`` lists it."""
        self._folder = tempfile.TemporaryDirectory(prefix="marksweep-")
        self._db = sqlite3.connect(
            Path(self._folder.name) / "worksheet.db", isolation_level=None, check_same_thread=False
        )
        self._db.executescript(_SCHEMA)
        self.record = KeptRecord(self._db) if lists_kept else None
        self.kept: Counter[KeptReason] = Counter()
        self.versions = 0
        self._stores: set[str] = set()
        self._unwritten: dict[str, list[tuple[object, ...]]] = {_ORPHAN: [], _SPELLING: [], _SEEN: []}

    def __enter__(self) -> Self:
        self._db.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def add_orphan(self, version: Version, key: str, reason: EntryReason) -> None:
        """An orphan as far as the rules about single versions say."""
        if version.store_id is not None:
            self._stores.add(version.store_id)
        self._write(
            _ORPHAN,
            (
                version.id, key.encode(), version.artifact, version.version, version.project, version.uri,
                version.store_id, to_text(version.created), to_text(version.updated), reason,
            ),
        )  # fmt: skip

    def add_spellings(self, keys: Iterable[str], owner: str | None, *, own: bool, holder: str | None = None) -> None:
        """Keys that *owner* (a version's id, or nobody's) lays claim to; of an orphan only those beside its key."""
        for key in keys:
            self._write(_SPELLING, (key.encode("utf-8", "surrogateescape"), owner, int(own), holder))

    def living(self, versions: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of *versions* (id, URI) those that are no orphans with that URI: all orphans are written by now."""
        self._db.executemany(_MET, versions)
        others = self._db.execute(
            "SELECT id, uri FROM met WHERE NOT EXISTS (SELECT 1 FROM orphan o WHERE o.id = met.id AND o.uri = met.uri)"
        ).fetchall()
        self._db.execute("DELETE FROM met")
        return others

    def add_seen(self, version: Version) -> None:
        """Remember a version for the rank within its artifact."""
        self._write(_SEEN, (version.artifact_id, version.created.isoformat(), version.number, version.id))

    def _write(self, statement: str, row: tuple[object, ...]) -> None:
        rows = self._unwritten[statement]
        rows.append(row)
        if len(rows) >= _ROWS:
            self._db.executemany(statement, rows)
            rows.clear()

    def keep(self, ids: Sequence[str], reason: KeptReason) -> None:
        """These are no orphans after all; their keys count as alive from now on."""
        for id_ in ids:
            self._keep("id = ?", (id_,), reason)

    def _keep(self, which: str, parameters: tuple[object, ...], reason: KeptReason) -> None:
        if self.record is not None:
            self.record.add_orphans(which, parameters, reason)
        self._db.execute(f"INSERT INTO spelling SELECT key, id, 1, NULL FROM orphan WHERE {which}", parameters)
        self.kept[reason] += self._db.execute(f"DELETE FROM orphan WHERE {which}", parameters).rowcount

    def keep_newest(self, count: int) -> None:
        """Keep orphans among the newest *count* of their artifact: by created, then number, then id."""
        rows = self._db.execute(
            "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY artifact_id"
            " ORDER BY created DESC, number DESC NULLS LAST, id DESC) AS rank FROM seen) WHERE rank <= ?"
            " AND id IN (SELECT id FROM orphan)",
            (count,),
        ).fetchall()
        self.keep([r[0] for r in rows], KeptReason.NEWEST)

    def add_earlier(self, entries: Iterable[Entry]) -> None:
        """The entries of the earlier plan that :meth:`keep_others` is about."""
        self._db.executemany("INSERT INTO earlier VALUES (?,?)", ((e.id, e.uri) for e in entries))
        self._db.execute("CREATE INDEX IF NOT EXISTS earlier_id ON earlier (id)")

    def keep_others(self) -> None:
        """Keep orphans that the earlier plan does not hold under the same id and URI."""
        known = "SELECT 1 FROM earlier e WHERE e.id = orphan.id AND e.uri = orphan.uri"
        self._keep(f"NOT EXISTS ({known})", (), KeptReason.FIRST_SEEN)

    def close_orphans(self) -> None:
        """All orphans are in: from now on they are looked up."""
        self._flush()
        self._db.execute("CREATE UNIQUE INDEX orphan_id ON orphan (id)")

    def _flush(self) -> None:
        for statement, rows in self._unwritten.items():
            self._db.executemany(statement, rows)
            rows.clear()

    def index(self) -> None:
        """Once everything is in: write the rest, and make it fast to look up. Nothing may be read before."""
        self._flush()
        self._db.execute("CREATE INDEX spelling_key ON spelling (key)")
        # In plan order on disk, too, as they are read in it three times.
        self._db.execute(f"CREATE TABLE ordered {_COLUMNS}")
        self._db.execute("INSERT INTO ordered SELECT * FROM orphan ORDER BY key, id")
        self._db.execute("DROP TABLE orphan")
        self._db.execute("ALTER TABLE ordered RENAME TO orphan")
        self._db.execute("CREATE UNIQUE INDEX orphan_id ON orphan (id)")
        self._db.execute("CREATE INDEX orphan_key ON orphan (key, id)")
        self._db.execute("CREATE INDEX orphan_shares ON orphan (shares) WHERE shares IS NOT NULL")

    def spellings(self) -> Iterator[Spelling]:
        """Every key in order, but the keys that an orphan claims beside its own URI."""
        cursor = self._db.execute(
            "SELECT key, id, 1, NULL FROM orphan UNION ALL"
            " SELECT s.key, s.owner, o.id IS NOT NULL, s.holder FROM spelling s LEFT JOIN orphan o ON o.id = s.owner"
            " WHERE s.own = 1 OR o.id IS NULL ORDER BY 1, 2"
        )
        return (Spelling(key, owner, bool(orphan), holder) for key, owner, orphan, holder in cursor)

    def orphans_below(self, root: bytes) -> list[str]:
        """The orphans that have a key at or below *root*."""
        above = root[:-1] + b"0"  # the byte after the slash that a key ends in: whatever bytes a name has
        rows = self._db.execute(
            "SELECT id FROM orphan WHERE key >= ?1 AND key < ?2 UNION"
            " SELECT o.id FROM spelling s JOIN orphan o ON o.id = s.owner WHERE s.own = 1 AND s.key >= ?1 AND s.key < ?2",
            (root, above),
        )
        return [r[0] for r in rows.fetchall()]

    def nested(self, ids: Sequence[str]) -> bool:
        """Whether, by the keys of the plan itself, all of *ids* lie in the place of the first."""
        query = "SELECT key FROM orphan WHERE id = ?"
        (root,) = self._db.execute(query, (ids[0],)).fetchone()
        return all(bytes(self._db.execute(query, (i,)).fetchone()[0]).startswith(root) for i in ids)

    def share(self, unit: str, others: Sequence[str]) -> None:
        """*others* lie within *unit*'s URI: they are claimed with it or not at all.

        Where a symbolic link brings a part of a wider unit together once more, it stays a part of the wider one.
        """
        (wider,) = self._db.execute("SELECT shares FROM orphan WHERE id = ?", (unit,)).fetchone()
        unit, others = (wider, [o for o in others if o != wider]) if wider is not None else (unit, others)
        self._db.executemany("UPDATE orphan SET shares = ? WHERE id = ?", [(unit, other) for other in others])

    def units(self) -> int:
        """How many places there are: units count once."""
        query = "SELECT (SELECT count(*) FROM orphan) - (SELECT count(*) FROM orphan WHERE shares IS NOT NULL)"
        return int(self._db.execute(query).fetchone()[0])

    def places(self, after: Place | None, most: int) -> list[Place]:
        """The first entries of the next *most* units, in plan order."""
        key, id_ = (after.key, after.id) if after is not None else (b"", "")
        rows = self._db.execute(
            "SELECT key, id, uri, store_id, EXISTS (SELECT 1 FROM orphan s WHERE s.shares = o.id) FROM orphan o"
            " WHERE shares IS NULL AND (key, id) > (?, ?) ORDER BY key, id LIMIT ?",
            (key, id_, most),
        )
        return [Place(*row) for row in rows.fetchall()]

    def unit(self, first: str) -> list[tuple[str, str]]:
        """(id, URI) of every version in the unit of *first*."""
        query = (
            "SELECT key, id, uri FROM orphan WHERE id = ? UNION ALL SELECT key, id, uri FROM orphan WHERE shares = ?"
        )
        return [(id_, uri) for _, id_, uri in self._db.execute(query + " ORDER BY 1, 2", (first, first)).fetchall()]

    def measure(self, unit: str, objects: int, bytes_: int, fingerprint: str) -> None:
        """What lies under a unit; the others in it count nothing."""
        self._db.execute(
            "UPDATE orphan SET objects = ?, bytes = ?, fingerprint = ? WHERE id = ?",
            (objects, bytes_, fingerprint, unit),
        )
        self._db.execute(
            "UPDATE orphan SET objects = 0, bytes = 0, fingerprint = ? WHERE shares = ?", (fingerprint, unit)
        )

    def totals(self) -> tuple[int, int | None, int | None]:
        """Entries, objects, bytes; the latter are None when any is unknown."""
        entries, objects, bytes_, known = self._db.execute(
            "SELECT count(*), coalesce(sum(objects), 0), coalesce(sum(bytes), 0), count(objects) FROM orphan"
        ).fetchone()
        return (entries, objects, bytes_) if known == entries else (entries, None, None)

    def groups(self, most: int) -> list[tuple[str, str, int, int | None]]:
        """(project, artifact, entries, bytes) of the artifacts with the most bytes, then entries."""
        rows = self._db.execute(
            "SELECT project, artifact, count(*), CASE WHEN count(bytes) = count(*) THEN sum(bytes) END FROM orphan"
            " GROUP BY project, artifact ORDER BY 4 DESC NULLS LAST, 3 DESC, 1, 2 LIMIT ?",
            (most,),
        )
        return rows.fetchall()

    def store_ids(self) -> list[str]:
        """The stores that the orphans lie in."""
        query = "SELECT 1 FROM orphan WHERE store_id = ? LIMIT 1"
        return [i for i in sorted(self._stores) if self._db.execute(query, (i,)).fetchone() is not None]

    def orphan(self, id_: str) -> bool:
        """Whether the version is an orphan still."""
        return self._db.execute("SELECT 1 FROM orphan WHERE id = ?", (id_,)).fetchone() is not None

    def entries(self) -> Iterator[Entry]:
        """The plan's entries, in plan order. May be read more than once."""
        cursor = self._db.execute(
            "SELECT id, artifact, version, project, uri, objects, bytes, fingerprint, created, updated, reason, shares"
            " FROM orphan ORDER BY key, id"
        )
        for id_, artifact, version, project, uri, objects, bytes_, digest, created, updated, reason, shares in cursor:
            yield Entry(
                id=id_, artifact=artifact, version=version, project=project, uri=uri, objects=objects, bytes=bytes_,
                fingerprint=digest, created=created, updated=updated, reason=reason, shares=shares,
            )  # fmt: skip
