"""``marksweep show``, ``verify``, ``approve`` and ``status``: everything that only reads a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.report.document import Document


def show(
    plan: opt.PlanPath,
    trust: opt.TrustFile = None,
    entries: Annotated[int, typer.Option("--entries", "-n", min=0, help="List the first N entries, too.")] = 0,
    json: opt.Json = False,
) -> None:
    """Show what a plan would delete, what it keeps and why. The plan is verified first; an expired one is shown as such."""
    from marksweep.cli.identity import trust as trusted
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import entry_lines, summary
    from marksweep.cli.wire import utc_now
    from marksweep.plan.verify import inspect
    from marksweep.report.documents import ShowResult

    def work() -> tuple[Document, ExitStatus]:
        now = utc_now()
        with inspect(plan, trusted(trust), now) as verified:
            return ShowResult(plan=summary(verified, now), entries=entry_lines(verified, entries)), ExitStatus.DONE

    conclude(Screen(json), work)


def verify(
    plan: opt.PlanPath, trust: opt.TrustFile = None, approvals: opt.Approvals = 0, json: opt.Json = False
) -> None:
    """Prove that a plan is whole, signed by a trusted key, not expired, and approved by enough people."""
    from marksweep.cli.identity import trust as trusted
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import utc_now
    from marksweep.plan.verify import verify as verify_plan
    from marksweep.report.documents import SignerFacts, VerifyResult

    def work() -> tuple[Document, ExitStatus]:
        with verify_plan(plan, trusted(trust), utc_now(), approvals=approvals) as verified:
            totals, signer = verified.header.totals, verified.signer
            return (
                VerifyResult(
                    path=str(plan),
                    digest=verified.digest,
                    approvals=verified.approvers,
                    approvals_needed=approvals,
                    signer=SignerFacts(principal=signer.principal, fingerprint=signer.fingerprint),
                    expires=verified.header.plan.expires,
                    entries=totals.entries,
                    objects=totals.objects,
                    bytes=totals.bytes,
                ),
                ExitStatus.DONE,
            )

    conclude(Screen(json), work)


def approve(
    plan: opt.PlanPath,
    trust: opt.TrustFile = None,
    key: opt.KeyFile = None,
    name: Annotated[
        str | None, typer.Option("--as", help="The name of the approval's file; default: this account.")
    ] = None,
    json: opt.Json = False,
) -> None:
    """Sign a plan as its reviewer: writes one small file beside it, to be committed with it."""
    from marksweep.cli.identity import principal, signing
    from marksweep.cli.identity import trust as trusted
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import utc_now
    from marksweep.plan.approvals import approve as write_approval
    from marksweep.plan.verify import verify as verify_plan
    from marksweep.report.documents import ApproveResult

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        with verify_plan(plan, trusted(trust), utc_now()) as verified:
            signer = signing(key, screen.tell).key
            if signer.public.blob == verified.key.blob:
                raise UsageError(
                    f"the key {signer.fingerprint} made this plan, and whoever made a plan never counts as its approver",
                    "ask somebody else to approve it, or give another key with --key",
                )
            path = write_approval(verified, signer, principal() if name is None else name)
            return (
                ApproveResult(
                    path=str(plan), digest=verified.digest, approval=str(path), fingerprint=signer.fingerprint
                ),
                ExitStatus.DONE,
            )

    conclude(screen, work)


def status(plan: opt.PlanPath, trust: opt.TrustFile = None, json: opt.Json = False) -> None:
    """How far the sweep of a plan is: done, left, failed, and at what rate."""
    from marksweep.cli.identity import trust as trusted
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.status import sweep_status
    from marksweep.cli.wire import utc_now
    from marksweep.plan.verify import inspect

    def work() -> tuple[Document, ExitStatus]:
        with inspect(plan, trusted(trust), utc_now()) as verified:
            return sweep_status(verified), ExitStatus.DONE

    conclude(Screen(json), work)
