"""A ZenML database that a test reads and changes behind marksweep's back: one SQL text for SQLite and for MariaDB.

Connections speak as :mod:`sqlite3` does: ``?`` or ``:name`` marks a parameter, ``"x"`` is a name, ``||`` joins texts,
a transaction begins with the first change, times are texts, ``rowcount`` counts the rows that were met. What differs
between the engines for good stays different: MariaDB's times have whole seconds, and its locks are on rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import pymysql

from tests.support.mariadb_connection import MariaDbConnection

Parameters = Sequence[object] | Mapping[str, object]
Row = dict[str, Any]

INTEGRITY = (sqlite3.IntegrityError, pymysql.err.IntegrityError)
"""What either engine raises when a row breaks a rule of the schema; both name FOREIGN KEY if it is one."""
OPERATIONAL = (sqlite3.OperationalError, pymysql.err.OperationalError)
"""What either engine raises when somebody else holds the lock for too long, and when it cannot be reached."""


class Answer(Protocol):
    """The part of a cursor that tests use."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """The part of :class:`sqlite3.Connection` that both engines have; ``with`` commits, or rolls back on an error."""

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Any = ..., /) -> Answer: ...
    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Answer: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Any: ...


class Column(NamedTuple):
    """One column: ``kind`` is its type in the engine's words; ``required`` if it may not be null."""

    name: str
    kind: str
    required: bool
    default: str | None

    @property
    def something(self) -> object:
        """A value that the column takes (not an id)."""
        kind = self.kind.upper()
        if kind.startswith("DATETIME"):
            return "2026-01-01 00:00:00.000000"
        return 0 if kind.startswith(("INT", "TINYINT", "BOOLEAN", "FLOAT")) else "x"


class Violation(NamedTuple):
    """A row whose foreign key names a parent that does not exist."""

    table: str
    columns: tuple[str, ...]
    parent: str
    row: tuple[Any, ...]
    """The whole row."""


def tables(connection: Connection) -> list[str]:
    """The names of all tables, sorted."""
    if isinstance(connection, MariaDbConnection):
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = database() ORDER BY 1"
    else:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
    return [name for (name,) in connection.execute(query)]


def described(connection: Connection, table: str) -> list[Column]:
    """The columns of *table* in their order; none when there is no such table."""
    if isinstance(connection, MariaDbConnection):
        answer: Answer = connection.execute(
            "SELECT column_name, column_type, is_nullable = 'NO', nullif(column_default, 'NULL')"
            " FROM information_schema.columns WHERE table_schema = database() AND table_name = ?"
            " ORDER BY ordinal_position",
            (table,),
        )
        return [Column(name, kind, bool(required), default) for name, kind, required, default in answer]
    answer = connection.execute(f'PRAGMA table_info("{table}")')
    return [Column(name, kind, bool(required), default) for _, name, kind, required, default, _ in answer]


def violations(connection: Connection) -> set[Violation]:
    """Every row that breaks a foreign key."""
    broken = set()
    for key in connection.foreign_keys() if isinstance(connection, MariaDbConnection) else _sqlite_keys(connection):
        table, columns, parent, referred = key[:4]
        joined = " AND ".join(f'c."{a}" = p."{b}"' for a, b in zip(columns, referred, strict=True))
        given = " AND ".join(f'c."{column}" IS NOT NULL' for column in columns)
        query = f'SELECT c.* FROM "{table}" c WHERE {given} AND NOT EXISTS (SELECT 1 FROM "{parent}" p WHERE {joined})'
        broken |= {Violation(table, columns, parent, tuple(row)) for row in connection.execute(query)}
    return broken


