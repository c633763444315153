"""Who lays claim to a place by a row that came or changed after the plan was made: they are compared by URI again.

No lock keeps such rows from coming: this is looked at right before a claim and again before its bytes go.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.database import Database
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.survey import service_claims
from marksweep.model.uri import claims, contains
from marksweep.model.verdict import TOMBSTONE

SHARE, LONG = 20, 0.25
"""Looking may take one part in ``SHARE`` of the time, once it takes longer than ``LONG`` seconds: no column has an index
for it. Rows that SQLite appended are looked at each time, as it numbers its rows."""


@dataclass(frozen=True, slots=True)
class _Claimant:
    """A row that claims a place: its words, and for a version or a visualization the version's row id and the URI."""

    words: str
    row_id: str | None = None
    uri: str | None = None

    def is_own(self, own: Mapping[str, str]) -> bool:
        """Whether it is a row of the batch itself that has not moved: the mark has compared those with each other."""
        if self.row_id is None or self.row_id not in own:
            return False
        return self.uri is None or own[self.row_id].removeprefix(TOMBSTONE) == self.uri.removeprefix(TOMBSTONE)


class Newcomers:
    """The rows created or changed since a moment, by the keys that they claim."""

    def __init__(self, schema: Schema, database: Database) -> None:
        self._schema, self._database = schema, database
        self._since: datetime | None = None
        self._next = self._took = 0.0
        self._marks: dict[str, int] = {}
        self._places: dict[str, dict[_Claimant, None]] = {}
        self._ordered: list[str] = []
        self._state: object | None = None
        """Of the database, when it was looked at as a whole: while it is the same, nobody else has changed anything."""

    def overlapping(
        self, connection: sa.Connection, uris: Mapping[str, str], since: datetime, *, held: bool = False
    ) -> dict[str, str]:
        """Of *uris* (id -> URI), those that a row created or changed *since* also claims, and which.

        For *held* see :meth:`look`.
        """
        self.look(connection, since, held=held)
        found: dict[str, str] = {}
        if not self._places:
            return found
        own = {known.row_id(id_): uri for id_, uri in uris.items()}
        for id_, uri in uris.items():
            for key in claims(uri.removeprefix(TOMBSTONE)):
                other = next(
                    (c for place in self._touching(key) for c in self._places[place] if not c.is_own(own)), None
                )
                if other is not None:
                    found[id_] = f"{other.words}, created or changed since the plan, claims the same place"
        return found

    def _touching(self, key: str) -> Iterator[str]:
        """The places that are, contain, or lie in *key*."""
        position = key.find("/", key.find("://") + 3) + 1
        while position:
            if key[:position] in self._places:
                yield key[:position]
            position = key.find("/", position) + 1
        for at in range(bisect.bisect_right(self._ordered, key), len(self._ordered)):
            if not contains(key, self._ordered[at]):
                return
            yield self._ordered[at]

    def look(self, connection: sa.Connection, since: datetime, *, held: bool = False) -> None:
        """Read what came or changed. *held*: locks are held, and this was called right before they were taken."""
        if since != self._since:
            self._since, self._next, self._took, self._places, self._state = since, 0.0, 0.0, {}, None
        state = self._database.state(connection)
        if state is not None and state == self._state:
            return
        whole = time.monotonic() >= self._next and not (held and self._took > self._database.look_within)
        began = time.monotonic()
        before = len(self._places)
        for table, query in self._queries():
            condition = self._database.changed(table, since) if whole else self._database.appended(table, self._marks)
            if condition is not None:
                mark = self._database.mark_of(connection, table)
                for row in connection.execute(query.where(condition)).fetchall():
                    self._add(table, row)
                self._marks[table.name] = mark
        for claim in service_claims(connection, self._schema):
            self._claim(claim.uri, _Claimant(claim.holder))
        if len(self._places) != before:
            self._ordered = sorted(self._places)
        self._state = state if whole else None
        if whole:
            self._took = time.monotonic() - began
            self._next = time.monotonic() + (SHARE * self._took if self._took > LONG else 0)

    def _queries(self) -> Iterator[tuple[sa.Table, sa.Select[Any]]]:
        version = self._schema.table("artifact_version")
        yield version, sa.select(version.c.id, version.c.uri)
        shown = self._schema.table(known.VISUALIZATION[0])
        yield shown, sa.select(shown.c.artifact_version_id, shown.c.uri)
        logs = self._schema.get("logs")
        if logs is not None and "uri" in logs.c and "created" in logs.c:
            yield logs, sa.select(sa.null(), logs.c.uri).where(logs.c.uri.is_not(None))

    def _add(self, table: sa.Table, row: Any) -> None:
        row_id, uri = row
        match table.name:
            case "artifact_version":
                claimant = _Claimant(f"version {known.dashed(row_id)}", row_id, uri)
                self._claim(uri.removeprefix(TOMBSTONE), claimant)
            case "logs":
                self._claim(uri, _Claimant("a log file"))
            case _:
                self._claim(uri, _Claimant(f"a visualization of version {known.dashed(row_id)}", row_id))

    def _claim(self, uri: str, claimant: _Claimant) -> None:
        for key in claims(uri):
            self._places.setdefault(key, {})[claimant] = None
