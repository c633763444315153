"""Who vouches for a plan, on a terminal: ``verify``, ``approve`` and ``keys``."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.authority_view import authority_facts, authority_part
from marksweep.report.documents import VerifyResult
from marksweep.report.parts import (
    BAD,
    CAUTION,
    GOOD,
    QUIET,
    STRONG,
    Part,
    Verbatim,
    commands,
    digest_fact,
    fact_list,
    joined,
    listed,
    long_fact,
    section,
    words,
)
from marksweep.report.text import counted, size, when
from marksweep.report.trust_documents import ApproveResult, KeyResult, KeysImportResult


def verify_view(result: VerifyResult, width: int) -> Iterator[Part]:
    """``verify``: what was proved."""
    proved = " is whole, signed by a trusted key, and in date"
    yield Verbatim(joined(Text("✓ ", style=GOOD), words(result.path, STRONG), proved))
    needed = result.approvals_needed
    approved = f"{len(result.approvals)} of {needed} needed" if needed else f"{len(result.approvals)}, none needed"
    if result.approvals:
        approved += f": {listed(result.approvals)}"
    totals = (counted(result.entries, "entry", "entries"), counted(result.objects, "object"), size(result.bytes))
    yield fact_list(
        [
            ("holds", ", ".join(totals)),
            ("signed", f"by {result.signer.principal}"),
            ("key", result.signer.fingerprint),
            ("approved", approved),
            *authority_facts(result.trusted),
            ("expires", when(result.expires)),
            digest_fact(result.digest),
            *(("ignored", words(reason, CAUTION)) for reason in result.ignored),
        ]
    )


def approve_view(result: ApproveResult, width: int) -> Iterator[Part]:
    """``approve``: the approval, how many there are now, and what to do with it."""
    yield Verbatim(joined(Text("✓ ", style=GOOD), "approved ", words(result.path, STRONG)))
    yield fact_list([("key", result.fingerprint), digest_fact(result.digest)])
    yield long_fact("file", result.approval)
    yield from authority_part(result.trusted)
    count, needed = len(result.approvals), result.approvals_needed
    so_far = f"{count} of {needed} needed" if needed else f"{count} so far"
    yield fact_list([("approved", f"{so_far}: {listed(result.approvals)}" if result.approvals else so_far)])
    if result.does_not_count is not None:
        yield words(f"! It does not count under the trust in use: {result.does_not_count}", BAD)
    if not needed:
        yield Text("How many it needs says whoever sweeps it (`--approvals`), or a policy.", style=QUIET)
    elif count >= needed:
        yield Text("Enough people have approved: when this is merged, the plan can be swept.", style=GOOD)
    yield Text("It holds for these bytes only. Next:", style=QUIET)
    yield from commands([("commit it", ["git", "add", result.approval])])


def keys_view(result: KeyResult, width: int) -> Iterator[Part]:
    """``keys``: the key, the line that makes others trust it, and what other keys could sign."""
    if result.fingerprint is not None and result.path is not None:
        yield Verbatim(joined(Text("Key ", style=STRONG), words(result.fingerprint, STRONG)))
        yield long_fact("file", result.path)
    else:
        yield Text("marksweep has no key of its own here: `marksweep keys create` makes one.", style=CAUTION)
    if result.trusted_in is not None:
        yield long_fact("trusted", f"in {result.trusted_in}")
    elif result.fingerprint is not None:
        yield fact_list([("trusted", Text("not by you yet", style=CAUTION))])
    if result.allowed_signers_line is not None:
        yield Text("Whoever gives this line to `marksweep keys trust` trusts the key:", style=QUIET)
        yield Verbatim(words(result.allowed_signers_line))
    if result.others:
        yield section("Other keys that can sign (--key FILE, or --key agent:SHA256:…)")
        for other in result.others:
            trusted = f"trusted as {listed(other.trusted_as)}" if other.trusted_as else "not trusted by you"
            kind = other.algorithm.removesuffix("@openssh.com")
            yield Verbatim(joined(Text("  "), words(other.fingerprint, STRONG), f"  {kind}, {trusted}"))
            yield Verbatim(joined(Text("    ", style=QUIET), words(f"{other.found}  {other.comment}".rstrip(), QUIET)))


def keys_import_view(result: KeysImportResult, width: int) -> Iterator[Part]:
    """``keys import``: the lines that are new, those that were there, and the keys that were refused."""
    if result.added:
        yield Verbatim(joined(Text("✓ ", style=GOOD), "added to ", words(result.into, STRONG)))
    else:
        yield Verbatim(joined("nothing was added to ", words(result.into, STRONG)))
    for line in result.added:
        yield Verbatim(words(line))
    for line in result.present:
        yield Verbatim(joined(Text("was there  ", style=QUIET), words(line, QUIET)))
    for refused in result.refused:
        yield words(f"! {refused.file} was not imported: {refused.reason}", CAUTION)
    for remark in result.remarks:
        yield words(f"! {remark}", CAUTION)
    if result.added:
        yield Text("Others trust it when their trust file says so: commit it where a branch is protected.", style=QUIET)
