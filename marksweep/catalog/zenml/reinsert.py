"""The claim undone: the rows that it removed come back from its image, or the tombstone off a row's URI.

All rows of a unit in one transaction, with foreign keys enforced. Nothing that is there is overwritten, and nothing but the
rows of the unit's own versions is written, whatever an image says: it was read from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.port import Holder, Image, Lost, Reinserted
from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.database import Database
from marksweep.catalog.zenml.newcomers import Newcomers
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.stored import stored, untyped
from marksweep.model.outcome import Mode
from marksweep.model.verdict import TOMBSTONE

Row = dict[str, object]
Rows = dict[str, list[Row]]
"""Table -> rows, parents before children."""

VERSION, ARTIFACT = "artifact_version", "artifact"


class Refused(Exception):
    """Why a unit does not come back; the transaction is rolled back."""


@dataclass(slots=True)
class Reinserter:
    """Puts units back on one connection. *check* raises when the schema is not the one that was understood any more."""

    database: Database
    schema: Schema
    newcomers: Newcomers
    check: Callable[[sa.Connection], None]

    def answer(
        self, unit: Sequence[Lost], mode: Mode, since: datetime, holder: Holder, *, write: bool
    ) -> tuple[Reinserted, str]:
        """See :meth:`marksweep.catalog.port.Catalog.reinsert`."""
        try:
            with self.database.reading() as connection:
                self.newcomers.look(connection, since)  # the long part outside of the transaction
                if not write:
                    return self._answer(connection, unit, mode, since, holder, write=False)
            with self.database.enforcing() as connection:
                self.check(connection)
                return self._answer(connection, unit, mode, since, holder, write=True)
        except Refused as refused:
            return Reinserted.REFUSED, str(refused)

    def _answer(
        self,
        connection: sa.Connection,
        unit: Sequence[Lost],
        mode: Mode,
        since: datetime,
        holder: Holder,
        *,
        write: bool,
    ) -> tuple[Reinserted, str]:
        ids = {known.row_id(lost.id): lost for lost in unit}
        found = self._present(connection, ids, lock=write)
        for id_, why in self.newcomers.overlapping(connection, {u.id: u.uri for u in unit}, since, held=write).items():
            raise Refused(f"the place of {id_} is in use: {why}")
        if mode is Mode.ONLY_ARTIFACT:
            return self._unmark(connection, ids, found, write=write)
        own = {row_id: _own_version(lost, row_id) for row_id, lost in ids.items()}
        if found:
            if all(found.get(row_id) == row for row_id, row in own.items()):
                return Reinserted.THERE, ""
            raise Refused(f"the catalog holds a version with the id {known.dashed(min(found))}")
        rows = self._rows(connection, unit, own, holder)
        inspector = sa.inspect(connection)
        for name, row in ((name, row) for name, some in rows.items() for row in some):
            self._look_for_obstacles(connection, inspector, name, row, rows)
            if write:
                _insert(connection, untyped(name, row), row)
        return Reinserted.BACK, ""

    def _present(self, connection: sa.Connection, ids: Mapping[str, Lost], *, lock: bool) -> dict[str, Row]:
        version = self.schema.table(VERSION)
        query = stored(version).where(version.c.id.in_(sorted(ids))).order_by(version.c.id)
        found = self.database.await_lock(connection, query) if lock else connection.execute(query).fetchall()
        rows = [dict(zip(version.c.keys(), row, strict=True)) for row in found]
        return {str(row["id"]): row for row in rows}

    def _unmark(
        self, connection: sa.Connection, ids: Mapping[str, Lost], found: Mapping[str, Row], *, write: bool
    ) -> tuple[Reinserted, str]:
        """Mode only-artifact: the rows are there, with a tombstone before their URIs."""
        for row_id, lost in ids.items():
            if row_id not in found:
                raise Refused(f"the row of {lost.id} is gone from the catalog")
            if found[row_id]["uri"] not in (lost.uri, TOMBSTONE + lost.uri):
                raise Refused(f"the row of {lost.id} has another URI now")
        marked = [row_id for row_id, lost in ids.items() if found[row_id]["uri"] != lost.uri]
        version = self.schema.table(VERSION)
        if write:
            for row_id in marked:
                back = sa.update(version).where(version.c.id == row_id).values(uri=ids[row_id].uri)
                connection.execute(back)
        return (Reinserted.BACK, "") if marked else (Reinserted.THERE, "")

    def _rows(self, connection: sa.Connection, unit: Sequence[Lost], own: Mapping[str, Row], holder: Holder) -> Rows:
        """What is to be inserted: the versions' own rows, and their artifact's where it is gone."""
        rows: Rows = {ARTIFACT: [], VERSION: list(own.values())}
        for row_id, lost in ((known.row_id(u.id), u) for u in unit):
            artifact = str(own[row_id]["artifact_id"])
            for table, row in _each(lost.image):
                if table in (ARTIFACT, VERSION) or row.get("resource_type") == known.RESOURCE_ARTIFACT:
                    continue
                self._check_own(table, row, row_id)
                rows.setdefault(table, []).append(row)
            if self._exists(connection, ARTIFACT, {"id": artifact}) or any(r["id"] == artifact for r in rows[ARTIFACT]):
                continue
            image = lost.image if _holds(lost.image, artifact) else holder(ARTIFACT, artifact)
            for table, row in _each(image or {}):
                is_part = row.get("resource_type") == known.RESOURCE_ARTIFACT and row.get("resource_id") == artifact
                if (table == ARTIFACT and row["id"] == artifact) or (is_part and table in self._resources()):
                    rows.setdefault(table, []).append(row)
        return rows

    def _resources(self) -> set[str]:
        return {str(table.name) for table in self.schema.owned_resources}

    def _check_own(self, table: str, row: Row, row_id: str) -> None:
        """An image holds its version's own rows; anything else in it was not written by a claim."""
        if table in (known.VISUALIZATION[0], known.MODEL_LINKS):
            owned = row.get("artifact_version_id") == row_id
        else:
            owner = (row.get("resource_type"), row.get("resource_id"))
            owned = table in self._resources() and owner == (known.RESOURCE_VERSION, row_id)
        if not owned:
            raise Refused(f"its image holds a row of {table} that is not its own")

    def _look_for_obstacles(
        self, connection: sa.Connection, inspector: sa.Inspector, name: str, row: Row, rows: Rows
    ) -> None:
        """Raise Refused when *row* has no parent, or its place is taken. A parent that may be null, and is gone, is nulled."""
        if set(row) != {column["name"] for column in inspector.get_columns(name)}:
            raise Refused(f"its row of {name} has other columns than the table has now")
        for key in inspector.get_foreign_keys(name):
            columns, parent = key["constrained_columns"], key["referred_table"]
            wanted = {r: row[c] for c, r in zip(columns, key["referred_columns"], strict=True)}
            if None in wanted.values() or self._exists(connection, parent, wanted, rows):
                continue
            if str(key.get("options", {}).get("ondelete", "")).upper() != "SET NULL":
                what = ", ".join(f"{name}.{column} {row[column]}" for column in columns)
                raise Refused(f"its {parent} is gone from the catalog ({what})")
            row.update(dict.fromkeys(columns))  # what the database itself did to the rows that were there
        for unique in (inspector.get_pk_constraint(name)["constrained_columns"], *_uniques(inspector, name)):
            values = {column: row[column] for column in unique}
            if unique and None not in values.values() and self._exists(connection, name, values):
                raise Refused(f"the catalog holds another {name} with the same {' and '.join(unique)}")

    def _exists(
        self, connection: sa.Connection, table: str, values: Mapping[str, object], more: Rows | None = None
    ) -> bool:
        if any(all(row.get(c) == v for c, v in values.items()) for row in (more or {}).get(table, ())):
            return True
        source = untyped(table, values)
        query = sa.select(sa.literal(1)).select_from(source).where(*(source.c[c] == v for c, v in values.items()))
        return connection.execute(query.limit(1)).first() is not None


def _own_version(lost: Lost, row_id: str) -> Row:
    found = [dict(row) for row in lost.image.get(VERSION, ())]
    if len(found) != 1 or found[0].get("id") != row_id or found[0].get("uri") != lost.uri:
        raise Refused("its image does not hold its row")
    return found[0]


def _each(image: Image) -> Iterator[tuple[str, Row]]:
    return ((table, dict(row)) for table, rows in image.items() for row in rows)


def _holds(image: Image, artifact: str) -> bool:
    return any(row.get("id") == artifact for row in image.get(ARTIFACT, ()))


def _uniques(inspector: Any, table: str) -> Iterator[list[str]]:
    for constraint in inspector.get_unique_constraints(table):
        yield constraint["column_names"]


def _insert(connection: sa.Connection, table: sa.TableClause, row: Row) -> None:
    try:
        connection.execute(sa.insert(table).values({table.c[name]: value for name, value in row.items()}))
    except sa.exc.IntegrityError as error:
        raise Refused(f"the database refused a row of {table.name}: {error.orig}") from None
