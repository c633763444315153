"""``policy.toml``: what a repository asks of the plans that are swept in its name.

Read whole or not at all: a key that is not known, a value of another type and a number that makes no sense refuse the
file, since a rule that is misspelt would be a rule that is not there.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Final, NoReturn, Self

import msgspec
from msgspec import UNSET, UnsetType

from marksweep.errors import OtherCatalog, UsageError
from marksweep.model.entry import MAX_INTEGER
from marksweep.model.policy import duration
from marksweep.model.uri import UriRefused, key_of
from marksweep.plan.document import shown
from marksweep.plan.rules_checks import Rules, Switch

__all__ = ["MAX_POLICY_FILE", "NO_RULES", "RuleBook", "Rules", "read_size"]

MAX_POLICY_FILE = 1024 * 1024
"""Bytes of the largest policy file that is read."""
APPROVALS = 1
"""People whose approval a policy asks for when it does not say how many."""

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_SIZE = re.compile(r"([0-9]+) ?(B|[KMGTP]iB)")
_Many = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
_Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
_People = Annotated[int, msgspec.Meta(ge=0, le=1000)]
_Words = tuple[Annotated[str, msgspec.Meta(min_length=1)], ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a policy file, at its top and in the table of one catalog, as they are written."""

    approvals: _People | UnsetType = UNSET
    approver_may_be_planner: bool | UnsetType = UNSET
    require_touch: bool | UnsetType = UNSET
    max_age: str | UnsetType = UNSET
    min_age: str | UnsetType = UNSET
    max_entries: _Many | UnsetType = UNSET
    max_bytes: _Many | str | UnsetType = UNSET
    max_share: _Percent | UnsetType = UNSET
    roots: _Words | UnsetType = UNSET
    stores: _Words | UnsetType = UNSET
    pins: _Words | UnsetType = UNSET
    forbid: tuple[Switch, ...] | UnsetType = UNSET


KEYS: Final = Table.__struct_fields__
"""The keys there are, in the order in which they are documented."""
ADDED: Final = ("pins", "forbid")
"""Keys of which a catalog's table adds to those of the file's top; of every other key it replaces them."""


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules of a policy file: ``general`` ones, and per server id those of the ``catalogs`` that it lists."""

    general: Rules
    catalogs: Mapping[str, Rules] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str, source: str) -> Self:
        """Read the TOML of a policy file; *source* names it in every message. Raises UsageError, naming the key."""
        try:
            found = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            _refuse(source, f"is not TOML: {error}")
        tables = found.pop("catalog", None)
        if tables is not None and (not isinstance(tables, dict) or not tables):
            _refuse(source, "has catalog without a server id below it", 'write [catalog."SERVER-ID"]')
        top = _table(found, source, "")
        own = {name: _table(table, source, f'catalog."{shown(name)}".') for name, table in (tables or {}).items()}
        return cls(
            _rules(top, source, ""),
            {name: _rules(_over(top, table), source, f'catalog."{shown(name)}".') for name, table in own.items()},
        )

    @property
    def source(self) -> str:
        """The file that the rules stand in; empty if there is none."""
        return self.general.source

    @property
    def touch_everywhere(self) -> bool:
        """Whether the rules of every catalog ask for a touch of FIDO keys."""
        return all(rules.require_touch for rules in self.catalogs.values() or (self.general,))

    def for_catalog(self, server_id: str) -> Rules:
        """The rules for plans of the catalog with *server_id*; OtherCatalog if the file lists others only."""
        if not self.catalogs:
            return self.general
        found = self.catalogs.get(server_id)
        if found is None:
            listed = ", ".join(shown(name) for name in sorted(self.catalogs))
            raise OtherCatalog(
                f"the catalog with the server id {shown(server_id)!r} is not listed in {self.source}, which has {listed}",
                f'if it is meant to be swept, have [catalog."{shown(server_id)}"] added where that file is protected',
            )
        return found


NO_RULES: Final = RuleBook(Rules())
"""Where there is no policy file: nothing is asked beyond what the command's options ask."""


def read_size(text: str) -> int:
    """Bytes of ``512 B``, ``10 GiB`` or ``5TiB``; raise ValueError for anything else, ``5 TB`` too."""
    match = _SIZE.fullmatch(text)
    found = int(match[1]) * _UNITS[match[2]] if match else -1
    if not 0 <= found <= MAX_INTEGER:
        raise ValueError(f"{text!r} is not a size: write bytes, or a number with one of {', '.join(_UNITS)}")
    return found


def _refuse(
    source: str, what: str, remedy: str = "correct it: docs/how-to/trust-and-policy.md has every key"
) -> NoReturn:
    raise UsageError(f"{source} {what}", remedy)


def _table(found: object, source: str, at: str) -> Table:
    if not isinstance(found, dict):
        _refuse(source, f"has {at.removesuffix('.')}, which is not a table")
    for name in found:
        if name not in KEYS:
            near = difflib.get_close_matches(str(name), (*KEYS, "catalog"), 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            _refuse(source, f"has the key {at}{shown(str(name))}, which is not known{meant}")
    for name, value in found.items():  # one at a time, so that the message names the key
        try:
            msgspec.convert({name: value}, Table)
        except msgspec.ValidationError as error:
            _refuse(source, f"has {at}{name}: {str(error).partition(' - at')[0]}")
    return msgspec.convert(found, Table)


def _over(top: Table, own: Table) -> Table:
    """The keys of *own*, and those of *top* that it does not have."""
    changes = {name: value for name in KEYS if (value := getattr(own, name)) is not UNSET}
    for name in ADDED:
        if name in changes and getattr(top, name) is not UNSET:
            changes[name] = (*getattr(top, name), *changes[name])
    return msgspec.structs.replace(top, **changes)


def _rules(table: Table, source: str, at: str) -> Rules:
    def refused(name: str, why: str) -> NoReturn:
        _refuse(source, f"has {at}{name}: {why}")

    chosen = {name: value for name in KEYS if (value := getattr(table, name)) is not UNSET}
    chosen.setdefault("approvals", APPROVALS)
    for name, value in chosen.items():
        try:
            chosen[name] = _read(name, value)
        except UriRefused as error:
            refused(name, f"one of its URIs cannot be used: {error}")
        except ValueError as error:
            refused(name, str(error))
    return Rules(source=source, **chosen)


def _read(name: str, value: object) -> object:
    """What the written *value* of the key *name* means; raise ValueError or UriRefused if it means nothing."""
    match name, value:
        case (("max_age" | "min_age"), str()):
            span = duration(value)
            if name == "max_age" and span == timedelta(0):
                raise ValueError("0 would refuse every plan")
            return span
        case "max_bytes", str():
            return read_size(value)
        case (("roots" | "stores"), tuple()):
            return _keys(value)
        case _:
            return value


def _keys(uris: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(key_of(uri) for uri in uris))
    if not found:
        raise ValueError("it is empty, which would allow nothing; leave it out to allow everything")
    return found
