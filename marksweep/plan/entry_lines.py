"""Entries read from their lines: each in its one spelling, all in order, adding up to what the header says."""

from __future__ import annotations

from collections.abc import Sequence

from marksweep.errors import PlanMalformed
from marksweep.model.entry import Entry
from marksweep.plan.document import Header, decode_entries, decode_entry
from marksweep.plan.ledger import Ledger
from marksweep.plan.lines import Malformed


class EntryLines:
    """Takes the lines of a plan's entries in file order; *name* is what errors call their file, *remedy* what helps."""

    def __init__(self, header: Header, name: str, malformed: Malformed, remedy: str) -> None:
        self._header = header
        self._name = name
        self._malformed = malformed
        self._remedy = remedy
        try:
            self._ledger = Ledger(header)
        except ValueError as error:
            raise self._refusal(error) from None

    @property
    def entries(self) -> int:
        """How many were read."""
        return self._ledger.entries

    def read(self, first: int, lines: bytes) -> Sequence[Entry]:
        """The entries on *lines*, each followed by a newline; *first* is the number of the first of these lines.

        Raises PlanMalformed, with the number of the line, for one that is no entry or breaks a rule.
        """
        before = self._ledger.entries
        try:
            entries: Sequence[Entry] = decode_entries(lines)
        except ValueError:
            entries = [self._read_one(first + at, line) for at, line in enumerate(lines.split(b"\n")[:-1])]
        try:
            self._ledger.add(entries, lines)
        except ValueError as error:
            raise self._malformed(first + self._ledger.entries - before, str(error)) from None
        return entries

    def close(self) -> None:
        """After the last entry: raise PlanMalformed unless totals, groups and digest are those of the header."""
        try:
            found = self._ledger.close()
            if found != self._header.entries_sha256:
                raise ValueError(f"entries_sha256 says {self._header.entries_sha256}, but the entries give {found}")
        except ValueError as error:
            raise self._refusal(error) from None

    def _read_one(self, number: int, line: bytes) -> Entry:
        try:
            return decode_entry(line)
        except ValueError as error:
            raise self._malformed(number, str(error)) from None

    def _refusal(self, error: ValueError) -> PlanMalformed:
        return PlanMalformed(f"{self._name}: {error}", self._remedy)
