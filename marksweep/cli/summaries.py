"""From what the phases return to the documents that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from marksweep.mark.explain import Explanation
from marksweep.mark.previous import Comparison
from marksweep.model.instant import from_text, to_text
from marksweep.plan.verify import SignedPlan
from marksweep.report.documents import (
    BooksFacts,
    CanaryFacts,
    ComparedFacts,
    EntryLine,
    HarmedFacts,
    PlanSummary,
    RequestFacts,
    SignerFacts,
)
from marksweep.report.explain_documents import AnswerFacts, ExplainedVersion, ReferenceFacts
from marksweep.store.tuning import Meter
from marksweep.sweep.books import Books
from marksweep.sweep.canary_record import Canary, Harmed


def requests(meter: Meter) -> RequestFacts:
    """What the stores were asked."""
    asked = meter.requests
    return RequestFacts(
        list=asked["list"], delete=asked["delete"], other=asked["other"], repeated=meter.retries, slowed=meter.refusals
    )


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
        expired=from_text(header.plan.expires) <= now,
    )


def compared(comparison: Comparison | None) -> ComparedFacts | None:
    """What ``--compare`` found, while that plan is open."""
    if comparison is None:
        return None
    before = comparison.before
    return ComparedFacts(
        path=str(before.path), digest=before.digest, created=before.header.plan.created,
        entries=before.header.totals.entries, versions_in_catalog=before.header.totals.versions_in_catalog,
        new=comparison.new, gone=comparison.gone,
    )  # fmt: skip


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


def explained(explanations: Sequence[Explanation]) -> tuple[ExplainedVersion, ...]:
    """Explanations as documents."""
    return tuple(
        ExplainedVersion(
            id=e.version.id,
            artifact=e.version.artifact,
            version=e.version.version,
            project=e.version.project,
            uri=e.version.uri,
            created=to_text(e.version.created),
            verdict=e.keeps.rule.value if e.keeps else "orphan",
            answers=tuple(AnswerFacts(rule=a.rule.value, keeps=a.keeps, detail=a.detail) for a in e.answers),
            references=tuple(ReferenceFacts(kind=r.kind.value, holder=r.holder) for r in e.references),
        )
        for e in explanations
    )
