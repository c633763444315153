"""A plan, or the card of one, at a glance: signed by whom, approved by whom, and what its header says.

For listings: the file is hashed and its signature checked, but no entry is decoded, and nothing is fetched for a card.
:func:`claimed` does not even hash: what it returns is what the file says, whoever wrote it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from marksweep.errors import PlanMalformed, SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.card import CardFile, refuse_to_fetch
from marksweep.plan.document import MAX_HEADER, MAX_SIGNATURE_LINE, CardHeader, Header, decode_seal
from marksweep.plan.lines import Lines
from marksweep.plan.quorum import MAX_APPROVALS, approvals_directory
from marksweep.plan.reader import PlanFile
from marksweep.plan.rules import NO_RULES, RuleBook
from marksweep.plan.signed_file import AGAIN, open_regular, read_header
from marksweep.plan.verify import PlanSigner, examine, opened


@dataclass(frozen=True, slots=True)
class Glance:
    """``signer`` is None where nothing was verified; then ``approvers`` are the names of the files that lie there.

    ``broken`` says, a sentence each, which rules the header breaks; rules about entries were not asked.
    """

    header: Header
    digest: str
    signer: PlanSigner | None
    approvers: tuple[str, ...]
    approvals_needed: int = 0
    broken: tuple[str, ...] = ()


def glance(path: Path, trust: Trust, now: datetime, *, rules: RuleBook = NO_RULES) -> Glance:
    """The plan or card at *path* as of *now* (aware), if somebody who is trusted signed its bytes.

    Raises :class:`SignatureRefused`, :class:`PlanMalformed`, or :class:`UsageError` when a file cannot be read.
    """
    with opened(path, refuse_to_fetch) as file:
        found = examine(file, trust, now, rules, header_only=True)
        needed, broken = found.rules.approvals, tuple(breach.fact for breach in found.breaches)
        file.close()
    return Glance(found.header, file.digest, found.signer, found.quorum.approvers, needed, broken)


def claimed(path: Path) -> Glance:
    """What the plan or card at *path* says of itself, read at both its ends alone; nothing of it is proven.

    Raises as :func:`glance`, for what cannot even be read.
    """
    descriptor = open_regular(path)
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, MAX_HEADER + len(PlanFile.head), 0)
        start = max(0, size - MAX_SIGNATURE_LINE)
        tail = os.pread(descriptor, size - start, start)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "try again") from None
    finally:
        os.close(descriptor)
    header = _header(path, head)
    _, _, seal = tail.rpartition(b'\n"signature":')
    try:
        digest = decode_seal(seal.removesuffix(b"}\n")).digest
    except ValueError:
        raise SignatureRefused(f"{path} does not end in a signature line", AGAIN) from None
    return Glance(header, digest, None, _names(approvals_directory(path)))


def _header(path: Path, head: bytes) -> Header:
    def malformed(number: int, what: str) -> PlanMalformed:
        return PlanMalformed(f"{path}, line {number}: {what}", AGAIN)

    is_card = head.startswith(CardFile.head)
    if not (is_card or head.startswith(PlanFile.head)):
        raise PlanMalformed(f"{path} is not a marksweep plan, or something rewrote it", AGAIN)
    whole, _, _ = head.partition(b'\n"signature":' if is_card else b'\n"entries":[\n')
    kind = CardHeader if is_card else Header
    return read_header(Lines(iter([whole + b"\n"]), malformed), malformed, kind, None)


def _names(approvals: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(path.stem for path in approvals.glob("*.sig")))[:MAX_APPROVALS]
    except OSError:
        return ()
