"""``marksweep verify-receipt``: what a sweep's receipt proves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, GuardRefused

if TYPE_CHECKING:
    from marksweep.plan.receipt import Receipt
    from marksweep.report.document import Document

_SUFFIX = ".receipt.json"


def verify_receipt(
    given: Annotated[
        Path, typer.Argument(metavar="PLAN|RECEIPT", help="A plan that was swept, or its receipt.", show_default=False)
    ],
    trust: opt.TrustFile = None,
    json: opt.Json = False,
) -> None:
    """Prove that a receipt is whole, signed by a trusted key, and the one of the plan beside it; show its books."""
    from marksweep.cli.authority import authority
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import utc_now
    from marksweep.plan.receipt import receipt_path
    from marksweep.plan.receipt import verify_receipt as verify
    from marksweep.report.trust_documents import ReceiptResult

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        is_receipt = given.name.endswith(_SUFFIX)
        plan = given.with_name(given.name.removesuffix(_SUFFIX)) if is_receipt else given
        found = verify(receipt_path(plan), authority(trust, plan, screen.tell).trust, utc_now())
        receipt = found.receipt
        return (
            ReceiptResult(
                path=str(found.path), plan=receipt.plan, plan_digest=receipt.plan_digest, mode=receipt.mode,
                tool=receipt.tool, started=receipt.started, finished=receipt.finished, principal=found.principal,
                fingerprint=found.fingerprint, outcomes=receipt.outcomes, journal=receipt.journal,
                plan_matches=_plan_matches(plan, found.path, receipt), journal_matches=_journal_matches(plan, receipt),
            ),
            ExitStatus.DONE,
        )  # fmt: skip

    conclude(screen, work)


def _plan_matches(plan: Path, path: Path, receipt: Receipt) -> bool | None:
    """True; None when there is no plan. Raises GuardRefused when the receipt is of another plan."""
    from contextlib import closing

    from marksweep.plan.card import open_plan

    if not plan.exists():
        return None
    with closing(open_plan(plan)) as found:
        header = found.header()
        for what, said, is_ in (
            ("digest", receipt.plan_digest, found.digest),
            ("id", receipt.plan, header.plan.id),
            ("mode", receipt.mode, header.plan.mode),
            ("number of entries", receipt.outcomes.planned, header.totals.entries),
        ):
            if said != is_:
                raise GuardRefused(
                    f"the receipt {path} is of another plan than {plan}: its {what} is {said}, and the plan's is {is_}",
                    "keep each plan together with the files that its sweep wrote beside it",
                )
    return True


def _journal_matches(plan: Path, receipt: Receipt) -> bool | None:
    from marksweep.sweep.journal_reader import journal_path, read_journal

    path = journal_path(plan)
    if not path.exists():
        return None
    with read_journal(path, receipt.plan_digest) as journal:
        return journal.digest() == receipt.journal
