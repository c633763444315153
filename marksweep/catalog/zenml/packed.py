"""Many rows in one, from SQLite: what a row costs the driver, in Python, is more than what it costs the database."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml.database import Database, read

_BETWEEN = "\x1f"
"""Stands between two values. Where a value holds it, the rows are fetched as they are."""
_FIRST, _SMALLEST, _LARGEST = 20_000, 1_000, 400_000
"""Row numbers that a page covers; later pages follow the clock."""
_SECONDS = 0.2
"""What a page should take; far below the half second that a writer may be kept waiting."""


def columns(query: sa.Select[Any], connection: sa.Connection) -> list[list[str]]:
    """The columns of *query*, each a list of texts."""
    inner = query.subquery().c
    counts = (sa.func.count(column) for column in inner)
    texts = (sa.func.group_concat(column, _BETWEEN) for column in inner)
    count, *row = connection.execute(sa.select(sa.func.count(), *counts, *texts)).one()
    found = [str(text).split(_BETWEEN) if count else [] for text in row[len(inner) :]]
    if all(given == count == len(values) for given, values in zip(row, found, strict=False)):
        return found
    rows = connection.execute(query).fetchall()
    return [[str(row[at]) for row in rows] for at in range(len(inner))]


def pages(database: Database, table: sa.FromClause, query: sa.Select[Any]) -> Iterator[list[list[str]]]:
    """The columns of *query*, which reads *table*, in pages by row number that hold no writer up; some may be empty."""
    number = rowid(table)
    newest = sa.select(sa.func.coalesce(sa.func.max(number), -1)).select_from(table)
    after, size = -1, _FIRST
    while after < read(database, lambda connection: int(connection.execute(newest).scalar_one())):
        began = time.monotonic()
        yield read(database, functools.partial(columns, query.where(number > after, number <= after + size)))
        after += size
        factor = min(2.0, _SECONDS / max(time.monotonic() - began, 1e-4))
        size = int(min(_LARGEST, max(_SMALLEST, size * factor)))


def rowid(table: sa.FromClause) -> sa.ColumnElement[int]:
    """SQLite's own number of a row."""
    return sa.literal_column(f"{table.name}.rowid", sa.Integer)  # type: ignore[attr-defined]
