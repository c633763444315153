"""Orphan or kept, and why: the rules, asked in order, over values alone.

The first rule that keeps a version is its verdict, so every version has exactly one. Three rules need to see more than one
version and are settled by the mark phase: ``newest`` (rank within the artifact), ``first_seen`` (absent from an earlier
plan) and ``claimed`` (overlap of URIs).
"""

from __future__ import annotations

import enum
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from marksweep.model.instant import roughly
from marksweep.model.policy import MIN_DEPTH, Policy
from marksweep.model.uri import UriRefused, claims, contains, key_of
from marksweep.model.version import ArtifactStore, ReferenceKind, Surveyed, Version

TOMBSTONE = "marksweep-deleted:"
"""What an only-artifact sweep puts before the URI of a row whose bytes it deleted."""


class KeptReason(enum.StrEnum):
    """Why a version is no orphan. Stable names, in the order in which the rules are asked."""

    REFERENCED = "referenced"
    PINNED = "pinned"
    FILTERED = "filtered"
    REGISTERED = "registered"
    BYTES_DELETED = "bytes_deleted"
    IN_MEMORY = "in_memory"
    STORE_DELETED = "store_deleted"
    UNKNOWN_FLAVOR = "unknown_flavor"
    UNSAFE_URI = "unsafe_uri"
    OUTSIDE_STORE = "outside_store"
    NEAR_ROOT = "near_root"
    TOO_YOUNG = "too_young"
    UNFINISHED_RUN = "unfinished_run"
    NEWEST = "newest"
    FIRST_SEEN = "first_seen"
    CLAIMED = "claimed"
    STORE_UNREACHABLE = "store_unreachable"


