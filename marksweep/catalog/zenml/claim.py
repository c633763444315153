"""Recheck and claim, in one short transaction in which what was locked is final.

The order follows the proof in the race analysis: lock, compare the row with the plan, look for references in separate
statements, look at URIs that appeared since, delete children before parents, make the intent durable, commit. On SQLite
nobody else writes meanwhile; with foreign keys off, the deletes are right only because the schema guard has proved the
list of children complete, so the schema is compared again inside every transaction. On InnoDB the lock on a version keeps
new links out, as each takes a shared lock on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest, ClaimRules
from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.newcomers import Newcomers
from marksweep.catalog.zenml.references import references
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.soft import Mentions
from marksweep.catalog.zenml.stored import stored
from marksweep.catalog.zenml.survey import utc
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.outcome import Mode
from marksweep.model.verdict import TOMBSTONE
from marksweep.model.version import ReferenceKind

Lock = Callable[[sa.Connection, sa.Select[Any]], Sequence[Any]]
"""Answers a query of rows by id with those that nobody else holds, locked until the transaction ends."""


@dataclass(slots=True)
class Claimer:
    """Claims on one connection, inside transactions that its caller opens."""

    connection: sa.Connection
    schema: Schema
    mentions: Mentions
    newcomers: Newcomers
    lock: Lock

    def answers(self, requests: Sequence[ClaimRequest], rules: ClaimRules) -> list[Claimed]:
        """What the recheck finds for each request; nothing is changed yet. Locks come first: what is read next is final."""
        ids = {known.row_id(r.id): r for r in requests}
        rows = {row.id: row for row in self.lock(self.connection, self._rows(ids))}
        missing = [row_id for row_id in ids if row_id not in rows]
        held = {row.id for row in self.connection.execute(self._rows(missing)).fetchall()} if missing else set()
        held |= self._held_visualizations(sorted(rows))
        linked = [row_id for row_id, request in ids.items() if request.linked]
        references = self._references(rules, sorted(ids), linked)
        overlaps = self.newcomers.overlapping(self.connection, {r.id: r.uri for r in requests}, rules.since, held=True)
        answers = []
        for row_id, request in ids.items():
            row = rows.get(row_id)
            if row_id in held:
                answers.append(Claimed(request.id, ClaimAnswer.BUSY, "somebody else holds its row: it is being linked"))
            elif row is None and request.id in overlaps:  # or the rest of its unit took the newcomer's bytes along
                answers.append(Claimed(request.id, ClaimAnswer.PROTECTED, f"its row is gone; {overlaps[request.id]}"))
            elif row is None:
                answers.append(Claimed(request.id, ClaimAnswer.GONE, "its row is gone from the catalog"))
            elif detail := _difference(request, row):
                answers.append(Claimed(request.id, ClaimAnswer.CHANGED, detail))
            elif row_id in references:
                answers.append(Claimed(request.id, ClaimAnswer.REFERENCED, references[row_id]))
            elif request.id in overlaps:
                answers.append(Claimed(request.id, ClaimAnswer.PROTECTED, overlaps[request.id]))
            else:
                answers.append(Claimed(request.id, ClaimAnswer.CLAIMED))
        return _whole_units(requests, answers)

    def _rows(self, ids: Collection[str]) -> sa.Select[Any]:
        """What is compared with the plan, in the order of ids: everybody who locks rows in one order waits in no circle."""
        version = self.schema.table("artifact_version")
        query = sa.select(version.c.id, version.c.uri, version.c.updated)
        return query.where(version.c.id.in_(sorted(ids))).order_by(version.c.id)

    def _held_visualizations(self, ids: Sequence[str]) -> set[str]:
        """Those of the locked versions *ids* of which somebody holds a visualization: to pin it locks that row alone.

        With their version locked, no visualization comes to it, and a locked one cannot be pinned.
        """
        if self.schema.curated is None or not ids:
            return set()
        shown = self.schema.table(known.VISUALIZATION[0])
        of = sa.select(shown.c.id, shown.c.artifact_version_id).where(shown.c.artifact_version_id.in_(ids))
        owners = {row.id: str(row.artifact_version_id) for row in self.connection.execute(of).fetchall()}
        if not owners:
            return set()
        rows = sa.select(shown.c.id).where(shown.c.id.in_(sorted(owners))).order_by(shown.c.id)
        locked = {row.id for row in self.lock(self.connection, rows)}
        return {version_id for row_id, version_id in owners.items() if row_id not in locked}

    def _references(self, rules: ClaimRules, batch: Sequence[str], linked: Sequence[str]) -> dict[str, str]:
        """Row id -> the first references found: one joined scan per reference table, then the soft ones.

        A model link is no reference only if the plan saw that the version has some, and was told to ignore them, and this
        one is as old as the plan.
        """
        found: dict[str, str] = {}
        for kind, column in self.schema.references.items():
            links = sa.select(column).distinct().where(column.in_(batch))
            if kind is ReferenceKind.MODEL_VERSION and rules.model_links_before is not None:
                newer = column.table.c.created >= rules.model_links_before.replace(tzinfo=None)
                links = links.where(sa.or_(newer, column.not_in(linked)))
            for row_id in self.connection.execute(links).scalars().all():
                found.setdefault(row_id, kind.value)
        curated = self.schema.curated
        if curated is not None:
            visualization = self.schema.table(known.VISUALIZATION[0])
            query = (
                sa.select(visualization.c.artifact_version_id)
                .join(curated, curated.c[known.CURATED[1]] == visualization.c.id)
                .where(visualization.c.artifact_version_id.in_(batch))
            )
            for row_id in self.connection.execute(query).scalars().all():
                found.setdefault(row_id, ReferenceKind.CURATED_VISUALIZATION.value)
        for row_id, kind, *_ in self.mentions.live(self.connection, batch):
            found.setdefault(row_id, kind.value)
        if not found:
            return {}
        words = dict.fromkeys(found, "")
        for row_id, reference in references(self.connection, self.schema, self.mentions, sorted(found)[:50]):
            if not words[row_id] and reference.kind == found[row_id]:
                words[row_id] = f"{reference.kind}: {reference.holder}"
        return {row_id: words[row_id] or kind for row_id, kind in found.items()}

    def remove(self, claimed: Sequence[Claimed], rules: ClaimRules) -> list[Claimed]:
        """Take the claimed versions out of reach; return the answers with images of the removed rows."""
        batch = sorted(known.row_id(c.id) for c in claimed if c.answer is ClaimAnswer.CLAIMED)
        version = self.schema.table("artifact_version")
        images: dict[str, dict[str, list[dict[str, object]]]] = {}
        rows = self._stored(version, version.c.id.in_(batch))
        for row in rows:
            images.setdefault(str(row["id"]), {}).setdefault(str(version.name), []).append(row)
        if rules.mode is Mode.ONLY_ARTIFACT:
            marked = sa.update(version).where(version.c.id.in_(batch)).values(uri=sa.literal(TOMBSTONE) + version.c.uri)
            self._exactly(self.connection.execute(marked).rowcount, len(batch))
        else:
            for table, owner in self._owned(rules, batch):
                if owned := self._stored(table, owner):
                    self.connection.execute(sa.delete(table).where(owner))
                for row in owned:
                    images[_owner_id(row)].setdefault(str(table.name), []).append(row)
            self._exactly(
                self.connection.execute(sa.delete(version).where(version.c.id.in_(batch))).rowcount, len(batch)
            )
            self._remove_empty_artifacts({str(r["artifact_id"]): str(r["id"]) for r in rows}, rules, images)
        return [replace(c, image=images.get(known.row_id(c.id))) for c in claimed]

    def _stored(self, table: sa.Table, where: sa.ColumnElement[bool]) -> list[dict[str, object]]:
        """Rows as the driver gives them, by the names of their columns."""
        found = self.connection.execute(stored(table).where(where))
        names = [str(name) for name in found.keys()]  # noqa: SIM118 - a result is no mapping
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _owned(self, rules: ClaimRules, batch: Sequence[str]) -> Iterator[tuple[sa.Table, sa.ColumnElement[bool]]]:
        """The rows that go with a version: its visualizations, its generic rows, and ignored model links."""
        visualization = self.schema.table(known.VISUALIZATION[0])
        yield visualization, visualization.c.artifact_version_id.in_(batch)
        for table in self.schema.owned_resources:
            yield table, sa.and_(table.c.resource_type == known.RESOURCE_VERSION, table.c.resource_id.in_(batch))
        if rules.model_links_before is not None:
            links = self.schema.table(known.MODEL_LINKS)
            yield links, links.c.artifact_version_id.in_(batch)

    def _remove_empty_artifacts(
        self, artifacts: dict[str, str], rules: ClaimRules, images: dict[str, dict[str, list[dict[str, object]]]]
    ) -> None:
        if rules.artifacts_before is None or not artifacts:
            return
        artifact = self.schema.table("artifact")
        # only what looks empty is locked: whoever writes a version of another artifact need not wait for this claim
        seemingly = self._without_versions(artifacts)
        if not seemingly:
            return
        old = sa.select(artifact.c.id).where(
            artifact.c.id.in_(seemingly), artifact.c.created < rules.artifacts_before.replace(tzinfo=None)
        )
        batch = self._without_versions([row.id for row in self.lock(self.connection, old.order_by(artifact.c.id))])
        if not batch:
            return
        gone = self._stored(artifact, artifact.c.id.in_(batch))
        for row in gone:
            images[artifacts[str(row["id"])]].setdefault(str(artifact.name), []).append(row)
        for table in self.schema.owned_resources:
            owned = sa.and_(table.c.resource_type == known.RESOURCE_ARTIFACT, table.c.resource_id.in_(batch))
            for row in self._stored(table, owned):
                images[artifacts[str(row["resource_id"])]].setdefault(str(table.name), []).append(row)
            self.connection.execute(sa.delete(table).where(owned))
        self._exactly(self.connection.execute(sa.delete(artifact).where(artifact.c.id.in_(batch))).rowcount, len(gone))

    def _without_versions(self, artifacts: Collection[str]) -> list[str]:
        version = self.schema.table("artifact_version")
        used = sa.select(version.c.artifact_id).distinct().where(version.c.artifact_id.in_(sorted(artifacts)))
        return sorted(set(artifacts) - set(self.connection.execute(used).scalars().all()))

    def restore(self, ids: Sequence[str]) -> None:
        """Give the rows with the row *ids* their URI back: they turned out to be in use."""
        version = self.schema.table("artifact_version")
        self.connection.execute(
            sa.update(version)
            .where(version.c.id.in_(sorted(ids)), version.c.uri.startswith(TOMBSTONE, autoescape=True))
            .values(uri=sa.func.substr(version.c.uri, len(TOMBSTONE) + 1))
        )

    def _exactly(self, changed: int, expected: int) -> None:
        if changed != expected:
            raise CatalogNotUnderstood(
                f"the catalog changed {changed} rows where {expected} were claimed; the transaction was rolled back",
                "something else than rows stands behind these tables (a trigger, a view): tell the maintainers",
            )


def _difference(request: ClaimRequest, row: Any) -> str:
    if row.uri != request.uri:
        return "its URI is not the planned one any more"
    if utc(row.updated) != request.updated:
        return f"its row was changed at {row.updated:%Y-%m-%d %H:%M:%S}Z, after the plan was made"
    return ""


def _whole_units(requests: Sequence[ClaimRequest], answers: Sequence[Claimed]) -> list[Claimed]:
    """A unit is claimed whole or not at all: its versions share bytes. A row that is gone holds nothing back."""
    unit_of = {r.id: r.unit for r in requests}
    held: dict[str, Claimed] = {}
    for answer in answers:
        if answer.answer not in (ClaimAnswer.CLAIMED, ClaimAnswer.GONE):
            other = held.get(unit_of[answer.id])
            if other is None or other.answer is ClaimAnswer.BUSY:  # whatever is certain comes before "ask again"
                held[unit_of[answer.id]] = answer
    open_ = (ClaimAnswer.CLAIMED, ClaimAnswer.BUSY)
    return [
        _held_back(a, held[unit_of[a.id]]) if a.answer in open_ and held.get(unit_of[a.id], a) is not a else a
        for a in answers
    ]


def _held_back(answer: Claimed, holder: Claimed) -> Claimed:
    because = ClaimAnswer.BUSY if holder.answer is ClaimAnswer.BUSY else ClaimAnswer.PROTECTED
    return Claimed(answer.id, because, f"it shares bytes with {holder.id}: {holder.detail}")


def _owner_id(row: Mapping[Any, Any]) -> str:
    return str(row["artifact_version_id"] if "artifact_version_id" in row else row["resource_id"])
