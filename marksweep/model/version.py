"""One artifact version, the unit of garbage, as a catalog describes it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

import msgspec


class ReferenceKind(enum.StrEnum):
    """What keeps a version alive. The names are stable: they stand in plans and in ``--json`` output."""

    STEP_INPUT = "step_input"
    STEP_OUTPUT = "step_output"
    MODEL_VERSION = "model_version"
    RUN_OUTPUT = "run_output"
    HOOK_OUTPUT = "hook_output"
    CURATED_VISUALIZATION = "curated_visualization"
    CONFIGURATION = "configuration"
    LAZY_LOADER = "lazy_loader"


@dataclass(frozen=True, slots=True)
class Reference:
    """One row that keeps a version alive: its kind, and who holds it in words that a person finds again.

    ``since``: when that row, or the one that holds it, was made (aware, in UTC); None where the catalog does not say.
    """

    kind: ReferenceKind
    holder: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """An artifact store as the catalog configures it. ``root`` is a URI or an absolute path; it never holds credentials.

    ``options`` are what its client needs besides credentials (for example ``client_kwargs.endpoint_url``).
    """

    id: str
    name: str
    flavor: str
    root: str
    options: dict[str, object] = field(default_factory=dict, hash=False)


class Version(msgspec.Struct, frozen=True):
    """A catalog row that owns the objects under its URI. Times are aware, in UTC; ids as the catalog shows them."""

    id: str
    artifact_id: str
    artifact: str
    version: str
    number: int | None
    project: str
    uri: str
    store_id: str | None
    created: datetime
    updated: datetime
    registered: bool
    tags: frozenset[str] = frozenset()


class Surveyed(msgspec.Struct, frozen=True):
    """A version with the kinds of reference that the survey found for it."""

    version: Version
    references: frozenset[ReferenceKind]


@dataclass(frozen=True, slots=True)
class Claim:
    """A URI that somebody lays claim to besides a version's own: a visualization, a log, a service.

    With a ``version_id`` the claim lives and dies with that version; without one it is always alive.
    """

    uri: str
    holder: str
    version_id: str | None = None
