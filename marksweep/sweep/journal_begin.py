"""The tables of a journal, and how one comes to be: whole and bound to its plan, or not there at all.

SQLite would make an empty file first, and then its tables one by one; a kill in between leaves a file that is there and
says nothing, which every reader must refuse.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS entry (
  id TEXT PRIMARY KEY, unit TEXT NOT NULL, uri TEXT NOT NULL, updated TEXT NOT NULL, state TEXT NOT NULL, batch INTEGER,
  planned_objects INTEGER, planned_bytes INTEGER, objects INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  left_behind INTEGER NOT NULL DEFAULT 0, code TEXT, detail TEXT, at TEXT NOT NULL, keys BLOB, image BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS entry_state ON entry (state);
CREATE TABLE IF NOT EXISTS canary (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB NOT NULL) STRICT;
"""


def begin(path: Path, meta: Mapping[str, str]) -> None:
    """Make the journal *path*, which holds *meta* and no entry, durable; whoever calls holds the plan's lock.

    Raises OSError. What SQLite left beside a journal that somebody removed is removed, too: it would be replayed into this one.
    """
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
        db.commit()
        octets = db.serialize()
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    unfinished = path.with_name(f".{path.name[:100]}.new")
    with unfinished.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
