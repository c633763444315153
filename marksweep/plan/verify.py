"""From a file to a :class:`VerifiedPlan`, in this order: structure, signature, trust, contents, expiry, rules, approvals.

Nothing of the contents is decoded before the signature over its bytes was found good and by somebody whom one trusts.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from marksweep.errors import (
    ApprovalsMissing,
    MarksweepError,
    OtherCatalog,
    PlanExpired,
    PlanMalformed,
    SignatureRefused,
)
from marksweep.model.entry import Entry
from marksweep.plan.allowed_signers import Trust, best_name
from marksweep.plan.card import Fetch, open_plan, refuse_to_fetch
from marksweep.plan.document import PLAN_NAMESPACE, Header, instant, moment, shown
from marksweep.plan.quorum import Quorum, approvals_directory, count_approvals
from marksweep.plan.reader import by_unit
from marksweep.plan.rules import NO_RULES, RuleBook, Rules
from marksweep.plan.rules_checks import EntryCheck
from marksweep.plan.signed_file import SignedFile
from marksweep.plan.sshsig import Message, PublicKey, parse
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


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about a plan, and which rules it breaks: each as the error that says so."""

    file: SignedFile
    header: Header
    key: PublicKey
    signer: PlanSigner
    quorum: Quorum
    rules: Rules
    breaches: tuple[MarksweepError, ...]


