"""Per version the rows that keep it alive, by name and since when: the same references that survey and claim count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.holders import Holders
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.soft import Mentions
from marksweep.catalog.zenml.survey import utc
from marksweep.model.version import Reference, ReferenceKind

_NOTHING: sa.ColumnElement[Any] = sa.null()


def references(
    connection: sa.Connection, schema: Schema, mentions: Mentions, ids: Sequence[str]
) -> Iterator[tuple[str, Reference]]:
    """(row id, reference) for each reference of the versions with the row *ids*."""
    for kind, column in schema.references.items():
        for row_id, since, *holder in connection.execute(_holders(schema, kind, column, ids)).fetchall():
            yield row_id, Reference(kind, _words(kind, holder), utc(since) if since is not None else None)
    holders = Holders(connection, schema)
    curated = schema.curated
    if curated is not None:
        visualization = schema.table(known.VISUALIZATION[0])
        query = (
            sa.select(
                visualization.c.artifact_version_id, curated.c.resource_type, curated.c.resource_id, created(curated)
            )
            .join(curated, curated.c[known.CURATED[1]] == visualization.c.id)
            .where(visualization.c.artifact_version_id.in_(ids))
        )
        for row_id, resource_type, resource_id, since in connection.execute(query).fetchall():
            pinned = f"a visualization of it is pinned to {holders.resource(str(resource_type), str(resource_id))}"
            yield (
                row_id,
                Reference(ReferenceKind.CURATED_VISUALIZATION, pinned, utc(since) if since is not None else None),
            )
    for row_id, kind, holder_kind, holder_id in mentions.live(connection, ids):
        words, since = holders.mentioning(holder_kind, holder_id)
        yield row_id, Reference(kind, words, since)


def created(table: sa.Table) -> sa.ColumnElement[Any]:
    """When a row of *table* was made, where its release of the table says."""
    return table.c.get("created", _NOTHING)


def _holders(schema: Schema, kind: ReferenceKind, column: sa.Column[str], ids: Sequence[str]) -> sa.Select[Any]:
    """Per link: the version's id, since when, and the names that :func:`_words` needs."""
    link = column.table
    source: sa.FromClause = link
    since, names = created(link), [_NOTHING, _NOTHING, _NOTHING, sa.literal("")]
    step, run = schema.table("step_run"), schema.table("pipeline_run")
    match kind:
        case ReferenceKind.STEP_INPUT | ReferenceKind.STEP_OUTPUT:
            source = link.outerjoin(step, step.c.id == link.c.step_id)
            source = source.outerjoin(run, run.c.id == step.c.pipeline_run_id)
            source, pipeline = _pipeline(schema, source)
            since, names = created(step), [run.c.name, step.c.name, pipeline, link.c.step_id]
        case ReferenceKind.MODEL_VERSION if "model_version_id" in link.c and schema.get("model_version") is not None:
            version, model = schema.table("model_version"), schema.table("model")
            source = link.outerjoin(version, version.c.id == link.c.model_version_id)
            source = source.outerjoin(model, model.c.id == version.c.model_id)
            names = [model.c.name, version.c.name, _NOTHING, link.c.model_version_id]
        case ReferenceKind.RUN_OUTPUT:
            source = link.outerjoin(run, run.c.id == link.c.pipeline_run_id)
            source, pipeline = _pipeline(schema, source)
            names = [run.c.name, link.c.name, pipeline, link.c.pipeline_run_id]
        case ReferenceKind.HOOK_OUTPUT:
            hook = schema.get("hook_invocation")
            names = [_NOTHING, link.c.name, _NOTHING, link.c.hook_invocation_id]
            if hook is not None and {"name", "pipeline_run_id"} <= set(hook.c.keys()):
                source = link.outerjoin(hook, hook.c.id == link.c.hook_invocation_id)
                source = source.outerjoin(run, run.c.id == hook.c.pipeline_run_id)
                since, names = created(hook), [run.c.name, link.c.name, hook.c.name, link.c.hook_invocation_id]
        case _:
            pass
    return sa.select(column, since, *names).select_from(source).where(column.in_(ids))


def _pipeline(schema: Schema, source: sa.FromClause) -> tuple[sa.FromClause, sa.ColumnElement[Any]]:
    """*source*, which has a run, with that run's pipeline, and the pipeline's name."""
    run, pipeline = schema.table("pipeline_run"), schema.get("pipeline")
    if pipeline is None or "pipeline_id" not in run.c:
        return source, _NOTHING
    return source.outerjoin(pipeline, pipeline.c.id == run.c.pipeline_id), pipeline.c.name


def _words(kind: ReferenceKind, holder: Sequence[Any]) -> str:
    outer, inner, beside, fallback = holder
    shown = known.dashed(str(fallback))
    pipeline = f" (pipeline {beside})" if beside else ""
    match kind:
        case ReferenceKind.STEP_INPUT:
            return f"input of step {inner or shown} of run {outer or '(deleted)'}{pipeline}"
        case ReferenceKind.STEP_OUTPUT:
            return f"output of step {inner or shown} of run {outer or '(deleted)'}{pipeline}"
        case ReferenceKind.MODEL_VERSION:
            return f"model {outer or '?'} version {inner or shown}"
        case ReferenceKind.RUN_OUTPUT:
            return f"output {inner} of run {outer or shown}{pipeline}"
        case ReferenceKind.HOOK_OUTPUT:
            of_run = f" of run {outer}" if outer else ""
            return f"output {inner} of hook invocation {beside or shown}{of_run}"
        case _:
            return shown