@dataclass(frozen=True, slots=True)
class Answer:
    """One rule's answer about one version. ``detail`` is a sentence either way."""

    rule: KeptReason
    keeps: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the rules know besides the version: the clock, the runs in progress, and the stores there are.

    ``roots``: per store id the keys that its root has (as written, and with symbolic links resolved).
    """

    now: datetime
    oldest_unfinished_run: datetime | None
    stores: Mapping[str, ArtifactStore]
    roots: Mapping[str, tuple[str, ...]]
    flavors: frozenset[str]


@dataclass(slots=True)
class Judge:
    """The rules that look at one version at a time. Remembers which pins and exclusions ever matched."""

    policy: Policy
    circumstances: Circumstances
    matched: set[str] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    _asked: tuple[tuple[KeptReason, _Rule], ...] = field(init=False)
    """The rules that can keep anything at all under this policy."""
    _roots: tuple[str, ...] = field(init=False)
    _naming: bool = field(init=False)
    """Whether the policy has pins or exclusions, which are to match something."""

    def __post_init__(self) -> None:
        policy = self.policy
        filters = (policy.projects, policy.artifacts, policy.exclude_artifacts, policy.tags, policy.exclude_tags)
        idle = {
            KeptReason.PINNED: not policy.pins,
            KeptReason.FILTERED: not any((*filters, policy.stores)),
            KeptReason.TOO_YOUNG: not policy.grace and policy.older_than is None,
            KeptReason.UNFINISHED_RUN: not policy.grace or self.circumstances.oldest_unfinished_run is None,
        }
        self._asked = tuple((rule, ask) for rule, ask in _RULES if not idle.get(rule, False))
        self._roots = tuple(itertools.chain.from_iterable(self.circumstances.roots.values()))
        self._naming = bool(policy.pins or policy.exclude_artifacts or policy.exclude_tags)

    def verdict(self, surveyed: Surveyed) -> Answer | None:
        """The first answer that keeps the version, or None when no rule here does."""
        self._remember(surveyed.version)
        for rule, ask in self._asked:
            detail = ask(self, surveyed)
            if detail is not None:
                return Answer(rule, True, detail)
        return None

    def answers(self, surveyed: Surveyed) -> Iterator[Answer]:
        """Every rule's answer, in order."""
        for rule, ask in _RULES:
            detail = ask(self, surveyed)
            yield Answer(rule, detail is not None, detail if detail is not None else _UNMET[rule])

    def _remember(self, version: Version) -> None:
        """Note which pins and exclusions match, also those of versions that another rule keeps first."""
        self.projects.add(version.project)
        if not self._naming:
            return
        self.matched.update(pin for pin in self.policy.pins if _pin_matches(pin, version))
        self.matched.update(p for p in self.policy.exclude_artifacts if fnmatchcase(version.artifact, p))
        self.matched.update(p for p in self.policy.exclude_tags for tag in version.tags if fnmatchcase(tag, p))

    def unmatched(self) -> tuple[str, ...]:
        """Pins and exclusions that matched no version: likely a typing error that would have kept something."""
        wanted = (*self.policy.pins, *self.policy.exclude_artifacts, *self.policy.exclude_tags)
        return tuple(w for w in wanted if w not in self.matched)

    def unmet(self) -> tuple[str, ...]:
        """Values of ``--project`` and ``--store`` that the catalog does not have: the plan lacks what they were to hold."""
        stores = {name for store in self.circumstances.stores.values() for name in (store.name, store.id)}
        return (
            *(f"--project {name!r}: no version is in it" for name in self.policy.projects if name not in self.projects),
            *(f"--store {name!r}: there is no such store" for name in self.policy.stores if name not in stores),
        )

    def _referenced(self, surveyed: Surveyed) -> str | None:
        kinds = surveyed.references
        if self.policy.ignore_model_links:
            kinds = kinds - {ReferenceKind.MODEL_VERSION}
        return f"referenced by {', '.join(sorted(kinds))}" if kinds else None

    def _pinned(self, surveyed: Surveyed) -> str | None:
        pin = next((p for p in self.policy.pins if _pin_matches(p, surveyed.version)), None)
        return f"pinned by {pin!r}" if pin is not None else None

    def _filtered(self, surveyed: Surveyed) -> str | None:
        version, policy = surveyed.version, self.policy
        if policy.projects and version.project not in policy.projects:
            return f"project {version.project!r} is not one of {', '.join(policy.projects)}"
        if policy.artifacts and not any(fnmatchcase(version.artifact, p) for p in policy.artifacts):
            return "its artifact's name matches no --artifact"
        if pattern := _first(policy.exclude_artifacts, version.artifact):
            return f"its artifact's name matches --exclude-artifact {pattern!r}"
        if policy.tags and not any(fnmatchcase(tag, p) for tag in version.tags for p in policy.tags):
            return "no tag of it matches --tag"
        for tag in sorted(version.tags):
            if pattern := _first(policy.exclude_tags, tag):
                return f"its tag {tag!r} matches --exclude-tag {pattern!r}"
        return self._other_store(version)

    def _other_store(self, version: Version) -> str | None:
        if not self.policy.stores:
            return None
        store = self.circumstances.stores.get(version.store_id or "")
        if store is not None and (store.name in self.policy.stores or store.id in self.policy.stores):
            return None
        return "its store is not one of --store"

    def _registered(self, surveyed: Surveyed) -> str | None:
        if surveyed.version.registered and not self.policy.include_registered:
            return "ZenML only registered it: the data is the user's own (--include-registered to plan it)"
        return None

    def _bytes_deleted(self, surveyed: Surveyed) -> str | None:
        if surveyed.version.uri.startswith(TOMBSTONE):
            return "an only-artifact sweep deleted its bytes and kept the row"
        return None

    def _in_memory(self, surveyed: Surveyed) -> str | None:
        return "it lives in memory only: nothing is stored" if surveyed.version.uri.startswith("memory://") else None

    def _store_deleted(self, surveyed: Surveyed) -> str | None:
        store_id = surveyed.version.store_id
        if store_id is None:
            return "it names no artifact store: the store was deleted"
        return None if store_id in self.circumstances.stores else f"its artifact store {store_id} was deleted"

    def _unknown_flavor(self, surveyed: Surveyed) -> str | None:
        store = self.circumstances.stores.get(surveyed.version.store_id or "")
        if store is None or store.flavor in self.circumstances.flavors:
            return None
        return f"its store {store.name!r} has the flavor {store.flavor!r}, which marksweep cannot delete from"

    def _unsafe_uri(self, surveyed: Surveyed) -> str | None:
        if _key(surveyed.version) is not None:
            return None
        try:
            key_of(surveyed.version.uri)
        except UriRefused as refused:
            return f"its URI is not safe to delete: {refused}"
        return None

    def _outside_store(self, surveyed: Surveyed) -> str | None:
        key = _key(surveyed.version)
        if key is None:
            return None
        roots = self.circumstances.roots.get(surveyed.version.store_id or "", ())
        return None if key.startswith(roots) else "its URI is outside its store's root"

    def _near_root(self, surveyed: Surveyed) -> str | None:
        key = _key(surveyed.version)
        if key is None:
            return None
        for root in self._roots:
            if root.startswith(key):
                return "its URI is a store's root or lies above one"
            if key.startswith(root) and key.count("/", len(root)) < MIN_DEPTH:
                return f"its URI is less than {MIN_DEPTH} path segments below a store's root"
        return None

    def _too_young(self, surveyed: Surveyed) -> str | None:
        age = self.circumstances.now - surveyed.version.created
        if self.policy.grace and age < self.policy.min_age:
            return f"it is {roughly(age)} old, younger than the minimum age of {roughly(self.policy.min_age)}"
        if self.policy.older_than is not None and age <= self.policy.older_than:
            return f"it is {roughly(age)} old, not older than --older-than {roughly(self.policy.older_than)}"
        return None

    def _unfinished_run(self, surveyed: Surveyed) -> str | None:
        began = self.circumstances.oldest_unfinished_run
        if not self.policy.grace or began is None or surveyed.version.created < began:
            return None
        return f"a pipeline run that began at {began:%Y-%m-%d %H:%M:%S}Z has not finished and may still link it"


