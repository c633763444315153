"""The receipt that a sweep leaves, and that a restore rewrites: the books of the journal, signed."""

from __future__ import annotations

from pathlib import Path

from marksweep import __version__
from marksweep.catalog.port import Catalog
from marksweep.cli.summaries import books_facts
from marksweep.errors import MarksweepError
from marksweep.model.instant import to_text
from marksweep.plan.receipt import Outcomes, Receipt, write_receipt
from marksweep.plan.sshsig import Signer
from marksweep.plan.swept import SweptPlan
from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.books import Books
from marksweep.sweep.journal import Journal

_AGAIN = "put that right and run the same command again: nothing is done twice, and the receipt is written at its end"


def leave_receipt(
    plan: VerifiedPlan | SweptPlan, catalog: Catalog, journal: Journal, found: Books, key: Signer
) -> Path:
    """Write the receipt of *plan* with the books *found*, signed by *key*; return its path.

    Raises what :func:`marksweep.plan.receipt.write_receipt` raises, with what was deleted by then.
    """
    facts, header = books_facts(found), plan.header
    receipt = Receipt(
        plan=header.plan.id, plan_digest=plan.digest, mode=header.plan.mode, tool=f"marksweep {__version__}",
        started=journal.meta()["started"], finished=to_text(catalog.now()), journal=journal.digest(),
        outcomes=Outcomes(**{name: getattr(facts, name) for name in Outcomes.__struct_fields__}),
    )  # fmt: skip
    try:
        return write_receipt(plan.path, receipt, key)
    except MarksweepError as error:
        error.fact = f"the work is done and journaled, but its receipt could not be signed or written: {error.fact}"
        error.remedy, error.deleted = f"{error.remedy}; {_AGAIN}", str(found)
        raise
