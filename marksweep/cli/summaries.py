"""From what the phases return to the documents that are shown."""

from __future__ import annotations

from datetime import datetime

import msgspec

from marksweep.cli.authority import Authority
from marksweep.errors import ExitStatus
from marksweep.model.instant import from_text
from marksweep.plan.document import CardHeader
from marksweep.plan.rules import Rules
from marksweep.plan.verify import SignedPlan
from marksweep.report.documents import (
    BooksFacts,
    CanaryFacts,
    EntryLine,
    HarmedFacts,
    PlanSummary,
    RequestFacts,
    SignerFacts,
    SweepResult,
)
from marksweep.report.overview import overview as overview_of
from marksweep.report.overview_documents import Overview
from marksweep.report.trust_documents import TrustFacts
from marksweep.store.tuning import Meter
from marksweep.sweep.books import Books
from marksweep.sweep.canary_record import Canary, Harmed


def requests(meter: Meter) -> RequestFacts:
    """What the stores were asked."""
    asked = meter.requests
    return RequestFacts(
        list=asked["list"], delete=asked["delete"], other=asked["other"], repeated=meter.retries, slowed=meter.refusals
    )


def trust_facts(found: Authority) -> TrustFacts:
    """Where trust and policy were taken from."""
    return TrustFacts(source=found.source, policy=found.rulebook.source or None, own=found.own, branch=found.branch)


def under(rules: Rules, plan: PlanSummary, broken: tuple[str, ...]) -> PlanSummary:
    """A new plan at a glance, with what its catalog's *rules* ask of it."""
    return msgspec.structs.replace(plan, approvals_needed=rules.approvals, broken=broken)


def with_trust(ended: tuple[SweepResult, ExitStatus], found: Authority) -> tuple[SweepResult, ExitStatus]:
    """What a sweep *ended* with, and on whose word it ran."""
    result, status = ended
    return msgspec.structs.replace(result, trusted=trust_facts(found)), status


def summary(plan: SignedPlan, now: datetime) -> PlanSummary:
    """A verified plan at a glance."""
    header = plan.header
    return PlanSummary(
        path=str(plan.path),
        id=header.plan.id,
        digest=plan.digest,
        created=header.plan.created,
        expires=header.plan.expires,
        tool=header.plan.tool,
        mode=header.plan.mode,
        catalog=header.catalog,
        policy=header.policy,
        stores=header.stores,
        entries=header.totals.entries,
        objects=header.totals.objects,
        bytes=header.totals.bytes,
        versions_in_catalog=header.totals.versions_in_catalog,
        kept=header.totals.kept,
        groups=header.groups,
        signer=SignerFacts(principal=plan.signer.principal, fingerprint=plan.signer.fingerprint),
        approvals=plan.approvers,
        approvals_needed=plan.approvals_needed,
        broken=plan.broken,
        expired=from_text(header.plan.expires) <= now,
        entries_uri=header.entries_uri if isinstance(header, CardHeader) else None,
    )


def overview(plan: SignedPlan, now: datetime, *, for_review: bool) -> Overview:
    """What a verified plan looks like as a whole; reads its entries once. *for_review*: people are to approve it."""
    approvals = plan.approvers if for_review else None
    return overview_of(plan.header, plan.entries(), now=now, approvals=approvals, broken=plan.broken)


def entry_lines(plan: SignedPlan, most: int) -> tuple[EntryLine, ...]:
    """The first *most* entries."""
    lines: list[EntryLine] = []
    for entry in plan.entries():
        if len(lines) >= most:
            break
        lines.append(
            EntryLine(
                id=entry.id,
                artifact=entry.artifact,
                version=entry.version,
                project=entry.project,
                uri=entry.uri,
                objects=entry.objects,
                bytes=entry.bytes,
                created=entry.created,
                reason=entry.reason,
            )
        )
    return tuple(lines)


def books_facts(books: Books) -> BooksFacts:
    """The books as a document."""
    return BooksFacts(
        planned=books.planned,
        deleted=books.deleted,
        gone=books.gone,
        referenced=books.referenced,
        changed=books.changed,
        protected=books.protected,
        failed=books.failed,
        not_attempted=books.not_attempted,
        in_doubt=books.in_doubt,
        objects=books.objects,
        bytes=books.bytes,
        left=books.left,
        restored=books.restored,
    )


def canary_facts(canary: Canary | None, most: int) -> CanaryFacts | None:
    """A canary as a document; the first *most* of those that it harmed."""
    if canary is None:
        return None
    return CanaryFacts(
        state=canary.state, entries=canary.entries, beside=canary.beside, witnesses=len(canary.witnesses),
        harmed=tuple(_harmed_facts(harmed) for harmed in canary.harmed[:most]),
    )  # fmt: skip


def _harmed_facts(harmed: Harmed) -> HarmedFacts:
    then = harmed.witness
    return HarmedFacts(
        id=then.id, uri=then.uri, objects_before=then.objects, bytes_before=then.bytes, objects_after=harmed.objects,
        bytes_after=harmed.bytes,
    )  # fmt: skip
