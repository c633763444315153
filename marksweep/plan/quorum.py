"""Counting approvals: people, not keys and not files.

Names that share a key, and keys that share a name, are one person. Only names that a trust file spells out count: a
pattern such as ``*@example.org`` would make one key many people. Everything here can only add a "yes"; a file that does
not verify is worth nothing, and its reason is reported.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust, is_literal, matches
from marksweep.plan.document import APPROVE_NAMESPACE, shown
from marksweep.plan.sshsig import PublicKey, dearmor, parse, verify

MAX_APPROVALS = 1000
"""Files in an approvals directory that are looked at."""
MAX_APPROVAL_FILE = 64 * 1024
"""Bytes of one approval file."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """Who approved: one name per person, in order; and why other files do not count."""

    approvers: tuple[str, ...]
    reasons: tuple[str, ...]

    def why_not(self, approval: Path) -> str | None:
        """Why the approval file *approval* does not count, or None if it does."""
        name = f"{shown(approval.name)}: "
        return next((reason.removeprefix(name) for reason in self.reasons if reason.startswith(name)), None)


def approvals_directory(plan: Path) -> Path:
    """Where the approvals of the plan at *plan* are: ``<plan>.approvals``, beside it."""
    return plan.with_name(plan.name + ".approvals")


def count_approvals(
    directory: Path,
    digests: Mapping[str, bytes],
    planner: PublicKey,
    trust: Trust,
    now: datetime,
    *,
    approver_may_be_planner: bool = False,
) -> Quorum:
    """Count the people whose ``*.sig`` in *directory* is over the bytes of *digests*; no directory is no approval.

    The planner (the same key, or a name that the planner's key has anywhere in *trust*) does not count unless
    *approver_may_be_planner*. Raises :class:`UsageError` when the directory cannot be read.
    """
    reasons: list[str] = []
    people: list[tuple[set[str], set[str]]] = []  # per person: every name, and the literal names that may approve
    for path in _files(directory):
        try:
            key = _signer_of(path, digests, trust, now)
            names = trust.principals(key, APPROVE_NAMESPACE, now)
            literal = {name for name in names if is_literal(name)}
            every = trust.everybody_with(key)
            if not literal:
                raise SignatureRefused(_nobody(key, trust, names, now), "")
            if not approver_may_be_planner:
                refuse_planner(key, every, planner, trust)
        except SignatureRefused as refused:
            reasons.append(f"{shown(path.name)}: {refused.fact}")
        else:
            _add(people, set(every), literal)
    return Quorum(tuple(sorted(min(literal) for _, literal in people)), tuple(reasons))


def refuse_planner(key: PublicKey, every: Iterable[str], planner: PublicKey, trust: Trust) -> None:
    """Raise :class:`SignatureRefused` when *key*, whose owner has the names *every*, is the planner's, or a namesake's."""
    remedy = ""
    if key.blob == planner.blob:
        raise SignatureRefused("it is by the planner's own key", remedy)
    for name in sorted(trust.everybody_with(planner)):
        if any(name == other or matches(other, name) or matches(name, other) for other in every):
            raise SignatureRefused(f'it is by the planner, who is "{shown(name)}" in the trust file', remedy)


def read_approval(path: Path) -> bytes:
    """The SSHSIG blob in the approval file *path*; raise :class:`SignatureRefused` if there is none to read."""
    return dearmor(_text(path))


def _signer_of(path: Path, digests: Mapping[str, bytes], trust: Trust, now: datetime) -> PublicKey:
    blob = read_approval(path)
    key = parse(blob).key
    touch = trust.touch_required(key, APPROVE_NAMESPACE, now)
    return verify(blob, APPROVE_NAMESPACE, digests, touch_required=touch)


def _add(people: list[tuple[set[str], set[str]]], every: set[str], literal: set[str]) -> None:
    """Add a key's names, joining those whom they show to be one person."""
    for person in [person for person in people if person[0] & every]:
        people.remove(person)
        every |= person[0]
        literal |= person[1]
    people.append((every, literal))


def _nobody(key: PublicKey, trust: Trust, names: frozenset[str], now: datetime) -> str:
    if names:
        patterns = shown(", ".join(sorted(names)))
        return f"the key {key.fingerprint} has only patterns for names in the trust file: {patterns}"
    why = trust.refusals(key, APPROVE_NAMESPACE, now)
    because = "; ".join(why) or "no line of the trust file has it"
    return f"the key {key.fingerprint} is not trusted to approve: {because}"


def _files(directory: Path) -> list[Path]:
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".sig")
    except FileNotFoundError:
        return []
    except OSError as error:
        fact = f"the approvals in {directory} cannot be read: {error.strerror}"
        raise UsageError(fact, "make it a directory that this account can read") from None
    if len(found) > MAX_APPROVALS:
        fact = f"{directory} holds more than {MAX_APPROVALS} approvals"
        raise UsageError(fact, "remove those that do not belong there")
    return found


def _text(path: Path) -> str:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SignatureRefused("it is not a regular file", "")
            octets = file.read(MAX_APPROVAL_FILE + 1)
    except OSError as error:
        raise SignatureRefused(f"it cannot be read: {error.strerror}", "") from None
    if len(octets) > MAX_APPROVAL_FILE:
        raise SignatureRefused(f"it is larger than {MAX_APPROVAL_FILE} bytes", "")
    return octets.decode("utf-8", "replace")
