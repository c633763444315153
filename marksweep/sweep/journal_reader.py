"""What a journal says: the books, the entries that need a word, and what the journal is bound to."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from marksweep.errors import GuardRefused
from marksweep.sweep.canary_record import Canary, decoded

FORMAT = "marksweep.journal/1"
_REMOVED = (
    "SELECT rows.key, sum(json_array_length(rows.value))"
    " FROM entry, json_each(iif(json_valid(CAST(image AS TEXT)), CAST(image AS TEXT), '{}')) rows"
    " WHERE rows.type = 'array' GROUP BY 1"
)
"""Images map a table to its rows; null and what is damaged count as none."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Entries in one state, with the planned and the confirmed objects and bytes."""

    state: str
    code: str
    entries: int
    planned_objects: int
    planned_bytes: int
    objects: int
    bytes: int
    left: int


@dataclass(frozen=True, slots=True)
class Line:
    """One entry's state, why (a code and a sentence, empty where there is nothing to say), and when it was written."""

    uri: str
    state: str
    code: str
    detail: str
    at: str


def journal_path(plan: Path) -> Path:
    """The journal that belongs to *plan*."""
    return plan.with_name(plan.name + ".journal")


class JournalReader:
    """The reading half of a journal, over an open database. May be called from any thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the journal's file."""
        with self._lock:
            self._db.close()

    def tallies(self) -> list[Tally]:
        """The books so far, by state and code."""
        with self._lock:
            rows = self._db.execute(
                "SELECT state, coalesce(code, ''), count(*), coalesce(sum(planned_objects), 0),"
                " coalesce(sum(planned_bytes), 0), sum(objects), sum(bytes), sum(left_behind) FROM entry"
                " GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
        return [Tally(*row) for row in rows]

    def lines(self, states: Sequence[str], most: int) -> list[tuple[str, str, str, str, str]]:
        """(id, URI, state, code, detail) of the first *most* entries in *states*."""
        marks = ",".join("?" * len(states))
        query = f"SELECT id, uri, state, coalesce(code, ''), coalesce(detail, '') FROM entry WHERE state IN ({marks})"
        with self._lock:
            return self._db.execute(query + " ORDER BY unit, id LIMIT ?", [*states, most]).fetchall()

    def entry(self, id_: str) -> Line | None:
        """What became of one entry so far; None before a sweep touched it."""
        query = "SELECT uri, state, coalesce(code, ''), coalesce(detail, ''), at FROM entry WHERE id = ?"
        with self._lock:
            row = self._db.execute(query, (id_,)).fetchone()
        return None if row is None else Line(*row)

    def removed(self) -> dict[str, int]:
        """Rows that claims took out of the catalog, by table, from the images in their intents (in doubt ones, too)."""
        with self._lock:
            return dict(self._db.execute(_REMOVED).fetchall())

    def restoring(self) -> int:
        """How many entries a restore began to bring back, and has not."""
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM entry WHERE state = 'restoring'").fetchone()[0])

    def meta(self) -> dict[str, str]:
        """What the journal is bound to, and when it was begun."""
        with self._lock:
            return dict(self._db.execute("SELECT name, value FROM meta").fetchall())

    def times(self) -> tuple[str, str]:
        """When the first and the last state was written (empty strings when none was)."""
        with self._lock:
            first, last = self._db.execute("SELECT coalesce(min(at), ''), coalesce(max(at), '') FROM entry").fetchone()
        return first, last

    def canary(self) -> Canary | None:
        """The last canary; None when there was none. Raises sqlite3.DatabaseError when its record is damaged."""
        with self._lock:
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'canary'").fetchone():
                return None  # begun by a release that had no canaries, and only looked at
            row = self._db.execute("SELECT record FROM canary").fetchone()
        try:
            return None if row is None else decoded(row[0])
        except ValueError as error:
            raise sqlite3.DatabaseError(f"its record of the canary is damaged: {error}") from None

    def digest(self) -> str:
        """SHA-256 over the states of all entries, in order of their ids."""
        sha = hashlib.sha256()
        with self._lock:
            for row in self._db.execute("SELECT id, state, code, objects, bytes, left_behind FROM entry ORDER BY id"):
                sha.update(msgspec.json.encode(row) + b"\n")
        return f"sha256:{sha.hexdigest()}"


@contextmanager
def read_journal(path: Path, plan_digest: str) -> Iterator[JournalReader]:
    """Open the journal at *path* to be read beside a sweep that may be running in another process.

    Raises GuardRefused when it is not the journal of the plan with *plan_digest*.
    """
    try:
        reader = JournalReader(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30))
        try:
            found = reader.meta().get("plan", "nothing")
            if found != plan_digest:
                raise GuardRefused(
                    f"the journal {path} belongs to another sweep: its plan is {found!r}, not {plan_digest!r}",
                    "move it away if it is left from another plan; a plan's journal stays beside the plan",
                )
            yield reader
        finally:
            reader.close()
    except sqlite3.DatabaseError as error:
        raise GuardRefused(
            f"the journal {path} cannot be read: {error}", "restore it from a backup, or run the sweep, which checks it"
        ) from None
