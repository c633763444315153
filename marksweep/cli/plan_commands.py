"""``marksweep verify`` and ``status``: what a plan proves, and how far its sweep is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus

if TYPE_CHECKING:
    from marksweep.report.document import Document


def verify(
    plan: opt.PlanPath, trust: opt.TrustFile = None, approvals: opt.Approvals = 0, json: opt.Json = False
) -> None:
    """Prove that a plan is whole, signed by a trusted key, not expired, and approved by enough people."""
    from marksweep.cli.authority import authority
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import trust_facts
    from marksweep.cli.wire import entries_source, utc_now
    from marksweep.plan.verify import verify as verify_plan
    from marksweep.report.documents import SignerFacts, VerifyResult

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        found = authority(trust, plan, screen.tell)
        with verify_plan(
            plan, found.trust, utc_now(), approvals=approvals, rules=found.rulebook, fetch=entries_source()
        ) as verified:
            totals, signer = verified.header.totals, verified.signer
            return (
                VerifyResult(
                    path=str(plan),
                    digest=verified.digest,
                    approvals=verified.approvers,
                    approvals_needed=verified.approvals_needed,
                    ignored=verified.ignored_approvals,
                    signer=SignerFacts(principal=signer.principal, fingerprint=signer.fingerprint),
                    expires=verified.header.plan.expires,
                    entries=totals.entries,
                    objects=totals.objects,
                    bytes=totals.bytes,
                    trusted=trust_facts(found),
                ),
                ExitStatus.DONE,
            )

    conclude(screen, work)


def status(plan: opt.PlanPath, trust: opt.TrustFile = None, json: opt.Json = False) -> None:
    """How far the sweep of a plan is: done, left, failed, and at what rate."""
    import msgspec

    from marksweep.cli.authority import authority
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.status import sweep_status
    from marksweep.cli.summaries import trust_facts
    from marksweep.cli.wire import entries_source, utc_now
    from marksweep.plan.verify import inspect

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        found = authority(trust, plan, screen.tell)
        with inspect(plan, found.trust, utc_now(), rules=found.rulebook, fetch=entries_source()) as verified:
            return msgspec.structs.replace(sweep_status(verified), trusted=trust_facts(found)), ExitStatus.DONE

    conclude(screen, work)
