"""What a MySQL or MariaDB server must be before rows are claimed on it: the primary, durable, and true to its foreign keys."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pymysql
import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.schema import Schema
from marksweep.errors import CatalogNotUnderstood, Incomplete, MarksweepError

_NO_PARENT = 1452
"""A child row was refused for want of its parent: what an enforced foreign key answers."""
_VARIABLES = (
    "read_only",
    "super_read_only",
    "innodb_read_only",
    "wsrep_on",
    "group_replication_group_name",
    "innodb_flush_log_at_trx_commit",
    "server_uuid",
    "hostname",
    "port",
    "datadir",
)


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself. ``variables`` holds those of its settings that matter, as text, in lower case."""

    dialect: str
    version: tuple[int, ...]
    variables: Mapping[str, str]

    @classmethod
    def ask(cls, connection: sa.Connection) -> Server:
        text = str(connection.exec_driver_sql("SELECT VERSION()").scalar_one())
        names = ", ".join(f"'{name}'" for name in _VARIABLES)
        rows = connection.exec_driver_sql(f"SHOW VARIABLES WHERE Variable_name IN ({names})").fetchall()
        dialect = "mariadb" if "mariadb" in text.lower() else "mysql"
        number = text.lower().removeprefix("5.5.5-").partition("-")[0]
        version = tuple(int(part) for part in number.split(".") if part.isdigit())
        return cls(dialect, version, {str(k).lower(): str(v).lower() for k, v in rows})

    def instance(self, connection: sa.Connection) -> str:
        """Which server this is, and when the tables were made: another after a fail-over, a restored dump, a clone."""
        made = connection.exec_driver_sql(
            "SELECT TABLE_NAME, CREATE_TIME FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('artifact_version', 'server_settings') ORDER BY 1"
        ).fetchall()
        asked = Server.ask(connection).variables
        here = asked.get("server_uuid") or "\0".join(asked.get(k, "") for k in ("hostname", "port", "datadir"))
        schema = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
        return "\0".join([here, str(schema), *(f"{name} {moment}" for name, moment in made)])


def refuse_replicas(connection: sa.Connection, server: Server, shown: str) -> None:
    """Raise CatalogNotUnderstood unless this is the one server that is written to: a replica may lack newer links."""
    for name in ("read_only", "super_read_only", "innodb_read_only"):
        if server.variables.get(name, "off") not in ("off", "0"):
            raise CatalogNotUnderstood(
                f"the database {shown} is read-only ({name} is {server.variables[name].upper()}): a replica, it seems",
                "give the primary, which ZenML itself writes to: a replica may not know the newest links yet",
            )
    for name in ("wsrep_on", "group_replication_group_name"):
        if server.variables.get(name, "off") not in ("off", "0", ""):
            raise CatalogNotUnderstood(
                f"the database {shown} is part of a cluster ({name} is set), in which row locks do not reach other nodes",
                "marksweep needs a single primary; sweep while ZenML is stopped on a server outside of the cluster, "
                "or ask for support of it",
            )
    if _replicates(connection):
        raise CatalogNotUnderstood(
            f"the database {shown} replicates from another server", "give the primary, which ZenML itself writes to"
        )


def _replicates(connection: sa.Connection) -> bool:
    """Whether a thread of replication runs here; who may not ask is not told."""
    for statement in ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"):  # the old name went with MySQL 8.4
        with contextlib.suppress(sa.exc.DBAPIError):
            row = connection.exec_driver_sql(statement).mappings().fetchone()
            threads = {str(k).lower(): str(v).lower() for k, v in (row or {}).items()}
            names = ("slave_io_running", "slave_sql_running", "replica_io_running", "replica_sql_running")
            return any(threads.get(name, "no") != "no" for name in names)
    return False


def refuse_losing_commits(server: Server, shown: str, *, lagging: bool) -> None:
    """Raise CatalogNotUnderstood for a server that can forget an acknowledged commit, unless the sweep waits for it."""
    setting = server.variables.get("innodb_flush_log_at_trx_commit", "1")
    if setting != "1" and not lagging:
        raise CatalogNotUnderstood(
            f"the database {shown} may forget commits in a crash (innodb_flush_log_at_trx_commit is {setting}, not 1):"
            " rows could come back whose bytes are gone",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1 on it; or sweep with --lag 60s, which waits before bytes go",
        )


