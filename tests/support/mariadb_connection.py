"""A connection to MariaDB that behaves as one of :mod:`sqlite3` to whoever writes tests for both."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE, SERVER_STATUS
from pymysql.converters import conversions
from pymysql.cursors import Cursor

Parameters = Sequence[object] | Mapping[str, object]

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|`[^`]*`|\?|:[A-Za-z_]\w*|%""")
"""Texts and names, which stay as they are, and what has to be rewritten."""
_CHANGE = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_MODES = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES"


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


_AS_IN_SQLITE: dict[Any, Any] = {
    key: value
    for key, value in conversions.items()
    if key not in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATE, FIELD_TYPE.TIME)
} | {FIELD_TYPE.DECIMAL: _number, FIELD_TYPE.NEWDECIMAL: _number}


class Key(NamedTuple):
    """A foreign key; ``on_delete`` is in the words of SQL."""

    table: str
    columns: tuple[str, ...]
    parent: str
    referred: tuple[str, ...]
    name: str
    on_delete: str


class Rows(Cursor):
    """All rows of an answer, as a list."""

    def fetchall(self) -> list[Any]:  # type: ignore[override]
        return list(super().fetchall())


class MariaDbConnection:
    """See :class:`tests.support.databases.Connection`. The isolation is the server's own: REPEATABLE READ."""

    def __init__(self, url: str, *, foreign_keys: bool = True, timeout: float = 60, autocommit: bool = False) -> None:
        parts = urlsplit(url)
        self._own_transactions = autocommit
        self.raw: Any = pymysql.connect(
            host=parts.hostname or "",
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path.lstrip("/"),
            charset="utf8mb4",
            autocommit=True,
            sql_mode=_MODES,
            conv=_AS_IN_SQLITE,
            client_flag=CLIENT.FOUND_ROWS,
        )
        self.execute(f"SET SESSION innodb_lock_wait_timeout = {math.ceil(timeout)}")
        self.execute(f"SET SESSION foreign_key_checks = {int(foreign_keys)}")

    @property
    def in_transaction(self) -> bool:
        return bool(self.raw.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def execute(self, sql: str, parameters: Parameters = (), /) -> Rows:
        """Run one statement."""
        cursor = self._begun(sql)
        cursor.execute(translated(sql, parameters), parameters or None)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Rows:
        """Run one statement for each of *parameters*, in as few requests as may be."""
        cursor, many = self._begun(sql), list(parameters)
        if many:
            cursor.executemany(translated(sql, many[0]), many)
        return cursor

    def _begun(self, sql: str) -> Rows:
        if not self._own_transactions and _CHANGE.match(sql) and not self.in_transaction:
            self.raw.begin()
        return Rows(self.raw)

    def commit(self) -> None:
        self.raw.commit()

    def rollback(self) -> None:
        self.raw.rollback()

    def close(self) -> None:
        """Close it, whatever state it is in. What was not committed is rolled back."""
        if self.raw.open:
            self.raw.close()

    def __enter__(self) -> MariaDbConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def foreign_keys(self) -> list[Key]:
        """Every foreign key of the database."""
        found: dict[tuple[str, str], list[tuple[str, str, str, str]]] = {}
        for table, name, column, parent, referred, rule in self.execute(
            "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, k.referenced_column_name,"
            " r.delete_rule FROM information_schema.key_column_usage k"
            " JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema"
            " AND r.table_name = k.table_name AND r.constraint_name = k.constraint_name"
            " WHERE k.constraint_schema = database() ORDER BY 1, 2, k.ordinal_position"
        ):
            found.setdefault((table, name), []).append((column, parent, referred, rule))
        return [
            Key(table, tuple(p[0] for p in parts), parts[0][1], tuple(p[2] for p in parts), name, parts[0][3])
            for (table, name), parts in found.items()
        ]


def translated(sql: str, parameters: Parameters) -> str:
    """*sql* with the marks of PyMySQL; without parameters PyMySQL takes a text as it is."""
    if not parameters:
        return sql
    named = isinstance(parameters, Mapping)

    def rewritten(match: re.Match[str]) -> str:
        token = match.group()
        if token == "?":
            return "%s"
        if token.startswith(":"):
            return f"%({token[1:]})s" if named else token
        return token.replace("%", "%%")

    return _TOKEN.sub(rewritten, sql)
