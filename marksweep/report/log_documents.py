"""What ``log`` says: the plans of a folder, and what became of each."""

from __future__ import annotations

import enum

from marksweep.model.outcome import Mode
from marksweep.report.document import Document


class PlanState(enum.StrEnum):
    """Where a plan is on its way. Of several that hold, the first: whatever was swept stays that, expired or not."""

    UNREADABLE = "unreadable"
    UNTRUSTED = "untrusted"
    RESTORED = "restored"
    SWEPT = "swept"
    PARTLY = "partly"
    EXPIRED = "expired"
    APPROVED = "approved"
    PLANNED = "planned"


class SweptFacts(Document, frozen=True, kw_only=True):
    """How far a sweep came, by its receipt, or by its journal where that is all there is, or is newer.

    ``kept`` are those that the sweep left alone; ``restored`` those that a restore brought back, which count as nothing else.
    ``by`` signed the receipt, with the key ``fingerprint``; null for a journal, and where nothing was verified. ``bytes``
    are those confirmed as freed.
    """

    source: str
    started: str
    finished: str
    by: str | None
    fingerprint: str | None
    deleted: int
    gone: int
    kept: int
    restored: int
    failed: int
    not_attempted: int
    bytes: int


class PlanLine(Document, frozen=True, kw_only=True):
    """One plan, or the card of one. ``problem`` says why it, or its receipt or journal, could not be read or believed.

    What could not be read is null. ``running``: somebody sweeps it at this moment, as far as its lock file tells.
    """

    path: str
    state: PlanState
    expired: bool = False
    running: bool = False
    id: str | None = None
    digest: str | None = None
    created: str | None = None
    expires: str | None = None
    mode: Mode | None = None
    server_id: str | None = None
    entries: int | None = None
    bytes: int | None = None
    signer: str | None = None
    fingerprint: str | None = None
    approvals: tuple[str, ...] = ()
    approvals_needed: int = 0
    swept: SweptFacts | None = None
    problem: str | None = None


class LogTotals(Document, frozen=True, kw_only=True):
    """Of the plans that are listed, each digest counted once. ``bytes``: planned, as far as known; ``freed``: confirmed."""

    plans: int
    entries: int
    bytes: int
    freed: int


class LogResult(Document, frozen=True, kw_only=True):
    """``log``: plans, newest first. ``verified`` is false with ``--fast``: then nothing that it says is proven.

    ``more``: there are more than ``--max`` plans, and only so many were looked at. ``states``: only plans in these states
    were asked for (``--state``); empty for all.
    """

    folder: str
    verified: bool
    states: tuple[PlanState, ...] = ()
    plans: tuple[PlanLine, ...]
    totals: LogTotals
    more: bool
