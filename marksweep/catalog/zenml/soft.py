"""References that no foreign key shows: versions that JSON text mentions, by id or by name.

An input given to a pipeline when it is compiled stands only in the JSON of its snapshot, for a schedule perhaps for ever.
Mentions are collected once into a scratch database of our own and then only added to; whether the mentioning snapshot is
*live* (by ZenML's own rule, ``_snapshot_is_referenced`` in ``zen_stores/sql_zen_store.py``) is asked each time.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.database import Database
from marksweep.catalog.zenml.schema import Schema
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.policy import CLOCK_SKEW, SNAPSHOT_SETTLES
from marksweep.model.version import ReferenceKind

_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_BY_NAME = ("client_lazy_loaders", "model_artifacts_or_metadata", "external_input_artifacts")
_HAS_NAMES = [re.compile(rf'{name}(?<="{name})\\?"\s*:\s*\{{\s*\\?"') for name in _BY_NAME]
"""A member of one of these names, quoted or quoted twice, that is not empty. Patterns that begin with a word are quick."""
_SHARE = 20
"""Looking for new mentions may take one part in so many of the time, once it takes long (:data:`_LONG` seconds)."""
_LONG = 0.25

_SCRATCH = """
CREATE TABLE mention (
  version_id TEXT, holder TEXT, holder_id TEXT, kind TEXT, PRIMARY KEY (version_id, holder, holder_id, kind)
) WITHOUT ROWID;
CREATE TABLE named (
  name TEXT, holder TEXT, holder_id TEXT, digest TEXT, labels TEXT, PRIMARY KEY (name, holder, holder_id, digest)
) WITHOUT ROWID;
"""
"""Which row (``snapshot`` or ``step_run``) mentions which version, and how; and strings that a lazy loader may take for an
artifact's name, with the strings that may be its version. One holder has many texts (a snapshot's steps), each with labels
of its own: the digest of the labels tells them apart."""
_MENTION = "INSERT OR IGNORE INTO mention VALUES (?, ?, ?, ?)"
_NAMED = "INSERT OR IGNORE INTO named VALUES (?, ?, ?, ?, ?)"

Mention = tuple[str, str, str, str]
"""A version's row id, the kind of holder and its row id, the kind of reference."""


