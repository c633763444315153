"""Who holds a reference that no foreign key of a version shows, by name: snapshots, step runs, and what visualizations are
pinned to.

A catalog may lack a table, a column or the row itself: then the id alone is said, never an error, as these are only words.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.survey import utc

_RESOURCES: Final = {
    "project": "project",
    "workspace": "workspace",
    "pipeline": "pipeline",
    "pipeline_run": "pipeline_run",
    "pipeline_snapshot": "pipeline_snapshot",
    "deployment": "deployment",
    "model": "model",
    "model_version": "model_version",
}
"""Values of ``resource_type`` that name a table whose rows have names (``VisualizationResourceTypes`` of 0.98.0)."""


class Holders:
    """Looks names up over one connection, each holder once."""

    def __init__(self, connection: sa.Connection, schema: Schema) -> None:
        self._connection, self._schema = connection, schema
        self._found: dict[tuple[str, str], tuple[str, datetime | None]] = {}

    def resource(self, kind: str, row_id: str) -> str:
        """Something that a visualization is pinned to, by its ``resource_type`` and id."""
        table = self._schema.get(_RESOURCES.get(kind, ""))
        name = self._row(table, row_id, "name")[0] if table is not None else None
        label = kind.removeprefix("pipeline_").replace("_", " ")
        return f"{label} {name}" if name else f"{label} {known.dashed(row_id)}"

    def mentioning(self, kind: str, row_id: str) -> tuple[str, datetime | None]:
        """A ``snapshot`` or ``step_run`` whose JSON mentions a version, and when it was made."""
        if (kind, row_id) not in self._found:
            self._found[kind, row_id] = self._snapshot(row_id) if kind == "snapshot" else self._step(row_id)
        return self._found[kind, row_id]

    def _snapshot(self, row_id: str) -> tuple[str, datetime | None]:
        name, since, pipeline_id, schedule_id = self._row(
            self._schema.snapshots, row_id, "name", "created", "pipeline_id", "schedule_id"
        )
        parts = [f"snapshot {name} ({known.dashed(row_id)})" if name else f"snapshot {known.dashed(row_id)}"]
        for label, table, id_ in (("pipeline", "pipeline", pipeline_id), ("schedule", "schedule", schedule_id)):
            if id_ is not None:
                (found,) = self._row(self._schema.get(table), str(id_), "name")
                parts.append(f"{label} {found or known.dashed(str(id_))}")
        return " of ".join([parts[0], ", ".join(parts[1:])] if parts[1:] else parts), _time(since)

    def _step(self, row_id: str) -> tuple[str, datetime | None]:
        name, run_id, since = self._row(self._schema.table("step_run"), row_id, "name", "pipeline_run_id", "created")
        (run,) = self._row(self._schema.table("pipeline_run"), str(run_id), "name") if run_id is not None else (None,)
        return f"the configuration of step {name or known.dashed(row_id)} of run {run or '(deleted)'}", _time(since)

    def _row(self, table: sa.Table | None, row_id: str, *columns: str) -> list[Any]:
        """The *columns* of one row; None for each that is not there."""
        present = [c for c in columns if table is not None and c in table.c]
        if table is None or not present:
            return [None] * len(columns)
        query = sa.select(*(table.c[c] for c in present)).where(table.c.id == row_id)
        row = self._connection.execute(query).fetchone()
        held = dict(zip(present, row, strict=True)) if row is not None else {}
        return [held.get(c) for c in columns]


def _time(moment: object) -> datetime | None:
    return utc(moment) if moment is not None else None
