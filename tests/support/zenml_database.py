"""A real ZenML database, opened by marksweep, changed behind its back, and compared row by row."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import discover
from marksweep.model.version import ReferenceKind
from tests.support.catalogs import RealCatalog

Snapshot = dict[str, list[tuple[Any, ...]]]
"""Table -> its rows, sorted."""


@contextmanager
def opened(real: RealCatalog | Path, *, writes: bool = False) -> Iterator[ZenmlCatalog]:
    """The catalog, by its URL and with nothing in the environment."""
    url = f"sqlite:///{real}" if isinstance(real, Path) else real.url
    with closing(ZenmlCatalog(discover({}, url), writes=writes)) as catalog:
        yield catalog


@contextmanager
def editing(database: Path, *, foreign_keys: bool = False, timeout: float = 5) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else; committed at the end."""
    with closing(sqlite3.connect(database, timeout=timeout)) as connection:
        connection.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
        connection.execute("PRAGMA synchronous = OFF")
        with connection:
            yield connection


def database_copy(whole: RealCatalog, folder: Path) -> RealCatalog:
    """The database of *whole* alone, as if ZenML had moved: its URIs still name the files of *whole*."""
    copy = RealCatalog(whole.release, folder)
    copy.database.parent.mkdir(parents=True)
    shutil.copy(whole.database, copy.database)
    shutil.copy(whole.root / "ground_truth.json", folder)
    return copy


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def beside(database: Path) -> list[str]:
    """What lies in the database's folder: a journal would show."""
    return sorted(path.name for path in database.parent.iterdir())


def everything(database: Path) -> Snapshot:
    """Every row of every table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        names = [r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {n: sorted(connection.execute(f'SELECT * FROM "{n}"'), key=repr) for n in names}


def removed(before: Snapshot, after: Snapshot) -> Snapshot:
    """Rows of *before* that are not in *after*, by table; asserts that nothing came or changed."""
    assert before.keys() == after.keys()
    gone = {}
    for table, rows in before.items():
        assert not [row for row in after[table] if row not in rows], f"{table} has rows that were not there"
        if missing := [row for row in rows if row not in after[table]]:
            gone[table] = missing
    return gone


def columns(database: Path, table: str) -> list[str]:
    """The columns of *table*; none when there is no such table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [r[1] for r in connection.execute(f'PRAGMA table_info("{table}")')]


def violations(database: Path) -> set[tuple[Any, ...]]:
    """What ``PRAGMA foreign_key_check`` finds."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return set(connection.execute("PRAGMA foreign_key_check"))


def copy_row(connection: sqlite3.Connection, table: str, where: str = "1", **changes: object) -> dict[str, Any]:
    """Insert a copy of a row of *table* with a new id (where it has one) and *changes*; return it."""
    cursor = connection.execute(f'SELECT * FROM "{table}" WHERE {where} LIMIT 1')
    names = [c[0] for c in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    if "id" in row:
        row["id"] = uuid.uuid4().hex
    row.update(changes)
    return insert(connection, table, row)


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Insert *row*; columns that it does not name and that may not be null get something of their type."""
    for _, name, kind, required, default, _ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
        if name not in row and required and default is None:
            if name == "id":
                row[name] = uuid.uuid4().hex
            elif kind == "DATETIME":
                row[name] = "2026-01-01 00:00:00.000000"
            else:
                row[name] = 0 if kind in ("INTEGER", "BOOLEAN", "FLOAT") else "x"
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
