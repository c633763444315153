"""Which versions a foreign key refers to, and by which kinds of reference: asked in the way that the server is quick at.

Kinds travel as bits, since there are millions of them. Mentions in JSON text are none of this module's business.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml import known, packed
from marksweep.catalog.zenml.database import Database, Finder, Row, read
from marksweep.catalog.zenml.schema import Schema
from marksweep.model.version import ReferenceKind

BITS = {kind: 1 << index for index, kind in enumerate(ReferenceKind)}
_WIDTH = len(ReferenceKind)
_ALL = (1 << _WIDTH) - 1
_KINDS = [frozenset(kind for kind, bit in BITS.items() if bits & bit) for bits in range(_ALL + 1)]

_PART = 350_000
"""Versions whose outputs are in memory at a time, on a server without indexes: some 40 MB."""
_HELD = 250_000
"""Versions that may be looked for at a time among all other links: as much."""
_FETCHED = 4_000
"""Versions that are fetched by their row numbers at a time."""


def kinds_of(bits: int) -> frozenset[ReferenceKind]:
    """The kinds that *bits* stand for."""
    return _KINDS[bits]


def bits_of(kinds: Collection[ReferenceKind]) -> int:
    """The other way round."""
    return sum(BITS[kind] for kind in kinds)


def versions(
    database: Database,
    schema: Schema,
    columns: Sequence[sa.ColumnElement[Any]],
    source: sa.FromClause,
    without: Collection[ReferenceKind],
) -> Iterator[Sequence[tuple[int, Row]]]:
    """The kinds of each version's references, and *columns* of it, in pages; none with a reference of a kind in *without*.

    Times may come as text.
    """
    if database.finder is Finder.PROBE:
        return _probed(database, schema, columns, source, without)
    return _collected(database, schema, columns, source, without)


_Links = tuple[ReferenceKind, sa.FromClause, sa.ColumnElement[str], sa.FromClause]


def _links(schema: Schema) -> Iterator[_Links]:
    """Each kind of reference by foreign key: the table, the column with the version's id, and what to select it from."""
    for kind, column in schema.references.items():
        yield kind, column.table, column, column.table
    curated = schema.curated
    if curated is not None:
        shown = schema.table(known.VISUALIZATION[0])
        joined = curated.join(shown, shown.c.id == curated.c[known.CURATED[1]])
        yield ReferenceKind.CURATED_VISUALIZATION, curated, shown.c.artifact_version_id, joined


def _probed(
    database: Database,
    schema: Schema,
    columns: Sequence[sa.ColumnElement[Any]],
    source: sa.FromClause,
    without: Collection[ReferenceKind],
) -> Iterator[Sequence[tuple[int, Row]]]:
    """One statement, which asks the indexes that InnoDB keeps on foreign keys."""
    version = schema.table("artifact_version")
    bits: sa.ColumnElement[int] = sa.literal(0)
    unlinked = []
    for kind, _, column, links in _links(schema):
        linked = sa.exists(sa.select(sa.literal(1)).select_from(links).where(column == version.c.id).correlate(version))
        if kind in without:
            unlinked.append(~linked)
        else:
            bits = bits + sa.case((linked, BITS[kind]), else_=0)
    for page in database.pages(version, sa.select(bits, *columns).select_from(source).where(*unlinked)):
        yield [(row[0], row[1:]) for row in page]


