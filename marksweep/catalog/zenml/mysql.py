"""ZenML's database on MySQL or MariaDB: the way in, what its errors mean, and transactions in which a lock is final.

READ COMMITTED and ``FOR UPDATE SKIP LOCKED`` follow the race analysis: a link that is checked against a foreign key holds
a shared lock on its version until it commits, so a version whose row could be locked has no link on its way, and every
statement after the lock sees all links that are committed. A row that somebody else holds is left alone, never waited for.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from marksweep.catalog.port import InDoubt
from marksweep.catalog.zenml import mysql_guard, mysql_session
from marksweep.catalog.zenml.database import Contended, Finder, Row, by_times, read
from marksweep.catalog.zenml.mysql_url import Address
from marksweep.catalog.zenml.pace import Pace
from marksweep.catalog.zenml.schema import Schema
from marksweep.errors import CatalogNotUnderstood, Incomplete, Locked, OtherCatalog

CLAIM_SECONDS = 0.15
"""How long a claim should hold its rows: other writers' latency hardly grows up to a quarter of a second."""
PATIENCE = 60.0
"""Seconds for which a lost connection is opened again, and a contended transaction repeated."""
TAKE_BACK = 10
"""Seconds in which the server has to notice that a lost session of ours, which held the advisory lock, is gone."""
PAGE = 2_000
"""Rows taken from a stream at a time."""

_DEADLOCK, _LOCK_WAIT = 1213, 1205
_SKIP_LOCKED_SINCE = {"mariadb": (10, 6), "mysql": (8, 0, 1)}


T = TypeVar("T")


