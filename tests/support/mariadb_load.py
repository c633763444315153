"""ZenML databases put into MariaDB: the dump that a real one left, and any SQLite one as it would be there.

Of 0.98.0 the tables are those of the dump. Older releases get theirs from their SQLite schema by the rules that turn
0.98.0's SQLite schema into the dump's (a test compares them).
"""

from __future__ import annotations

import re
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysql.constants import CLIENT

from tests.support.databases import MariaDbDatabase, Violation, tables, violations
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_connection import Key, MariaDbConnection

DUMP_ARCHIVE = Path(__file__).parent.parent / "catalogs" / "zenml-0.98.0-mariadb.tar.gz"
"""What ZenML 0.98.0 wrote on MariaDB 10.11: ``catalog.sql``, and the files and the ground truth as in the others."""

_DUMPED_RELEASE = "0.98.0"
_DATABASE_LINE = re.compile(r"^(?:CREATE DATABASE|USE) .*;$", re.MULTILINE)
_CREATE_TABLE = re.compile(r"^CREATE TABLE `\w+` \(\n.*?\n\) [^;]*;$", re.MULTILINE | re.DOTALL)
_CHARSET = "CHARSET=latin1 COLLATE=latin1_swedish_ci"
_VARCHAR_TEXT, _VARCHAR_MEDIUMTEXT = 65_535, 16_777_215
"""Lengths of VARCHAR with which ZenML says TEXT and MEDIUMTEXT to SQLite."""
_BATCH = 5_000
_KINDS = {"INTEGER": "int(11)", "BOOLEAN": "tinyint(1)", "JSON": "longtext", "VARCHAR": "varchar(255)"}


def load_dump(server: MariaDbServer, dump: str, charset: str = "latin1") -> MariaDbDatabase:
    """A new database with what ``mariadb-dump`` wrote of another."""
    script = _DATABASE_LINE.sub("", dump).replace(_CHARSET, f"CHARSET={charset}")
    return MariaDbDatabase(server.url(_new(server, charset, script)))


def load_sqlite(server: MariaDbServer, source: Path, charset: str = "latin1") -> MariaDbDatabase:
    """A new database with all rows of the SQLite database *source*.

    Histories before 0.91 hold broken foreign keys, as ZenML did not enforce them on SQLite. MariaDB would not have let
    them come about, so each is mended by its own ON DELETE rule and listed in ``mended``. None is left.
    """
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as database:
        (release,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        schema = dumped_schema() if release == _DUMPED_RELEASE else derived_schema(source)
        name = _new(server, charset, "\n".join(schema).replace(_CHARSET, f"CHARSET={charset}"))
        with closing(MariaDbConnection(server.url(name), foreign_keys=False)) as target:
            for table in tables(database):
                _copy(database, target, table)
        with closing(MariaDbConnection(server.url(name))) as target, target:
            mended = tuple(_mend(target))
            assert not violations(target)
    return MariaDbDatabase(server.url(name), mended)


def clone(server: MariaDbServer, original: MariaDbDatabase) -> MariaDbDatabase:
    """A new database with the tables and rows of *original*, and its charset."""
    with closing(original.connect()) as source:
        source.execute("SET SESSION sql_mode = ''")  # names come in backticks then
        script = [source.execute(f"SHOW CREATE TABLE `{t}`").fetchone()[1] + ";" for t in tables(source)]
        script += [f"INSERT INTO `{t}` SELECT * FROM `{original.name}`.`{t}`;" for t in tables(source)]
        (charset,) = source.execute("SELECT @@character_set_database").fetchone()
    return MariaDbDatabase(server.url(_new(server, charset, "\n".join(script))), original.mended)


def dumped_schema() -> list[str]:
    """The CREATE TABLE statements of the dump."""
    with tarfile.open(DUMP_ARCHIVE) as archive:
        (member,) = [m for m in archive.getmembers() if m.name.endswith("catalog.sql")]
        dump = archive.extractfile(member)
        assert dump is not None
        return _CREATE_TABLE.findall(dump.read().decode())


def derived_schema(source: Path) -> list[str]:
    """CREATE TABLE statements for the tables of a SQLite database, as ZenML makes them on MariaDB."""
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(f"file:{source}?mode=ro", uri=True))
    try:
        inspector = sa.inspect(engine)
        return [_create_table(inspector, table) for table in inspector.get_table_names()]
    finally:
        engine.dispose()


