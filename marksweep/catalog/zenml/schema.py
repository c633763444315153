"""Reflect the database met, and refuse it unless every part that could be a reference is understood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.version import ReferenceKind

ForeignKeys = dict[tuple[str, str], str]
"""(table, column) -> the table that it refers to."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A ZenML schema in which every reference is accounted for."""

    tables: dict[str, sa.Table]
    revision: str
    release: tuple[int, int, int]
    references: dict[ReferenceKind, sa.Column[str]]
    snapshot_pointers: tuple[sa.Column[str], ...]

    def table(self, name: str) -> sa.Table:
        """A table that every release has."""
        return self.tables[name]

    def get(self, name: str) -> sa.Table | None:
        """A table that some releases lack."""
        return self.tables.get(name)

    @property
    def snapshots(self) -> sa.Table | None:
        """The table of compiled pipelines under the name it has here."""
        return next((self.tables[n] for n in known.SNAPSHOT_TABLES if n in self.tables), None)

    @property
    def curated(self) -> sa.Table | None:
        return self.get(known.CURATED[0])

    @property
    def project_column(self) -> tuple[sa.Column[str], sa.Table] | None:
        """``artifact_version``'s scope and the table that names it: project since 0.80, workspace before."""
        columns = self.table("artifact_version").c
        for column, name in (("project_id", "project"), ("workspace_id", "workspace")):
            if column in columns and name in self.tables:
                return columns[column], self.tables[name]
        return None

    @property
    def owned_resources(self) -> tuple[sa.Table, ...]:
        """Generic tables whose rows about a version are its own."""
        return tuple(
            self.tables[name]
            for name, owned in known.RESOURCE_TABLES.items()
            if owned and name in self.tables and "resource_id" in self.tables[name].c
        )


def reflect(connection: sa.Connection, where: str) -> Schema:
    """Read the schema and prove that it is understood; raise CatalogNotUnderstood naming what is not.

    *where* names the database in messages; it holds no secrets.
    """
    inspector = sa.inspect(connection)
    names = set(inspector.get_table_names())
    revision = _revision(connection, names, where)
    release = _supported(revision, where)
    details = {name: inspector.get_columns(name) for name in names}
    columns = {name: {c["name"] for c in has} for name, has in details.items()}
    keys: ForeignKeys = {}
    for name in names:
        for key in inspector.get_foreign_keys(name):
            for column in key["constrained_columns"]:
                keys[name, column] = key["referred_table"]
    _require(columns, where)
    _guard(columns, keys, where)
    metadata = sa.MetaData()
    tables = {
        name: sa.Table(name, metadata, *(sa.Column(c["name"], c["type"]) for c in details[name]))
        for name in sorted(names & _TABLES)
    }
    references: dict[ReferenceKind, sa.Column[str]] = {
        kind: tables[table].c[column] for (table, column), kind in known.REFERENCES.items() if table in tables
    }
    snapshots = {name for name in known.SNAPSHOT_TABLES if name in tables}
    pointers = tuple(
        sa.Table(table, sa.MetaData(), sa.Column(column, sa.CHAR(32))).c[column]
        for (table, column), referred in sorted(keys.items())
        if referred in snapshots and table not in known.SNAPSHOT_OWNED
    )
    return Schema(tables, revision, release, references, pointers)


_TABLES = {
    *known.REQUIRED,
    *(table for table, _ in known.REFERENCES),
    *known.RESOURCE_TABLES,
    *known.SNAPSHOT_TABLES,
    *known.CONFIGURATIONS,
    *("project", "workspace", "logs", "service", "model", "model_version", "hook_invocation", "alembic_version"),
    *("pipeline", "schedule", "deployment"),
}


def current_revision(connection: sa.Connection) -> str | None:
    """The schema revision now; None unless there is exactly one."""
    rows = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    return str(rows[0]) if len(rows) == 1 else None


