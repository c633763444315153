"""``marksweep approve``: a person signs a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.report.document import Document


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
