"""Many rows in one: what a row costs the driver, in Python, is more than what it costs the database."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml.database import Database, Finder, read

_BETWEEN = "\x1f"
"""Stands between two values. Where a value holds it, the rows are fetched as they are."""
_FIRST, _SMALLEST, _LARGEST = 20_000, 1_000, 400_000
"""Row numbers that a page covers; later pages follow the clock."""
_SECONDS = 0.2
"""What a page should take; far below the half second that a writer may be kept waiting."""
_BY_ID = 4_000
"""Rows of a page by id. A server may cut a long text off: then, too, the rows are fetched as they are."""


def columns(query: sa.Select[Any], connection: sa.Connection) -> list[list[str]]:
    """The columns of *query* (without order or limit), each a list of texts; the same place in each is the same row."""
    length = sa.func.length if connection.dialect.name == "sqlite" else sa.func.char_length
    wanted = list(query.selected_columns)
    facts: list[sa.ColumnElement[Any]] = [sa.func.count()]
    for column in wanted:
        text = sa.cast(column, sa.String) if isinstance(column.type, sa.Integer) else column
        facts += [sa.func.sum(length(text)), sa.func.aggregate_strings(text, _BETWEEN)]
    count, *row = connection.execute(query.with_only_columns(*facts, maintain_column_froms=True)).one()
    if not count:
        return [[] for _ in wanted]
    found = [str(text).split(_BETWEEN) for text in row[1::2]]
    if all(
        len(values) == count and sum(map(len, values)) == size for values, size in zip(found, row[::2], strict=True)
    ):
        return found
    rows = connection.execute(query).fetchall()
    return [[str(row[at]) for row in rows] for at in range(len(wanted))]


def pages(database: Database, table: sa.FromClause, query: sa.Select[Any]) -> Iterator[list[list[str]]]:
    """The columns of *query*, which reads *table*, in pages that hold no writer up; some may be empty."""
    return _by_number(database, table, query) if database.finder is Finder.TABLE else by_id(database, table, query)


def by_id(
    database: Database, table: sa.FromClause, query: sa.Select[Any], low: str = "", high: str | None = None
) -> Iterator[list[list[str]]]:
    """The same in the order of ids, which have an index: from *low* up to *high*."""
    id_ = table.c.id
    ids = sa.select(id_).order_by(id_).offset(_BY_ID).limit(1)
    within = [id_ < high] if high is not None else []
    first: str | None = low
    while first is not None:
        after = read(database, functools.partial(_scalar, ids.where(id_ >= first, *within)))
        ends = [id_ < after] if after is not None else within
        yield read(database, functools.partial(columns, query.where(id_ >= first, *ends)))
        first = after


def _by_number(database: Database, table: sa.FromClause, query: sa.Select[Any]) -> Iterator[list[list[str]]]:
    """SQLite has a number for each row."""
    number = rowid(table)
    newest = sa.select(sa.func.coalesce(sa.func.max(number), -1)).select_from(table)
    after, size = -1, _FIRST
    while after < read(database, lambda connection: int(connection.execute(newest).scalar_one())):
        began = time.monotonic()
        yield read(database, functools.partial(columns, query.where(number > after, number <= after + size)))
        after += size
        factor = min(2.0, _SECONDS / max(time.monotonic() - began, 1e-4))
        size = int(min(_LARGEST, max(_SMALLEST, size * factor)))


def _scalar(query: sa.Select[Any], connection: sa.Connection) -> Any:
    return connection.execute(query).scalar()


def rowid(table: sa.FromClause) -> sa.ColumnElement[int]:
    """SQLite's own number of a row."""
    return sa.literal_column(f"{table.name}.rowid", sa.Integer)  # type: ignore[attr-defined]
