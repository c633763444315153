"""From two verified plans to the document that says how they differ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import msgspec

from marksweep.model.policy import Policy
from marksweep.plan.diff import Difference, Fate, Movement, Pair, Tally, changes
from marksweep.plan.document import CatalogFacts, Header, StoreFacts, moment
from marksweep.plan.verify import SignedPlan
from marksweep.report.diff_documents import (
    DiffArtifact,
    DiffEntries,
    DiffEntry,
    DiffFact,
    DiffRows,
    DiffSide,
    DiffTally,
    DiffTotals,
    DiffWhy,
    PlanDifference,
)
from marksweep.report.text import count, duration, size
from marksweep.report.words import dangers, filters, mode_words, undo_words

ARTIFACTS = 20
"""Artifacts that a difference names: those that changed most."""


def plan_difference(
    before: SignedPlan, now: SignedPlan, found: Difference, *, kept_file: bool = True
) -> PlanDifference:
    """The document of *found*, which is the difference of the two plans. Without *kept_file* the later one has no file."""
    moved = found.artifacts(ARTIFACTS)
    return PlanDifference(
        before=_side(before, str(before.path)),
        now=_side(now, str(now.path) if kept_file else None),
        same_catalog=before.header.catalog.server_id == now.header.catalog.server_id,
        totals=DiffTotals(
            new=_tally(found.total.fates[Fate.NEW]), gone=_tally(found.total.fates[Fate.GONE]),
            changed=_tally(found.total.fates[Fate.CHANGED]), same=_tally(found.total.fates[Fate.SAME]),
        ),
        artifacts=tuple(_artifact(*one) for one in moved),
        more_artifacts=found.artifacts_changed() - len(moved),
        facts=tuple(_facts(before, now)),
        rows=_rows(before.header.catalog, now.header.catalog),
    )  # fmt: skip


def diff_entries(found: Difference, why: dict[str, DiffWhy] | None = None) -> DiffEntries:
    """The first entries of each fate; *why* says of some, by id, why they are gone."""
    reasons = why or {}
    return DiffEntries(
        new=tuple(_entry(pair) for pair in found.first[Fate.NEW]),
        gone=tuple(_entry(pair, reasons) for pair in found.first[Fate.GONE]),
        changed=tuple(_entry(pair) for pair in found.first[Fate.CHANGED]),
    )


def _side(plan: SignedPlan, path: str | None) -> DiffSide:
    header, totals = plan.header, plan.header.totals
    return DiffSide(
        path=path, id=header.plan.id, digest=plan.digest, created=header.plan.created, mode=header.plan.mode,
        signer=plan.signer.principal, fingerprint=plan.signer.fingerprint, entries=totals.entries,
        objects=totals.objects, bytes=totals.bytes, versions_in_catalog=totals.versions_in_catalog,
    )  # fmt: skip


def _tally(tally: Tally) -> DiffTally:
    return DiffTally(entries=tally.entries, objects=tally.objects, bytes=tally.bytes)


def _artifact(project: str, artifact: str, movement: Movement) -> DiffArtifact:
    fates = movement.fates
    return DiffArtifact(
        project=project, artifact=artifact, new=fates[Fate.NEW].entries, gone=fates[Fate.GONE].entries,
        changed=fates[Fate.CHANGED].entries, entries_before=movement.before.entries,
        entries_now=movement.now.entries, bytes_before=movement.before.bytes, bytes_now=movement.now.bytes,
    )  # fmt: skip


def _entry(pair: Pair, why: dict[str, DiffWhy] | None = None) -> DiffEntry:
    before, now = pair
    entry = now or before
    assert entry is not None, "a pair holds an entry"
    return DiffEntry(
        id=entry.id, artifact=entry.artifact, version=entry.version, project=entry.project, uri=entry.uri,
        objects=entry.objects, bytes=entry.bytes, created=entry.created, changes=tuple(_change_words(pair)),
        why=(why or {}).get(entry.id),
    )  # fmt: skip


def _change_words(pair: Pair) -> Iterator[str]:
    before, now = pair
    if before is None or now is None:
        return
    for member in changes(before, now):
        match member:
            case "objects":
                yield f"{count(before.objects)} objects then, {count(now.objects)} now"
            case "bytes":
                yield f"{size(before.bytes)} then, {size(now.bytes)} now"
            case "fingerprint":
                yield "its objects were written since"
            case "uri":
                yield f"its URI was spelled {before.uri}"
            case _:
                yield f"{before.reason} then, {now.reason} now"


def _facts(before: SignedPlan, now: SignedPlan) -> Iterator[DiffFact]:
    then, today = before.header, now.header
    yield from _choices(then.policy, today.policy)
    for name in ("kind", "server_id", "schema", "release", "dialect", "instance"):
        yield from _fact("catalog", name, getattr(then.catalog, name), getattr(today.catalog, name))
    yield from _stores(then.stores, today.stores)
    yield from _fact("plan", "mode", mode_words(then.plan.mode), mode_words(today.plan.mode))
    yield from _fact("plan", "signer", _signer(before), _signer(now))
    yield from _fact("plan", "tool", then.plan.tool, today.plan.tool)
    yield from _fact("plan", "life", _life(then), _life(today))


def _fact(
    part: Literal["policy", "catalog", "store", "plan"], name: str, before: str, now: str, *, danger: bool = False
) -> Iterator[DiffFact]:
    if before != now:
        yield DiffFact(part=part, name=name, before=before, now=now, danger=danger)


def _choices(before: Policy, now: Policy) -> Iterator[DiffFact]:
    for member in Policy.__struct_fields__:
        risky = bool(dangers(_alone(now, member)))
        yield from _fact("policy", member, choice_words(before, member), choice_words(now, member), danger=risky)


def choice_words(policy: Policy, member: str) -> str:
    """One choice of *policy* in words; empty where it is not made."""
    alone = _alone(policy, member)
    if member == "min_age":
        return f"minimum age {duration(policy.min_age)}"
    if member == "sizes":
        return "" if policy.sizes else "--no-size: the objects are not looked at"
    usual = filters(Policy())
    return "; ".join(said for said in (*filters(alone), *dangers(alone)) if said not in usual)


def _alone(policy: Policy, member: str) -> Policy:
    """A policy that makes that one choice only."""
    return msgspec.structs.replace(Policy(), **{member: getattr(policy, member)})


def _stores(before: tuple[StoreFacts, ...], now: tuple[StoreFacts, ...]) -> Iterator[DiffFact]:
    then, today = (
        {store.root: f"{store.flavor}, {undo_words(store.undo)}" for store in some} for some in (before, now)
    )
    for root in sorted(then.keys() | today.keys()):
        yield from _fact("store", root, then.get(root, ""), today.get(root, ""))


def _signer(plan: SignedPlan) -> str:
    return f"{plan.signer.principal} ({plan.signer.fingerprint})"


def _life(header: Header) -> str:
    """How long the plan may wait for its sweep; the times themselves always differ."""
    span: timedelta = moment(header.plan.expires) - moment(header.plan.created)
    return f"may be swept for {duration(span)}"


def _rows(before: CatalogFacts, now: CatalogFacts) -> tuple[DiffRows, ...]:
    tables = sorted(before.rows.keys() | now.rows.keys())
    return tuple(
        DiffRows(table=table, before=before.rows.get(table), now=now.rows.get(table))
        for table in tables
        if before.rows.get(table) != now.rows.get(table)
    )
