"""Approving a plan: a detached signature of a person over the plan's signed bytes, in a file of its own beside it."""

from __future__ import annotations

import os
import re
import secrets
from datetime import datetime
from pathlib import Path

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import APPROVE_NAMESPACE
from marksweep.plan.quorum import Quorum, approvals_directory, count_approvals, read_approval
from marksweep.plan.sshsig import PublicKey, Signer, armor, seal, verify
from marksweep.plan.verify import ReviewedPlan

__all__ = ["Quorum", "approvals_directory", "approve", "check_free", "recount"]

_NAME = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]{0,99}")


def approve(plan: ReviewedPlan, key: Signer, name: str, *, touch_required: bool = True) -> Path:
    """Write ``<plan>.approvals/<name>.sig`` by *key* over the bytes of *plan*; return its path.

    An approval of other bytes, or by the same key, is replaced; :class:`UsageError` when somebody else's approval of
    these bytes has that name, when *name* is no plain file name, when *key* does not sign, or when the file cannot be
    written. A FIDO signature that was made without a touch is refused unless *touch_required* is off.
    """
    path = check_free(plan, key.public, name)
    directory = path.parent
    text = armor(seal(key, APPROVE_NAMESPACE, plan.message(), touch_required=touch_required))
    temporary = directory / f".{name}.{secrets.token_hex(8)}.tmp"
    try:
        directory.mkdir(exist_ok=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(temporary, flags, 0o644), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        fact = f"the approval {path} cannot be written: {error.strerror}"
        raise UsageError(fact, "make its directory writable for this account") from None
    return path


def check_free(plan: ReviewedPlan, key: PublicKey, name: str) -> Path:
    """Where *key*'s approval of *plan* called *name* belongs; raise UsageError if it cannot, or somebody else's is there."""
    if _NAME.fullmatch(name) is None:
        fact = f"{name!r} cannot name an approval"
        raise UsageError(fact, "use letters, digits and . _ @ + - only, such as alice@example.org")
    directory = approvals_directory(plan.path)
    if directory.is_symlink():  # it comes with the plan's branch: who made it chose what would be written over
        raise UsageError(f"{directory} is a symbolic link", "remove it: approvals lie in a folder beside their plan")
    path = directory / f"{name}.sig"
    try:
        found = verify(read_approval(path), APPROVE_NAMESPACE, plan.digests, touch_required=False)
    except SignatureRefused:
        return path
    if found.blob != key.blob:
        fact = f"{path} is already the approval by the key {found.fingerprint}"
        raise UsageError(fact, "choose another name with --as")
    return path


def recount(plan: ReviewedPlan, trust: Trust, now: datetime) -> Quorum:
    """The approvals that lie beside *plan* now, counted as its rules say."""
    may_be_planner = plan.rules.approver_may_be_planner
    directory = approvals_directory(plan.path)
    return count_approvals(directory, plan.digests, plan.key, trust, now, approver_may_be_planner=may_be_planner)
