"""Entries as compact JSON: columns in blocks, for a browser that has to sort and filter a hundred thousand of them.

A block holds the next entries of the plan, one array per column. Artifacts stand once in the file: a block names those
that are new in it. A URI is written as the length of what it shares with the one before it, in UTF-16 units as JavaScript
counts them, and the rest: in plan order neighbours share most of their places. 100,000 entries take about 14 MB.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from marksweep.model.entry import Entry
from marksweep.model.instant import from_text
from marksweep.report.overview import pipeline_of
from marksweep.report.text import plain

BLOCK = 5_000
"""Entries in one block: less than a megabyte, so that writing takes the same memory for every plan."""

_ESCAPES = str.maketrans(
    {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"},
)
"""What could end a script element, begin another or a comment, or end a line of JavaScript."""


class Block(msgspec.Struct, kw_only=True):
    """Columns of one block. ``artifacts``: project, pipeline and name of each new one; ``artifact`` counts through all of
    the file. ``age`` is in seconds at the mark, ``unit`` the row (from 0) whose place the entry shares, or -1.
    """

    artifacts: list[tuple[str, str, str]] = msgspec.field(default_factory=list)
    artifact: list[int] = msgspec.field(default_factory=list)
    version: list[str] = msgspec.field(default_factory=list)
    shared: list[int] = msgspec.field(default_factory=list)
    rest: list[str] = msgspec.field(default_factory=list)
    id: list[str] = msgspec.field(default_factory=list)
    objects: list[int | None] = msgspec.field(default_factory=list)
    bytes: list[int | None] = msgspec.field(default_factory=list)
    age: list[int] = msgspec.field(default_factory=list)
    reason: list[str] = msgspec.field(default_factory=list)
    unit: list[int] = msgspec.field(default_factory=list)


def blocks(entries: Iterable[Entry], created: str) -> Iterator[str]:
    """The entries of a plan that was *created* then, block by block, each ready to stand in a script element."""
    columns, left = _Columns(from_text(created)), iter(entries)
    while some := list(itertools.islice(left, BLOCK)):
        yield script_json(columns.block(some))


def script_json(value: object) -> str:
    """*value* as JSON that can stand in an HTML script element: it holds no ``<``, ``>`` or ``&``."""
    return msgspec.json.encode(value).decode().translate(_ESCAPES)


@dataclass(slots=True)
class _Columns:
    """What a block refers to in those before it."""

    created: datetime
    rows: int = 0
    artifacts: dict[tuple[str, str], int] = field(default_factory=dict)
    uri: str = ""
    unit: tuple[str, int] = ("", -1)
    """The last entry that is in no other's place: its id and its row."""

    def block(self, entries: Iterable[Entry]) -> Block:
        """The next *entries*. All text is made plain before it is compared or cut."""
        block = Block()
        for entry in entries:
            if entry.shares is None:
                self.unit = (entry.id, self.rows)
            uri = plain(entry.uri)
            shared = _shared(self.uri, uri)
            block.artifact.append(self._artifact(entry, block))
            block.version.append(plain(entry.version))
            block.shared.append(_units(uri[:shared]))
            block.rest.append(uri[shared:])
            block.id.append(plain(entry.id))
            block.objects.append(entry.objects)
            block.bytes.append(entry.bytes)
            block.age.append(math.floor((self.created - from_text(entry.created)).total_seconds()))
            block.reason.append(entry.reason)
            block.unit.append(-1 if entry.shares is None else self.unit[1])
            self.uri, self.rows = uri, self.rows + 1
        return block

    def _artifact(self, entry: Entry, block: Block) -> int:
        key = (entry.project, entry.artifact)
        if key not in self.artifacts:
            self.artifacts[key] = len(self.artifacts)
            block.artifacts.append((plain(entry.project), plain(pipeline_of(entry.artifact)), plain(entry.artifact)))
        return self.artifacts[key]


def _shared(before: str, now: str) -> int:
    """How many characters *now* has in common with *before* from its beginning, found by halving."""
    least, most = 0, min(len(before), len(now))
    while least < most:
        middle = (least + most + 1) // 2
        if now.startswith(before[least:middle], least):
            least = middle
        else:
            most = middle - 1
    return least


def _units(text: str) -> int:
    """The length of *text* in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