class Mentions:
    """The mentions seen so far in one catalog. They are of committed rows, so no rollback makes them untrue."""

    def __init__(self, schema: Schema, database: Database) -> None:
        self.schema, self._database = schema, database
        self._seen: dict[str, int] = {}
        self._scanned_at: datetime | None = None
        self._next = self._took = 0.0
        self._scratch = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # a file that has no name
        self._scratch.executescript(_SCRATCH)

    def close(self) -> None:
        self._scratch.close()

    def refresh(self, connection: sa.Connection, now: datetime, *, held: bool = False) -> None:
        """Read what was written since the last call (everything, the first time).

        A catalog so big that this takes long is looked at again only after a while: nothing can make a mention and a
        claim exclude each other, as no foreign key stands behind a mention. *held*: others wait for this transaction, and
        this was called right before it.
        """
        began = time.monotonic()
        first = self._scanned_at is None
        whole = began >= self._next and not (held and self._took > self._database.look_within)
        for table, columns in known.CONFIGURATIONS.items():
            source = self.schema.get(table)
            present = [source.c[c] for c in columns if c in source.c] if source is not None else []
            if source is not None and present:
                self._scan(connection, source, present, whole=whole)
        self._resolve_names(connection)
        if whole:
            self._scanned_at = now
            self._took = 0.0 if first else time.monotonic() - began  # later looks read far less
            self._next = time.monotonic() + (_SHARE * self._took if self._took > _LONG else 0)

    def _scan(self, connection: sa.Connection, source: sa.Table, texts: list[sa.Column[str]], *, whole: bool) -> None:
        given = sa.or_(*(text.is_not(None) for text in texts))
        query = sa.select(*_holder(source), *texts).select_from(source).where(given)
        mark = self._database.mark_of(connection, source)
        if self._scanned_at is None:
            for page in self._database.pages(source, query):
                self._note(page, len(texts))
        else:
            conditions = [self._database.appended(source, self._seen)]
            if whole:
                conditions.append(self._database.changed(source, self._scanned_at - CLOCK_SKEW))
            asked = [c for c in conditions if c is not None]
            if asked:
                self._note(connection.execute(query.where(sa.or_(*asked))).fetchall(), len(texts))
        self._seen[source.name] = mark

    def _note(self, rows: Iterable[Sequence[Any]], texts: int) -> None:
        mentions: list[Mention] = []
        named: list[tuple[str, str, str, str, str]] = []
        for snapshot_id, step_run_id, *columns in rows:
            holders = [(h, str(i)) for h, i in (("snapshot", snapshot_id), ("step_run", step_run_id)) if i is not None]
            for text in columns[:texts]:
                if not isinstance(text, str):
                    continue
                found = {known.row_id(m) for m in _UUID.findall(text)}
                mentions += [(id_, *holder, ReferenceKind.CONFIGURATION.value) for id_ in found for holder in holders]
                if any(pattern.search(text) for pattern in _HAS_NAMES):
                    names = sorted(_strings(text))
                    labels = "\n".join(names)
                    digest = hashlib.sha256(labels.encode("utf-8", "surrogateescape")).hexdigest()
                    named += [(name, *holder, digest, labels) for name in names for holder in holders]
        self._scratch.execute("BEGIN")
        self._scratch.executemany(_MENTION, mentions)
        self._scratch.executemany(_NAMED, named)
        self._scratch.execute("COMMIT")

    def _resolve_names(self, connection: sa.Connection) -> None:
        """A name means its newest version when the step starts, or the version whose label stands beside it."""
        artifact = self.schema.table("artifact")
        names = [r[0] for r in self._scratch.execute("SELECT DISTINCT name FROM named")]
        self._scratch.execute("DELETE FROM mention WHERE kind = ?", (ReferenceKind.LAZY_LOADER.value,))
        for start in range(0, len(names), 500):
            page = names[start : start + 500]
            spelled: dict[str, list[str]] = {}
            for name in page:
                spelled.setdefault(_folded(name), []).append(name)
            found = connection.execute(sa.select(artifact.c.name, artifact.c.id).where(artifact.c.name.in_(page)))
            for name, artifact_id in found.fetchall():
                versions = self._versions(connection, artifact_id)
                for meant in spelled.get(_folded(name), page):
                    self._scratch.executemany(_MENTION, self._loads(meant, versions))

    def _loads(self, name: str, versions: Sequence[tuple[str, str, bool]]) -> list[Mention]:
        """The mentions of an artifact's *versions* by whoever loads it by *name*."""
        holders = self._scratch.execute(
            "SELECT holder, holder_id, labels FROM named WHERE name = ?", (name,)
        ).fetchall()
        return [
            (version_id, holder, holder_id, ReferenceKind.LAZY_LOADER.value)
            for holder, holder_id, labels in holders
            for version_id, label, newest in versions
            if newest or _folded(label) in {_folded(other) for other in labels.split("\n")}
        ]

    def _versions(self, connection: sa.Connection, artifact_id: str) -> list[tuple[str, str, bool]]:
        """(row id, label, whether it is the newest) of an artifact's versions. Of a tie all are newest, and each
        workspace (which shared artifacts before 0.80) has a newest of its own."""
        version = self.schema.table("artifact_version")
        scope = self.schema.project_column
        rows = connection.execute(
            sa.select(version.c.id, version.c.version, version.c.created, scope[0] if scope else sa.literal(""))
            .where(version.c.artifact_id == artifact_id)
            .order_by(version.c.created.desc())
        ).fetchall()
        newest: dict[object, object] = {}
        return [(str(i), str(label), newest.setdefault(where, at) == at) for i, label, at, where in rows]

    def live(
        self, connection: sa.Connection, among: Collection[str] | None = None
    ) -> Iterator[tuple[str, ReferenceKind, str, str]]:
        """The mentions whose holder is live, all or *among* some row ids of versions.

        Each is (version's row id, kind, ``snapshot`` or ``step_run``, that holder's row id).
        """
        mentions = self._mentions(among)
        snapshots = self._live_snapshots(connection, {m[2] for m in mentions if m[1] == "snapshot"})
        runs = self._present(connection, {m[2] for m in mentions if m[1] == "step_run"})
        for version_id, holder, holder_id, kind in mentions:
            if holder_id in (snapshots if holder == "snapshot" else runs):
                yield version_id, ReferenceKind(kind), holder, holder_id

    def _mentions(self, among: Collection[str] | None) -> list[Mention]:
        if among is None:
            return self._scratch.execute("SELECT * FROM mention").fetchall()
        found: list[Mention] = []
        ordered = sorted(among)
        for start in range(0, len(ordered), 500):
            page = ordered[start : start + 500]
            marks = ", ".join("?" * len(page))
            found += self._scratch.execute(f"SELECT * FROM mention WHERE version_id IN ({marks})", page).fetchall()
        return found

    def _present(self, connection: sa.Connection, ids: set[str]) -> set[str]:
        step_run = self.schema.table("step_run")
        return _among(connection, ids, lambda page: sa.select(step_run.c.id).where(step_run.c.id.in_(page)))

    def _live_snapshots(self, connection: sa.Connection, ids: set[str]) -> set[str]:
        table = self.schema.snapshots
        if table is None or not ids:
            return set()
        marks: list[sa.ColumnElement[bool]] = [
            table.c[c].is_not(None) for c in ("name", "schedule_id", "template_id") if c in table.c
        ]
        if self._scanned_at is not None and "created" in table.c:
            marks.append(table.c.created >= (self._scanned_at - SNAPSHOT_SETTLES).replace(tzinfo=None))
        live = _among(
            connection, ids, lambda page: sa.select(table.c.id).where(table.c.id.in_(page), sa.or_(sa.false(), *marks))
        )
        pointers: list[sa.ColumnElement[str]] = list(self.schema.snapshot_pointers)
        if "source_snapshot_id" in table.c:
            pointers.append(table.c.source_snapshot_id)
        for pointer in pointers:
            left = ids - live

            def pointed(page: list[str], column: sa.ColumnElement[str] = pointer) -> sa.Select[Any]:
                return sa.select(column).distinct().where(column.in_(page))

            live |= _among(connection, left, pointed)
        return live


