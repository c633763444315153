"""A plan file: its header and its entries, on the lines of one file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marksweep.model.entry import Entry
from marksweep.plan.document import FORMAT, Header
from marksweep.plan.entry_lines import EntryLines
from marksweep.plan.lines import Lines
from marksweep.plan.signed_file import AGAIN, SignedFile

_BEGIN = b'"entries":['
_END = b"],\n"
_COMMAS = re.compile(rb",\n")
"""Several times faster here than ``bytes.replace``: there are many commas that no newline follows."""


class PlanFile(SignedFile):
    """A plan with its entries in it."""

    head = b'{\n"format":"%b",\n' % FORMAT.encode()

    def header(self) -> Header:
        """As of every :class:`SignedFile`."""
        return self._read_header(Lines(self.signed(), self.malformed), Header, _BEGIN)

    def read(self) -> tuple[Header, Iterator[Entry]]:
        """As of every :class:`SignedFile`."""
        lines = Lines(self.signed(), self.malformed)
        header = self._read_header(lines, Header, _BEGIN)
        return header, self._entries(header, lines)

    def _entries(self, header: Header, lines: Lines) -> Iterator[Entry]:
        entries = EntryLines(header, str(self.path), self.malformed, AGAIN)
        with_comma = True
        for first, chunk in lines.chunks():
            if not with_comma and chunk != _END:
                raise self._no_comma(first)
            ended = chunk == _END or chunk.endswith(b"\n" + _END)
            listed = chunk.removesuffix(_END) if ended else chunk
            if listed:
                with_comma = listed.endswith(b",\n")
                commas = lines.number - first + with_comma - ended
                yield from entries.read(first, self._without_commas(first, listed, commas))
            if ended:
                break
        else:
            raise self.malformed(lines.number, "the entries do not end")
        if with_comma and entries.entries:
            raise self.malformed(lines.number, "the last entry has a comma")
        if lines.next() is not None:
            raise self.malformed(lines.number, "it stands between the entries and the signature")
        entries.close()

    def _without_commas(self, first: int, listed: bytes, expected: int) -> bytes:
        """The lines of *listed*, so many of which end in a comma: each, but for the last one where the entries end."""
        bare, commas = _COMMAS.subn(b"\n", listed)
        if commas != expected:
            lines = listed.split(b"\n")
            at = next(at for at, line in enumerate(lines) if not line.endswith(b","))
            if lines[at + 1] == b"],":
                raise self.malformed(first + at + 2, "it stands between the entries and the signature")
            raise self._no_comma(first + at + 1)
        return bare

    def _no_comma(self, number: int) -> Exception:
        return self.malformed(number, "it follows an entry that has no comma, and is not the end of the entries")


def by_unit(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """*entries* in plan order by unit: one with ``shares`` comes with the entry that it names, which is first."""
    unit: list[Entry] = []
    for entry in entries:
        if entry.shares is None and unit:
            yield unit
            unit = []
        unit.append(entry)
    if unit:
        yield unit
