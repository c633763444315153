"""Approving a plan: a detached signature of a person over the plan's signed bytes, in a file of its own beside it."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.document import APPROVE_NAMESPACE
from marksweep.plan.quorum import Quorum, approvals_directory, count_approvals, read_approval
from marksweep.plan.sshsig import Signer, armor, sign, verify
from marksweep.plan.verify import VerifiedPlan

__all__ = ["Quorum", "approvals_directory", "approve", "count_approvals"]

_NAME = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]{0,99}")


def approve(plan: VerifiedPlan, key: Signer, name: str) -> Path:
    """Write ``<plan>.approvals/<name>.sig`` by *key* over the bytes of *plan*; return its path.

    An approval of other bytes, or by the same key, is replaced; :class:`UsageError` when somebody else's approval of
    these bytes has that name, when *name* is no plain file name, or when it cannot be written.
    """
    if _NAME.fullmatch(name) is None:
        fact = f"{name!r} cannot name an approval"
        raise UsageError(fact, "use letters, digits and . _ @ + - only, such as alice@example.org")
    directory = approvals_directory(plan.path)
    path = directory / f"{name}.sig"
    _refuse_other(path, plan, key)
    text = armor(sign(key, APPROVE_NAMESPACE, plan.digests["sha512"]))
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


def _refuse_other(path: Path, plan: VerifiedPlan, key: Signer) -> None:
    try:
        found = verify(read_approval(path), APPROVE_NAMESPACE, plan.digests, touch_required=False)
    except SignatureRefused:
        return
    if found.blob != key.public.blob:
        raise UsageError(f"{path} is already the approval by the key {found.fingerprint}", "choose another name")