def _collected(
    database: Database,
    schema: Schema,
    columns: Sequence[sa.ColumnElement[Any]],
    source: sa.FromClause,
    without: Collection[ReferenceKind],
) -> Iterator[Sequence[tuple[int, Row]]]:
    """SQLite has no index on these keys, and every join would make one: the referenced ids are taken into memory, in parts.

    A part is a range of ids, and costs a scan of the tables of links. Of the versions that are left only the row numbers and
    kinds are kept, and they are read in the order of the rows.
    """
    version = schema.table("artifact_version")
    (count,) = read(database, functools.partial(_fetch, sa.select(sa.func.count()).select_from(version)))[0]
    ordered = array("q", sorted(array("q", _left(database, schema, without, _parts(count)))))
    rowid = packed.rowid(version)
    numbers = sa.func.json_each(sa.bindparam("numbers", type_=sa.String)).table_valued("value")
    query = sa.select(rowid, *columns).select_from(source).where(rowid.in_(sa.select(numbers.c.value))).order_by(rowid)
    for start in range(0, len(ordered), _FETCHED):
        bits = {both >> _WIDTH: both & _ALL for both in ordered[start : start + _FETCHED]}
        rows = read(database, functools.partial(_raw, query, str(list(bits))))
        yield [(bits[row[0]], row[1:]) for row in rows]


def _left(
    database: Database, schema: Schema, without: Collection[ReferenceKind], parts: Iterable[tuple[str, str | None]]
) -> Iterator[int]:
    """The versions with no reference of a kind in *without*: row number and kinds in one.

    The outputs of steps are looked at first, part by part: they leave the fewest versions to look for among the other links,
    which are many.
    """
    links = sorted(_links(schema), key=lambda one: one[0] is not ReferenceKind.STEP_OUTPUT)
    outputs = [one for one in links[:1] if one[0] in without]
    left: dict[str, int] = {}
    since = ""
    for low, high in parts:
        left.update(_unlinked(database, schema, outputs, low, high))
        if len(left) < _HELD and high is not None:
            continue
        for one in links[len(outputs) :]:
            bit = BITS[one[0]]
            for ids in _linked(database, one, since, high):
                found = left.keys() & ids
                if one[0] not in without:
                    left.update([(id_, left[id_] | bit) for id_ in found])
                    continue
                for id_ in found:
                    del left[id_]
        yield from left.values()
        left.clear()
        since = high or ""


def _unlinked(
    database: Database, schema: Schema, outputs: Sequence[_Links], low: str, high: str | None
) -> Iterator[tuple[str, int]]:
    """Of the versions from *low* up to *high* those that are not in *outputs*: id, and row number above no kinds."""
    linked: set[str] = set()
    for one in outputs:
        for ids in _linked(database, one, low, high):
            linked.update(ids)
    version = schema.table("artifact_version")
    numbered = sa.select(version.c.id, packed.rowid(version))
    for ids, rowids in packed.by_id(database, version, numbered, low, high):
        yield from [(i, int(n) << _WIDTH) for i, n in zip(ids, rowids, strict=True) if i not in linked]


def _parts(count: int) -> Iterator[tuple[str, str | None]]:
    """Ranges of ids, from and up to, for *count* versions: ZenML's ids are random, in hexadecimal digits."""
    parts = -(-count // _PART) or 1
    bounds = ["", *(f"{(part << 16) // parts:04x}" for part in range(1, parts))]
    yield from zip(bounds, [*bounds[1:], None], strict=True)


def _within(column: sa.ColumnElement[str], low: str, high: str | None) -> list[sa.ColumnElement[bool]]:
    return [column >= low] + ([column < high] if high is not None else [])


def _linked(database: Database, links: _Links, low: str, high: str | None) -> Iterator[list[str]]:
    """Who is referred to by *links*, of the ids from *low* up to *high*, in pages."""
    _, table, column, source = links
    ids = sa.select(column).select_from(source).where(*_within(column, low, high))
    for (found,) in packed.pages(database, table, ids):
        yield found


def _fetch(query: sa.Select[Any], connection: sa.Connection) -> Sequence[Row]:
    return connection.execute(query).fetchall()


def _raw(query: sa.Select[Any], numbers: str, connection: sa.Connection) -> Sequence[Row]:
    """The rows as the driver has them, with times as text: what SQLAlchemy makes of a row costs as much as the row."""
    result = connection.execute(query, {"numbers": numbers})
    rows: Sequence[Row] = result.cursor.fetchall()
    result.close()
    return rows
