"""What ``approve``, ``keys`` and ``verify-receipt`` say, as documents."""

from __future__ import annotations

from marksweep.model.outcome import Mode
from marksweep.plan.receipt import Outcomes
from marksweep.report.document import Document


class TrustFacts(Document, frozen=True, kw_only=True):
    """Where trust and policy were taken from: ``source`` in words (with the commit, from git), and the ``policy`` file.

    ``own``: this user's own trust file. ``branch``: what the work tree has, which proves nothing about a protected branch.
    """

    source: str
    policy: str | None
    own: bool
    branch: bool


class ApproveResult(Document, frozen=True, kw_only=True):
    """``approve``: the approval that was written, by the key ``fingerprint``, in the file ``approval``.

    ``approvals`` are the people whose approvals count now, of ``approvals_needed`` that the policy asks for.
    ``does_not_count`` says why this one is not among them under the trust in use; null if it is.
    """

    path: str
    digest: str
    approval: str
    fingerprint: str
    approvals: tuple[str, ...]
    approvals_needed: int
    does_not_count: str | None
    trusted: TrustFacts | None = None


class KeyFacts(Document, frozen=True, kw_only=True):
    """A key that could sign: its type, where it was found (a file, or ``agent``), its comment, and whom this user's trust
    file says that it is (nobody, if it is not trusted).
    """

    found: str
    algorithm: str
    fingerprint: str
    comment: str
    trusted_as: tuple[str, ...]


class KeyResult(Document, frozen=True, kw_only=True):
    """``keys``: the key that marksweep signs with, where it is, and the line that makes others trust it (null where there
    is none yet). ``others``, of ``keys show``: this user's keys in the ssh agent and in ``~/.ssh``.
    """

    path: str | None
    fingerprint: str | None
    allowed_signers_line: str | None
    trusted_in: str | None
    others: tuple[KeyFacts, ...] = ()


class RefusedKey(Document, frozen=True, kw_only=True):
    """A public key file that was not imported, and why."""

    file: str
    reason: str


class KeysImportResult(Document, frozen=True, kw_only=True):
    """``keys import``: the lines that were ``added`` to the trust file ``into``, those that were ``present`` already, the
    keys that were ``refused``, and ``remarks`` on lines with the same key.
    """

    into: str
    added: tuple[str, ...]
    present: tuple[str, ...]
    refused: tuple[RefusedKey, ...]
    remarks: tuple[str, ...]


class ReceiptResult(Document, frozen=True, kw_only=True):
    """``verify-receipt``: what a receipt says, and who signed it.

    ``plan_matches``: it is the receipt of the plan beside it; null when there is none. ``journal_matches``: the journal
    beside it still says what it said then; null when there is none.
    """

    path: str
    plan: str
    plan_digest: str
    mode: Mode
    tool: str
    started: str
    finished: str
    principal: str
    fingerprint: str
    outcomes: Outcomes
    journal: str
    plan_matches: bool | None
    journal_matches: bool | None
