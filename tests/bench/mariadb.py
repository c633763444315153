"""The rows of a generated catalog in a MariaDB server of the bench's own, with its data on disk."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from tests.support.databases import tables
from tests.support.mariadb import MariaDbServer, initialised
from tests.support.mariadb_load import dumped_schema

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_WRITTEN = 10_000
"""Rows that are written to a file at a time."""


def server_on_disk(folder: Path) -> MariaDbServer:
    """A server with its data in *folder*, and memory enough for a million versions; enter it to start it."""
    server = MariaDbServer(
        initialised(folder / "initialised"), innodb_buffer_pool_size="2G", innodb_log_file_size="256M", local_infile=1
    )
    server.folder = Path(shutil.move(server.folder, folder))
    return server


def load(server: MariaDbServer, source: Path, scratch: Path) -> str:
    """A new database with all rows of the generated SQLite database *source*; return its URL.

    Quick, and with the keys that ZenML has: :func:`tests.support.mariadb_load.load_sqlite` takes ten times as long.
    """
    name = server.create_database()
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as rows,
        closing(_root(server, name)) as target,
        target.cursor() as cursor,
    ):
        cursor.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0, sql_mode = ''")
        for statement in dumped_schema():
            cursor.execute(statement)
        for table in tables(rows):
            _copy(rows, cursor, table, scratch / f"{table}.tsv")
        for table in tables(rows):
            cursor.execute(f"ANALYZE TABLE `{table}`")
    return server.url(name)


def _root(server: MariaDbServer, database: str) -> Connection[Any]:
    return pymysql.connect(
        unix_socket=str(server.socket), user="root", database=database, charset="utf8mb4", local_infile=True,
        autocommit=True,
    )  # fmt: skip


def _copy(source: sqlite3.Connection, target: Any, table: str, file: Path) -> None:
    cursor = source.execute(f'SELECT * FROM "{table}"')
    names = ", ".join(f"`{column[0]}`" for column in cursor.description)
    with file.open("w", encoding="utf-8", newline="") as output:
        while batch := cursor.fetchmany(_WRITTEN):
            output.writelines(_lines(batch))
    target.execute(f"LOAD DATA LOCAL INFILE %s INTO TABLE `{table}` CHARACTER SET utf8mb4 ({names})", (str(file),))
    file.unlink()


def _lines(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    for row in rows:
        yield "\t".join("\\N" if value is None else _text(value).translate(_ESCAPES) for value in row) + "\n"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
