"""The journal of a sweep, opened to undo it: intent (``restoring``), then outcome, as for a sweep."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from marksweep.catalog.port import Image
from marksweep.model.instant import to_text
from marksweep.model.outcome import KeptBecause
from marksweep.model.store import StoredObject
from marksweep.sweep.image import decoded
from marksweep.sweep.journal import Journal, decoded_keys, encoded_keys

RESTORING = "restoring"
TAKEN = ("deleted", "failed", "claimed", "marked", RESTORING)
"""States of entries that a claim took, as far as that is certain."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One entry that the sweep took. ``image`` is null where ``flaw`` says why it cannot be read."""

    id: str
    uri: str
    state: str
    objects: int
    bytes: int
    keys: tuple[StoredObject, ...]
    image: Image | None
    flaw: str


class RestoreJournal(Journal):
    """An open journal with the writing that a restore does."""

    def taken_among(self, ids: Sequence[str]) -> list[Taken]:
        """Those of *ids* that a claim took and no restore has brought back."""
        query = (
            f"SELECT id, uri, state, objects, bytes, keys, image FROM entry WHERE state IN {TAKEN}"
            f" AND batch IS NOT NULL AND id IN ({','.join('?' * len(ids))}) ORDER BY id != unit, id"
        )
        with self._reading() as db:
            return [_taken(row) for row in db.execute(query, list(ids)).fetchall()]

    def states_among(self, ids: Sequence[str]) -> dict[str, str]:
        """The state of those of *ids* that the sweep touched."""
        query = f"SELECT id, state FROM entry WHERE id IN ({','.join('?' * len(ids))})"
        with self._reading() as db:
            return dict(db.execute(query, list(ids)).fetchall())

    def begin_restore(self, taken: Sequence[Taken], objects: Sequence[StoredObject]) -> None:
        """Before anything is brought back: all of *objects* are what lay there, and a later run goes on from here."""
        keys = encoded_keys(objects)
        with self._transaction() as db:
            for entry in taken:
                db.execute(
                    "UPDATE entry SET state = ?, keys = ?, at = ? WHERE id = ?", (RESTORING, keys, *self._of(entry))
                )

    def give_up(self, taken: Sequence[Taken]) -> None:
        """Nothing came back: each entry is what it was."""
        with self._transaction() as db:
            for entry in taken:
                state = "deleted" if entry.state == RESTORING else entry.state
                keys = ", keys = NULL" if state == "deleted" else ""
                db.execute(f"UPDATE entry SET state = ?, at = ?{keys} WHERE id = ?", (state, *self._of(entry)))

    def half_restored(self, taken: Sequence[Taken], code: str, detail: str) -> None:
        """Bytes came back and not all else: the next restore goes on, or the next sweep deletes them again."""
        with self._transaction() as db:
            for entry in taken:
                db.execute(
                    "UPDATE entry SET state = 'failed', code = ?, detail = ?, objects = 0, bytes = 0, at = ? WHERE id = ?",
                    (code, detail, *self._of(entry)),
                )

    def restored(self, taken: Sequence[Taken]) -> None:
        """Everything is back: no later run of this plan takes them again, and the books do not call them deleted."""
        with self._transaction() as db:
            for entry in taken:
                at, id_ = self._of(entry)
                db.execute(
                    "UPDATE entry SET state = 'kept', code = ?, detail = ?, objects = 0, bytes = 0, left_behind = 0,"
                    " keys = NULL, image = NULL, at = ? WHERE id = ?",
                    (KeptBecause.RESTORED.value, f"it was brought back at {at}", at, id_),
                )

    def holder(self, table: str, id_: str) -> Image | None:
        """The image that holds the row of *table* with the row id *id_*, whichever entry it belongs to."""
        with self._reading() as db:
            self._index(db, table)
            row = db.execute(
                "SELECT image FROM holder JOIN entry ON entry.id = holder.entry WHERE holder.table_ = ? AND holder.row = ?"
                " AND image IS NOT NULL",
                (table, id_),
            ).fetchone()
        return decoded(row[0]) if row else None

    def _index(self, db: sqlite3.Connection, table: str) -> None:
        # One scan for each table that is asked for, in a temporary table: there may be a row for every entry.
        db.execute(
            "CREATE TEMP TABLE IF NOT EXISTS holder (table_ TEXT, row TEXT, entry TEXT, PRIMARY KEY (table_, row))"
        )
        if db.execute("SELECT 1 FROM holder WHERE table_ = ? LIMIT 1", (table,)).fetchone():
            return
        db.execute(
            "INSERT OR IGNORE INTO holder SELECT ?1, json_extract(rows.value, '$.id'), entry.id FROM entry,"
            " json_each(iif(json_valid(CAST(image AS TEXT)), CAST(image AS TEXT), '{}'), '$.' || ?1) rows",
            (table,),
        )

    def _of(self, entry: Taken) -> tuple[str, str]:
        return to_text(self._clock()), entry.id


def _taken(row: tuple[str, str, str, int, int, bytes | None, bytes | None]) -> Taken:
    id_, uri, state, objects, bytes_, keys, image = row
    flaw = ""
    rows: Image | None = None
    try:
        rows = decoded(image)
    except ValueError as error:
        flaw = str(error)
    return Taken(id_, uri, state, objects, bytes_, decoded_keys(keys), rows, flaw)
