"""Per version the rows that keep it alive, in words: the same references that survey and claim count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.soft import Mentions
from marksweep.model.version import Reference, ReferenceKind


def references(
    connection: sa.Connection, schema: Schema, mentions: Mentions, ids: Sequence[str]
) -> Iterator[tuple[str, Reference]]:
    """(row id, reference) for each reference of the versions with the row *ids*."""
    for kind, column in schema.references.items():
        for row_id, *holder in connection.execute(_holders(schema, kind, column, ids)).fetchall():
            yield row_id, Reference(kind, _words(kind, holder))
    curated = schema.curated
    if curated is not None:
        visualization = schema.table(known.VISUALIZATION[0])
        query = (
            sa.select(visualization.c.artifact_version_id, curated.c.resource_type, curated.c.resource_id)
            .join(curated, curated.c[known.CURATED[1]] == visualization.c.id)
            .where(visualization.c.artifact_version_id.in_(ids))
        )
        for row_id, resource_type, resource_id in connection.execute(query).fetchall():
            pinned = f"a visualization of it is pinned to {resource_type} {known.dashed(str(resource_id))}"
            yield row_id, Reference(ReferenceKind.CURATED_VISUALIZATION, pinned)
    for row_id, kind, words in mentions.live(connection, ids):
        yield row_id, Reference(kind, words)


def _holders(schema: Schema, kind: ReferenceKind, column: sa.Column[str], ids: Sequence[str]) -> sa.Select[Any]:
    link = column.table
    source: sa.FromClause = link
    names: list[sa.ColumnElement[Any]] = [sa.literal(None), sa.literal(None), sa.literal("")]
    match kind:
        case ReferenceKind.STEP_INPUT | ReferenceKind.STEP_OUTPUT:
            step, run = schema.table("step_run"), schema.table("pipeline_run")
            source = link.outerjoin(step, step.c.id == link.c.step_id).outerjoin(
                run, run.c.id == step.c.pipeline_run_id
            )
            names = [run.c.name, step.c.name, link.c.step_id]
        case ReferenceKind.MODEL_VERSION if "model_version_id" in link.c and schema.get("model_version") is not None:
            version, model = schema.table("model_version"), schema.table("model")
            source = link.outerjoin(version, version.c.id == link.c.model_version_id)
            source = source.outerjoin(model, model.c.id == version.c.model_id)
            names = [model.c.name, version.c.name, link.c.model_version_id]
        case ReferenceKind.RUN_OUTPUT:
            run = schema.table("pipeline_run")
            source = link.outerjoin(run, run.c.id == link.c.pipeline_run_id)
            names = [run.c.name, link.c.name, link.c.pipeline_run_id]
        case ReferenceKind.HOOK_OUTPUT:
            names = [sa.literal(None), link.c.name, link.c.hook_invocation_id]
        case _:
            pass
    return sa.select(column, *names).select_from(source).where(column.in_(ids))


def _words(kind: ReferenceKind, holder: Sequence[Any]) -> str:
    outer, inner, fallback = holder
    shown = known.dashed(str(fallback))
    match kind:
        case ReferenceKind.STEP_INPUT:
            return f"input of step {inner or shown} of run {outer or '(deleted)'}"
        case ReferenceKind.STEP_OUTPUT:
            return f"output of step {inner or shown} of run {outer or '(deleted)'}"
        case ReferenceKind.MODEL_VERSION:
            return f"model {outer or '?'} version {inner or shown}"
        case ReferenceKind.RUN_OUTPUT:
            return f"output {inner} of run {outer or shown}"
        case ReferenceKind.HOOK_OUTPUT:
            return f"output {inner} of hook invocation {shown}"
        case _:
            return shown
