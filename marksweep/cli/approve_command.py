"""``marksweep approve``: a person looks at a plan's summary, says yes, and signs."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, Interrupted, SignatureRefused, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from marksweep.cli.screen import Screen
    from marksweep.plan.allowed_signers import Trust
    from marksweep.plan.publickey import PublicKey
    from marksweep.plan.verify import ReviewedPlan
    from marksweep.report.document import Document
    from marksweep.report.documents import PlanSummary
    from marksweep.report.overview_documents import Overview


def approve(
    plan: opt.PlanPath,
    trust: opt.TrustFile = None,
    key: opt.KeyFile = None,
    name: Annotated[
        str | None,
        typer.Option("--as", help="The name of the approval's file; default: the trust file's name for the key."),
    ] = None,
    yes: opt.Yes = False,
    json: opt.Json = False,
) -> None:
    """Look at a plan's summary and sign it as its reviewer: one small file beside it, to be committed with it."""
    from marksweep.cli.authority import authority
    from marksweep.cli.identity import signing
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import overview, summary, trust_facts
    from marksweep.cli.wire import entries_source, utc_now
    from marksweep.plan.approvals import approve as write_approval
    from marksweep.plan.approvals import check_free, recount
    from marksweep.plan.document import APPROVE_NAMESPACE
    from marksweep.plan.verify import review
    from marksweep.report.trust_documents import ApproveResult

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        now, found = utc_now(), authority(trust, plan, screen.tell)
        with review(plan, found.trust, now, rules=found.rulebook, fetch=entries_source()) as reviewed:
            signer = signing(key, screen.tell).key
            allowed = found.trust if reviewed.rules.require_touch else found.trust.without_touch()
            _refuse_planner(reviewed, signer.public, allowed)
            chosen = _name(signer.public, allowed, now) if name is None else name
            check_free(reviewed, signer.public, chosen)
            if not yes:
                _check_terminal()
                whole = overview(reviewed, now, for_review=True)
                _ask(screen, summary(reviewed, now), whole, signer.public, chosen)
            touch = allowed.touch_required(signer.public, APPROVE_NAMESPACE, now)
            path = write_approval(reviewed, signer, chosen, touch_required=touch)
            quorum = recount(reviewed, allowed, now)
            return (
                ApproveResult(
                    path=str(plan),
                    digest=reviewed.digest,
                    approval=str(path),
                    fingerprint=signer.public.fingerprint,
                    approvals=quorum.approvers,
                    approvals_needed=reviewed.approvals_needed,
                    does_not_count=quorum.why_not(path),
                    trusted=trust_facts(found),
                ),
                ExitStatus.DONE,
            )

    conclude(screen, work)


def _refuse_planner(plan: ReviewedPlan, key: PublicKey, trust: Trust) -> None:
    """Raise UsageError when *key* is the planner's, by its bytes or by name, and no rule lets the planner approve."""
    from marksweep.plan.quorum import refuse_planner

    if plan.rules.approver_may_be_planner:
        return
    remedy = "ask somebody else to approve it, or give another key with --key"
    if key.blob == plan.key.blob:
        raise UsageError(
            f"the key {key.fingerprint} made this plan, and whoever made a plan never counts as its approver", remedy
        )
    try:
        refuse_planner(key, trust.everybody_with(key), plan.key, trust)
    except SignatureRefused as refused:
        raise UsageError(f"an approval by the key {key.fingerprint} would not count: {refused.fact}", remedy) from None


def _name(key: PublicKey, trust: Trust, now: datetime) -> str:
    """What the trust file calls the owner of *key*, as a file's name; this account where it says nothing."""
    from marksweep.cli.identity import principal
    from marksweep.plan.allowed_signers import is_literal
    from marksweep.plan.document import APPROVE_NAMESPACE

    names = trust.principals(key, APPROVE_NAMESPACE, now) or trust.everybody_with(key)
    literal = sorted(name for name in names if is_literal(name))
    if not literal:
        return principal()
    return re.sub(r"[^A-Za-z0-9._@+-]", "-", literal[0]).lstrip(".-")[:100] or principal()


def _check_terminal() -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "an approval is a person's word, and there is no terminal to ask at",
            "look at the plan with `marksweep show`, then add --yes",
        )


def _ask(screen: Screen, plan: PlanSummary, whole: Overview, key: PublicKey, name: str) -> None:
    """Show what is approved and ask; raise Interrupted on no."""
    from marksweep.report.confirm import approval

    screen.err.print(approval(plan, whole, key.fingerprint, name), soft_wrap=True)
    try:
        confirmed = typer.confirm("Approve?", default=False, err=True)
    except typer.Abort:  # Ctrl-C or Ctrl-D
        screen.err.print()
        confirmed = False
    if not confirmed:
        raise Interrupted("not approved, and nothing was written", "run the same command again when the plan is right")
