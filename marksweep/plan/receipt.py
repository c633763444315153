"""The receipt of a sweep: what a plan's sweep did, signed by whoever ran it, to be committed beside the plan.

A receipt is one JSON document of three lines; all but the last are signed, as in a plan:
``head -n -1 plan.json.receipt.json | ssh-keygen -Y verify -n marksweep-receipt@marksweep.dev …``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path
from typing import Annotated

import msgspec

from marksweep.errors import UsageError
from marksweep.model.entry import Count, Digest, Instant
from marksweep.model.outcome import Mode
from marksweep.plan.document import RECEIPT_NAMESPACE, Seal, encode
from marksweep.plan.sshsig import Signer, sign

FORMAT = "marksweep.receipt/1"


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries by what became of them; ``objects`` and ``bytes`` are what the stores confirmed as deleted."""

    planned: Count
    deleted: Count
    gone: Count
    referenced: Count
    changed: Count
    protected: Count
    failed: Count
    not_attempted: Count
    objects: Count
    bytes: Count
    left: Count
    restored: Count


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one run of a sweep left the plan's books at. ``journal`` is the digest of all states in the journal."""

    plan: Annotated[str, msgspec.Meta(max_length=128)]
    plan_digest: Digest
    mode: Mode
    tool: Annotated[str, msgspec.Meta(max_length=128)]
    started: Instant
    finished: Instant
    outcomes: Outcomes
    journal: Digest


def receipt_path(plan: Path) -> Path:
    """The receipt that belongs to *plan*."""
    return plan.with_name(plan.name + ".receipt.json")


def write_receipt(plan: Path, receipt: Receipt, key: Signer) -> Path:
    """Write the receipt of *plan*, signed by *key*, in place of an earlier run's; raise UsageError if that fails."""
    signed = b'{"format":%b,\n"receipt":%b,\n' % (encode(FORMAT), encode(receipt))
    blob = sign(key, RECEIPT_NAMESPACE, hashlib.sha512(signed).digest())
    seal = Seal(
        digest=f"sha256:{hashlib.sha256(signed).hexdigest()}",
        namespace=RECEIPT_NAMESPACE,
        sshsig=base64.b64encode(blob).decode("ascii"),
    )
    path = receipt_path(plan)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(signed + b'"signature":%b}\n' % encode(seal))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            f"the receipt {path} cannot be written: {error.strerror}", "make its folder writable"
        ) from None
    return path
