"""How many rows there are of what a mark rests on."""

from __future__ import annotations

import sqlalchemy as sa

from marksweep.catalog.zenml.schema import Schema


def census(connection: sa.Connection, schema: Schema) -> dict[str, int]:
    """Rows by table, of the versions and of every table that refers to them."""
    tables = {"artifact_version": schema.table("artifact_version")}
    tables.update((str(column.table.name), column.table) for column in schema.references.values())
    return {
        name: int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
        for name, table in sorted(tables.items())
    }
