"""A SQLite file: is it there, is it one, and a way in that never creates it."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from marksweep.errors import CatalogNotUnderstood

BUSY_SECONDS = 60
"""How long a claim waits for ZenML's writers: ZenML's own patience since 0.97."""


def path_of(url: str) -> Path:
    """The file that a ``sqlite:///`` URL names; raise CatalogNotUnderstood unless a database is there already."""
    name = re.sub(r"^sqlite(\+pysqlite)?:///", "", url).partition("?")[0]
    if not name or name == ":memory:":
        raise CatalogNotUnderstood(
            f"the catalog URL {url!r} names no file", "give sqlite:////absolute/path/to/zenml.db"
        )
    path = Path(name).expanduser()
    if not path.exists():
        raise CatalogNotUnderstood(
            f"there is no database at {path}",
            "check the path; `zenml status` shows where ZenML keeps its database (marksweep never creates one)",
        )
    if not path.is_file():
        raise CatalogNotUnderstood(f"{path} is not a file", "give the path of ZenML's SQLite database, zenml.db")
    with path.open("rb") as file:
        head = file.read(16)
    if head and head != b"SQLite format 3\0":
        raise CatalogNotUnderstood(
            f"{path} is not a SQLite database: it begins with {head[:8]!r}", "give the path of zenml.db"
        )
    return path.resolve()


def engine(path: Path, *, writes: bool) -> sa.Engine:
    """An engine that never creates the file, and opens it read-only unless it *writes*."""
    address = f"file:{quote(str(path))}?mode={'rw' if writes else 'ro'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA temp_store = FILE")
        connection.execute("PRAGMA foreign_keys = OFF")
        if writes:
            connection.execute("PRAGMA synchronous = EXTRA")
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.StaticPool, isolation_level="AUTOCOMMIT")


def writable(path: Path) -> bool:
    """Whether this user may write to the database and beside it (SQLite's journal goes there)."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
