"""ZenML's database on SQLite: opening, short reads, one writer at a time.

ZenML keeps its database in rollback-journal mode: an unfinished SELECT holds a lock that makes ZenML's writers wait and,
in the end, fail with "database is locked". So every read here is one statement, fetched whole, in its own transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from marksweep.catalog.port import InDoubt
from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.database import Finder, Row, by_times
from marksweep.catalog.zenml.pace import Pace
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.sqlite_file import BUSY_SECONDS, engine, path_of, writable
from marksweep.errors import CatalogNotUnderstood, Incomplete
from marksweep.flock import flocked

CLAIM_SECONDS = 1.0
"""How long a claim should hold ZenML's writers up: each costs a scan of the link tables, which have no index for it."""
PAGE_SECONDS = 0.2
"""What a page should take; far below the half second that a writer may be kept waiting."""
SMALLEST_PAGE, LARGEST_PAGE = 200, 4_000
"""Rows."""


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


T = TypeVar("T")


class SqliteDatabase:
    """One SQLite file, opened read-only unless it *writes*."""

    dialect = "sqlite"
    finder = Finder.TABLE
    look_within = 0.25

    def __init__(self, url: str, *, writes: bool) -> None:
        self.path = path_of(url)
        if writes and not writable(self.path):
            raise CatalogNotUnderstood(
                f"the database {self.path} cannot be written to by this user",
                "run the sweep as a user who may write to the file and its folder",
            )
        self._engine = engine(self.path, writes=writes)
        self._connection: sa.Connection | None = None
        self._opened = 0
        self._cookie = 0
        self._rest = Rest()
        self._pace = Pace(start=200, smallest=100, largest=1_000, seconds=CLAIM_SECONDS)

    @property
    def shown(self) -> str:
        return str(self.path)

    @property
    def batch(self) -> int:
        return self._pace.size

    def understand(self, schema: Schema) -> None:
        with self.reading() as connection:
            refuse_triggers(connection, schema.tables, self.shown)
            self._cookie = schema_cookie(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The one connection, as temporary tables are a connection's own."""
        with reading():
            if self._connection is None:
                self._connection = self._engine.connect()
                self._opened += 1
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self.reading() as connection:
            try:
                with self._rest, one_writer(connection), self._pace:
                    self._rest.note(self.state(connection))
                    yield connection
            except InDoubt:
                self.close()
                raise

    @contextmanager
    def enforcing(self) -> Iterator[sa.Connection]:
        with self.reading() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            try:
                with self.writing():
                    yield connection
            finally:
                if self._connection is connection:  # a commit in doubt closed it
                    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")

    def again(self, work: Callable[[], T]) -> T:
        """There is one writer at a time: a transaction that began is never rolled back by the others."""
        return work()

    def lock(self, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Row]:
        return connection.execute(query).fetchall()

    await_lock = lock

    def pages(self, table: sa.Table, query: sa.Select[Any]) -> Iterator[Sequence[Row]]:
        """By row number; the page size follows the time that pages take, so that ZenML's writers wait for little."""
        rowid: sa.ColumnElement[int] = sa.literal_column(f"{table.name}.rowid", sa.Integer)
        keyed, size, after = (
            query.add_columns(rowid.label("marksweep_row")).order_by(rowid),
            min(2_000, LARGEST_PAGE),
            -1,
        )
        while True:
            began = time.monotonic()
            with self.reading() as connection:
                rows = connection.execute(keyed.where(rowid > after).limit(size)).fetchall()
            factor = min(2.0, max(0.25, PAGE_SECONDS / max(time.monotonic() - began, 1e-4)))
            size = int(min(LARGEST_PAGE, max(SMALLEST_PAGE, size * factor)))
            if not rows:
                return
            after = int(rows[-1][-1])
            yield rows

    def state(self, connection: sa.Connection) -> object:
        """What changes with each commit of another connection (https://sqlite.org/pragma.html#pragma_data_version)."""
        return self._opened, connection.exec_driver_sql("PRAGMA data_version").scalar_one()

    def mark_of(self, connection: sa.Connection, table: sa.Table) -> int:
        rowid: sa.ColumnElement[int] = sa.literal_column(f"{table.name}.rowid", sa.Integer)
        return int(connection.execute(sa.select(sa.func.max(rowid)).select_from(table)).scalar() or 0)

    def appended(self, table: sa.Table, marks: Mapping[str, int]) -> sa.ColumnElement[bool]:
        rowid: sa.ColumnElement[int] = sa.literal_column(f"{table.name}.rowid", sa.Integer)
        return rowid > marks.get(table.name, -1)

    def changed(self, table: sa.Table, since: datetime) -> sa.ColumnElement[bool]:
        return by_times(table, since)

    def now(self) -> datetime:
        with self.reading() as connection:
            text = connection.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    def instance(self, server_id: str) -> str:
        """By the server id and where the file is."""
        return "sha256:" + hashlib.sha256(f"sqlite\0{server_id}\0{self.path}".encode()).hexdigest()

    def unmoved(self, connection: sa.Connection) -> bool:
        """Pages follow SQLite's row numbers: a VACUUM gives rows new ones, and some may never have been read."""
        return schema_cookie(connection) == self._cookie

    def keeps_empty_artifacts(self, schema: Schema) -> str | None:
        if schema.release < known.ENFORCES_KEYS_ON_SQLITE:
            oldest = ".".join(map(str, known.ENFORCES_KEYS_ON_SQLITE))
            return f"ZenML before {oldest} does not enforce foreign keys on SQLite: emptied artifacts stay"
        return None

    @contextmanager
    def sole(self, name: str) -> Iterator[None]:
        """A lock file beside the database, for as long as it is held: SQLite has no lock that would bother nobody else."""
        path = self.path.with_name(self.path.name + ".marksweep-lock")
        fact = f"another sweep of the catalog {self.path} is running"
        with flocked(path, fact, "wait for it: two sweeps at once would only be in each other's way", remove=True):
            yield

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


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
    """A pause between two write transactions: as long as the one before took where others write too, a moment otherwise.

    SQLite has no queue: whoever asks again at once wins, and ZenML's writers would starve until they fail with "database is
    locked" (after 5 s before ZenML 0.97). Where somebody has written since the last transaction, half of the time is theirs.
    Else the pause is longer than the longest that SQLite's busy handler sleeps before it asks again (0.1 s), so that
    whoever is waiting gets its turn in the very next one.
    """

    SHORTEST, LONGEST = 0.125, 2.0
    """Seconds."""

    def __init__(self) -> None:
        self._began = self._until = 0.0
        self._state: object | None = None
        self._others = True

    def __enter__(self) -> None:
        time.sleep(max(0.0, self._until - time.monotonic()))
        self._began = time.monotonic()

    def note(self, state: object) -> None:
        """The database's state at the beginning of a transaction: another one than before if others have written."""
        self._others, self._state = state != self._state, state

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        took = now - self._began if self._others else 0.0
        self._until = now + min(self.LONGEST, max(self.SHORTEST, took))


def _roll_back_quietly(connection: sa.Connection) -> None:
    """After a failed statement the transaction may or may not be open (a full disk ends it); none may stay open."""
    if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("ROLLBACK")
