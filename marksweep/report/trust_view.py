"""Who vouches for a plan, on a terminal: ``verify``, ``approve`` and ``keys``."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.documents import ApproveResult, KeyResult, VerifyResult
from marksweep.report.parts import (
    CAUTION,
    GOOD,
    QUIET,
    STRONG,
    Part,
    Verbatim,
    digest_fact,
    fact_list,
    joined,
    listed,
    long_fact,
    words,
)
from marksweep.report.text import counted, size, when


def verify_view(result: VerifyResult, width: int) -> Iterator[Part]:
    """``verify``: what was proved."""
    proved = " is whole, signed by a trusted key, and in date"
    yield Verbatim(joined(Text("✓ ", style=GOOD), words(result.path, STRONG), proved))
    approved = f"{len(result.approvals)} of {result.approvals_needed} needed"
    if result.approvals:
        approved += f": {listed(result.approvals)}"
    totals = (counted(result.entries, "entry", "entries"), counted(result.objects, "object"), size(result.bytes))
    yield fact_list(
        [
            ("holds", ", ".join(totals)),
            ("signed", f"by {result.signer.principal}"),
            ("key", result.signer.fingerprint),
            ("approved", approved),
            ("expires", when(result.expires)),
            digest_fact(result.digest),
        ]
    )


def approve_view(result: ApproveResult, width: int) -> Iterator[Part]:
    """``approve``: the approval, and where it goes."""
    yield Verbatim(joined(Text("✓ ", style=GOOD), "approved ", words(result.path, STRONG)))
    yield fact_list([("key", result.fingerprint), digest_fact(result.digest)])
    yield long_fact("file", result.approval)
    yield Text("Commit that file beside the plan. It holds for these bytes only.", style=QUIET)


def keys_view(result: KeyResult, width: int) -> Iterator[Part]:
    """``keys``: the key, and the line that makes others trust it."""
    yield Verbatim(joined(Text("Key ", style=STRONG), words(result.fingerprint, STRONG)))
    yield long_fact("file", result.path)
    if result.trusted_in is not None:
        yield long_fact("trusted", f"in {result.trusted_in}")
    else:
        yield fact_list([("trusted", Text("not by you yet", style=CAUTION))])
    yield Text("Whoever gives this line to `marksweep keys trust` trusts the key:", style=QUIET)
    yield Verbatim(words(result.allowed_signers_line))
