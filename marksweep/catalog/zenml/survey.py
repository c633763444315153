"""Every version once, with its references, read so that ZenML's writers wait for half a second at most.

Rows that appear meanwhile may be missed or seen without their newest reference: the sweep rechecks, so no harm comes of it.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from marksweep.catalog.port import Places, Sift
from marksweep.catalog.zenml import known, packed
from marksweep.catalog.zenml.database import Database, read
from marksweep.catalog.zenml.referenced import BITS, bits_of, kinds_of, versions
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.soft import Mentions
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.version import Claim, ReferenceKind, Surveyed, Version


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


def version_of(row: Sequence[Any], tags: frozenset[str] = frozenset()) -> Version:
    """A version from the columns of :func:`version_columns`."""
    id_, artifact_id, artifact, label, number, project, uri, store_id, created, updated, registered = row
    return Version(
        id=known.dashed(id_),
        artifact_id=_dashed(artifact_id),
        artifact=str(artifact) if artifact is not None else "(no artifact row)",
        version=str(label),
        number=number if isinstance(number, int) else None,
        project=str(project) if project is not None else "",
        uri=str(uri),
        store_id=_dashed(store_id) if store_id is not None else None,
        created=utc(created),
        updated=utc(updated),
        registered=bool(registered),
        tags=tags,
    )


_dashed = functools.lru_cache(maxsize=16_384)(known.dashed)
"""Of the ids that many versions share."""


def utc(moment: object) -> datetime:
    """ZenML's naive times are UTC. A time may come as SQLite holds it, which is text."""
    if isinstance(moment, str):
        try:
            return datetime.fromisoformat(f"{moment}+00:00")
        except ValueError:
            with suppress(ValueError):
                moment = datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        raise CatalogNotUnderstood(
            f"a row of the catalog has {moment!r} where ZenML writes a time",
            "find it (artifact_version, created or updated) and repair or delete it in ZenML, then try again",
        )
    return moment.replace(tzinfo=UTC)


def survey(
    database: Database,
    schema: Schema,
    mentions: Mentions,
    now: datetime,
    *,
    tags: bool,
    without: frozenset[ReferenceKind] = frozenset(),
) -> Iterator[Sequence[Surveyed]]:
    """Every version that has no reference of a kind in *without*, in pages, with what refers to it."""
    columns, source = version_columns(schema)
    soft = read(database, lambda connection: _soft(connection, mentions, now))
    unwanted = bits_of(without)
    for page in versions(database, schema, columns, source, without):
        found = [(bits | soft.get(row[0], 0), row) for bits, row in page]
        rows = [(bits, row) for bits, row in found if not bits & unwanted]
        if not tags:
            yield [Surveyed(version_of(row), kinds_of(bits)) for bits, row in rows]
            continue
        named = read(database, functools.partial(_tags, schema, [row for _, row in rows]))
        has = [frozenset(named.get(row[0], set()) | named.get(row[1], set())) for _, row in rows]
        yield [Surveyed(version_of(row, tags), kinds_of(bits)) for (bits, row), tags in zip(rows, has, strict=True)]


def places(database: Database, schema: Schema, sift: Sift) -> Iterator[Places]:
    """The URI of every version, in pages; only what *sift* picks is worth a second look."""
    version = schema.table("artifact_version")
    for ids, uris in packed.pages(database, version, sa.select(version.c.id, version.c.uri)):
        yield Places(len(ids), [(known.dashed(ids[at]), uris[at]) for at in sift(uris)])


def _soft(connection: sa.Connection, mentions: Mentions, now: datetime) -> dict[str, int]:
    """Row id -> kinds as bits, of the references that no foreign key shows."""
    mentions.refresh(connection, now)
    soft: dict[str, int] = {}
    for row_id, kind, *_ in mentions.live(connection):
        soft[row_id] = soft.get(row_id, 0) | BITS[kind]
    return soft


def _tags(schema: Schema, rows: Sequence[Sequence[Any]], connection: sa.Connection) -> dict[str, set[str]]:
    return tags_of(connection, schema, [str(row[0]) for row in rows], [str(row[1]) for row in rows])


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


def claims(database: Database, schema: Schema, sift: Sift | None = None) -> Iterator[Sequence[Claim]]:
    """URIs of visualizations (with their version), of logs, and of models that a service serves; or those that *sift* picks."""
    picked = sift if sift is not None else _everything
    visualization = schema.table(known.VISUALIZATION[0])
    query = sa.select(visualization.c.uri, visualization.c.artifact_version_id)
    for uris, owners in packed.pages(database, visualization, query):
        owned = [(uris[at], known.dashed(owners[at])) for at in picked(uris)]
        yield [Claim(uri, f"a visualization of version {owner}", owner) for uri, owner in owned]
    logs = schema.get("logs")
    if logs is not None and "uri" in logs.c:
        for (uris,) in packed.pages(database, logs, sa.select(logs.c.uri).where(logs.c.uri.is_not(None))):
            yield [Claim(uris[at], "a log file") for at in picked(uris)]
    served = read(database, lambda connection: service_claims(connection, schema))
    yield [served[at] for at in picked([claim.uri for claim in served])]


def _everything(uris: Sequence[str]) -> Sequence[int]:
    return range(len(uris))


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
