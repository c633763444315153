"""What ``explain`` says."""

from __future__ import annotations

from typing import Literal

from marksweep.report.document import Document

Place = Literal["named", "inside", "below"]
"""How versions were found: ``named`` by id, name or URI; the URI lies ``inside`` their place; they lie ``below`` the URI."""


class AnswerFacts(Document, frozen=True, kw_only=True):
    """One rule's answer."""

    rule: str
    keeps: bool
    detail: str


class ReferenceFacts(Document, frozen=True, kw_only=True):
    """One reference that was found. ``since``: when the row that holds it was made; null where the catalog does not say."""

    kind: str
    holder: str
    since: str | None = None


class PlanPlace(Document, frozen=True, kw_only=True):
    """What the plan given with ``--plan`` says of a version, and the journal of its sweep.

    ``state`` is null before a sweep touched it, else the journal's (``docs/reference/journal.md``), written ``at`` that time.
    """

    path: str
    digest: str
    entry: bool
    state: str | None = None
    code: str = ""
    detail: str = ""
    at: str | None = None


class ExplainedVersion(Document, frozen=True, kw_only=True):
    """One version: ``verdict`` is ``orphan`` or the rule that keeps it; ``plan`` is null without ``--plan``."""

    id: str
    artifact: str
    version: str
    project: str
    uri: str
    created: str
    verdict: str
    answers: tuple[AnswerFacts, ...]
    references: tuple[ReferenceFacts, ...]
    plan: PlanPlace | None = None


class GoneVersion(Document, frozen=True, kw_only=True):
    """A version that the catalog no longer has, as the plan given with ``--plan`` describes it."""

    id: str
    artifact: str
    version: str
    project: str
    uri: str
    created: str
    plan: PlanPlace


class KeptVersion(Document, frozen=True, kw_only=True):
    """One kept version: the rule's answer, and the first reference that was found."""

    id: str
    artifact: str
    version: str
    project: str
    uri: str
    created: str
    detail: str
    reference: ReferenceFacts | None


class KeptGroup(Document, frozen=True, kw_only=True):
    """The versions that one rule keeps: how many, and the first of them, oldest first."""

    reason: str
    versions: int
    first: tuple[KeptVersion, ...]


class ExplainResult(Document, frozen=True, kw_only=True):
    """``explain``: the versions that the name, id or URI means. ``found`` counts all of them, of which ``versions`` are the
    first; ``gone`` are those that only the plan knows. With ``--why-kept`` the ``kept`` versions by reason instead.
    """

    versions: tuple[ExplainedVersion, ...]
    place: Place = "named"
    found: int = 0
    gone: tuple[GoneVersion, ...] = ()
    kept: tuple[KeptGroup, ...] | None = None
    versions_in_catalog: int | None = None
