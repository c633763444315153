"""Which versions a foreign key refers to, and by which kinds of reference: asked in the way that the server is quick at.

Kinds travel as bits, since there are millions of them. Mentions in JSON text are none of this module's business.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml import known, packed, sqlite
from marksweep.catalog.zenml.database import Database, Finder, Row, read
from marksweep.catalog.zenml.schema import Schema
from marksweep.model.version import ReferenceKind

BITS = {kind: 1 << index for index, kind in enumerate(ReferenceKind)}
_WIDTH = len(ReferenceKind)
_ALL = (1 << _WIDTH) - 1
_KINDS = [frozenset(kind for kind, bit in BITS.items() if bits & bit) for bits in range(_ALL + 1)]

_PART = 350_000
"""Versions whose references are in memory at a time, on a server without indexes: some 40 MB."""
_FETCHED = 500
"""Versions that are fetched by their ids at a time: databases limit the number of parameters."""


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
) -> Iterator[Sequence[Row]]:
    """*columns* of each version, behind the kinds of its references, in pages; none with a reference of a kind in *without*."""
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
) -> Iterator[Sequence[Row]]:
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
    return database.pages(version, sa.select(bits, *columns).select_from(source).where(*unlinked))


def _collected(
    database: Database,
    schema: Schema,
    columns: Sequence[sa.ColumnElement[Any]],
    source: sa.FromClause,
    without: Collection[ReferenceKind],
) -> Iterator[Sequence[Row]]:
    """SQLite has no index on these keys, and every join would make one: the referenced ids are taken into memory, in parts.

    A part is a range of ids; it costs a scan of the tables of links, and no part is held while another is read. Of the
    versions that are left only the row numbers and kinds are kept, and they are read in the order of the rows.
    """
    version = schema.table("artifact_version")
    (count,) = read(database, functools.partial(_fetch, sa.select(sa.func.count()).select_from(version)))[0]
    left = array("q")
    for low, high in _parts(count):
        left.extend(_left(database, schema, low, high, without))
    ordered = array("q", sorted(left))
    rowid = packed.rowid(version)
    query = sa.select(rowid, *columns).select_from(source).order_by(rowid)
    size = min(_FETCHED, sqlite.LARGEST_PAGE)
    for start in range(0, len(ordered), size):
        bits = {both >> _WIDTH: both & _ALL for both in ordered[start : start + size]}
        rows = read(database, functools.partial(_fetch, query.where(rowid.in_(list(bits)))))
        yield [(bits[row[0]], *row[1:]) for row in rows]


def _left(
    database: Database, schema: Schema, low: str, high: str | None, without: Collection[ReferenceKind]
) -> Iterator[int]:
    """Of the versions from *low* up to *high* those with no reference of a kind in *without*: row number and kinds in one."""
    linked: set[str] = set()
    others: dict[str, int] = {}
    for links in _links(schema):
        bit = BITS[links[0]]
        for ids in _linked(database, links, low, high):
            if links[0] in without:
                linked.update(ids)
            else:
                others.update({id_: others.get(id_, 0) | bit for id_ in ids})
    version = schema.table("artifact_version")
    numbered = sa.select(version.c.id, packed.rowid(version))
    for ids, rowids in packed.by_id(database, version, numbered, low, high):
        left = ((id_, rowid) for id_, rowid in zip(ids, rowids, strict=True) if id_ not in linked)
        yield from [int(rowid) << _WIDTH | others.get(id_, 0) for id_, rowid in left]


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