def _revision(connection: sa.Connection, names: set[str], where: str) -> str:
    if not names:
        raise CatalogNotUnderstood(
            f"the database {where} is empty: it holds no tables",
            "check the URL; marksweep reads a database that ZenML has created and never creates one",
        )
    if "alembic_version" not in names or "artifact_version" not in names:
        if {"alembic_version", "artifact"} <= names:
            raise CatalogNotUnderstood(
                f"the database {where} has no table artifact_version: it is from a ZenML older than 0.55",
                "upgrade ZenML, which migrates its database, then mark again",
            )
        missing = "artifact_version" if "alembic_version" in names else "alembic_version"
        raise CatalogNotUnderstood(
            f"the database {where} is not ZenML's: it has no table {missing}",
            "check the URL; `zenml status` shows where ZenML keeps its database",
        )
    revision = current_revision(connection)
    if revision is None:
        raise CatalogNotUnderstood(
            f"the database {where} does not have exactly one schema revision: a migration of it was interrupted",
            "start ZenML once to finish the migration, or restore the backup that it made, then mark again",
        )
    return revision


def _supported(revision: str, where: str) -> tuple[int, int, int]:
    release = known.release_of(revision)
    lowest, highest = (".".join(map(str, r)) for r in (known.OLDEST, known.NEWEST))
    if release is None:
        raise CatalogNotUnderstood(
            f"the database {where} is at schema revision {revision!r}, which no ZenML release ends at: "
            "a migration was interrupted, or a development build wrote it",
            "start the released ZenML once to finish the migration, then mark again",
        )
    if not known.OLDEST <= release[:2] <= known.NEWEST:
        raise CatalogNotUnderstood(
            f"the database {where} was written by ZenML {revision}; this marksweep knows {lowest} to {highest}",
            "upgrade marksweep (a newer ZenML may have new kinds of reference) or ZenML",
        )
    return release


def _require(columns: dict[str, set[str]], where: str) -> None:
    for table, wanted in known.REQUIRED.items():
        missing = sorted(set(wanted) - columns.get(table, set()))
        if missing:
            raise CatalogNotUnderstood(
                f"the database {where} lacks {table}.{missing[0]}, which every ZenML release since 0.55 has",
                "a migration may have been interrupted: start ZenML once, or restore its backup, then mark again",
            )


def _guard(columns: dict[str, set[str]], keys: ForeignKeys, where: str) -> None:
    """Refuse whatever could be a reference and is not understood (design: every foreign key must be classified)."""
    unknown = [
        *_unknown_keys(keys),
        *(
            f"{table}.{column}, a column named after artifact versions"
            for table, has in columns.items()
            for column in has
            if "artifact_version" in column.lower()
            and (table, column) not in known.VERSION_COLUMNS | known.HARMLESS_FLAGS
        ),
        *(
            f"{table}, a table of resources (resource_id and resource_type)"
            for table, has in columns.items()
            if {"resource_id", "resource_type"} <= {c.lower() for c in has} and table not in known.RESOURCE_TABLES
        ),
    ]
    if unknown:
        raise CatalogNotUnderstood(
            f"the database {where} holds {sorted(unknown)[0]}:"
            " it could keep artifact versions alive and marksweep does not know it",
            "upgrade marksweep; if the table is your own, drop the column or the foreign key, or ask for support of it",
        )


def _unknown_keys(keys: ForeignKeys) -> Iterable[str]:
    understood = {
        "artifact_version": {*known.REFERENCES, known.VISUALIZATION},
        "artifact_visualization": {known.CURATED},
        "artifact": {known.VERSION_OF_ARTIFACT},
        **{table: set[tuple[str, str]]() for table in (known.MODEL_LINKS, "tag_resource", "run_metadata_resource")},
    }
    for key, referred in keys.items():
        table = referred.lower()  # SQLite finds a table whatever the case of its name
        if table in understood and key not in understood[table]:
            yield f"{key[0]}.{key[1]}, a foreign key to {table}"
