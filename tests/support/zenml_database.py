"""A real ZenML database, opened by marksweep, changed behind its back, and compared row by row; on either engine.

A database is given as :class:`RealCatalog` has it: the path of a SQLite file, or a :class:`Database`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import discover
from marksweep.model.version import ReferenceKind
from tests.support import databases
from tests.support.catalogs import RealCatalog
from tests.support.databases import Connection, Database, SqliteDatabase, described, tables
from tests.support.mariadb_catalogs import MariaDbCatalog

Where = Path | Database
Snapshot = dict[str, list[tuple[Any, ...]]]
"""Table -> its rows, sorted."""


def database_of(where: Where) -> Database:
    """The database, to connect to."""
    return SqliteDatabase(where) if isinstance(where, Path) else where


@contextmanager
def opened(real: RealCatalog | Where, *, writes: bool = False) -> Iterator[ZenmlCatalog]:
    """The catalog, by its URL and with nothing in the environment; local stores are told where nothing lies beside a file."""
    url = real.url if isinstance(real, RealCatalog) else database_of(real).url
    stores = real.config / "local_stores" if isinstance(real, MariaDbCatalog) else None
    with closing(ZenmlCatalog(discover({}, url, stores), writes=writes)) as catalog:
        yield catalog


@contextmanager
def editing(where: Where, *, foreign_keys: bool = False, timeout: float = 5) -> Iterator[Connection]:
    """A connection of somebody else; committed at the end. *timeout* is how long it waits for locks, in seconds."""
    with closing(database_of(where).connect(foreign_keys=foreign_keys, timeout=timeout)) as connection:
        if isinstance(where, Path):
            connection.execute("PRAGMA synchronous = OFF")
        with connection:
            yield connection


@contextmanager
def reading(where: Where) -> Iterator[Connection]:
    """A connection that sees with every statement what is committed then."""
    with closing(database_of(where).connect(autocommit=True)) as connection:
        yield connection


def database_copy(whole: RealCatalog, folder: Path) -> RealCatalog:
    """The database of *whole* alone (on SQLite), as if ZenML had moved: its URIs still name the files of *whole*."""
    copy = RealCatalog(whole.release, folder)
    copy.database.parent.mkdir(parents=True)
    shutil.copy(whole.database, copy.database)
    shutil.copy(whole.root / "ground_truth.json", folder)
    return copy


def digest(where: Where) -> str:
    """SHA-256 of a file, or of all rows of a database that is no file."""
    content = where.read_bytes() if isinstance(where, Path) else repr(everything(where)).encode()
    return hashlib.sha256(content).hexdigest()


def beside(where: Where) -> list[str]:
    """What lies in the database's folder: a journal would show. Of one that is no file, its tables."""
    if isinstance(where, Path):
        return sorted(path.name for path in where.parent.iterdir())
    with reading(where) as connection:
        return tables(connection)


def everything(where: Where) -> Snapshot:
    """Every row of every table."""
    with reading(where) as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(f'SELECT * FROM "{name}"')), key=repr)
            for name in tables(connection)
        }


def removed(before: Snapshot, after: Snapshot) -> Snapshot:
    """Rows of *before* that are not in *after*, by table; asserts that nothing came or changed."""
    assert before.keys() == after.keys()
    gone = {}
    for table, rows in before.items():
        assert not [row for row in after[table] if row not in rows], f"{table} has rows that were not there"
        if missing := [row for row in rows if row not in after[table]]:
            gone[table] = missing
    return gone


def columns(where: Where, table: str) -> list[str]:
    """The columns of *table*; none when there is no such table."""
    with reading(where) as connection:
        return [column.name for column in described(connection, table)]


def violations(where: Where) -> set[databases.Violation]:
    """Every row that breaks a foreign key."""
    with reading(where) as connection:
        return databases.violations(connection)


def copy_row(connection: Connection, table: str, where: str = "1 = 1", **changes: object) -> dict[str, Any]:
    """Insert a copy of a row of *table* with a new id (where it has one) and *changes*; return it."""
    cursor = connection.execute(f'SELECT * FROM "{table}" WHERE {where} LIMIT 1')
    names = [c[0] for c in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    if "id" in row:
        row["id"] = uuid.uuid4().hex
    row.update(changes)
    return insert(connection, table, row)


def insert(connection: Connection, table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Insert *row*; columns that it does not name and that may not be null get something of their type."""
    for column in described(connection, table):
        if column.name not in row and column.required and column.default is None:
            row[column.name] = uuid.uuid4().hex if column.name == "id" else column.something
    names = ", ".join(f'"{n}"' for n in row)
    connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', tuple(row.values()))
    return row


def kinds(catalog: ZenmlCatalog, version_id: str) -> set[ReferenceKind]:
    """The kinds of reference of one version, which survey and ``references`` must agree about."""
    (found,) = catalog.references([version_id]).values()
    surveyed = {s.version.id: s for page in catalog.survey(tags=False) for s in page}[version_id].references
    assert found is not None
    assert {r.kind for r in found} == surveyed
    assert all(r.holder for r in found)
    return set(surveyed)


def external_input(version_id: str) -> str:
    """A step's configuration with an external input."""
    return json.dumps({"step_config_overrides": {"external_input_artifacts": {"x": {"id": version_id}}}})
