"""A plan's entries, added up once for people: by artifact, age, size and store, with what a reviewer should know.

One pass, in memory that grows with the artifacts and not with the entries; the same plan, time and approvals give the
same overview. The header's own totals were compared with the entries when the plan was verified.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from marksweep.model.entry import Entry
from marksweep.model.instant import from_text, to_text
from marksweep.model.store import Undo
from marksweep.model.uri import UriRefused, key_of
from marksweep.plan.document import Header, StoreFacts
from marksweep.report.overview_documents import Branch, Overview, Slice, StoreShare
from marksweep.report.risks import Reviewed, risks
from marksweep.report.text import plain

MOST_BRANCHES: Final = 1_000
"""Artifacts that an overview names; the rest is counted."""

AGES: Final = (
    ("under a day", 0), ("1 to 7 days", 1), ("7 to 30 days", 7), ("30 to 90 days", 30), ("90 to 180 days", 90),
    ("180 to 365 days", 180), ("1 to 2 years", 365), ("over 2 years", 730),
)  # fmt: skip
"""Bars of the ages, each with the days from which it counts; what is younger than the mark is under a day old, too."""
SIZES: Final = (
    ("empty", 0), ("up to 1 KiB", 1024), ("up to 1 MiB", 1024**2), ("up to 10 MiB", 10 * 1024**2),
    ("up to 100 MiB", 100 * 1024**2), ("up to 1 GiB", 1024**3), ("up to 10 GiB", 10 * 1024**3),
)  # fmt: skip
"""Bars of the sizes, smallest first, each with the bytes to which it counts; three more follow."""
LARGER, UNKNOWN, SHARED = "over 10 GiB", "unknown", "in another's place"
_LIMITS = [limit for _, limit in SIZES]


@dataclass(slots=True)
class _Sum:
    """Entries, and the objects and bytes of those that were looked at."""

    entries: int = 0
    objects: int = 0
    bytes: int = 0
    unsized: int = 0

    def known(self, number: int) -> int | None:
        """*number* of objects or bytes, unless an entry's is unknown."""
        return None if self.unsized else number


@dataclass(slots=True)
class _Artifact(_Sum):
    oldest: str = "~"
    newest: str = ""
    hidden: bool = False
    """Whether its name or its project's has characters that nobody sees."""


def overview(
    header: Header,
    entries: Iterable[Entry],
    *,
    now: datetime,
    approvals: Sequence[str] | None,
    broken: Sequence[str] = (),
) -> Overview:
    """The overview of a verified plan as of *now* (aware), which *approvals* (one name per person) approved so far; None
    if nobody is to approve it. *broken*: a sentence for each rule of the policy that it breaks.
    """
    sums = _Sums(header)
    for entry in entries:
        sums.add(entry)
    return sums.overview(now, approvals, broken)


def pipeline_of(artifact: str) -> str:
    """The pipeline in ZenML's default name of an artifact, ``pipeline::step::output``; empty for any other name."""
    pipeline, _, rest = artifact.partition("::")
    return pipeline if "::" in rest else ""


