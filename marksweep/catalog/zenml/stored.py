"""Rows as the database holds them: no value passes through a type of SQLAlchemy, neither read nor written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa


def stored(table: sa.Table) -> sa.Select[Any]:
    """All columns of *table*, each value as the driver gives it."""
    columns: list[Any] = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in table.c]
    return sa.select(*columns)


def untyped(name: str, columns: Iterable[str]) -> sa.TableClause:
    """The table *name* with *columns* that take what the driver takes."""
    return sa.table(name, *(sa.column(column) for column in columns))