class MysqlDatabase:
    """One schema of a MySQL or MariaDB server, by PyMySQL.

    *lagging*: the sweep waits between a claim and the deletes (``--lag``), so that the server may lose acknowledged commits.
    """

    finder = Finder.PROBE
    look_within = 0.02

    def __init__(self, address: Address, *, writes: bool, lagging: bool = False) -> None:
        self._address, self._writes, self._lagging = address, writes, lagging
        self._engine = sa.create_engine(
            "mysql+pymysql://",
            creator=self._connect,
            poolclass=sa.pool.NullPool,
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
        )
        self._connection: sa.Connection | None = None
        self._met: str | None = None
        self._locks: str | None = None
        self._pace = Pace(start=200, smallest=20, largest=2_000, seconds=CLAIM_SECONDS)
        try:
            facts = read(self, mysql_guard.Server.ask)
        except BaseException:
            self.close()
            raise
        self.dialect = facts.dialect
        self._facts = facts
        self._skip_locked = facts.version >= _SKIP_LOCKED_SINCE[facts.dialect]
        if not self._skip_locked:  # without it a claim waits for locks: little, and for few rows
            self._pace = Pace(start=50, smallest=10, largest=50, seconds=CLAIM_SECONDS)

    @property
    def shown(self) -> str:
        return self._address.shown

    @property
    def batch(self) -> int:
        return self._pace.size

    def understand(self, schema: Schema) -> None:
        with self.reading() as connection:
            mysql_guard.refuse_replicas(connection, self._facts, self.shown)
            mysql_guard.refuse_tables(connection, schema, self.shown)
            if self._writes:
                mysql_guard.refuse_losing_commits(self._facts, self.shown, lagging=self._lagging)
                mysql_guard.refuse_unenforced(connection, schema, self.shown)
            self._met = self._facts.instance(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._explained():
            yield self._open()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the server's refusals into errors with a remedy; a lost connection or transaction into Contended."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            number = number_of(error)
            if error.connection_invalidated or number in mysql_session.LOST:
                self._drop()
                raise Contended(_words(error)) from None
            if number in (_DEADLOCK, _LOCK_WAIT):
                raise Contended(_words(error)) from None
            raise CatalogNotUnderstood(
                f"the database {self.shown} refused a statement: {_words(error)}",
                mysql_guard.remedy(number),
            ) from None

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self._explained(), self._pace:
            connection = self._open()
            connection.exec_driver_sql(f"SET SESSION wait_timeout = {mysql_session.IDLE_IN_TRANSACTION}")
            connection.exec_driver_sql("START TRANSACTION")
            try:
                yield connection
            except BaseException:
                self._roll_back()
                raise
            self._commit(connection)
        try:
            connection.exec_driver_sql(f"SET SESSION wait_timeout = {mysql_session.IDLE}")
        except sa.exc.DBAPIError:  # what was committed is committed, and must not be done again
            self._drop()

    @contextmanager
    def enforcing(self) -> Iterator[sa.Connection]:
        with self.writing() as connection:
            connection.exec_driver_sql("SET SESSION foreign_key_checks = 1")
            connection.exec_driver_sql("SET SESSION unique_checks = 1")
            yield connection

    def _commit(self, connection: sa.Connection) -> None:
        try:
            connection.exec_driver_sql("COMMIT")
        except sa.exc.DBAPIError as error:
            self._drop()
            raise InDoubt(_words(error)) from None

    def _roll_back(self) -> None:
        """Whatever cannot be rolled back by word is rolled back by closing: the server does so when it notices."""
        if self._connection is None or self._connection.invalidated:
            self._drop()
            return
        try:
            self._connection.exec_driver_sql("ROLLBACK")
        except sa.exc.DBAPIError:
            self._drop()

    def again(self, work: Callable[[], T]) -> T:
        until, pause = time.monotonic() + PATIENCE, 0.02
        while True:
            try:
                return work()
            except Contended as contended:
                if time.monotonic() > until:
                    raise Incomplete(
                        f"the database {self.shown} did not let a transaction through for {PATIENCE:.0f} s ({contended})",
                        "run the same command again when the database is less busy, or up again: a sweep resumes",
                    ) from None
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
            pause = min(2.0, pause * 2)

    def lock(self, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Row]:
        return connection.execute(query.with_for_update(skip_locked=self._skip_locked)).fetchall()

    def await_lock(self, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Row]:
        return connection.execute(query.with_for_update()).fetchall()

    def pages(self, table: sa.Table, query: sa.Select[Any]) -> Iterator[Sequence[Row]]:
        """One statement, streamed by a connection of its own: InnoDB's readers hold nobody up."""
        try:
            with self._engine.connect() as connection:
                self._prove(connection)
                streamed = connection.execution_options(stream_results=True, max_row_buffer=PAGE).execute(query)
                yield from streamed.partitions(PAGE)
        except sa.exc.DBAPIError as error:
            raise Incomplete(
                f"the database {self.shown} ended an answer in the middle: {_words(error)}",
                "run the same command again; nothing was changed",
            ) from None

    def state(self, connection: sa.Connection) -> None:
        """InnoDB counts no commits that a user may see."""
        return

    def mark_of(self, connection: sa.Connection, table: sa.Table) -> int:
        return 0

    def appended(self, table: sa.Table, marks: Mapping[str, int]) -> None:
        """Row ids are random: nothing tells the later ones."""
        return

    def changed(self, table: sa.Table, since: datetime) -> sa.ColumnElement[bool]:
        return by_times(table, since)

    def now(self) -> datetime:
        moment: datetime = read(self, lambda c: c.exec_driver_sql("SELECT UTC_TIMESTAMP(6)").scalar_one())
        return moment.replace(tzinfo=UTC)

    def instance(self, server_id: str) -> str:
        """By the server id, the server itself, and when the tables were made: a restored dump has newer ones."""
        return "sha256:" + hashlib.sha256(f"mysql\0{server_id}\0{self._met}".encode()).hexdigest()

    def unmoved(self, connection: sa.Connection) -> bool:
        """A migration writes its revision, which every claim compares."""
        return True

    def keeps_empty_artifacts(self, schema: Schema) -> str | None:
        if not self._writes:
            return None
        return read(self, lambda connection: mysql_guard.unenforced_artifacts(connection, schema))

    @contextmanager
    def sole(self, name: str) -> Iterator[None]:
        """``GET_LOCK`` on the connection that claims: whoever lost the one lost the other, and takes both again."""
        self._locks = "marksweep:" + hashlib.sha256(f"{self._address.database}\0{name}".encode()).hexdigest()[:40]
        try:
            self.again(self._take_lock)
            yield
        finally:
            self._locks = None
            self._drop()

    def _take_lock(self) -> None:
        with self.reading() as connection:
            self._get_lock(connection, 0)

    def _get_lock(self, connection: sa.Connection, seconds: int) -> None:
        taken = connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (self._locks, seconds)).scalar()
        if taken == 1:
            return
        holder = connection.exec_driver_sql(
            "SELECT p.ID, p.USER, p.HOST, p.TIME FROM information_schema.PROCESSLIST p WHERE p.ID = IS_USED_LOCK(%s)",
            (self._locks,),
        ).fetchone()
        who = f"connection {holder[0]} of {holder[1]!r} from {holder[2]}" if holder else "a connection of another user"
        raise Locked(
            f"another sweep of the catalog {self.shown} is running: {who} holds its lock",
            "wait for it to end; if that process is gone, its database connection can be ended with KILL",
        )

    def close(self) -> None:
        self._drop()
        self._engine.dispose()

    def _open(self) -> sa.Connection:
        """The one connection; opened again when it was lost, and proved to lead to the same database."""
        if self._connection is None:
            connection = self._engine.connect()
            try:
                self._prove(connection)
                if self._locks is not None and self._met is not None:
                    self._get_lock(connection, TAKE_BACK)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prove(self, connection: sa.Connection) -> None:
        if self._met is not None and self._facts.instance(connection) != self._met:
            raise OtherCatalog(
                f"another server answers at {self.shown} than before, or its tables were made anew",
                "find out whether it failed over or was restored; then make a new plan",
            )

    def _drop(self) -> None:
        """Forget the connection; it may be dead, so nothing is said on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()
            with contextlib.suppress(Exception):
                connection.close()

    def _connect(self) -> Any:
        known = self._met is not None
        return mysql_session.connect(self._address, PATIENCE if known else 0, known=known)


def number_of(error: sa.exc.DBAPIError) -> int:
    """The server's (or driver's) error number; 0 when there is none."""
    arguments = getattr(error.orig, "args", ())
    return int(arguments[0]) if arguments and isinstance(arguments[0], int) else 0


def _words(error: sa.exc.DBAPIError) -> str:
    arguments = getattr(error.orig, "args", ())
    return " ".join(str(a) for a in arguments[:2]) or type(error.orig).__name__
