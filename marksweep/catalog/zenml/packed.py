"""Many rows in one: what a row costs the driver, in Python, is more than what it costs the database."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml.database import Database, Finder, read

_BETWEEN = "\x1f"
"""Stands between two values. Where a value holds it, the rows are fetched as they are."""
_FIRST, _SMALLEST, _LARGEST = 10_000, 1_000, 20_000
"""Row numbers that a page covers; later pages follow the clock, and no page is big in memory."""
_SECONDS = 0.2
"""What a page should take; far below the half second that a writer may be kept waiting."""
_BY_ID = 4_000
"""Rows of a page by id. A server may cut a long text off: then, too, the rows are fetched as they are."""


class _Packed:
    """One query (without order or limit), made into a statement once and asked page by page with other parameters."""

    def __init__(self, database: Database, query: sa.Select[Any]) -> None:
        self._whole = database.dialect == "sqlite"  # no text is cut off: where no value is null, their number tells
        self._query = query
        facts: list[sa.ColumnElement[Any]] = [sa.func.count()]
        for column in query.selected_columns:
            text = sa.cast(column, sa.String) if isinstance(column.type, sa.Integer) else column
            size = sa.func.count(text) if self._whole else sa.func.sum(sa.func.char_length(text))
            facts += [size, sa.func.aggregate_strings(text, _BETWEEN)]
        self._facts = query.with_only_columns(*facts, maintain_column_froms=True)

    def columns(self, parameters: Mapping[str, object], connection: sa.Connection) -> list[list[str]]:
        """The columns, each a list of texts; the same place in each is the same row."""
        count, *row = connection.execute(self._facts, parameters).one()
        texts = [str(text) for text in row[1::2]]
        if not count:
            return [[] for _ in texts]
        found = [text.split(_BETWEEN) for text in texts]
        sizes = [count if self._whole else len(text) - (count - 1) for text in texts]
        if all(len(values) == count for values in found) and sizes == list(row[::2]):
            return found
        rows = connection.execute(self._query, parameters).fetchall()
        return [[str(row[at]) for row in rows] for at in range(len(texts))]


def pages(database: Database, table: sa.FromClause, query: sa.Select[Any]) -> Iterator[list[list[str]]]:
    """The columns of *query*, which reads *table*, in pages that hold no writer up; some may be empty."""
    return _by_number(database, table, query) if database.finder is Finder.TABLE else by_id(database, table, query)


def by_id(
    database: Database, table: sa.FromClause, query: sa.Select[Any], low: str = "", high: str | None = None
) -> Iterator[list[list[str]]]:
    """The same in the order of ids, which have an index: from *low* up to *high*."""
    id_ = table.c.id
    from_, up_to = id_ >= sa.bindparam("first"), id_ < sa.bindparam("end")
    within = [from_] if high is None else [from_, up_to]
    next_ = sa.select(id_).where(*within).order_by(id_).offset(_BY_ID).limit(1)
    page, last = _Packed(database, query.where(from_, up_to)), _Packed(database, query.where(*within))
    first: str | None = low
    while first is not None:
        after = read(database, functools.partial(_scalar, next_, {"first": first, "end": high}))
        ends = {"first": first, "end": after if after is not None else high}
        yield read(database, functools.partial((page if after is not None else last).columns, ends))
        first = after


def _by_number(database: Database, table: sa.FromClause, query: sa.Select[Any]) -> Iterator[list[list[str]]]:
    """SQLite has a number for each row."""
    number = rowid(table)
    newest = sa.select(sa.func.coalesce(sa.func.max(number), -1)).select_from(table)
    page = _Packed(database, query.where(number > sa.bindparam("after"), number <= sa.bindparam("until")))
    after, size = -1, _FIRST
    while after < read(database, lambda connection: int(connection.execute(newest).scalar_one())):
        began = time.monotonic()
        yield read(database, functools.partial(page.columns, {"after": after, "until": after + size}))
        after += size
        factor = min(2.0, _SECONDS / max(time.monotonic() - began, 1e-4))
        size = int(min(_LARGEST, max(_SMALLEST, size * factor)))


def _scalar(query: sa.Select[Any], parameters: Mapping[str, object], connection: sa.Connection) -> Any:
    return connection.execute(query, parameters).scalar()


def rowid(table: sa.FromClause) -> sa.ColumnElement[int]:
    """SQLite's own number of a row."""
    return sa.literal_column(f"{table.name}.rowid", sa.Integer)  # type: ignore[attr-defined]