def _holder(source: sa.Table) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """The (snapshot id, step run id) that a row of *source* speaks for."""
    nothing: sa.ColumnElement[Any] = sa.null()
    if source.name in known.SNAPSHOT_TABLES:
        return source.c.id, nothing
    if source.name == "step_run":
        return nothing, source.c.id
    snapshot = next((source.c[c] for c in ("snapshot_id", "deployment_id") if c in source.c), nothing)
    return snapshot, source.c.get("step_run_id", nothing)


def _among(connection: sa.Connection, ids: Iterable[str], query: Callable[[list[str]], sa.Select[Any]]) -> set[str]:
    """Run *query* for pages of *ids* (databases limit the number of parameters)."""
    ordered = sorted(ids)
    found: set[str] = set()
    for start in range(0, len(ordered), 500):
        found.update(connection.execute(query(ordered[start : start + 500])).scalars())
    return found


def _strings(text: str) -> set[str]:
    """Every string below a member that refers by name, in a document or in a document quoted inside it."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise CatalogNotUnderstood(
            "the configuration of a snapshot or step refers to artifacts by name and is not valid JSON",
            "find and repair or delete that snapshot (`zenml pipeline snapshot list`), then mark again",
        ) from None
    found: set[str] = set()
    _collect(document, inside=False, found=found)
    return found


def _folded(text: str) -> str:
    """Without case, accents and blanks at the end: by what is left at least, a database of MySQL's compares names."""
    letters = unicodedata.normalize("NFKD", text.rstrip()).casefold()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _collect(value: object, *, inside: bool, found: set[str]) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            _collect(member, inside=inside or name in _BY_NAME, found=found)
    elif isinstance(value, list):
        for member in value:
            _collect(member, inside=inside, found=found)
    elif isinstance(value, str):
        if inside:
            found.add(value)
        elif value[:1] in "{[" and any(name in value for name in _BY_NAME):
            found |= _strings(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and inside:
        found.add(str(value))
