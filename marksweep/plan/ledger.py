"""The rules that a plan's entries keep together, checked with flat memory, when writing and when reading."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence

from marksweep.model.entry import Entry
from marksweep.model.uri import UriRefused, contains, key_of, plain_keys
from marksweep.plan.document import Draft


class Ledger:
    """Takes a plan's entries in order; every method raises ValueError, naming the rule, when the plan breaks one.

    Most plans are long runs of entries that share nothing: these are looked at many at a time, and one by one as soon as
    anything is not as plain as that. Keys are compared as text: its order by code point is that of their UTF-8 bytes.
    """

    def __init__(self, header: Draft) -> None:
        self._header = header
        self._hash = hashlib.sha256()
        self._last = ("", "")
        self._root: tuple[str, str] | None = None
        self._entries = 0
        self._objects: int | None = 0
        self._bytes: int | None = 0
        self._groups: dict[tuple[str, str], tuple[int, int | None]] = {}
        for group in header.groups:
            self._groups[group.project, group.artifact] = (0, 0)
        if len(self._groups) != len(header.groups):
            raise ValueError("an artifact stands in two groups")

    @property
    def entries(self) -> int:
        """How many were taken; of the one after them an error speaks."""
        return self._entries

    def add(self, entries: Sequence[Entry], lines: bytes) -> None:
        """Take the next entries, as they were decoded; *lines* are their canonical bytes, each followed by a newline."""
        self._hash.update(lines)
        if entries and not self._add_plain(entries):
            for entry in entries:
                self._add_one(entry)

    def close(self) -> str:
        """After the last entry: compare with the totals and groups; return the value for ``entries_sha256``."""
        totals = self._header.totals
        _compare("totals.entries", totals.entries, self._entries)
        if self._entries or totals.objects is not None:
            _compare("totals.objects", totals.objects, self._objects)
        if self._entries or totals.bytes is not None:
            _compare("totals.bytes", totals.bytes, self._bytes)
        for group in self._header.groups:
            entries, size = self._groups[group.project, group.artifact]
            _compare("a group's entries", group.entries, entries)
            _compare("a group's bytes", group.bytes, size)
        return f"sha256:{self._hash.hexdigest()}"

    def _add_plain(self, entries: Sequence[Entry]) -> bool:
        """Take *entries* if they are in order, each a unit of its own; else take none and return False."""
        keys = plain_keys([entry.uri for entry in entries])
        if keys is None or [entry.shares for entry in entries].count(None) != len(entries):
            return False
        if not all(map(operator.lt, [self._last[0], *keys], keys)):
            return False
        if self._root is not None and contains(self._root[1], keys[0]):
            return False
        # In strictly increasing order, the first key inside of another one would follow that one at once.
        if any(map(str.startswith, keys[1:], keys)):  # which is what `contains` asks, without a call for each
            return False
        last = entries[-1]
        self._last, self._root = (keys[-1], last.id), (last.id, keys[-1])
        self._count(entries)
        return True

    def _add_one(self, entry: Entry) -> None:
        try:
            key = key_of(entry.uri)
        except UriRefused as refused:
            raise ValueError(f"its URI may not be deleted: {refused}") from None
        order = (key, entry.id)
        if order <= self._last:
            raise ValueError("it is not in strictly increasing order of (key, id)")
        self._last = order
        self._check_unit(entry, key)
        self._count((entry,))

    def _count(self, entries: Sequence[Entry]) -> None:
        self._entries += len(entries)
        self._objects = _plus(self._objects, [entry.objects for entry in entries])
        self._bytes = _plus(self._bytes, [entry.bytes for entry in entries])
        if not self._groups:
            return
        sizes: dict[tuple[str, str], list[int | None]] = {group: [] for group in self._groups}
        for entry in entries:
            group = sizes.get((entry.project, entry.artifact))
            if group is not None:
                group.append(entry.bytes)
        for name, found in sizes.items():
            counted, total = self._groups[name]
            self._groups[name] = (counted + len(found), _plus(total, found))

    def _check_unit(self, entry: Entry, key: str) -> None:
        if self._root is None or not contains(self._root[1], key):
            if entry.shares is not None:
                raise ValueError("it has shares, but its URI is not inside the URI of the unit before it")
            self._root = (entry.id, key)
            return
        if entry.shares != self._root[0]:
            raise ValueError("its URI is inside the one of the unit before it, whose id is not what it has in shares")
        if entry.id == self._root[0]:
            raise ValueError("it has the id of the unit's first entry")
        if entry.objects or entry.bytes:
            raise ValueError("it shares its bytes with the unit's first entry, yet counts some of its own")


def _plus(total: int | None, more: Sequence[int | None]) -> int | None:
    if total is None or None in more:
        return None
    return total + sum(more)  # type: ignore[arg-type]  # there is no None among them


def _compare(name: str, said: int | None, found: int | None) -> None:
    if said != found:
        raise ValueError(f"{name} says {said}, but the entries add up to {found}")
