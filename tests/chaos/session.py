"""A writer's connection to the catalog: ZenML's settings, its transactions, and what the server may answer."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pymysql

from tests.support.databases import Connection, database_at
from tests.support.mariadb_connection import MariaDbConnection

PATIENCE = 60.0
"""Seconds for which a lost server is waited for."""
_KINDS = {1213: "deadlock", 1205: "lock wait", 1452: "key refused", 1451: "key refused", 1062: "linked already"}
_ERRORS = (sqlite3.Error, pymysql.err.MySQLError)


class Refused(Exception):
    """What was being done did not happen, or (``unknown``) nobody knows; ``kind`` says why in two words."""

    def __init__(self, doing: str, kind: str) -> None:
        super().__init__(f"{doing}: {kind}")
        self.doing, self.kind = doing, kind


class Session:
    """One connection, made again when it was lost, unless the file *stop* exists. ``doing`` is named in refusals.

    On SQLite a transaction begins with the first write, as pysqlite does it; on MariaDB with the first read, in the
    server's own isolation (REPEATABLE READ).
    """

    def __init__(self, url: str, stop: Path) -> None:
        self.database = database_at(url)
        self.doing = "begin"
        self._stop = stop
        self._connection: Connection | None = None

    def row(self, table: str, id_: str) -> dict[str, Any]:
        """One whole row."""
        answer = self.run(f"SELECT * FROM {table} WHERE id = ?", id_)
        return dict(zip((c[0] for c in answer.description), answer.fetchone(), strict=True))

    def one(self, sql: str, *parameters: object) -> Any:
        """The first row of an answer, or None."""
        return self.run(sql, *parameters).fetchone()

    def begin_to_read(self) -> None:
        if isinstance(self._open(), MariaDbConnection):
            self.run("START TRANSACTION")

    def begin_to_write(self) -> None:
        """Begin, unless a read has begun already."""
        connection = self._open()
        if not connection.in_transaction:
            self.run("START TRANSACTION" if isinstance(connection, MariaDbConnection) else "BEGIN")

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        self.run(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', *row.values())

    def commit(self) -> None:
        """Commit; a lost answer is ``unknown``."""
        connection = self._open()
        try:
            connection.commit()
        except _ERRORS as error:
            self._drop()
            kind = _kind(error)
            raise Refused(self.doing, "unknown" if kind == "lost" else kind) from None

    def end(self) -> None:
        """End a transaction that only read."""
        with contextlib.suppress(*_ERRORS):
            self._open().rollback()

    roll_back = end

    def run(self, sql: str, *parameters: object) -> Any:
        """Run one statement; raise :class:`Refused` for whatever goes wrong, after which no transaction is open."""
        try:
            return self._open().execute(sql, parameters)
        except _ERRORS as error:
            kind = _kind(error)
            if kind == "lost":
                self._drop()
            else:
                self.end()
            raise Refused(self.doing, kind) from None

    def close(self) -> None:
        self._drop()

    def _open(self) -> Connection:
        until = time.monotonic() + PATIENCE
        while self._connection is None:
            try:
                self._connection = self.database.connect(autocommit=True)
            except _ERRORS:
                if self._stop.exists() or time.monotonic() > until:
                    raise Refused(self.doing, "lost") from None
                time.sleep(0.02)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*_ERRORS):
                connection.close()


def _kind(error: Exception) -> str:
    if isinstance(error, sqlite3.IntegrityError):
        if "FOREIGN KEY" in str(error):
            return "key refused"
        if "UNIQUE" in str(error):
            return "linked already"
        raise error
    if isinstance(error, sqlite3.OperationalError):
        if "locked" in str(error):
            return "lock wait"
        raise error
    number = error.args[0] if error.args else 0
    if number in _KINDS:
        return _KINDS[number]
    if isinstance(error, pymysql.err.OperationalError | pymysql.err.InterfaceError | pymysql.err.InternalError):
        return "lost"
    raise error
