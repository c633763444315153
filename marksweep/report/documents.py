"""What each command says, as typed documents: the ``--json`` output, and the source of what a terminal shows.

The JSON Schemas under ``schemas/`` are generated from these (``python -m marksweep.report.schemas``). Sizes are in
bytes, times RFC 3339 in UTC; null means unknown.
"""

from __future__ import annotations

import msgspec

from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.plan.document import CatalogFacts, Group, StoreFacts
from marksweep.report.diff_documents import DiffResult, PlanDifference
from marksweep.report.document import Document
from marksweep.report.explain_documents import ExplainResult
from marksweep.report.grants_documents import GrantsResult
from marksweep.report.init_documents import InitResult
from marksweep.report.log_documents import LogResult
from marksweep.report.overview_documents import Overview
from marksweep.report.text import json_text
from marksweep.report.trust_documents import ApproveResult, KeyResult, KeysImportResult, ReceiptResult, TrustFacts
from marksweep.sweep.canary_record import CanaryState


class SignerFacts(Document, frozen=True, kw_only=True):
    """Who signed: the principal that the trust file names, and the key."""

    principal: str
    fingerprint: str


class PlanSummary(Document, frozen=True, kw_only=True):
    """A plan at a glance. ``kept``: reason -> versions; ``groups``: the artifacts with the most bytes first.

    ``broken``: a sentence for each rule of the policy that it breaks, but for missing approvals. ``entries_uri``: where a
    card's entries are; null for a plan that holds them itself.
    """

    path: str
    id: str
    digest: str
    created: str
    expires: str
    tool: str
    mode: Mode
    catalog: CatalogFacts
    policy: Policy
    stores: tuple[StoreFacts, ...]
    entries: int
    objects: int | None
    bytes: int | None
    versions_in_catalog: int
    kept: dict[str, int]
    groups: tuple[Group, ...]
    signer: SignerFacts
    approvals: tuple[str, ...]
    approvals_needed: int = 0
    broken: tuple[str, ...] = ()
    expired: bool
    entries_uri: str | None = None


class RequestFacts(Document, frozen=True, kw_only=True):
    """What one run asked of the stores: requests by kind, how many of them were repeats, how often one said slow down."""

    list: int
    delete: int
    other: int
    repeated: int
    slowed: int


class MarkResult(Document, frozen=True, kw_only=True):
    """``mark``: the plan that was written, how it differs from the one given with ``--compare``, and what to know."""

    plan: PlanSummary
    compared: PlanDifference | None = None
    warnings: tuple[str, ...]
    requests: RequestFacts
    trusted: TrustFacts | None = None
    seconds: float


class EntryLine(Document, frozen=True, kw_only=True):
    """One entry as ``show`` lists it."""

    id: str
    artifact: str
    version: str
    project: str
    uri: str
    objects: int | None
    bytes: int | None
    created: str
    reason: str


class ShowResult(Document, frozen=True, kw_only=True):
    """``show``: the plan, what it looks like as a whole, and its first entries if asked for (``--entries N``). ``approve``:
    how to approve it, lines for a shell, marksweep's first, then OpenSSH's; empty if there is nothing to approve.
    """

    plan: PlanSummary
    overview: Overview
    entries: tuple[EntryLine, ...]
    approve: tuple[str, ...] = ()
    trusted: TrustFacts | None = None


class VerifyResult(Document, frozen=True, kw_only=True):
    """``verify``: what was proved. ``ignored``: approval files that do not count, each with the reason."""

    path: str
    digest: str
    signer: SignerFacts
    approvals: tuple[str, ...]
    approvals_needed: int
    ignored: tuple[str, ...] = ()
    expires: str
    entries: int
    objects: int | None
    bytes: int | None
    trusted: TrustFacts | None = None


class Line(Document, frozen=True, kw_only=True):
    """What became of one entry, where that needs a word: kept or failed."""

    id: str
    uri: str
    state: str
    code: str
    detail: str


