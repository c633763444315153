"""From a file to a :class:`VerifiedPlan`, in this order: structure, signature, trust, contents, expiry, approvals.

Nothing of the contents is decoded before the signature over its bytes was found good and by somebody whom one trusts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from marksweep.errors import ApprovalsMissing, PlanExpired, PlanMalformed, SignatureRefused
from marksweep.model.entry import Entry
from marksweep.plan.allowed_signers import Trust, is_literal
from marksweep.plan.document import PLAN_NAMESPACE, Header, instant, moment, shown
from marksweep.plan.quorum import Quorum, approvals_directory, count_approvals
from marksweep.plan.reader import PlanFile, by_unit
from marksweep.plan.sshsig import PublicKey, parse
from marksweep.plan.sshsig import verify as verify_signature

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far in the future a plan's ``created`` may lie: the clocks of two machines differ."""

_TOKEN: Final = object()
_AGAIN = "fetch the plan again from where its author committed it, or make a new one with `marksweep mark`"


@dataclass(frozen=True, slots=True)
class PlanSigner:
    """Who signed a plan: the name on the trust line (a literal one if there is one), and the key's ``SHA256:…``."""

    principal: str
    fingerprint: str


class SignedPlan:
    """A plan whose bytes a trusted key signed, complete and in canonical form; :func:`inspect` makes one.

    It holds the file open: close it, or use it as a context manager. ``digest`` is ``sha256:…`` of the signed bytes;
    ``approvers`` has one name per person; ``ignored_approvals`` says why other files did not count.
    """

    def __init__(
        self, token: object, file: PlanFile, header: Header, key: PublicKey, signer: PlanSigner, quorum: Quorum
    ) -> None:
        """Not for use outside of this module: raises TypeError."""
        if token is not _TOKEN:
            raise TypeError("only inspect() and verify() make a plan")
        self._file = file
        self.path: Final = file.path
        self.header: Final = header
        self.digest: Final = file.digest
        self.digests: Final = file.digests
        self.key: Final = key
        self.signer: Final = signer
        self.approvers: Final = quorum.approvers
        self.ignored_approvals: Final = quorum.reasons

    def entries(self) -> Iterator[Entry]:
        """The entries in plan order, read and checked again each time it is called.

        Raises :class:`PlanMalformed` if somebody changed the file since it was verified; whoever has deleted by then
        says so in the error's ``deleted``.
        """
        return self._file.read()[1]

    def units(self) -> Iterator[list[Entry]]:
        """The entries by unit: an entry with ``shares`` comes with the entry that it names, which is first."""
        return by_unit(self.entries())

    def close(self) -> None:
        """Close the file; after that ``entries`` raises ValueError."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class VerifiedPlan(SignedPlan):
    """A signed plan that may be swept: it has not expired, and as many people approved it as were asked for."""


def verify(
    path: Path, trust: Trust, now: datetime, *, approvals: int = 0, approver_may_be_planner: bool = False
) -> VerifiedPlan:
    """Check the plan at *path* as of *now* (aware), whole, with at least *approvals* people's approvals beside it.

    Raises :class:`SignatureRefused`, :class:`PlanMalformed`, :class:`PlanExpired`, :class:`ApprovalsMissing`, or
    :class:`UsageError` when a file cannot be read.
    """
    file = PlanFile(path)
    try:
        header, key, signer, quorum = _checked(file, trust, now, approver_may_be_planner=approver_may_be_planner)
        _check_expiry(file, header, now)
        _check_quorum(path, quorum, approvals)
        return VerifiedPlan(_TOKEN, file, header, key, signer, quorum)
    except BaseException:
        file.close()
        raise


def inspect(path: Path, trust: Trust, now: datetime) -> SignedPlan:
    """Check the plan at *path* to be looked at, not swept: it may have expired, and need not be approved.

    Raises what :func:`verify` raises, but for :class:`PlanExpired` and :class:`ApprovalsMissing`.
    """
    file = PlanFile(path)
    try:
        header, key, signer, quorum = _checked(file, trust, now)
        return SignedPlan(_TOKEN, file, header, key, signer, quorum)
    except BaseException:
        file.close()
        raise


def _checked(
    file: PlanFile, trust: Trust, now: datetime, *, approver_may_be_planner: bool = False
) -> tuple[Header, PublicKey, PlanSigner, Quorum]:
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    key = _check_seal(file, trust, now)
    signer = _check_trust(file, key, trust, now)
    header, entries = file.read()
    for _ in entries:
        pass
    _check_window(file, header, now)
    directory = approvals_directory(file.path)
    quorum = count_approvals(directory, file.digests, key, trust, now, approver_may_be_planner=approver_may_be_planner)
    return header, key, signer, quorum


def _check_seal(file: PlanFile, trust: Trust, now: datetime) -> PublicKey:
    seal = file.seal()
    if seal.digest != file.digest:
        fact = f"{file.path} was changed after it was signed: its digest is {file.digest}, not {seal.digest}"
        raise SignatureRefused(fact, _AGAIN)
    if seal.namespace != PLAN_NAMESPACE:
        fact = f'{file.path}: its signature line names "{shown(seal.namespace)}" and not "{PLAN_NAMESPACE}"'
        raise SignatureRefused(fact, _AGAIN)
    try:
        blob = base64.b64decode(seal.sshsig, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureRefused(f"{file.path}: its signature is not base64", _AGAIN) from None
    if base64.b64encode(blob).decode() != seal.sshsig:
        raise SignatureRefused(f"{file.path}: its signature is not in the shortest form of base64", _AGAIN)
    touch = trust.touch_required(parse(blob).key, PLAN_NAMESPACE, now)
    return verify_signature(blob, PLAN_NAMESPACE, file.digests, touch_required=touch)


def _check_trust(file: PlanFile, key: PublicKey, trust: Trust, now: datetime) -> PlanSigner:
    names = trust.principals(key, PLAN_NAMESPACE, now)
    if not names:
        why = trust.refusals(key, PLAN_NAMESPACE, now) or (f"{trust.source} has no line with that key", *trust.ignored)
        fact = f"{file.path} is signed by the key {key.fingerprint}, which is not trusted: {'; '.join(why)}"
        remedy = f"if you know whose key that is, run `marksweep keys trust 'NAME {key.line}'` with their name"
        raise SignatureRefused(fact, remedy)
    return PlanSigner(min(names, key=lambda name: (not is_literal(name), name)), key.fingerprint)


def _check_window(file: PlanFile, header: Header, now: datetime) -> None:
    try:
        created, expires = moment(header.plan.created), moment(header.plan.expires)
    except ValueError:
        raise PlanMalformed(f"{file.path}: its created or expires is not a time that exists", _AGAIN) from None
    if expires <= created:
        raise PlanMalformed(f"{file.path}: it expires at {header.plan.expires}, before it was created", _AGAIN)
    if created > now + CLOCK_TOLERANCE:
        fact = f"{file.path} was created in the future, at {header.plan.created}; it is {instant(now)}"
        raise PlanMalformed(fact, "compare the clocks of the machines that mark and sweep")


def _check_expiry(file: PlanFile, header: Header, now: datetime) -> None:
    if now >= moment(header.plan.expires):
        fact = f"{file.path} expired at {header.plan.expires}; it is {instant(now)}"
        raise PlanExpired(fact, "make a new plan with `marksweep mark`")


def _check_quorum(path: Path, quorum: Quorum, needed: int) -> None:
    if len(quorum.approvers) >= needed:
        return
    who = f" ({', '.join(shown(name) for name in quorum.approvers)})" if quorum.approvers else ""
    why = "".join(f"; {reason}" for reason in quorum.reasons)
    fact = f"{path} has {len(quorum.approvers)} of {needed} approvals{who}{why}"
    raise ApprovalsMissing(fact, f"ask {needed - len(quorum.approvers)} more to run `marksweep approve {path}`")
