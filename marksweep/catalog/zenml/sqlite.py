"""What SQLite needs that another database would do otherwise: opening, short reads, one writer at a time.

ZenML keeps its database in rollback-journal mode: an unfinished SELECT holds a lock that makes ZenML's writers wait and,
in the end, fail with "database is locked". So every read here is one statement, fetched whole, in its own transaction.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from marksweep.catalog.port import InDoubt
from marksweep.errors import CatalogNotUnderstood, Incomplete

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


def instance(path: Path, server_id: str) -> str:
    """A digest that tells this file from a copy of it: the server id and where the file is."""
    return "sha256:" + hashlib.sha256(f"sqlite\0{server_id}\0{path}".encode()).hexdigest()


def schema_cookie(connection: sa.Connection) -> int:
    """SQLite's own counter of schema changes: another value means that somebody migrated the database."""
    return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())


def refuse_triggers(connection: sa.Connection, tables: Collection[str], where: str) -> None:
    """Raise CatalogNotUnderstood for a trigger on one of *tables*: a claim could set off what nobody has looked at."""
    found = connection.exec_driver_sql("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, table in found:
        if str(table).lower() in tables:
            raise CatalogNotUnderstood(
                f"the database {where} has a trigger {str(name)!r} on {table}, which ZenML does not make",
                "look at what it does, and drop it while marksweep runs",
            )


@contextmanager
def reading() -> Iterator[None]:
    """Turn SQLite's own refusals into errors with a remedy."""
    try:
        yield
    except ValueError as error:
        if not any(words in str(error) for words in ("isoformat", "parse")):  # SQLAlchemy's words for a bad time
            raise
        raise CatalogNotUnderstood(
            f"a value in the catalog cannot be read: {error}",
            "find the row, repair or delete it in ZenML, then try again",
        ) from None
    except sa.exc.DatabaseError as error:
        if getattr(error.orig, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Incomplete(
                f"the catalog stayed locked by another writer for {BUSY_SECONDS} s ({error.orig})",
                "run the same command again when the database is less busy",
            ) from None
        raise CatalogNotUnderstood(
            f"the database cannot be read: {type(error.orig).__name__}: {error.orig}",
            "check that the file is whole (`sqlite3 FILE 'PRAGMA quick_check'`) and readable, and try again",
        ) from None


@contextmanager
def one_writer(connection: sa.Connection) -> Iterator[None]:
    """``BEGIN IMMEDIATE`` to ``COMMIT``: nobody else writes meanwhile, so what is read inside is final.

    Raises Incomplete when another writer does not let go in time, and InDoubt when the commit's answer was an error.
    """
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except sa.exc.OperationalError as error:
        raise Incomplete(
            f"the catalog stayed locked by another writer for {BUSY_SECONDS} s ({error.orig})",
            "run the same sweep again when the database is less busy: it resumes",
        ) from None
    try:
        yield
    except BaseException:
        _roll_back_quietly(connection)
        raise
    try:
        connection.exec_driver_sql("COMMIT")
    except sa.exc.DatabaseError as error:
        _roll_back_quietly(connection)
        raise InDoubt(f"{type(error.orig).__name__}: {error.orig}") from None


class Rest:
    """A pause between two write transactions, as long as the one before took.

    SQLite has no queue: whoever asks again at once wins, and ZenML's writers, which ask every 0.1 s, would starve until they
    fail with "database is locked" (after 5 s before ZenML 0.97). Half of the time is theirs.
    """

    SHORTEST, LONGEST = 0.025, 2.0
    """Seconds. The shortest is what SQLite's busy handler sleeps once it has asked a few times."""

    def __init__(self) -> None:
        self._began = self._until = 0.0

    def __enter__(self) -> None:
        time.sleep(max(0.0, self._until - time.monotonic()))
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self._until = now + min(self.LONGEST, max(self.SHORTEST, now - self._began))


def _roll_back_quietly(connection: sa.Connection) -> None:
    """After a failed statement the transaction may or may not be open (a full disk ends it); none may stay open."""
    if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("ROLLBACK")


def writable(path: Path) -> bool:
    """Whether this user may write to the database and beside it (SQLite's journal goes there)."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