_Rule = Callable[[Judge, Surveyed], str | None]

_RULES: tuple[tuple[KeptReason, _Rule], ...] = (
    (KeptReason.REFERENCED, Judge._referenced),
    (KeptReason.PINNED, Judge._pinned),
    (KeptReason.FILTERED, Judge._filtered),
    (KeptReason.REGISTERED, Judge._registered),
    (KeptReason.BYTES_DELETED, Judge._bytes_deleted),
    (KeptReason.IN_MEMORY, Judge._in_memory),
    (KeptReason.STORE_DELETED, Judge._store_deleted),
    (KeptReason.UNKNOWN_FLAVOR, Judge._unknown_flavor),
    (KeptReason.UNSAFE_URI, Judge._unsafe_uri),
    (KeptReason.OUTSIDE_STORE, Judge._outside_store),
    (KeptReason.NEAR_ROOT, Judge._near_root),
    (KeptReason.TOO_YOUNG, Judge._too_young),
    (KeptReason.UNFINISHED_RUN, Judge._unfinished_run),
)

_UNMET = {
    KeptReason.REFERENCED: "no reference",
    KeptReason.PINNED: "not pinned",
    KeptReason.FILTERED: "within the filters",
    KeptReason.REGISTERED: "ZenML wrote it, or registered data is included",
    KeptReason.BYTES_DELETED: "its bytes were not deleted by marksweep",
    KeptReason.IN_MEMORY: "it has a place in a store",
    KeptReason.STORE_DELETED: "its artifact store exists",
    KeptReason.UNKNOWN_FLAVOR: "marksweep knows its store's flavor",
    KeptReason.UNSAFE_URI: "its URI has one plain meaning",
    KeptReason.OUTSIDE_STORE: "its URI is inside its store's root",
    KeptReason.NEAR_ROOT: "its URI is well below every store's root",
    KeptReason.TOO_YOUNG: "old enough",
    KeptReason.UNFINISHED_RUN: "older than every unfinished run, or --no-grace",
}


def _key(version: Version) -> str | None:
    return _key_of(version.uri)


@functools.lru_cache(maxsize=1)
def _key_of(uri: str) -> str | None:
    """The three rules about places ask for the key of one version after the other."""
    try:
        return key_of(uri)
    except UriRefused:
        return None


def _first(patterns: tuple[str, ...], name: str) -> str | None:
    return next((p for p in patterns if fnmatchcase(name, p)), None)


def _pin_matches(pin: str, version: Version) -> bool:
    """By name, by id, or by place: whatever lies in a pinned place, and whatever holds one, as deleting it would too."""
    if pin == version.artifact or pin.replace("-", "").lower() == version.id.replace("-", "").lower():
        return True
    if "/" not in pin:
        return False
    keys = claims(version.uri)
    return any(contains(pinned, key) or contains(key, pinned) for pinned in claims(pin) for key in keys)
