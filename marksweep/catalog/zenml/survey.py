"""Every version once, with its references, read in short pages into temporary tables.

A page is one statement, so ZenML's writers wait for half a second at most; the page size follows the time that pages take.
Rows that appear meanwhile may be missed or seen without their newest reference: the sweep rechecks, so no harm comes of it.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.soft import Mentions
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.version import Claim, ReferenceKind, Surveyed, Version

PAGE_SECONDS = 0.2
"""What a page should take; far below the half second that a writer may be kept waiting."""
_SMALLEST, _LARGEST = 200, 4_000

_BITS = {kind: 1 << index for index, kind in enumerate(ReferenceKind)}
_KINDS = [frozenset(kind for kind, bit in _BITS.items() if bits & bit) for bits in range(1 << len(ReferenceKind))]

_metadata = sa.MetaData()
REFERENCED = sa.Table(
    "marksweep_referenced",
    _metadata,
    sa.Column("id", sa.CHAR(32), primary_key=True),
    sa.Column("kinds", sa.Integer, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
"""Temporary: row ids of versions that something refers to, with the kinds as bits."""


class Pages:
    """Keyset pages over a table's rowid, sized by the clock."""

    def __init__(self) -> None:
        self.size = 2_000

    def over(
        self, connection: sa.Connection, table: sa.Table, query: sa.Select[Any]
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Rows of *query*, whose first column must be the rowid of *table*, page by page."""
        rowid: sa.ColumnElement[int] = sa.literal_column(f"{table.name}.rowid", sa.Integer)
        after = -1
        while True:
            began = time.monotonic()
            rows = connection.execute(query.where(rowid > after).order_by(rowid).limit(self.size)).fetchall()
            self.adapt(time.monotonic() - began)
            if not rows:
                return
            after = int(rows[-1][0])
            yield rows

    def adapt(self, seconds: float) -> None:
        factor = min(2.0, max(0.25, PAGE_SECONDS / max(seconds, 1e-4)))
        self.size = int(min(_LARGEST, max(_SMALLEST, self.size * factor)))


def collect_references(connection: sa.Connection, schema: Schema, mentions: Mentions, now: datetime) -> None:
    """Fill the temporary table of referenced ids from every kind of reference."""
    _metadata.drop_all(connection)
    _metadata.create_all(connection)
    for kind, column in schema.references.items():
        _copy(connection, column.table, sa.select(column.label("id")).select_from(column.table), kind)
    curated = schema.curated
    if curated is not None:
        visualization = schema.table(known.VISUALIZATION[0])
        _copy(
            connection,
            curated,
            sa.select(visualization.c.artifact_version_id.label("id"))
            .select_from(curated)
            .join(visualization, visualization.c.id == curated.c[known.CURATED[1]]),
            ReferenceKind.CURATED_VISUALIZATION,
        )
    mentions.refresh(connection, now)
    for version_id, kind, _ in mentions.live(connection):
        row = sa.select(sa.literal(version_id), sa.literal(_BITS[kind]))
        connection.execute(_upsert(row))


def _copy(connection: sa.Connection, source: sa.FromClause, query: sa.Select[Any], kind: ReferenceKind) -> None:
    name = source.name  # type: ignore[attr-defined]
    rowid: sa.ColumnElement[int] = sa.literal_column(f"{name}.rowid", sa.Integer)
    top = connection.execute(sa.select(sa.func.max(rowid)).select_from(source)).scalar() or 0
    after, size = -1, 20_000
    while after < top:
        began = time.monotonic()
        page = query.add_columns(sa.literal(_BITS[kind])).where(rowid > after, rowid <= after + size)
        connection.execute(_upsert(page))
        after += size
        size = int(min(200_000, max(1_000, size * min(2.0, PAGE_SECONDS / max(time.monotonic() - began, 1e-4)))))


def _upsert(rows: Any) -> sa.TextClause | sa.Insert:
    statement = sqlite.insert(REFERENCED).from_select(["id", "kinds"], rows.where(sa.true()))
    return statement.on_conflict_do_update(
        index_elements=["id"], set_={"kinds": REFERENCED.c.kinds.op("|")(statement.excluded.kinds)}
    )


def version_columns(schema: Schema) -> tuple[list[sa.ColumnElement[Any]], sa.FromClause]:
    """The columns of a version's facts and what to select them from, whatever the release."""
    version, artifact = schema.table("artifact_version"), schema.table("artifact")
    source: sa.FromClause = version.outerjoin(artifact, artifact.c.id == version.c.artifact_id)
    project: sa.ColumnElement[Any] = sa.literal("")
    scope = schema.project_column
    if scope is not None:
        column, names = scope
        source = source.outerjoin(names, names.c.id == column)
        project = names.c.name
    save_type: sa.ColumnElement[Any] = version.c["save_type"] if "save_type" in version.c else sa.literal(None)
    number: sa.ColumnElement[Any] = version.c["version_number"] if "version_number" in version.c else sa.literal(None)
    registered = sa.or_(
        sa.func.coalesce(save_type == known.REGISTERED_SAVE_TYPE, sa.false()),
        version.c.materializer.contains(known.REGISTERED_MATERIALIZER, autoescape=True),
    )
    columns: list[sa.ColumnElement[Any]] = [
        version.c.id, version.c.artifact_id, artifact.c.name, version.c.version, number, project,
        version.c.uri, version.c.artifact_store_id, version.c.created, version.c.updated, registered,
    ]  # fmt: skip
    return columns, source


def version_of(row: Sequence[object], tags: frozenset[str] = frozenset()) -> Version:
    """A version from the columns of :func:`version_columns`."""
    id_, artifact_id, artifact, label, number, project, uri, store_id, created, updated, registered = row
    return Version(
        id=known.dashed(str(id_)),
        artifact_id=known.dashed(str(artifact_id)),
        artifact=str(artifact) if artifact is not None else "(no artifact row)",
        version=str(label),
        number=number if isinstance(number, int) else None,
        project=str(project) if project is not None else "",
        uri=str(uri),
        store_id=known.dashed(str(store_id)) if store_id is not None else None,
        created=utc(created),
        updated=utc(updated),
        registered=bool(registered),
        tags=tags,
    )


def utc(moment: object) -> datetime:
    """ZenML's naive times are UTC."""
    if not isinstance(moment, datetime):
        raise CatalogNotUnderstood(
            f"a row of the catalog has {moment!r} where ZenML writes a time",
            "find it (artifact_version, created or updated) and repair or delete it in ZenML, then try again",
        )
    return moment.replace(tzinfo=UTC)


def survey(connection: sa.Connection, schema: Schema, *, tags: bool) -> Iterator[Sequence[Surveyed]]:
    """Every version, in pages; :func:`collect_references` first."""
    columns, source = version_columns(schema)
    version = schema.table("artifact_version")
    rowid: sa.ColumnElement[Any] = sa.literal_column("artifact_version.rowid")
    query = sa.select(rowid, REFERENCED.c.kinds, *columns).select_from(
        source.outerjoin(REFERENCED, REFERENCED.c.id == version.c.id)
    )
    for rows in Pages().over(connection, version, query):
        named = (
            tags_of(connection, schema, [str(row[2]) for row in rows], [str(row[3]) for row in rows]) if tags else {}
        )
        yield [
            Surveyed(
                version_of(
                    row[2:], frozenset(named.get(str(row[2]), ()) or ()) | frozenset(named.get(str(row[3]), ()))
                ),
                _KINDS[row[1] or 0],
            )
            for row in rows
        ]


def tags_of(
    connection: sa.Connection, schema: Schema, versions: list[str], artifacts: list[str]
) -> dict[str, set[str]]:
    """Tag names by row id, of the versions and of the artifacts they belong to."""
    tag, resource = schema.table("tag"), schema.table("tag_resource")
    found: dict[str, set[str]] = {}
    for kind, ids in ((known.RESOURCE_VERSION, versions), (known.RESOURCE_ARTIFACT, sorted(set(artifacts)))):
        for start in range(0, len(ids), 500):
            query = (
                sa.select(resource.c.resource_id, tag.c.name)
                .join(tag, tag.c.id == resource.c.tag_id)
                .where(resource.c.resource_type == kind, resource.c.resource_id.in_(ids[start : start + 500]))
            )
            for resource_id, name in connection.execute(query).fetchall():
                found.setdefault(str(resource_id), set()).add(str(name))
    return found


def claims(connection: sa.Connection, schema: Schema) -> Iterator[Sequence[Claim]]:
    """URIs of visualizations (with their version), of logs, and of models that a service serves."""
    visualization = schema.table(known.VISUALIZATION[0])
    rowid: sa.ColumnElement[Any] = sa.literal_column("artifact_visualization.rowid")
    query = sa.select(rowid, visualization.c.uri, visualization.c.artifact_version_id)
    for rows in Pages().over(connection, visualization, query):
        yield [
            Claim(str(uri), f"a visualization of version {known.dashed(str(owner))}", known.dashed(str(owner)))
            for _, uri, owner in rows
        ]
    logs = schema.get("logs")
    if logs is not None and "uri" in logs.c:
        query = sa.select(sa.literal_column("logs.rowid"), logs.c.uri).where(logs.c.uri.is_not(None))
        for rows in Pages().over(connection, logs, query):
            yield [Claim(str(row[1]), "a log file") for row in rows]
    yield service_claims(connection, schema)


def service_claims(connection: sa.Connection, schema: Schema) -> list[Claim]:
    """The models that services serve; raise CatalogNotUnderstood when a service's configuration cannot be read."""
    service = schema.get("service")
    if service is None or "config" not in service.c:
        return []
    configured = connection.execute(sa.select(service.c.name, service.c.config)).fetchall()
    return [Claim(uri, f"service {name}") for name, blob in configured for uri in _model_uris(blob, str(name))]


def _model_uris(blob: object, name: str) -> list[str]:
    """Where the models lie that a service was deployed with: ``model_uri`` in its configuration, base64 of JSON."""
    if not blob:
        return []
    try:
        text = blob if isinstance(blob, bytes) else str(blob).encode()
        configuration = msgspec.json.decode(text if text[:1] == b"{" else base64.b64decode(text, validate=True))
    except (binascii.Error, msgspec.MsgspecError, RecursionError):
        raise CatalogNotUnderstood(
            f"the configuration of service {name!r} is not base64 of JSON: it may serve a model from anywhere",
            "look at it with `zenml model deployment describe`; delete the service if it is damaged",
        ) from None
    uri = configuration.get("model_uri") if isinstance(configuration, dict) else None
    return [uri] if isinstance(uri, str) and uri else []
