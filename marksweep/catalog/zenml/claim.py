"""Recheck and claim, in one short transaction in which nobody else writes.

The order follows the proof in the race analysis: lock, compare the row with the plan, look for references in separate
statements, look at URIs that appeared since, delete children before parents, make the intent durable, commit. With
foreign keys off the deletes are right only because the schema guard has proved the list of children complete, so the
schema is compared again inside every transaction.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest, ClaimRules
from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.references import references
from marksweep.catalog.zenml.schema import Schema
from marksweep.catalog.zenml.soft import Mentions
from marksweep.catalog.zenml.survey import service_claims, utc
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.outcome import Mode
from marksweep.model.uri import claims, contains
from marksweep.model.verdict import TOMBSTONE
from marksweep.model.version import ReferenceKind

_metadata = sa.MetaData()
BATCH = sa.Table("marksweep_batch", _metadata, sa.Column("id", sa.CHAR(32), primary_key=True), prefixes=["TEMPORARY"])
"""Temporary: the row ids of the batch at hand."""


@dataclass(slots=True)
class Claimer:
    """Claims on one connection, inside transactions that its caller opens."""

    connection: sa.Connection
    schema: Schema
    mentions: Mentions

    def answers(self, requests: Sequence[ClaimRequest], rules: ClaimRules) -> list[Claimed]:
        """What the recheck finds for each request; nothing is changed yet."""
        self.load(known.row_id(r.id) for r in requests)
        ids = {known.row_id(r.id): r for r in requests}
        rows = {row.id: row for row in self._rows()}
        linked = [row_id for row_id, request in ids.items() if request.linked]
        references = self._references(rules, linked)
        overlaps = self.overlapping({r.id: r.uri for r in requests}, rules.since)
        answers = []
        for row_id, request in ids.items():
            row = rows.get(row_id)
            if row is None and request.id in overlaps:  # the rest of its unit must not take the newcomer's bytes along
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

    def load(self, row_ids: Iterable[str]) -> None:
        """Fill the temporary table of the batch."""
        _metadata.create_all(self.connection)
        self.connection.execute(sa.delete(BATCH))
        rows = [{"id": row_id} for row_id in row_ids]
        if rows:
            self.connection.execute(sa.insert(BATCH), rows)

    def _rows(self) -> Sequence[Any]:
        version = self.schema.table("artifact_version")
        query = sa.select(version.c.id, version.c.uri, version.c.updated).where(version.c.id.in_(sa.select(BATCH.c.id)))
        return self.connection.execute(query).fetchall()

    def _references(self, rules: ClaimRules, linked: Sequence[str]) -> dict[str, str]:
        """Row id -> the first references found: one joined scan per reference table, then the soft ones.

        A model link is no reference only if the plan saw that the version has some, and was told to ignore them, and this
        one is as old as the plan.
        """
        batch = sa.select(BATCH.c.id)
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
        for row_id, kind, _ in self.mentions.live(self.connection, among=batch):
            found.setdefault(row_id, kind.value)
        words = dict.fromkeys(found, "")
        for row_id, reference in references(self.connection, self.schema, self.mentions, sorted(found)[:50]):
            if not words[row_id] and reference.kind == found[row_id]:
                words[row_id] = f"{reference.kind}: {reference.holder}"
        return {row_id: words[row_id] or kind for row_id, kind in found.items()}

    def overlapping(self, uris: Mapping[str, str], since: datetime) -> dict[str, str]:
        """Of *uris* (id -> URI), those that a row created or changed *since* also claims.

        Rows of *uris* count only if they moved: as planned, the mark has compared them with each other.
        """
        wanted = {id_: claims(uri.removeprefix(TOMBSTONE)) for id_, uri in uris.items()}
        found: dict[str, str] = {}
        newcomers = list(self._newcomers({known.row_id(i): uri for i, uri in uris.items()}, since.replace(tzinfo=None)))
        if not newcomers:
            return found
        exact: dict[str, list[str]] = {}
        for id_, keys in wanted.items():
            for key in keys:
                exact.setdefault(key, []).append(id_)
        ordered = sorted(exact)
        for other, keys in newcomers:
            for key in keys:
                for id_ in _overlaps(key, exact, ordered):
                    found[id_] = f"{other}, created or changed since the plan, claims the same place"
        return found

    def _newcomers(self, own: Mapping[str, str], moment: datetime) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Who claims which keys by a row created or changed since *moment*: versions, visualizations, logs, services."""
        version = self.schema.table("artifact_version")
        recent = sa.or_(version.c.created >= moment, version.c.updated >= moment)
        for row_id, uri in self.connection.execute(sa.select(version.c.id, version.c.uri).where(recent)).fetchall():
            if own.get(row_id) not in (uri, uri.removeprefix(TOMBSTONE)):
                yield f"version {known.dashed(row_id)}", claims(uri.removeprefix(TOMBSTONE))
        shown = self.schema.table(known.VISUALIZATION[0])
        query = sa.select(shown.c.artifact_version_id, shown.c.uri).where(shown.c.created >= moment)
        for row_id, uri in self.connection.execute(query).fetchall():
            if row_id not in own:
                yield f"a visualization of version {known.dashed(row_id)}", claims(uri)
        logs = self.schema.get("logs")
        if logs is not None and "uri" in logs.c and "created" in logs.c:
            written = sa.select(logs.c.uri).where(logs.c.created >= moment, logs.c.uri.is_not(None))
            for uri in self.connection.execute(written).scalars().all():
                yield "a log file", claims(uri)
        for claim in service_claims(self.connection, self.schema):
            yield claim.holder, claims(claim.uri)

    def remove(self, claimed: Sequence[Claimed], rules: ClaimRules) -> list[Claimed]:
        """Take the claimed versions out of reach; return the answers with images of the removed rows."""
        self.load(known.row_id(c.id) for c in claimed if c.answer is ClaimAnswer.CLAIMED)
        version = self.schema.table("artifact_version")
        batch = sa.select(BATCH.c.id)
        expected = sum(c.answer is ClaimAnswer.CLAIMED for c in claimed)
        images: dict[str, dict[str, list[dict[str, object]]]] = {}
        rows = self.connection.execute(sa.select(version).where(version.c.id.in_(batch))).mappings().all()
        for row in rows:
            images.setdefault(row["id"], {}).setdefault(str(version.name), []).append(_image(row))
        if rules.mode is Mode.ONLY_ARTIFACT:
            marked = sa.update(version).where(version.c.id.in_(batch)).values(uri=sa.literal(TOMBSTONE) + version.c.uri)
            self._exactly(self.connection.execute(marked).rowcount, expected)
        else:
            for table, owner in self._owned(rules):
                for row in self.connection.execute(sa.select(table).where(owner)).mappings().all():
                    images[_owner_id(row)].setdefault(str(table.name), []).append(_image(row))
                self.connection.execute(sa.delete(table).where(owner))
            self._exactly(self.connection.execute(sa.delete(version).where(version.c.id.in_(batch))).rowcount, expected)
            self._remove_empty_artifacts({str(r["artifact_id"]): str(r["id"]) for r in rows}, rules, images)
        return [replace(c, image=images.get(known.row_id(c.id))) for c in claimed]

    def _owned(self, rules: ClaimRules) -> Iterator[tuple[sa.Table, sa.ColumnElement[bool]]]:
        """The rows that go with a version: its visualizations, its generic rows, and ignored model links."""
        batch = sa.select(BATCH.c.id)
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
        artifact, version = self.schema.table("artifact"), self.schema.table("artifact_version")
        ids = sorted(artifacts)
        self.load(ids)
        batch = sa.select(BATCH.c.id)
        empty = sa.select(artifact).where(
            artifact.c.id.in_(batch),
            artifact.c.id.not_in(sa.select(version.c.artifact_id).where(version.c.artifact_id.in_(batch))),
            artifact.c.created < rules.artifacts_before.replace(tzinfo=None),
        )
        gone = self.connection.execute(empty).mappings().all()
        for row in gone:
            images[artifacts[row["id"]]].setdefault(str(artifact.name), []).append(_image(row))
        self.load(row["id"] for row in gone)
        for table in self.schema.owned_resources:
            owned = sa.and_(table.c.resource_type == known.RESOURCE_ARTIFACT, table.c.resource_id.in_(batch))
            for row in self.connection.execute(sa.select(table).where(owned)).mappings().all():
                images[artifacts[row["resource_id"]]].setdefault(str(table.name), []).append(_image(row))
            self.connection.execute(sa.delete(table).where(owned))
        self._exactly(self.connection.execute(sa.delete(artifact).where(artifact.c.id.in_(batch))).rowcount, len(gone))

    def restore(self, ids: Sequence[str]) -> None:
        """Give the rows with the row *ids* their URI back: they turned out to be in use."""
        version = self.schema.table("artifact_version")
        self.load(ids)
        self.connection.execute(
            sa.update(version)
            .where(version.c.id.in_(sa.select(BATCH.c.id)), version.c.uri.startswith(TOMBSTONE, autoescape=True))
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
            held.setdefault(unit_of[answer.id], answer)
    return [
        Claimed(
            a.id, ClaimAnswer.PROTECTED, f"it shares bytes with {held[unit_of[a.id]].id}: {held[unit_of[a.id]].detail}"
        )
        if a.answer is ClaimAnswer.CLAIMED and unit_of[a.id] in held
        else a
        for a in answers
    ]


def _overlaps(key: str, exact: Mapping[str, list[str]], ordered: Sequence[str]) -> Iterator[str]:
    """The ids whose key is, contains, or lies in *key*; *ordered* are the sorted keys of *exact*."""
    position = key.find("/", key.find("://") + 3) + 1
    while position:
        yield from exact.get(key[:position], ())
        position = key.find("/", position) + 1
    for other in itertools.islice(ordered, bisect.bisect_right(ordered, key), None):
        if not contains(key, other):
            break
        yield from exact[other]


def _image(row: Mapping[Any, Any]) -> dict[str, object]:
    """A row as plain values, its column names as plain strings."""
    return {str(name): value for name, value in row.items()}


def _owner_id(row: Mapping[Any, Any]) -> str:
    return str(row["artifact_version_id"] if "artifact_version_id" in row else row["resource_id"])