def refuse_tables(connection: sa.Connection, schema: Schema, shown: str) -> None:
    """Raise CatalogNotUnderstood for tables without transactions, triggers on them, and keys from other schemas."""
    engines = connection.exec_driver_sql(
        "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
    ).fetchall()
    for table, engine in sorted(engines, key=str):
        if str(table) in schema.tables and str(engine).lower() != "innodb":
            raise CatalogNotUnderstood(
                f"the table {table} of the database {shown} is kept by {engine}, which has no transactions or row locks",
                f"ALTER TABLE {table} ENGINE = InnoDB, which is what ZenML makes",
            )
    triggers = connection.exec_driver_sql(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE()"
    ).fetchall()
    for name, table in triggers:
        if str(table).lower() in schema.tables:
            raise CatalogNotUnderstood(
                f"the database {shown} has a trigger {str(name)!r} on {table}, which ZenML does not make",
                "look at what it does, and drop it while marksweep runs",
            )
    foreign = connection.exec_driver_sql(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE"
        " WHERE REFERENCED_TABLE_SCHEMA = DATABASE() AND TABLE_SCHEMA <> DATABASE()"
    ).fetchall()
    for owner, table, column, referred in foreign:
        if str(referred).lower() in schema.tables:
            raise CatalogNotUnderstood(
                f"the database {shown} is referred to by {owner}.{table}.{column}, a foreign key to {referred}:"
                " it could keep artifact versions alive and marksweep does not know it",
                "drop the foreign key, or ask for support of it",
            )


def refuse_unenforced(connection: sa.Connection, schema: Schema, shown: str) -> None:
    """Raise CatalogNotUnderstood when the server takes a link to a version that does not exist; every link is rolled back.

    Declared is not enforced: the setting ``foreign_key_checks`` may be off for everybody, and there are servers that check
    keys only at times. So it is tried. A key whose other parents are empty cannot be tried, and no link can be made by it.
    """
    for table, column in (*known.REFERENCES, known.VISUALIZATION):
        if table in schema.tables and _accepts_orphans(connection, table, column):
            raise CatalogNotUnderstood(
                f"the database {shown} does not enforce the foreign key {table}.{column}:"
                " it took a link to a version that does not exist (and rolled it back)",
                "see whether foreign_key_checks is off on the server, and repair the key; a claim rests on it",
            )


def unenforced_artifacts(connection: sa.Connection, schema: Schema) -> str | None:
    """Why emptied artifacts stay on this server; None when the key from version to artifact is enforced."""
    if _accepts_orphans(connection, *known.VERSION_OF_ARTIFACT):
        return "the server does not enforce the foreign key from versions to artifacts: emptied artifacts stay"
    return None


def _accepts_orphans(connection: sa.Connection, table: str, column: str) -> bool:
    inspector = sa.inspect(connection)
    parents = {
        key["constrained_columns"][0]: (key["referred_table"], key["referred_columns"][0])
        for key in inspector.get_foreign_keys(table)
        if len(key["constrained_columns"]) == 1
    }
    row: dict[str, object] = {}
    for described in inspector.get_columns(table):
        name = described["name"]
        if name == column:
            row[name] = uuid.uuid4().hex
        elif described["nullable"]:
            continue
        elif name in parents:
            referred, key = parents[name]
            found = connection.exec_driver_sql(f"SELECT `{key}` FROM `{referred}` LIMIT 1").scalar()
            if found is None:
                return False
            row[name] = found
        elif described.get("default") is None:
            row[name] = _something(described["type"])
    marks = ", ".join("%s" for _ in row)
    names = ", ".join(f"`{name}`" for name in row)
    with _rolled_back(connection):
        try:
            connection.exec_driver_sql(f"INSERT INTO `{table}` ({names}) VALUES ({marks})", tuple(row.values()))
        except sa.exc.IntegrityError as error:
            arguments = getattr(error.orig, "args", (0, ""))
            if arguments[0] == _NO_PARENT and f"FOREIGN KEY (`{column}`)" in str(arguments[1]):
                return False
            raise
    return True


@contextmanager
def _rolled_back(connection: sa.Connection) -> Iterator[None]:
    connection.exec_driver_sql("START TRANSACTION")
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK")


def _something(kind: Any) -> object:
    """A value that a column of this type takes, and that no other row is likely to have: keys may be unique."""
    if isinstance(kind, sa.CHAR | sa.String):
        return uuid.uuid4().hex[: kind.length or 32]
    if isinstance(kind, sa.DateTime):
        return datetime(2020, 1, 1)
    return random.getrandbits(30) if type(kind).__name__ in ("INTEGER", "BIGINT") else 0


def remedy(number: int) -> str:
    """What to do about an error of the server."""
    if number in (1044, 1045, 1142, 1143, 1227, 1370):
        return (
            "give a user that may read the schema (for a sweep also INSERT, UPDATE and DELETE on some of its tables:"
            " `marksweep grants PLAN` says which)"
        )
    if number == 1665:
        return "set binlog_format to ROW or MIXED on the server: it cannot log this isolation level by statement"
    return "look at the server's log; if the schema is not ZenML's own, check the URL"


def unreachable(error: pymysql.err.MySQLError, shown: str, *, known: bool) -> MarksweepError:
    """An error for a server that cannot be logged in to; Incomplete if it could before."""
    words = " ".join(str(a) for a in error.args[:2])
    if known:
        return Incomplete(
            f"the database {shown} went away and did not come back ({words})",
            "run the same command again when it is up: a sweep resumes",
        )
    return CatalogNotUnderstood(
        f"the database {shown} cannot be opened: {words}",
        "check host, port, user, password, database and TLS of the catalog URL",
    )
