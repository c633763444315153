"""The durable record of a sweep: intent, then outcome. It may only skip work, never authorise it.

SQLite in WAL mode with ``synchronous=FULL``: a call that returned is on disk. Each public method that writes is one
transaction. The journal is bound to the plan's digest and the catalog's identity; anything else is refused.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from marksweep.catalog.port import Image
from marksweep.errors import GuardRefused, Incomplete
from marksweep.model.entry import Entry
from marksweep.model.instant import from_text, to_text
from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, KeptBecause, Outcome
from marksweep.model.store import StoredObject
from marksweep.sweep.canary_record import Canary
from marksweep.sweep.image import encoded
from marksweep.sweep.journal_begin import SCHEMA, begin
from marksweep.sweep.journal_reader import FORMAT, JournalReader

_ALL_COLUMNS = (
    "SELECT name, value, id, unit, uri, updated, state, batch, planned_objects, planned_bytes, objects, bytes,"
    " left_behind, code, detail, at, keys, image, one, record FROM meta, entry, canary LIMIT 0"
)
"""Fails on a journal whose own description of its tables is damaged."""
_PENDING = "id, unit, uri, updated, batch, keys, at"
SETTLED = ("deleted", "gone", "kept")
"""States that no later run of this plan touches again."""
BEGUN = ("intended", "claimed", "marked", "failed")
"""States from which a later run goes on."""


@dataclass(frozen=True, slots=True)
class Intended:
    """One entry about to be claimed: with the exact objects to delete, and the rows to be removed, for an undo."""

    entry: Entry
    unit: str
    objects: Sequence[StoredObject]
    image: Image | None


@dataclass(frozen=True, slots=True)
class Pending:
    """One entry that a claim took, as the journal holds it."""

    id: str
    unit: str
    uri: str
    updated: str
    batch: int
    objects: tuple[StoredObject, ...]
    at: datetime


class Journal(JournalReader):
    """An open journal. *clock* gives the time that is written beside each state."""

    def __init__(self, path: Path, binding: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self.path = path
        self._clock = clock
        if not os.path.lexists(path):
            begin(path, {"format": FORMAT, **binding, "started": to_text(clock())})
        super().__init__(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30))
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(SCHEMA)
            self._db.execute(_ALL_COLUMNS)
            (flaw,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
            if flaw != "ok":
                raise sqlite3.DatabaseError(flaw)
            self._bind({"format": FORMAT, **binding})
            self.canary()
        except (sqlite3.DatabaseError, ValueError) as error:
            self._db.close()
            raise _unusable(path, error) from None
        except BaseException:
            self._db.close()
            raise

    def _bind(self, binding: Mapping[str, str]) -> None:
        found = dict(self._db.execute("SELECT name, value FROM meta").fetchall())
        for name, value in binding.items():
            if name in found and found[name] != value:
                raise GuardRefused(
                    f"the journal {self.path} belongs to another sweep: its {name} is {found[name]!r}, not {value!r}",
                    "move it away if it is left from another plan; a plan's journal stays beside the plan",
                )
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", list(binding.items()))
            db.execute("INSERT OR IGNORE INTO meta VALUES ('started', ?)", (to_text(self._clock()),))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    if self._db.in_transaction:  # a full disk may have rolled back already
                        self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                raise Incomplete(
                    f"the journal {self.path} cannot be written to: {error}",
                    "make room or mend the disk, and run the same sweep again: it resumes",
                ) from None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except (sqlite3.DatabaseError, ValueError) as error:  # ValueError: keys or times that cannot be decoded
                raise _unusable(self.path, error) from None

    def close(self) -> None:
        """Close the journal, leaving one file: its write-ahead log goes in, unless somebody is reading it right now."""
        with self._lock, contextlib.suppress(sqlite3.DatabaseError):
            self._db.execute("PRAGMA busy_timeout = 0")
            self._db.execute("PRAGMA journal_mode = DELETE")
        super().close()

    def intend(self, batch: int, intended: Iterable[Intended]) -> None:
        """Before a claim commits: what is about to happen, durably."""
        now = to_text(self._clock())
        rows = [
            (
                i.entry.id, i.unit, i.entry.uri, i.entry.updated, "intended", batch, i.entry.objects, i.entry.bytes, now,
                encoded_keys(i.objects),
                encoded(i.image),
            )
            for i in intended
        ]  # fmt: skip
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO entry (id, unit, uri, updated, state, batch, planned_objects,"
                " planned_bytes, at, keys, image) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                rows,
            )

    def advance(self, ids: Sequence[str], state: str) -> None:
        """Entries that a claim took are now ``claimed`` (or ``marked``, for only-artifact)."""
        now = to_text(self._clock())
        with self._transaction() as db:
            db.executemany("UPDATE entry SET state = ?, at = ? WHERE id = ?", [(state, now, i) for i in ids])

    def abort(self, ids: Sequence[str]) -> None:
        """The claim did not happen: forget the intent."""
        with self._transaction() as db:
            db.executemany("DELETE FROM entry WHERE id = ?", [(i,) for i in ids])

    def settle(self, outcomes: Iterable[tuple[Entry | Pending, str, Outcome]]) -> None:
        """Outcomes of (entry, its unit): the last word on each, one transaction for all."""
        now = to_text(self._clock())
        with self._transaction() as db:
            for entry, unit, outcome in outcomes:
                planned = (entry.objects, entry.bytes) if isinstance(entry, Entry) else (None, None)
                db.execute(
                    "INSERT INTO entry (id, unit, uri, updated, state, planned_objects, planned_bytes, at)"
                    " VALUES (?,?,?,?,'new',?,?,?)"
                    " ON CONFLICT (id) DO NOTHING",
                    (entry.id, unit, entry.uri, entry.updated, *planned, now),
                )
                state, objects, bytes_, left, code, detail = _columns(outcome)
                keys = ", keys = NULL" if state != "failed" else ""
                db.execute(
                    "UPDATE entry SET state = ?, objects = objects + ?, bytes = bytes + ?, left_behind = ?, code = ?, "
                    f"detail = ?, at = ?{keys} WHERE id = ?",
                    (state, objects, bytes_, left, code, detail, now, entry.id),
                )

    def note_canary(self, canary: Canary) -> None:
        """How the canary stands now; the one before it, if any, is forgotten."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO canary VALUES (1, ?)", (canary.encoded(),))

    def settled(self, ids: Sequence[str]) -> set[str]:
        """Those of *ids* that no run needs to look at: settled, or taken by a claim already."""
        if not ids:
            return set()
        marks = ",".join("?" * len(ids))
        with self._reading() as db:
            rows = db.execute(
                f"SELECT id FROM entry WHERE id IN ({marks}) AND NOT (state = 'failed' AND batch IS NULL)", list(ids)
            ).fetchall()
        return {r[0] for r in rows}

    def begun(self) -> int:
        """How many entries have no last word: in whatever state."""
        with self._reading() as db:
            return int(db.execute(f"SELECT count(*) FROM entry WHERE state NOT IN {SETTLED}").fetchone()[0])

    def begun_among(self, ids: Sequence[str]) -> set[tuple[str, str, str, str]]:
        """(id, unit, URI, updated) of those of *ids* that are in a state from which a run goes on."""
        query = (
            f"SELECT id, unit, uri, updated FROM entry WHERE state IN {BEGUN} AND id IN ({','.join('?' * len(ids))})"
        )
        with self._reading() as db:
            return set(db.execute(query, list(ids)).fetchall())

    def pending(self, states: Sequence[str], after: str = "", most: int = 1_000) -> list[Pending]:
        """Entries that a claim took and that have no last word, by unit; whole units only."""
        marks = ",".join("?" * len(states))
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_PENDING} FROM entry WHERE batch IS NOT NULL AND unit IN (SELECT DISTINCT unit"
                f" FROM entry WHERE state IN ({marks}) AND batch IS NOT NULL AND unit > ? ORDER BY unit LIMIT ?)"
                f" AND state IN ({marks}) ORDER BY unit, id",
                [*states, after, most, *states],
            ).fetchall()
            return [_pending(row) for row in rows]

    def taken(self, ids: Sequence[str]) -> list[Pending]:
        """The entries *ids* as their claim's intent has them."""
        marks = ",".join("?" * len(ids))
        query = f"SELECT {_PENDING} FROM entry WHERE id IN ({marks}) AND batch IS NOT NULL ORDER BY unit, id"
        with self._reading() as db:
            return [_pending(row) for row in db.execute(query, list(ids)).fetchall()]

    def in_doubt(self) -> list[Pending]:
        """The entries of the oldest claim that has an intent and no outcome; empty when there is none."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_PENDING} FROM entry WHERE state = 'intended' AND batch ="
                " (SELECT min(batch) FROM entry WHERE state = 'intended') ORDER BY unit, id"
            ).fetchall()
            return [_pending(row) for row in rows]

    def next_batch(self) -> int:
        """A number for the next claim, greater than any before."""
        with self._reading() as db:
            return int(db.execute("SELECT coalesce(max(batch), 0) + 1 FROM entry").fetchone()[0])


def _unusable(path: Path, error: Exception) -> GuardRefused:
    return GuardRefused(
        f"the journal {path} cannot be used: {error}",
        "restore it from a backup; or move it away and run again: rows that are gone from the catalog will then "
        "be reported as gone and their bytes left alone",
    )


def _columns(outcome: Outcome) -> tuple[str, int, int, int, str | None, str | None]:
    match outcome:
        case Deleted(objects, bytes_, left):
            return "deleted", objects, bytes_, left, None, None
        case AlreadyGone():
            return "gone", 0, 0, 0, None, None
        case Kept(because, detail):
            return "kept", 0, 0, 0, KeptBecause(because).value, detail
        case Failed(code, message, objects, bytes_):
            return "failed", objects, bytes_, 0, code, message


def _pending(row: tuple[str, str, str, str, int, bytes | None, str]) -> Pending:
    id_, unit, uri, updated, batch, keys, at = row
    return Pending(id_, unit, uri, updated, batch, decoded_keys(keys), from_text(at))


def encoded_keys(objects: Sequence[StoredObject]) -> bytes:
    """Objects as the journal holds them."""
    return orjson.dumps(
        [
            (
                o.key.encode("utf-8", "surrogateescape").decode("latin-1"),
                o.size,
                o.tag,
                *([o.version] if o.version else []),
            )
            for o in objects
        ]
    )


def decoded_keys(keys: bytes | None) -> tuple[StoredObject, ...]:
    """The objects that :func:`encoded_keys` wrote."""
    decoded = orjson.loads(keys) if keys else []
    return tuple(
        StoredObject(k.encode("latin-1").decode("utf-8", "surrogateescape"), size, tag, *version)
        for k, size, tag, *version in decoded
    )
