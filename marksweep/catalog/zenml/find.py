"""Which versions a person means: by id, by name, by place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.port import Around
from marksweep.catalog.zenml import known, survey
from marksweep.catalog.zenml.schema import Schema
from marksweep.model.uri import SCHEMES, claims
from marksweep.model.verdict import TOMBSTONE
from marksweep.model.version import Version

_PAGE = 500
"""Values in one statement: databases limit the number of parameters."""
_PLACES = 50
"""URIs in one statement, which a server takes only up to some size: a URI may be long."""
_LEVELS = 200
"""Folders above a URI that may be a version's place; no store nests deeper than that."""


def find(connection: sa.Connection, schema: Schema, needle: str) -> list[Version]:
    """The versions whose id, artifact's name, ``artifact@version`` or URI *needle* is; the newest first."""
    version, artifact = schema.table("artifact_version"), schema.table("artifact")
    spellings = {needle, needle.rstrip("/"), needle.rstrip("/") + "/", TOMBSTONE + needle}
    name, _, label = needle.rpartition("@")
    meant = known.row_id(needle)
    conditions = [version.c.id == meant, version.c.uri.in_(spellings), artifact.c.name == needle]
    if name:
        conditions.append(sa.and_(artifact.c.name == name, version.c.version == label))
    # A database may compare without case: only what was asked for is an answer.
    return [
        v
        for v in _versions(connection, schema, sa.or_(*conditions))
        if needle == v.artifact
        or meant == known.row_id(v.id)
        or v.uri in spellings
        or (name, label) == (v.artifact, v.version)
    ]


def described(connection: sa.Connection, schema: Schema, ids: Sequence[str]) -> dict[str, Version]:
    """Those of *ids*, as the catalog shows them, that exist."""
    version = schema.table("artifact_version")
    found: dict[str, Version] = {}
    for start in range(0, len(ids), _PAGE):
        row_ids = {known.row_id(i): i for i in ids[start : start + _PAGE]}
        for one in _versions(connection, schema, version.c.id.in_(list(row_ids))):
            found[row_ids[known.row_id(one.id)]] = one
    return found


def around(connection: sa.Connection, schema: Schema, uri: str, most: int) -> Around:
    """The versions in whose place *uri* lies, nearest first, and those whose place lies in it, in order of their URIs.

    Places are compared byte by byte, whatever the collation of the database.
    """
    version = schema.table("artifact_version")
    above = [spelled for place in _above(uri) for spelled in (place, TOMBSTONE + place)]
    owners: list[Version] = []
    for start in range(0, len(above), _PLACES):
        wanted = above[start : start + _PLACES]
        owners += (v for v in _versions(connection, schema, version.c.uri.in_(wanted)) if v.uri in wanted)
    owners.sort(key=lambda v: len(v.uri), reverse=True)
    roots = [root for root in sorted(_spellings(uri)) if not root.rstrip("/").endswith(":")]
    if not roots:
        return Around(owners, 0, [])
    below = sa.or_(*(_begins(version.c.uri, root) for root in roots))
    total = connection.execute(sa.select(sa.func.count()).select_from(version).where(below)).scalar_one()
    first = sa.select(version.c.id).where(below).order_by(version.c.uri, version.c.id).limit(most)
    ids = list(connection.execute(first).scalars())
    held = described(connection, schema, ids) if ids else {}
    return Around(owners, int(total), [held[i] for i in ids if i in held])


def _begins(column: sa.ColumnElement[str], beginning: str) -> sa.ColumnElement[bool]:
    encoded = beginning.encode("utf-8", "surrogateescape").hex().upper()
    return sa.func.hex(sa.func.substr(column, 1, len(beginning))) == encoded


def _above(uri: str) -> Iterator[str]:
    """The nearest places above *uri*, in every spelling that a catalog may have, with and without a slash at the end."""
    for root in _spellings(uri):
        place = root.rstrip("/")
        for _ in range(_LEVELS):
            place = place.rpartition("/")[0]
            if not place or place.endswith((":", ":/")):
                break
            yield place
            yield place + "/"


def _spellings(uri: str) -> set[str]:
    """Ways to write the place of *uri*, each ending in a slash: a scheme has several names, a local path may have none."""
    found: set[str] = set()
    for key in claims(uri):
        scheme, _, rest = key.partition("://")
        found.update(f"{name}://{rest}" for name, meant in SCHEMES.items() if meant == scheme)
        if scheme == "file":
            found.add(rest)
    return found


def _versions(connection: sa.Connection, schema: Schema, condition: sa.ColumnElement[bool]) -> list[Version]:
    version = schema.table("artifact_version")
    columns, source = survey.version_columns(schema)
    query = sa.select(*columns).select_from(source).where(condition)
    rows: Sequence[Sequence[Any]] = connection.execute(
        query.order_by(version.c.created.desc(), version.c.id)
    ).fetchall()
    named: Mapping[str, set[str]] = survey.tags_of(connection, schema, [r[0] for r in rows], [r[1] for r in rows])
    tags = [frozenset(named.get(row[0], set()) | named.get(row[1], set())) for row in rows]
    return [survey.version_of(row, has) for row, has in zip(rows, tags, strict=True)]