def _sqlite_keys(connection: Connection) -> Iterator[tuple[str, tuple[str, ...], str, tuple[str, ...]]]:
    """Child, its columns, parent, its columns: of those keys that SQLite itself finds broken."""
    wrong = {(row[0], row[3]) for row in connection.execute("PRAGMA foreign_key_check")}
    for table, number in sorted(wrong):
        parts = [r for r in connection.execute(f'PRAGMA foreign_key_list("{table}")').fetchall() if r[0] == number]
        yield table, tuple(r[3] for r in parts), parts[0][2], tuple(r[4] for r in parts)


class Database(Protocol):
    """One catalog's database. Everything but :meth:`connect` opens a connection of its own."""

    @property
    def url(self) -> str:
        """For marksweep."""
        ...

    def connect(self, *, foreign_keys: bool = True, timeout: float = 60, autocommit: bool = False) -> Connection:
        """Connect as ZenML does. *timeout* is how many seconds to wait for a lock; 0 is not at all.

        With *autocommit* no transaction begins by itself (``isolation_level=None`` of :mod:`sqlite3`).
        """
        ...

    def keep(self) -> object:
        """What :meth:`restore` needs."""
        ...

    def restore(self, kept: Any) -> None:
        """Put every row back as it was; the schema must not have been changed."""
        ...


@dataclass(frozen=True)
class SqliteDatabase:
    """A file."""

    path: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def connect(self, *, foreign_keys: bool = True, timeout: float = 60, autocommit: bool = False) -> Connection:
        connection = sqlite3.connect(
            f"file:{self.path}?mode=rw", uri=True, timeout=timeout, isolation_level=None if autocommit else "DEFERRED"
        )
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
        return connection

    def keep(self) -> bytes:
        return self.path.read_bytes()

    def restore(self, kept: bytes) -> None:
        self.path.with_name(self.path.name + "-journal").unlink(missing_ok=True)
        self.path.write_bytes(kept)


@dataclass(frozen=True)
class MariaDbDatabase:
    """One database of a server, by the URL that marksweep gets; ``mended`` is what loading had to put right."""

    url: str
    mended: tuple[Violation, ...] = ()

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def connect(self, *, foreign_keys: bool = True, timeout: float = 60, autocommit: bool = False) -> Connection:
        return MariaDbConnection(self.url, foreign_keys=foreign_keys, timeout=timeout, autocommit=autocommit)

    def keep(self) -> dict[str, list[tuple[Any, ...]]]:
        with closing(self.connect()) as connection:
            return {table: _content(connection, table) for table in tables(connection)}

    def restore(self, kept: dict[str, list[tuple[Any, ...]]]) -> None:
        with closing(self.connect(foreign_keys=False)) as connection, connection:
            found = tables(connection)
            assert found == list(kept), "tables came or went: only rows can be put back"
            for table, before in kept.items():
                if _content(connection, table) != before:
                    connection.execute(f'DELETE FROM "{table}"')
                    if before:
                        marks = ", ".join("?" * len(before[0]))
                        connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', before)


def database_at(url: str) -> Database:
    """The database that a ``sqlite:///`` or ``mysql://`` URL names: for processes that only get the URL."""
    return SqliteDatabase(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite") else MariaDbDatabase(url)


@contextmanager
def editing(database: Database, *, foreign_keys: bool = True, timeout: float = 60) -> Iterator[Connection]:
    """A connection of somebody else; committed at the end."""
    with closing(database.connect(foreign_keys=foreign_keys, timeout=timeout)) as connection, _transaction(connection):
        yield connection


def rows(database: Database, table: str) -> list[Row]:
    """All rows of *table* by column name."""
    with closing(database.connect()) as connection:
        return _rows(connection, table)


def everything(database: Database) -> dict[str, list[Row]]:
    """All rows of all tables."""
    with closing(database.connect()) as connection:
        return {table: _rows(connection, table) for table in tables(connection)}


def _transaction(connection: Connection) -> AbstractContextManager[Any]:
    return connection


def _rows(connection: Connection, table: str) -> list[Row]:
    answer = connection.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer]


def _content(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(f'SELECT * FROM "{table}"')]
