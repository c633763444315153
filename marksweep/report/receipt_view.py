"""A receipt on a terminal: who signed it, whether it belongs here, and the books."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.parts import CAUTION, GOOD, QUIET, STRONG, Part, Verbatim, digest_fact, fact_list, joined, words
from marksweep.report.text import count, counted, size, when
from marksweep.report.trust_documents import ReceiptResult


def receipt_view(result: ReceiptResult, width: int) -> Iterator[Part]:
    """``verify-receipt``: what was proved, and what became of the plan's entries."""
    yield Verbatim(joined(Text("✓ ", style=GOOD), words(result.path, STRONG), " is whole and signed by a trusted key"))
    found = result.outcomes
    books = [
        (name.replace("_", " "), count(number))
        for name in ("deleted", "gone", "referenced", "changed", "protected", "restored", "failed", "not_attempted")
        if (number := getattr(found, name))
    ]
    yield fact_list(
        [
            ("plan", f"{result.plan} · {counted(found.planned, 'entry', 'entries')}"),
            digest_fact(result.plan_digest),
            ("signed", f"by {result.principal}"),
            ("key", result.fingerprint),
            ("by", result.tool),
            ("swept", f"{when(result.started)} to {when(result.finished)}"),
            ("freed", f"{counted(found.objects, 'object')}, {size(found.bytes)}"),
        ]
    )
    if result.plan_matches:
        yield Text("✓ It belongs to the plan beside it.", style=GOOD)
    else:
        yield Text("There is no plan beside it to compare it with.", style=QUIET)
    if result.journal_matches:
        yield Text("✓ The journal beside it says the same.", style=GOOD)
    elif result.journal_matches is False:
        yield Text("! The journal beside it says something else: a run went on after this receipt.", style=CAUTION)
    yield joined(Text("Its books balance: ", style=QUIET), ", ".join(f"{number} {name}" for name, number in books))
