"""The rules that one catalog's plans must keep to, and how a plan is held against them. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from marksweep.errors import GuardRefused, MarksweepError, PlanExpired
from marksweep.model.entry import Entry
from marksweep.model.policy import Policy
from marksweep.model.uri import UriRefused, claims, key_of
from marksweep.plan.document import Header, instant, moment, shown

Switch = Literal["no_grace", "ignore_model_links", "include_registered", "all_versions"]
"""An option of ``mark`` that widens what a plan may hold, or what cannot be brought back; ``forbid`` names them."""
SWITCHES: Final[dict[Switch, Callable[[Policy], bool]]] = {
    "no_grace": lambda policy: not policy.grace,
    "ignore_model_links": lambda policy: policy.ignore_model_links,
    "include_registered": lambda policy: policy.include_registered,
    "all_versions": lambda policy: policy.all_versions,
}
"""Switch -> whether a plan's policy has it on."""

_NARROW = "narrow the filters of `marksweep mark`, or have the policy changed where it is protected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a policy asks of the plans for one catalog; each default asks nothing. ``source`` names the file.

    ``approvals`` are people; sizes are in bytes; ``max_share`` is in per cent of the catalog's versions. ``roots`` are keys
    (:func:`marksweep.model.uri.key_of`) that every entry must lie under, ``stores`` the keys of the only stores that a plan
    may name; ``pins`` are ids, artifact names or URIs as written.
    """

    source: str = ""
    approvals: int = 0
    approver_may_be_planner: bool = False
    require_touch: bool = True
    max_age: timedelta | None = None
    min_age: timedelta | None = None
    max_entries: int | None = None
    max_bytes: int | None = None
    max_share: int | None = None
    roots: tuple[str, ...] | None = None
    stores: tuple[str, ...] | None = None
    pins: tuple[str, ...] = ()
    forbid: tuple[Switch, ...] = ()

    def header_breaches(self, path: Path, header: Header, now: datetime) -> Iterator[MarksweepError]:
        """Every rule that *header* of the plan at *path* breaks at *now* (aware): PlanExpired or GuardRefused, not raised."""
        if self.max_age is not None and now - moment(header.plan.created) > self.max_age:
            fact = f"{path} was created at {header.plan.created} and it is {instant(now)}: that is longer"
            yield PlanExpired(
                f"{fact} than max_age of {self.source} allows ({self.max_age})", "make a new plan with `marksweep mark`"
            )
        for what, remedy in (*self._amounts(header), *self._choices(header.policy), *self._places(header)):
            yield GuardRefused(f"{path} {what}", remedy)

    def on(self, policy: Policy) -> tuple[Switch, ...]:
        """The forbidden switches that are on in *policy*."""
        return tuple(switch for switch in self.forbid if SWITCHES[switch](policy))

    def _amounts(self, header: Header) -> Iterator[tuple[str, str]]:
        totals = header.totals
        if self.max_entries is not None and totals.entries > self.max_entries:
            yield f"holds {totals.entries} entries, more than max_entries of {self.source}: {self.max_entries}", _NARROW
        if self.max_bytes is not None and (totals.bytes is None or totals.bytes > self.max_bytes):
            held = "an unknown number of" if totals.bytes is None else str(totals.bytes)
            remedy = (
                f"{_NARROW}; leave out --no-size, with which no bytes are counted" if totals.bytes is None else _NARROW
            )
            yield f"holds {held} bytes, and max_bytes of {self.source} allows {self.max_bytes}", remedy
        versions = totals.versions_in_catalog
        if self.max_share is not None and totals.entries * 100 > self.max_share * versions:
            percent = totals.entries * 100 / max(1, versions)
            held = f"holds {totals.entries} of the catalog's {versions} versions ({percent:.1f} %)"
            yield f"{held}, more than max_share of {self.source}: {self.max_share} %", _NARROW

    def _choices(self, policy: Policy) -> Iterator[tuple[str, str]]:
        for switch in self.on(policy):
            option = f"--{switch.replace('_', '-')}"
            yield f"was made with {option}, and {self.source} forbids {switch}", f"mark again without {option}"
        if self.min_age is not None and (not policy.grace or policy.min_age < self.min_age):
            age = policy.min_age if policy.grace else "0 (--no-grace)"
            fact = f"was made with the minimum age {age}, less than min_age of {self.source}: {self.min_age}"
            yield fact, "mark again with a larger --min-age, and without --no-grace"

    def _places(self, header: Header) -> Iterator[tuple[str, str]]:
        for store in header.stores if self.stores is not None else ():
            if place_key(store.root) not in (self.stores or ()):
                fact = f"names the store {shown(store.root)}, which is none of stores of {self.source}"
                yield fact, "leave that store out with --store, or have the policy changed where it is protected"


class EntryCheck:
    """Rules about single entries, made ready for millions of them. :meth:`look` at each, then ask for the breaches."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._roots = rules.roots
        self._names = frozenset(rules.pins)
        self._ids = frozenset(_plain_id(pin) for pin in rules.pins)
        self._pinned = tuple(key for pin in rules.pins if "/" in pin for key in claims(pin))
        self._above = frozenset(_above(self._pinned))
        self._found: dict[str, tuple[int, str]] = {}

    @property
    def idle(self) -> bool:
        """Whether no entry can break anything."""
        return self._roots is None and not self._names

    def look(self, entry: Entry) -> None:
        """Note what *entry* breaks."""
        key = key_of(entry.uri)
        if self._roots is not None and not key.startswith(self._roots):
            self._note("roots", entry, f"lies at {shown(entry.uri)}, under none of roots")
        if not self._names:
            return
        if entry.artifact in self._names or _plain_id(entry.id) in self._ids:
            self._note("pins", entry, "is one of pins")
        elif key.startswith(self._pinned) or key in self._above:
            self._note("pins", entry, f"lies at {shown(entry.uri)}, in or around one of pins")

    def breaches(self, path: Path) -> Iterator[GuardRefused]:
        """Per rule that was broken: the first entry of the plan at *path* that broke it, and how many did."""
        for count, what in self._found.values():
            more = f" (and {count - 1} more entries)" if count > 1 else ""
            yield GuardRefused(f"{path}: {what} of {self._rules.source}{more}", _NARROW)

    def _note(self, rule: str, entry: Entry, what: str) -> None:
        count, first = self._found.get(rule, (0, ""))
        named = first or f"the entry {shown(entry.id)} ({shown(entry.artifact)}) {what}"
        self._found[rule] = (count + 1, named)


def place_key(uri: str) -> str:
    """The key of *uri*, or *uri* itself where it has no single meaning: such a place equals only itself."""
    try:
        return key_of(uri)
    except UriRefused:
        return uri


def _plain_id(text: str) -> str:
    return text.replace("-", "").lower()


def _above(keys: Iterable[str]) -> Iterator[str]:
    """The keys of every place that holds one of *keys*."""
    for key in keys:
        at = key.find("://") + 3
        while (at := key.find("/", at) + 1) > 0:
            yield key[:at]
