"""What ``explain`` says."""

from __future__ import annotations

from marksweep.report.document import Document


class AnswerFacts(Document, frozen=True, kw_only=True):
    """One rule's answer."""

    rule: str
    keeps: bool
    detail: str


class ReferenceFacts(Document, frozen=True, kw_only=True):
    """One reference that was found."""

    kind: str
    holder: str


class ExplainedVersion(Document, frozen=True, kw_only=True):
    """One version: ``verdict`` is ``orphan`` or the rule that keeps it."""

    id: str
    artifact: str
    version: str
    project: str
    uri: str
    created: str
    verdict: str
    answers: tuple[AnswerFacts, ...]
    references: tuple[ReferenceFacts, ...]


class ExplainResult(Document, frozen=True, kw_only=True):
    """``explain``: every version that the name, id or URI means."""

    versions: tuple[ExplainedVersion, ...]
