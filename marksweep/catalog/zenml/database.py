"""What the ZenML catalog asks of the SQL server that holds it; one implementation for SQLite, one for MySQL and MariaDB."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from marksweep.catalog.zenml.schema import Schema

Row = Sequence[Any]
T = TypeVar("T")


class Contended(Exception):
    """The server rolled the transaction back (a deadlock, a lock wait, a lost connection before COMMIT): do it again."""


class Finder(enum.Enum):
    """How to find out which versions are referenced: which of the two is fast depends on the indexes there are."""

    TABLE = "table"
    """Copy the referenced ids into a temporary table first: SQLite has no index on them."""
    PROBE = "probe"
    """Ask per version: InnoDB has an index on every foreign key."""


class Database(Protocol):
    """One database, open. Its one connection is opened when it is first needed, and again after it was lost."""

    @property
    def dialect(self) -> str:
        """``sqlite``, ``mariadb`` or ``mysql``; signed into every plan."""
        ...

    @property
    def shown(self) -> str:
        """What to call it in messages: no user, no password."""
        ...

    @property
    def finder(self) -> Finder: ...

    @property
    def look_within(self) -> float:
        """Seconds. What took longer right before a transaction is not done once more in it, while others wait for it."""
        ...

    @property
    def batch(self) -> int:
        """How many versions to claim at a time: follows how long the last claims held other writers up."""
        ...

    def understand(self, schema: Schema) -> None:
        """Raise :class:`CatalogNotUnderstood` unless this server keeps the promises that a claim rests on."""
        ...

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """The connection, outside of any transaction: each statement sees what is committed when it begins."""
        ...

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """One transaction in which what :meth:`lock` returned is final.

        Raises :class:`Contended` when it was rolled back, :class:`~marksweep.catalog.port.InDoubt` when the answer to its
        COMMIT was lost, and Incomplete when another writer does not let go in time.
        """
        ...

    def enforcing(self) -> AbstractContextManager[sa.Connection]:
        """The same as :meth:`writing`, with the server enforcing foreign keys."""
        ...

    def again(self, work: Callable[[], T]) -> T:
        """Do *work* until it is not :class:`Contended`, with pauses; raise Incomplete when it is for too long."""
        ...

    def lock(self, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Row]:
        """The rows of *query* (sorted by id) that nobody else holds, locked until the transaction ends."""
        ...

    def await_lock(self, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Row]:
        """The rows of *query*, read with locks that wait for every transaction that touched them: the final word."""
        ...

    def pages(self, table: sa.Table, query: sa.Select[Any]) -> Iterator[Sequence[Row]]:
        """The rows of *query*, which has one for each row of *table*, in pages, holding nobody up."""
        ...

    def state(self, connection: sa.Connection) -> object | None:
        """Something that is another one once anybody else has committed a change; None where the server tells nothing."""
        ...

    def mark_of(self, connection: sa.Connection, table: sa.Table) -> int:
        """Something that :meth:`appended` can tell later rows of *table* by."""
        ...

    def appended(self, table: sa.Table, marks: Mapping[str, int]) -> sa.ColumnElement[bool] | None:
        """Which rows came after the mark of *table* in *marks*, if that can be asked of an index; None if not."""
        ...

    def changed(self, table: sa.Table, since: datetime) -> sa.ColumnElement[bool]:
        """Which rows came or changed *since*, by the times in them; all of a table without such times."""
        ...

    def now(self) -> datetime:
        """The server's clock, aware, in UTC."""
        ...

    def instance(self, server_id: str) -> str:
        """A digest that tells this database from a copy of it."""
        ...

    def unmoved(self, connection: sa.Connection) -> bool:
        """Whether the schema is what it was at :meth:`understand`, as far as this server tells beside its revision."""
        ...

    def keeps_empty_artifacts(self, schema: Schema) -> str | None:
        """Why an artifact without versions may not be removed here; None when it may."""
        ...

    def sole(self, name: str) -> AbstractContextManager[None]:
        """Hold the advisory lock *name*; raise Locked naming the holder when another has it."""
        ...

    def close(self) -> None: ...


def by_times(table: sa.Table, since: datetime) -> sa.ColumnElement[bool]:
    """:meth:`Database.changed` for any server: ZenML's naive times are UTC."""
    times = [table.c[c] >= since.replace(tzinfo=None) for c in ("created", "updated") if c in table.c]
    return sa.or_(*times) if times else sa.true()


def read(database: Database, work: Callable[[sa.Connection], T]) -> T:
    """*work* outside of any transaction, done again if the connection was lost."""

    def attempt() -> T:
        with database.reading() as connection:
            return work(connection)

    return database.again(attempt)