@dataclass(slots=True)
class _Sums:
    """The pass over the entries."""

    header: Header
    artifacts: dict[tuple[str, str], _Artifact] = field(default_factory=dict)
    ages: list[_Sum] = field(default_factory=lambda: [_Sum() for _ in AGES])
    """Oldest first, as ``_births`` are."""
    sizes: list[_Sum] = field(default_factory=lambda: [_Sum() for _ in (*SIZES, LARGER, UNKNOWN, SHARED)])
    stores: list[_Sum] = field(init=False)
    linked: int = 0
    hidden: int = 0
    bare: int = 0
    _births: list[str] = field(init=False)
    """Creation times between which the ages lie, oldest first."""
    _roots: tuple[tuple[str, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        stores = self.header.stores
        self.stores = [_Sum() for _ in (*stores, None)]
        self._births = [_before(self.header.plan.created, days) for _, days in reversed(AGES[1:])]
        self._roots = _roots(stores)

    def add(self, entry: Entry) -> None:
        """Take one entry."""
        artifact = self.artifacts.get((entry.project, entry.artifact))
        if artifact is None:
            artifact = _Artifact(hidden=_hides(entry.project) or _hides(entry.artifact))
            self.artifacts[entry.project, entry.artifact] = artifact
        born = entry.created[:-1]  # without the Z a fraction sorts after the second that it belongs to
        for cell in (artifact, self.ages[bisect_left(self._births, born)], self._size(entry), self._store(entry)):
            cell.entries += 1
            if entry.bytes is None or entry.objects is None:
                cell.unsized += 1
            else:
                cell.objects += entry.objects
                cell.bytes += entry.bytes
        artifact.oldest = min(artifact.oldest, born)
        artifact.newest = max(artifact.newest, born)
        self.linked += entry.reason == "model_links_ignored"
        self.hidden += artifact.hidden or _hides(entry.version) or _hides(entry.uri)
        self.bare += entry.objects == 0 and entry.shares is None

    def overview(self, now: datetime, approvals: Sequence[str] | None, broken: Sequence[str]) -> Overview:
        """The overview of what was taken."""
        biggest = heapq.nsmallest(MOST_BRANCHES, self.artifacts.items(), key=_rank)
        branches = tuple(_branch(*key, artifact) for key, artifact in biggest)
        stores = self._shares()
        whole = bool(branches) and not any(size.unsized for size in self.sizes)
        shared, young, fresh = self.sizes[-1].entries, self.ages[-2].entries, self.ages[-1].entries
        known = Reviewed(
            header=self.header, now=now, approvals=approvals, broken=broken, artifacts=len(self.artifacts), stores=stores,
            biggest=branches[0] if whole else None, fresh=fresh, young=young + fresh,
            unsized=sum(size.unsized for size in self.sizes), bare=self.bare, shared=shared, linked=self.linked,
            hidden=self.hidden,
        )  # fmt: skip
        size_labels = (*(label for label, _ in SIZES), LARGER, UNKNOWN, SHARED)
        return Overview(
            risks=risks(known),
            projects=len({project for project, _ in self.artifacts}),
            artifacts=len(self.artifacts),
            branches=branches,
            more_artifacts=len(self.artifacts) - len(branches),
            more_entries=self.header.totals.entries - sum(branch.entries for branch in branches),
            ages=tuple(_slice(label, cell) for (label, _), cell in zip(AGES, reversed(self.ages), strict=True)),
            sizes=tuple(_slice(label, cell) for label, cell in zip(size_labels, self.sizes, strict=True)),
            stores=stores,
            shared=shared,
        )

    def _size(self, entry: Entry) -> _Sum:
        if entry.shares is not None:
            return self.sizes[-1]
        return self.sizes[-2] if entry.bytes is None else self.sizes[bisect_left(_LIMITS, entry.bytes)]

    def _store(self, entry: Entry) -> _Sum:
        key = key_of(entry.uri)
        return self.stores[next((at for root, at in self._roots if key.startswith(root)), -1)]

    def _shares(self) -> tuple[StoreShare, ...]:
        nowhere = StoreFacts(root="", flavor="", undo=Undo.UNKNOWN)
        return tuple(
            StoreShare(
                root=store.root, flavor=store.flavor, undo=store.undo, entries=cell.entries,
                objects=cell.known(cell.objects), bytes=cell.known(cell.bytes),
            )
            for store, cell in zip((*self.header.stores, nowhere), self.stores, strict=True)
            if store is not nowhere or cell.entries
        )  # fmt: skip


def _before(created: str, days: int) -> str:
    try:
        return to_text(from_text(created) - timedelta(days=days))[:-1]
    except OverflowError:  # nothing is older than the year 1
        return to_text(datetime.min.replace(tzinfo=UTC))[:-1]


def _roots(stores: Sequence[StoreFacts]) -> tuple[tuple[str, int], ...]:
    """The keys of the roots, longest first, each with its store's number. The only local store has every local place:
    its root may be written another way than the entries are (a symbolic link).
    """
    found: list[tuple[str, int]] = []
    for at, store in enumerate(stores):
        try:
            found.append((key_of(store.root), at))
        except UriRefused:
            continue
    local = [at for at, store in enumerate(stores) if store.flavor == "local"]
    if len(local) == 1:
        found.append(("file://", local[0]))
    return tuple(sorted(found, key=lambda root: (-len(root[0]), root[1])))


def _hides(text: str) -> bool:
    """Whether a reader is shown something else than *text*, because part of it is invisible or misleading."""
    usual = text.isascii() and text.isprintable() and "::" not in text and "##[" not in text
    return not usual and plain(text) != text


def _rank(pair: tuple[tuple[str, str], _Artifact]) -> tuple[int, int, str, str]:
    key, artifact = pair
    return (-artifact.bytes, -artifact.entries, *key)


def _branch(project: str, name: str, artifact: _Artifact) -> Branch:
    return Branch(
        project=project,
        pipeline=pipeline_of(name),
        artifact=name,
        entries=artifact.entries,
        objects=artifact.known(artifact.objects),
        bytes=artifact.known(artifact.bytes),
        oldest=artifact.oldest + "Z",
        newest=artifact.newest + "Z",
    )


def _slice(label: str, cell: _Sum) -> Slice:
    return Slice(label=label, entries=cell.entries, bytes=cell.known(cell.bytes))
