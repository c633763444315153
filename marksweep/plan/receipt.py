"""The receipt of a sweep: what a plan's sweep did, signed by whoever ran it, to be committed beside the plan.

A receipt is one JSON document of three lines; all but the last are signed, as in a plan:
``head -n -1 plan.json.receipt.json | ssh-keygen -Y verify -n marksweep-receipt@marksweep.dev …``. It is read as strictly
as a plan: the signature first, then the contents, whose spelling must be the only one there is.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from marksweep.errors import PlanMalformed, SignatureRefused, UsageError
from marksweep.model.entry import Count, Digest, Instant
from marksweep.model.outcome import Mode
from marksweep.plan.allowed_signers import Trust, best_name
from marksweep.plan.document import RECEIPT_NAMESPACE, Seal, decode, decode_seal, encode, moment
from marksweep.plan.sshsig import Message, PublicKey, Signer, parse, seal, verify

FORMAT = "marksweep.receipt/1"
MAX_RECEIPT = 64 * 1024
"""Bytes of the largest receipt that is read."""

_HEAD = b'{"format":%b,\n"receipt":' % encode(FORMAT)
_SEAL = b'"signature":'
_GIVE = "give a plan that was swept, or the receipt that its sweep wrote beside it"
_AGAIN = "fetch the receipt again from where the sweep left it; the next run of `marksweep sweep` writes a new one"


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


_DECODER = msgspec.json.Decoder(Receipt)


def receipt_path(plan: Path) -> Path:
    """The receipt that belongs to *plan*."""
    return plan.with_name(plan.name + ".receipt.json")


def write_receipt(plan: Path, receipt: Receipt, key: Signer) -> Path:
    """Write the receipt of *plan*, signed by *key*, in place of an earlier run's; raise UsageError if that fails."""
    signed = _HEAD + encode(receipt) + b",\n"
    message = Message.of(signed)
    blob = seal(key, RECEIPT_NAMESPACE, message)
    last = Seal(
        digest=f"sha256:{message.digests['sha256'].hex()}",
        namespace=RECEIPT_NAMESPACE,
        sshsig=base64.b64encode(blob).decode("ascii"),
    )
    path = receipt_path(plan)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(signed + b'"signature":%b}\n' % encode(last))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            f"the receipt {path} cannot be written: {error.strerror}", "make its folder writable"
        ) from None
    return path


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt whose bytes *key* signed. Whether anybody trusts that key was not asked."""

    path: Path
    receipt: Receipt
    key: PublicKey


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt that a key signed whose owner, *principal*, is trusted to; ``fingerprint`` is ``SHA256:…`` of that key."""

    path: Path
    receipt: Receipt
    principal: str
    fingerprint: str


def read_receipt(path: Path, *, touch_required: Callable[[PublicKey], bool] = lambda _: True) -> SignedReceipt:
    """The receipt in the file *path*: whole, in its canonical form, its books balanced, signed by the key that it names.

    Raises :class:`UsageError` when there is no file to read, :class:`SignatureRefused` when the signature is not good,
    and :class:`PlanMalformed` for contents that no marksweep wrote. That the key is trusted is :func:`verify_receipt`'s.
    """
    octets = _octets(path)
    start = octets.rfind(b"\n", 0, -1) + 1
    signed, last = octets[:start], octets[start:]
    if not signed.startswith(_HEAD[: _HEAD.index(b"\n") + 1]):
        raise PlanMalformed(f"{path} is not a receipt of {FORMAT}", _GIVE)
    if not (last.startswith(_SEAL) and last.endswith(b"}\n")):
        raise SignatureRefused(f"{path} does not end in a signature line: it was cut off, or rewritten", _AGAIN)
    key = _signer(path, signed, last[len(_SEAL) : -2], touch_required)
    body = signed.removeprefix(_HEAD).removesuffix(b",\n")
    try:
        receipt = decode(_DECODER, body)
        _check_books(receipt.outcomes)
        if moment(receipt.finished) < moment(receipt.started):
            raise ValueError(f"it says that the sweep ended at {receipt.finished}, before it began")
    except ValueError as error:
        raise PlanMalformed(f"{path}: {error}", _AGAIN) from None
    return SignedReceipt(path, receipt, key)


def verify_receipt(path: Path, trust: Trust, now: datetime) -> VerifiedReceipt:
    """The receipt at *path*, if *trust* lets its key sign receipts at *now* (aware).

    Raises what :func:`read_receipt` raises, and :class:`SignatureRefused` naming why the key is not trusted.
    """
    found = read_receipt(path, touch_required=lambda key: trust.touch_required(key, RECEIPT_NAMESPACE, now))
    names = trust.principals(found.key, RECEIPT_NAMESPACE, now)
    if not names:
        why = trust.refusals(found.key, RECEIPT_NAMESPACE, now) or (f"{trust.source} has no line with that key",)
        raise SignatureRefused(
            f"{path} is signed by the key {found.key.fingerprint}, which is not trusted to sign receipts: {'; '.join(why)}",
            "give the trust file that was in force when it was swept (--trust), or ask its owner for a line for that key",
        )
    return VerifiedReceipt(path, found.receipt, best_name(names), found.key.fingerprint)


def _signer(path: Path, signed: bytes, line: bytes, touch_required: Callable[[PublicKey], bool]) -> PublicKey:
    message = Message.of(signed)
    digest = f"sha256:{message.digests['sha256'].hex()}"
    try:
        found = decode_seal(line)
        blob = base64.b64decode(found.sshsig, validate=True)
    except ValueError as error:
        raise SignatureRefused(f"{path}: the signature line is damaged: {error}", _AGAIN) from None
    if found.digest != digest:
        fact = f"{path} was changed after it was signed: its digest is {digest}, not {found.digest}"
        raise SignatureRefused(fact, _AGAIN)
    if found.namespace != RECEIPT_NAMESPACE or base64.b64encode(blob).decode() != found.sshsig:
        raise SignatureRefused(f"{path}: its signature line is not the one of a receipt", _AGAIN)
    required = touch_required(parse(blob).key)
    return verify(blob, RECEIPT_NAMESPACE, message.digests, touch_required=required)


def _check_books(found: Outcomes) -> None:
    kept = found.referenced + found.changed + found.protected + found.restored
    total = found.deleted + found.gone + kept + found.failed + found.not_attempted
    if total != found.planned:
        raise ValueError(
            f"its books do not balance: {found.planned} entries were planned, and {total} are accounted for"
        )


def _octets(path: Path) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            octets = file.read(MAX_RECEIPT + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError as error:
        what = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise UsageError(f"the receipt {path} cannot be read: {what}", _GIVE) from None
    if not 0 < len(octets) <= MAX_RECEIPT:
        raise PlanMalformed(f"{path} is not a receipt: it is empty, longer than {MAX_RECEIPT} bytes, or no file", _GIVE)
    return octets
