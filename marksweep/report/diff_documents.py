"""What ``diff`` says, and ``mark --compare``: two plans of one catalog side by side."""

from __future__ import annotations

from typing import Literal

from marksweep.model.outcome import Mode
from marksweep.report.document import Document
from marksweep.report.explain_documents import ReferenceFacts

Reason = Literal["referenced", "swept", "absent", "kept", "moved", "unsettled"]
"""Why a version is no longer in a plan. ``swept``: the earlier plan's journal says so; ``absent``: the catalog no longer has
it, whoever deleted it; ``kept``: a rule about single versions keeps it today; ``moved``: it has another URI now;
``unsettled``: none of these.
"""


class DiffSide(Document, frozen=True, kw_only=True):
    """One of the two plans. ``path`` is null for a plan that was made only to be compared (``--now``)."""

    path: str | None
    id: str
    digest: str
    created: str
    mode: Mode
    signer: str
    fingerprint: str
    entries: int
    objects: int | None
    bytes: int | None
    versions_in_catalog: int


class DiffTally(Document, frozen=True, kw_only=True):
    """Entries of one fate, and what lies under them; null if one entry's is unknown."""

    entries: int
    objects: int | None
    bytes: int | None


class DiffTotals(Document, frozen=True, kw_only=True):
    """Every entry of both plans once. ``changed``: the same id and place, but other objects, bytes, fingerprint, spelling of
    the URI, or reason; counted as they are in the later plan.
    """

    new: DiffTally
    gone: DiffTally
    changed: DiffTally
    same: DiffTally


class DiffArtifact(Document, frozen=True, kw_only=True):
    """What became of one artifact's entries."""

    project: str
    artifact: str
    new: int
    gone: int
    changed: int
    entries_before: int
    entries_now: int
    bytes_before: int | None
    bytes_now: int | None


class DiffFact(Document, frozen=True, kw_only=True):
    """One thing that the two headers say differently: a choice of the policy, a fact of the catalog, a store, or of the plan.

    ``before`` and ``now`` are for people; empty where there was nothing.
    """

    part: Literal["policy", "catalog", "store", "plan"]
    name: str
    before: str
    now: str
    danger: bool = False


class DiffRows(Document, frozen=True, kw_only=True):
    """A table of the catalog that held another number of rows; null where a plan does not name it."""

    table: str
    before: int | None
    now: int | None


class DiffWhy(Document, frozen=True, kw_only=True):
    """Why a version is no longer in the plan: ``detail`` in words, and what refers to it."""

    reason: Reason
    detail: str
    references: tuple[ReferenceFacts, ...]


class DiffEntry(Document, frozen=True, kw_only=True):
    """One entry that came, went or changed. ``changes``: what is different about one that is in both, in words."""

    id: str
    artifact: str
    version: str
    project: str
    uri: str
    objects: int | None
    bytes: int | None
    created: str
    changes: tuple[str, ...] = ()
    why: DiffWhy | None = None


class DiffEntries(Document, frozen=True, kw_only=True):
    """The first entries of each fate, in plan order (``--entries N``)."""

    new: tuple[DiffEntry, ...]
    gone: tuple[DiffEntry, ...]
    changed: tuple[DiffEntry, ...]


class DiffReason(Document, frozen=True, kw_only=True):
    """How many versions are no longer in the plan for one reason, and the bytes that they held."""

    reason: Reason
    entries: int
    bytes: int | None


class PlanDifference(Document, frozen=True, kw_only=True):
    """Two plans, and everything that differs. ``artifacts``: the biggest changes first; ``more_artifacts`` counts the rest.

    ``facts`` and ``rows`` are what differs between the headers. ``same_catalog``: both name the same server.
    """

    before: DiffSide
    now: DiffSide
    same_catalog: bool
    totals: DiffTotals
    artifacts: tuple[DiffArtifact, ...]
    more_artifacts: int
    facts: tuple[DiffFact, ...]
    rows: tuple[DiffRows, ...]

    @property
    def differs(self) -> bool:
        """Whether any entry came, went or changed."""
        return bool(self.totals.new.entries or self.totals.gone.entries or self.totals.changed.entries)


class DiffResult(Document, frozen=True, kw_only=True):
    """``diff``: the difference, its first entries, and with ``--why`` the reasons why versions are no longer in the plan."""

    difference: PlanDifference
    entries: DiffEntries
    reasons: tuple[DiffReason, ...] | None = None
    remarks: tuple[str, ...] = ()
