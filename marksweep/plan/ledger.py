"""The rules that a plan's entries keep together, checked one by one with flat memory, when writing and when reading."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from marksweep.model.entry import Entry
from marksweep.model.uri import UriRefused, contains, key_of
from marksweep.plan.document import Draft, moment


class Ledger:
    """Takes a plan's entries in order; every method raises ValueError, naming the rule, when the plan breaks one."""

    def __init__(self, header: Draft) -> None:
        self._header = header
        self._hash = hashlib.sha256()
        self._last = (b"", "")
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
        """Take the next entries; *lines* are their canonical bytes, each followed by a newline."""
        self._hash.update(lines)
        last, groups = self._last, self._groups
        for entry in entries:
            try:
                key = key_of(entry.uri)
            except UriRefused as refused:
                raise ValueError(f"its URI may not be deleted: {refused}") from None
            order = (key.encode(), entry.id)
            if order <= last:
                raise ValueError("it is not in strictly increasing order of (key, id)")
            last = order
            self._check_unit(entry, key)
            moment(entry.created)
            moment(entry.updated)
            self._objects = _plus(self._objects, entry.objects)
            self._bytes = _plus(self._bytes, entry.bytes)
            group = groups.get((entry.project, entry.artifact))
            if group is not None:
                groups[entry.project, entry.artifact] = (group[0] + 1, _plus(group[1], entry.bytes))
            self._entries += 1
        self._last = last

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


def _plus(total: int | None, more: int | None) -> int | None:
    return None if total is None or more is None else total + more


def _compare(name: str, said: int | None, found: int | None) -> None:
    if said != found:
        raise ValueError(f"{name} says {said}, but the entries add up to {found}")
