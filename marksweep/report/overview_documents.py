"""What a plan looks like as a whole: the facts behind all four forms of ``show``, recomputed from its entries."""

from __future__ import annotations

import enum

from marksweep.model.store import Undo
from marksweep.report.document import Document


class Severity(enum.StrEnum):
    """``danger``: look before you approve. ``caution``: unusual, or less safe than it could be. ``note``: good to know."""

    DANGER = "danger"
    CAUTION = "caution"
    NOTE = "note"


class Risk(Document, frozen=True, kw_only=True):
    """Something that a reviewer should know. ``code`` is stable (``no_undo``); ``text`` is one plain sentence. It ends in
    the ``names`` that it is about, with commas between them: of stores or artifacts, escaped and shortened.
    """

    severity: Severity
    code: str
    text: str
    names: tuple[str, ...] = ()


class Slice(Document, frozen=True, kw_only=True):
    """One bar of a distribution: the entries of an age or a size. ``bytes`` is null if an entry's is."""

    label: str
    entries: int
    bytes: int | None


class Branch(Document, frozen=True, kw_only=True):
    """The entries of one artifact. ``pipeline`` is what ZenML's default names (``pipeline::step::output``) say, and
    empty for an artifact that somebody named; ``oldest`` and ``newest`` are creation times.
    """

    project: str
    pipeline: str
    artifact: str
    entries: int
    objects: int | None
    bytes: int | None
    oldest: str
    newest: str


class StoreShare(Document, frozen=True, kw_only=True):
    """What of the plan lies in one store, and whether a delete there can be undone. ``root`` is empty for entries that
    no root of the plan contains as it is written.
    """

    root: str
    flavor: str
    undo: Undo
    entries: int
    objects: int | None
    bytes: int | None


class Overview(Document, frozen=True, kw_only=True):
    """A plan as a whole. ``risks``: most severe first. ``branches`` has the artifacts with the most bytes first, at most
    1,000; ``more_artifacts`` and ``more_entries`` count the rest. ``ages`` (at the time of the mark) and ``sizes`` hold
    every entry once. ``shared`` entries lie in the place of another one, which counts their objects and bytes.
    """

    risks: tuple[Risk, ...]
    projects: int
    artifacts: int
    branches: tuple[Branch, ...]
    more_artifacts: int
    more_entries: int
    ages: tuple[Slice, ...]
    sizes: tuple[Slice, ...]
    stores: tuple[StoreShare, ...]
    shared: int