def _create_table(inspector: sa.Inspector, table: str) -> str:
    lines = [_column(column) for column in inspector.get_columns(table)]
    if primary := inspector.get_pk_constraint(table)["constrained_columns"]:
        lines.append(f"PRIMARY KEY ({_names(primary)})")
    for unique in inspector.get_unique_constraints(table):
        lines.append(f"UNIQUE KEY {_named(unique['name'])}({_names(unique['column_names'])})")
    for index in inspector.get_indexes(table):
        kind = "UNIQUE KEY" if index["unique"] else "KEY"
        lines.append(f"{kind} `{index['name']}` ({_names([c or '' for c in index['column_names']])})")
    for key in inspector.get_foreign_keys(table):
        named = f"CONSTRAINT `{key['name']}` " if key["name"] else ""
        rule = key["options"]["ondelete"]
        lines.append(
            f"{named}FOREIGN KEY ({_names(key['constrained_columns'])})"
            f" REFERENCES `{key['referred_table']}` ({_names(key['referred_columns'])}) ON DELETE {rule}"
        )
    body = ",\n  ".join(lines)
    return f"CREATE TABLE `{table}` (\n  {body}\n) ENGINE=InnoDB DEFAULT {_CHARSET};"


def _column(column: Any) -> str:
    kind, length = column["type"].__class__.__name__.upper(), getattr(column["type"], "length", None)
    if length in (_VARCHAR_TEXT, _VARCHAR_MEDIUMTEXT):
        sql = "text" if length == _VARCHAR_TEXT else "mediumtext"
    elif length is not None:
        sql = f"{kind.lower()}({length})"
    else:
        sql = _KINDS.get(kind, kind.lower())
    check = f" CHECK (json_valid(`{column['name']}`))" if kind == "JSON" else ""
    charset = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if kind == "JSON" else ""
    return f"`{column['name']}` {sql}{charset} {'DEFAULT NULL' if column['nullable'] else 'NOT NULL'}{check}"


def _names(columns: list[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


def _named(name: str | None) -> str:
    return f"`{name}` " if name else ""


def _new(server: MariaDbServer, charset: str, script: str) -> str:
    """A new database in which *script* was run with no keys checked; its name."""
    name = server.create_database(charset)
    with (
        closing(
            pymysql.connect(
                unix_socket=str(server.socket), user="root", database=name, charset="utf8mb4", autocommit=True,
                client_flag=CLIENT.MULTI_STATEMENTS,
            )
        ) as connection,
        connection.cursor() as cursor,
    ):  # fmt: skip
        cursor.execute("SET foreign_key_checks = 0, unique_checks = 0;" + script)
        while cursor.nextset():
            pass
    return name


def _copy(source: sqlite3.Connection, target: MariaDbConnection, table: str) -> None:
    cursor = source.execute(f'SELECT * FROM "{table}"')
    names = ", ".join(f'"{column[0]}"' for column in cursor.description)
    statement = f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(cursor.description))})'
    while batch := cursor.fetchmany(_BATCH):
        target.executemany(statement, batch)
        target.commit()


def _mend(target: MariaDbConnection) -> Iterator[Violation]:
    """Do what each broken key's rule would have done. That may delete a row and break the keys of its own children."""
    rules = {(key.table, key.columns): key for key in target.foreign_keys()}
    while broken := violations(target):
        for table, columns in sorted({(v.table, v.columns) for v in broken}):
            _apply(target, rules[table, columns])
        yield from sorted(broken, key=repr)


def _apply(target: MariaDbConnection, key: Key) -> None:
    joined = " AND ".join(f'c."{a}" = p."{b}"' for a, b in zip(key.columns, key.referred, strict=True))
    given = " AND ".join(f'c."{column}" IS NOT NULL' for column in key.columns)
    # the parents are read into a table of their own: a statement may not change what it reads
    parents = f'(SELECT {", ".join(f"{chr(34)}{r}{chr(34)}" for r in key.referred)} FROM "{key.parent}")'
    orphans = f"{given} AND NOT EXISTS (SELECT 1 FROM {parents} p WHERE {joined})"
    if key.on_delete == "SET NULL":
        nulls = ", ".join(f'c."{column}" = NULL' for column in key.columns)
        target.execute(f'UPDATE "{key.table}" c SET {nulls} WHERE {orphans}')
    else:
        target.execute(f'DELETE c FROM "{key.table}" c WHERE {orphans}')