class SignedPlan:
    """A plan whose bytes a trusted key signed, complete and in canonical form; :func:`inspect` makes one.

    It holds the file open: close it, or use it as a context manager. ``digest`` is ``sha256:…`` of the signed bytes;
    ``approvers`` has one name per person; ``ignored_approvals`` says why other files did not count. ``rules`` are those
    that it was held against, ``approvals_needed`` how many people they or the caller ask for, and ``broken`` says, a
    sentence each, which of the other rules it breaks.
    """

    def __init__(self, token: object, checked: Checked, approvals_needed: int) -> None:
        """Not for use outside of this module: raises TypeError."""
        if token is not _TOKEN:
            raise TypeError("only inspect(), review() and verify() make a plan")
        self._file = checked.file
        self.path: Final = checked.file.path
        self.header: Final = checked.header
        self.digest: Final = checked.file.digest
        self.digests: Final = checked.file.digests
        self.key: Final = checked.key
        self.signer: Final = checked.signer
        self.approvers: Final = checked.quorum.approvers
        self.ignored_approvals: Final = checked.quorum.reasons
        self.rules: Final = checked.rules
        self.approvals_needed: Final = approvals_needed
        self.broken: Final = tuple(breach.fact for breach in checked.breaches)

    def entries(self) -> Iterator[Entry]:
        """The entries in plan order, read and checked again each time it is called.

        Raises :class:`PlanMalformed` if somebody changed the file since it was verified; whoever has deleted by then
        says so in the error's ``deleted``.
        """
        return self._file.read()[1]

    def units(self) -> Iterator[list[Entry]]:
        """The entries by unit: an entry with ``shares`` comes with the entry that it names, which is first."""
        return by_unit(self.entries())

    def message(self) -> Message:
        """What the planner signed, and approvers sign: all bytes but the last line's."""
        return Message(self.digests, self._file.signed)

    def close(self) -> None:
        """Close the file; after that ``entries`` raises ValueError."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ReviewedPlan(SignedPlan):
    """A signed plan that people may approve: it has not expired, and breaks no rule."""


class VerifiedPlan(ReviewedPlan):
    """A plan that may be swept: as many people approved it as were asked for, too."""


def verify(
    path: Path,
    trust: Trust,
    now: datetime,
    *,
    approvals: int = 0,
    rules: RuleBook = NO_RULES,
    fetch: Fetch = refuse_to_fetch,
) -> VerifiedPlan:
    """Check the plan at *path* as of *now* (aware), whole, against *rules*, with people's approvals beside it.

    *fetch* reads the entries of a card, once its signer is trusted; :meth:`VerifiedPlan.entries` are from that copy.

    Asked for are *approvals*, or as many as *rules* say if that is more. Raises :class:`SignatureRefused`,
    :class:`PlanMalformed`, :class:`PlanExpired`, :class:`OtherCatalog`, :class:`GuardRefused`, :class:`ApprovalsMissing`,
    or :class:`UsageError` when a file cannot be read.
    """
    with opened(path, fetch) as file:
        checked = examine(file, trust, now, rules)
        _check_standing(checked, now)
        _check_quorum(checked, approvals)
        return VerifiedPlan(_TOKEN, checked, max(approvals, checked.rules.approvals))


def review(
    path: Path, trust: Trust, now: datetime, *, rules: RuleBook = NO_RULES, fetch: Fetch = refuse_to_fetch
) -> ReviewedPlan:
    """Check the plan at *path* to be approved. Raises what :func:`verify` raises, but for :class:`ApprovalsMissing`."""
    with opened(path, fetch) as file:
        checked = examine(file, trust, now, rules)
        _check_standing(checked, now)
        return ReviewedPlan(_TOKEN, checked, checked.rules.approvals)


def inspect(
    path: Path, trust: Trust, now: datetime, *, rules: RuleBook = NO_RULES, fetch: Fetch = refuse_to_fetch
) -> SignedPlan:
    """Check the plan at *path* to be looked at, not swept: it may have expired, break rules, and need not be approved.

    Raises :class:`SignatureRefused`, :class:`PlanMalformed`, or :class:`UsageError` when a file cannot be read.
    """
    with opened(path, fetch) as file:
        checked = examine(file, trust, now, rules)
        return SignedPlan(_TOKEN, checked, checked.rules.approvals)


@contextmanager
def opened(path: Path, fetch: Fetch) -> Iterator[SignedFile]:
    """The plan, or the card of one, at *path*: left open, but for an error."""
    file = open_plan(path, fetch)
    try:
        yield file
    except BaseException:
        file.close()
        raise


def examine(file: SignedFile, trust: Trust, now: datetime, book: RuleBook, *, header_only: bool = False) -> Checked:
    """All but expiry and quorum; with *header_only* the entries, whose bytes were hashed, are neither read nor judged."""
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    touch_free = trust.without_touch()
    key = _check_seal(file, trust if book.touch_everywhere else touch_free, now)
    signer = _check_trust(file, key, trust, now)
    header, entries = (file.header(), iter(())) if header_only else file.read()
    rules, breaches = book.general, list[MarksweepError]()
    try:
        rules = book.for_catalog(header.catalog.server_id)
    except OtherCatalog as unlisted:
        breaches.append(unlisted)
    if rules.require_touch:
        _check_seal(file, trust, now)  # only now it is known which catalog's rules apply
    else:
        trust = touch_free
    check = EntryCheck(rules)
    look = (lambda _: None) if check.idle else check.look
    for entry in entries:
        look(entry)
    _check_window(file, header, now)
    breaches += (*rules.header_breaches(file.path, header, now), *check.breaches(file.path))
    quorum = count_approvals(
        approvals_directory(file.path), file.digests, key, trust, now,
        approver_may_be_planner=rules.approver_may_be_planner,
    )  # fmt: skip
    return Checked(file, header, key, signer, quorum, rules, tuple(breaches))


def _check_standing(checked: Checked, now: datetime) -> None:
    """Refuse what has expired or breaks a rule."""
    _check_expiry(checked.file, checked.header, now)
    for breach in checked.breaches:
        raise breach


def _check_seal(file: SignedFile, trust: Trust, now: datetime) -> PublicKey:
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


def _check_trust(file: SignedFile, key: PublicKey, trust: Trust, now: datetime) -> PlanSigner:
    names = trust.principals(key, PLAN_NAMESPACE, now)
    if not names:
        why = trust.refusals(key, PLAN_NAMESPACE, now) or (f"{trust.source} has no line with that key", *trust.ignored)
        fact = f"{file.path} is signed by the key {key.fingerprint}, which is not trusted: {'; '.join(why)}"
        remedy = (
            f"if you know whose key that is, run `marksweep keys trust 'NAME {key.line}'` with their name; with --trust,"
            f" have that line added to {trust.source}"
        )
        raise SignatureRefused(fact, remedy)
    return PlanSigner(best_name(names), key.fingerprint)


def _check_window(file: SignedFile, header: Header, now: datetime) -> None:
    try:
        created, expires = moment(header.plan.created), moment(header.plan.expires)
    except ValueError:
        raise PlanMalformed(f"{file.path}: its created or expires is not a time that exists", _AGAIN) from None
    if expires <= created:
        raise PlanMalformed(f"{file.path}: it expires at {header.plan.expires}, before it was created", _AGAIN)
    if created > now + CLOCK_TOLERANCE:
        fact = f"{file.path} was created in the future, at {header.plan.created}; it is {instant(now)}"
        raise PlanMalformed(fact, "compare the clocks of the machines that mark and sweep")


def _check_expiry(file: SignedFile, header: Header, now: datetime) -> None:
    if now >= moment(header.plan.expires):
        fact = f"{file.path} expired at {header.plan.expires}; it is {instant(now.replace(microsecond=0))}"
        raise PlanExpired(fact, "make a new plan with `marksweep mark`")


def _check_quorum(checked: Checked, asked: int) -> None:
    path, quorum, rules = checked.file.path, checked.quorum, checked.rules
    needed = max(asked, rules.approvals)
    if len(quorum.approvers) >= needed:
        return
    who = f" ({', '.join(shown(name) for name in quorum.approvers)})" if quorum.approvers else ""
    whose = f"; {rules.source} asks for {needed}" if rules.approvals == needed else ""
    why = "".join(f"; {reason}" for reason in quorum.reasons)
    fact = f"{path} has {len(quorum.approvers)} of {needed} approvals{who}{whose}{why}"
    command = shlex.join(["marksweep", "approve", str(path)])
    raise ApprovalsMissing(fact, f"ask {needed - len(quorum.approvers)} more to run `{command}`")
