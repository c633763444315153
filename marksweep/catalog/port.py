"""What a phase may ask of a catalog.

Promises that every adapter keeps:

* The catalog is never created, never migrated, and never written to but by :meth:`Catalog.claim` and its kin, and by
  :meth:`Catalog.reinsert`.
* ``survey`` and ``references`` see every kind of reference that the catalog can hold, or the catalog was refused on opening.
* ``claim`` is exact: after it answered CLAIMED no reference to that version exists and none can be made; a version that a
  committed reference keeps alive is never claimed. It calls ``intent`` with what it is about to do, durably, before commit.
* Methods block; phases call them in a worker thread, one at a time.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from marksweep.model.outcome import Mode
from marksweep.model.version import ArtifactStore, Claim, Reference, ReferenceKind, Surveyed, Version


@dataclass(frozen=True, slots=True)
class Identity:
    """Which catalog this is; signed into every plan. ``instance`` tells a clone of a database from the database."""

    kind: str
    server_id: str
    schema: str
    release: str
    dialect: str
    instance: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How to use this catalog: entries per claim, and whether an emptied artifact may go (and if not, why)."""

    claim_batch: int
    empty_artifacts: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """One version to claim, bound to the row that the plan saw: id, exact URI, and when the row last changed.

    ``linked``: the plan saw model links on it, and its policy ignores those.
    """

    id: str
    uri: str
    updated: datetime
    unit: str
    linked: bool = False


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What the signed plan allows a claim to do.

    ``model_links_before``: model links made before that do not keep a request that is ``linked``; null: every link keeps.
    ``since``: rows created or changed from here on are compared by URI again. ``artifacts_before``: an artifact row left
    without versions goes too if it is older; null keeps them all.
    """

    mode: Mode
    model_links_before: datetime | None
    since: datetime
    artifacts_before: datetime | None


class ClaimAnswer(enum.Enum):
    """What a claim found for one version."""

    CLAIMED = "claimed"
    REFERENCED = "referenced"
    GONE = "gone"
    CHANGED = "changed"
    PROTECTED = "protected"
    BUSY = "busy"
    """Somebody else holds the row at the moment, most likely to link it. Nothing is known: ask again, or keep it."""


Image = Mapping[str, Sequence[Mapping[str, object]]]
"""Table -> rows, each value as the database's driver gives and takes it."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer for one version; ``image`` holds the rows that a claim removes (table -> rows), for an undo."""

    id: str
    answer: ClaimAnswer
    detail: str = ""
    image: Image | None = None


Intent = Callable[[Sequence[Claimed]], None]
"""Called inside the transaction with all answers, before the commit; returns once they are durable, or raises."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A version that a sweep took: its id, its URI, and the ``image`` of its claim."""

    id: str
    uri: str
    image: Image


class Reinserted(enum.Enum):
    """What became of the rows of a unit that was to be put back."""

    BACK = "back"
    THERE = "there"
    """They are all there already, just as they were."""
    REFUSED = "refused"


Holder = Callable[[str, str], Image | None]
"""Finds the image of another claim of the same sweep that holds the row of this table with this id; null if none does."""


Sift = Callable[[Sequence[str]], Sequence[int]]
"""Picks from URIs those that the caller wants to know about: their positions. A catalog holds millions that matter to none."""


@dataclass(frozen=True, slots=True)
class Places:
    """A page of versions: how many were read, and (id, URI) of those whose URI was picked."""

    read: int
    picked: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Around:
    """The versions whose place a URI lies in, nearest first, and those that lie below it: how many, and the first of them."""

    owners: Sequence[Version]
    below: int
    first: Sequence[Version]


class InDoubt(Exception):
    """The answer to a commit was lost: only :meth:`Catalog.presence` can tell what happened."""


class Catalog(Protocol):
    """One metadata database, open."""

    def identity(self) -> Identity: ...

    def capabilities(self) -> Capabilities: ...

    def now(self) -> datetime:
        """The database's clock, aware, in UTC."""
        ...

    def stores(self) -> Mapping[str, ArtifactStore]:
        """The artifact stores that exist, by id."""
        ...

    def oldest_unfinished_run(self, not_before: datetime) -> datetime | None:
        """When the oldest pipeline run began that has not finished and began at or after *not_before*."""
        ...

    def census(self) -> Mapping[str, int]:
        """How many rows the tables of versions and of their references hold, by table: a restore that lost links shows."""
        ...

    def sole_sweeper(self) -> AbstractContextManager[None]:
        """Hold the catalog's advisory lock; raise :class:`marksweep.errors.Locked`, naming the holder, if another has it."""
        ...

    def survey(self, *, tags: bool, without: frozenset[ReferenceKind] = frozenset()) -> Iterator[Sequence[Surveyed]]:
        """Every version once, in pages, with the kinds of its references; with its tags if asked.

        Versions that have a reference of a kind in *without* are left out.
        """
        ...

    def places(self, sift: Sift) -> Iterator[Places]:
        """The URI of every version, in pages."""
        ...

    def claims(self, sift: Sift | None = None) -> Iterator[Sequence[Claim]]:
        """Every other URI that somebody lays claim to, in pages; only those that *sift* picks, if given."""
        ...

    def find(self, needle: str) -> Sequence[Version]:
        """The versions that *needle* names: an id (with or without dashes), an artifact name, ``artifact@version``, or an
        exact URI. The newest first.
        """
        ...

    def described(self, ids: Sequence[str]) -> Mapping[str, Version]:
        """Those of *ids* that exist."""
        ...

    def around(self, uri: str, most: int) -> Around:
        """The versions in whose place *uri* lies (an object's, say), and the first *most* of those whose place lies in it."""
        ...

    def references(self, ids: Sequence[str]) -> Mapping[str, Sequence[Reference] | None]:
        """Per id its references, or None when there is no such version."""
        ...

    def recheck(self, requests: Sequence[ClaimRequest], rules: ClaimRules) -> Sequence[Claimed]:
        """What a claim would answer now; nothing is written."""
        ...

    def claim(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        """Take the versions out of reach in one short transaction if still unreferenced; units are all or none.

        Raises :class:`InDoubt` when the commit's answer was lost, after which nothing may be assumed.
        """
        ...

    def presence(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The URI of each of *ids* that exists, read with a lock that waits for open transactions: the final word."""
        ...

    def overlapping(self, uris: Mapping[str, str], since: datetime) -> Mapping[str, str]:
        """Of *uris* (id -> URI), those that another version created or changed *since* claims too: id -> who."""
        ...

    def settle(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        """Second look at rows that an only-artifact claim marked: CLAIMED, or their URI restored and REFERENCED."""
        ...

    def reinsert(
        self, unit: Sequence[Lost], mode: Mode, since: datetime, holder: Holder, *, write: bool
    ) -> tuple[Reinserted, str]:
        """Undo the claims of *unit*, all or none, in one transaction; or why not. Without *write* only look whether one could.

        Nothing that is there is overwritten: another row with an id or a name of theirs, a version or another row created or
        changed *since* that claims their place, or a row that they refer to and that is gone, and they are REFUSED. Raises
        :class:`InDoubt` when the answer to the commit was lost.
        """
        ...

    def close(self) -> None: ...