class BooksFacts(Document, frozen=True, kw_only=True):
    """planned = deleted + gone + referenced + changed + protected + restored + failed + not_attempted, over all runs.

    ``objects`` and ``bytes`` are what the stores confirmed as deleted; ``left`` are objects that appeared meanwhile.
    """

    planned: int
    deleted: int
    gone: int
    referenced: int
    changed: int
    protected: int
    failed: int
    not_attempted: int
    in_doubt: int
    objects: int
    bytes: int
    left: int
    restored: int = 0


class HarmedFacts(Document, frozen=True, kw_only=True):
    """One live version whose place changed during a canary: what it held before it, and after."""

    id: str
    uri: str
    objects_before: int
    bytes_before: int
    objects_after: int
    bytes_after: int


class CanaryFacts(Document, frozen=True, kw_only=True):
    """The plan's last canary, by whichever run. ``beside``: live versions under the folders that it touches, of which
    ``witnesses`` were compared; ``harmed``: the first hundred that it harmed.
    """

    state: CanaryState
    entries: int
    beside: int
    witnesses: int
    harmed: tuple[HarmedFacts, ...]


class SweepResult(Document, frozen=True, kw_only=True):
    """``sweep``: the books over all runs, how many entries earlier runs had settled, the canary if there was one, the
    entries that need a word (the first hundred), what the stores were asked and what they are like, and where the receipt is.
    """

    path: str
    digest: str
    mode: Mode
    dry_run: bool
    books: BooksFacts
    settled_before: int = 0
    canary: CanaryFacts | None = None
    lines: tuple[Line, ...]
    requests: RequestFacts
    remarks: tuple[str, ...] = ()
    receipt: str | None
    trusted: TrustFacts | None = None
    seconds: float
    status: int


class RestoreResult(Document, frozen=True, kw_only=True):
    """``restore``: of the entries that the sweep took (``swept``), how many are back and how many could not be, with the
    first hundred reasons; the objects and bytes that the stores brought back; the receipt, if there was one, rewritten.
    For a dry run, what could be.
    """

    path: str
    digest: str
    mode: Mode
    dry_run: bool
    swept: int
    restored: int
    refused: int
    objects: int
    bytes: int
    lines: tuple[Line, ...]
    receipt: str | None = None
    seconds: float
    status: int


class StatusResult(Document, frozen=True, kw_only=True):
    """``status``: how far the sweep of a plan is, read from its journal. ``rate`` is entries a second while it ran."""

    path: str
    digest: str
    mode: Mode
    started: str | None
    last: str | None
    running: bool
    books: BooksFacts
    canary: CanaryFacts | None = None
    rate: float | None
    lines: tuple[Line, ...]
    trusted: TrustFacts | None = None


class PruneResult(Document, frozen=True, kw_only=True):
    """``prune``: the plan, what it looks like as a whole, and the sweep of it unless that was not asked for."""

    plan: PlanSummary
    overview: Overview
    sweep: SweepResult | None


class ErrorFacts(Document, frozen=True, kw_only=True):
    """Why a command ended early. ``deleted`` says how much was deleted so far."""

    code: str
    fact: str
    remedy: str
    deleted: str
    status: int


class ErrorResult(Document, frozen=True, kw_only=True):
    """What every command prints with ``--json`` when it fails."""

    error: ErrorFacts


RESULTS: dict[str, type[Document]] = {
    "mark": MarkResult,
    "show": ShowResult,
    "verify": VerifyResult,
    "approve": ApproveResult,
    "sweep": SweepResult,
    "status": StatusResult,
    "restore": RestoreResult,
    "diff": DiffResult,
    "explain": ExplainResult,
    "grants": GrantsResult,
    "keys": KeyResult,
    "log": LogResult,
    "keys-import": KeysImportResult,
    "verify-receipt": ReceiptResult,
    "prune": PruneResult,
    "init": InitResult,
    "error": ErrorResult,
}
"""Command -> its ``--json`` output; each has ``schemas/<command>.schema.json``."""


def encode(document: Document) -> bytes:
    """A document as indented JSON, ending in a newline; what a terminal obeys or nobody sees stands as ``\\uXXXX``."""
    return json_text(msgspec.to_builtins(document)).encode() + b"\n"
