"""References that no foreign key shows: versions that JSON text mentions, by id or by name.

An input given to a pipeline when it is compiled stands only in the JSON of its snapshot, for a schedule perhaps for ever.
Mentions are collected once into a temporary table and then only added to; whether the mentioning snapshot is *live* (by
ZenML's own rule, ``_snapshot_is_referenced`` in ``zen_stores/sql_zen_store.py``) is asked each time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.schema import Schema
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.policy import CLOCK_SKEW, SNAPSHOT_SETTLES
from marksweep.model.version import ReferenceKind

_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_BY_NAME = ("client_lazy_loaders", "model_artifacts_or_metadata", "external_input_artifacts")
_HAS_NAMES = re.compile(rf'\\?"(?:{"|".join(_BY_NAME)})\\?"\s*:\s*\{{\s*\\?"')
_PAGE = 200

_metadata = sa.MetaData()
MENTION = sa.Table(
    "marksweep_mention",
    _metadata,
    sa.Column("version_id", sa.CHAR(32), primary_key=True),
    sa.Column("holder", sa.String(16), primary_key=True),
    sa.Column("holder_id", sa.CHAR(32), primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    prefixes=["TEMPORARY"],
)
"""Temporary: which row (``snapshot`` or ``step_run``) mentions which version, and how."""
NAMED = sa.Table(
    "marksweep_named",
    _metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("holder", sa.String(16), primary_key=True),
    sa.Column("holder_id", sa.CHAR(32), primary_key=True),
    sa.Column("digest", sa.CHAR(64), primary_key=True),
    sa.Column("labels", sa.Text),
    prefixes=["TEMPORARY"],
)
"""Temporary: strings that a lazy loader may take for an artifact's name, with the strings that may be its version.

One holder has many texts (a snapshot's steps), each with labels of its own: the digest of the labels tells them apart.
"""


@dataclass(slots=True)
class Mentions:
    """The mentions seen so far on one connection."""

    schema: Schema
    seen: dict[str, int] = field(default_factory=dict)
    scanned_at: datetime | None = None

    def refresh(self, connection: sa.Connection, now: datetime) -> None:
        """Read what was written since the last call (everything, the first time), in short pages."""
        if self.scanned_at is None:
            _metadata.create_all(connection)
        for table, columns in known.CONFIGURATIONS.items():
            source = self.schema.get(table)
            if source is not None:
                present = [source.c[c] for c in columns if c in source.c]
                if present:
                    self._scan(connection, source, present)
        self._resolve_names(connection)
        self.scanned_at = now

    def _scan(self, connection: sa.Connection, source: sa.Table, texts: list[sa.Column[str]]) -> None:
        rowid: sa.ColumnElement[int] = sa.literal_column(f"{source.name}.rowid", sa.Integer)
        holder = _holder(source)
        after = self.seen.get(source.name, 0)
        changed: sa.ColumnElement[bool] = sa.false()
        if self.scanned_at is not None and "updated" in source.c:
            moment = (self.scanned_at - CLOCK_SKEW).replace(tzinfo=None)
            changed = sa.and_(rowid <= after, source.c.updated >= moment)
        for row in connection.execute(sa.select(rowid, *holder, *texts).where(changed)).fetchall():
            self._note(connection, row)
        while True:
            query = sa.select(rowid, *holder, *texts).where(rowid > after).order_by(rowid).limit(_PAGE)
            rows = connection.execute(query).fetchall()
            if not rows:
                break
            for row in rows:
                self._note(connection, row)
            after = int(rows[-1][0])
        self.seen[source.name] = after

    def _note(self, connection: sa.Connection, row: Sequence[Any]) -> None:
        snapshot_id, step_run_id, *texts = row[1:]
        holders = [(h, i) for h, i in (("snapshot", snapshot_id), ("step_run", step_run_id)) if i is not None]
        for text in texts:
            if not isinstance(text, str):
                continue
            for found in {known.row_id(m) for m in _UUID.findall(text)}:
                for holder, holder_id in holders:
                    _insert(connection, found, holder, str(holder_id), ReferenceKind.CONFIGURATION)
            if _HAS_NAMES.search(text):
                names = sorted(_strings(text))
                labels = "\n".join(names)
                digest = hashlib.sha256(labels.encode("utf-8", "surrogateescape")).hexdigest()
                rows = [
                    {"name": name, "holder": holder, "holder_id": str(holder_id), "digest": digest, "labels": labels}
                    for name in names
                    for holder, holder_id in holders
                ]
                if rows:
                    connection.execute(sa.insert(NAMED).prefix_with("OR IGNORE"), rows)

    def _resolve_names(self, connection: sa.Connection) -> None:
        """A name means its newest version when the step starts, or the version whose label stands beside it."""
        artifact = self.schema.table("artifact")
        named = connection.execute(
            sa.select(NAMED.c.holder, NAMED.c.holder_id, NAMED.c.labels, artifact.c.id).join(
                artifact, artifact.c.name == NAMED.c.name
            )
        ).fetchall()
        connection.execute(sa.delete(MENTION).where(MENTION.c.kind == ReferenceKind.LAZY_LOADER.value))
        versions: dict[str, list[tuple[str, str, bool]]] = {}
        for holder, holder_id, labels, artifact_id in named:
            if artifact_id not in versions:
                versions[artifact_id] = self._versions(connection, artifact_id)
            wanted = set(labels.split("\n"))
            for version_id, label, newest in versions[artifact_id]:
                if newest or label in wanted:
                    _insert(connection, version_id, holder, holder_id, ReferenceKind.LAZY_LOADER)

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
        self, connection: sa.Connection, among: sa.Select[Any] | None = None
    ) -> Iterator[tuple[str, ReferenceKind, str]]:
        """The mentions whose holder is live: (version's row id, kind, holder in words), all or *among* some ids."""
        query = sa.select(MENTION)
        if among is not None:
            query = query.where(MENTION.c.version_id.in_(among))
        mentions = connection.execute(query).fetchall()
        snapshots = self._live_snapshots(connection, {m.holder_id for m in mentions if m.holder == "snapshot"})
        runs = self._present(connection, {m.holder_id for m in mentions if m.holder == "step_run"})
        for mention in mentions:
            if mention.holder_id in (snapshots if mention.holder == "snapshot" else runs):
                words = f"{mention.holder.replace('_', ' ')} {known.dashed(mention.holder_id)}"
                yield mention.version_id, ReferenceKind(mention.kind), words

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
        if self.scanned_at is not None and "created" in table.c:
            marks.append(table.c.created >= (self.scanned_at - SNAPSHOT_SETTLES).replace(tzinfo=None))
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


def _insert(connection: sa.Connection, version_id: str, holder: str, holder_id: str, kind: ReferenceKind) -> None:
    connection.execute(
        sa.insert(MENTION).prefix_with("OR IGNORE"),
        {"version_id": version_id, "holder": holder, "holder_id": holder_id, "kind": kind.value},
    )


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
