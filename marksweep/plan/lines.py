"""The text of a plan as lines: one by one for the header, many at a time for the entries. Memory does not grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from marksweep.errors import PlanMalformed
from marksweep.plan.document import MAX_HEADER

CHUNK = 256 * 1024
"""Bytes of lines that are given at a time, unless one line alone is longer."""

Malformed = Callable[[int, str], PlanMalformed]
"""Makes the error for a line, counted from 1."""


class Lines:
    """*blocks* of a text, which are taken once; raises *malformed* for a line that is too long or does not end."""

    def __init__(self, blocks: Iterator[bytes], malformed: Malformed) -> None:
        self._blocks = blocks
        self._malformed = malformed
        self._text = b""
        self._at = 0
        self.number = 0
        """Of the last line that was given."""

    def next(self) -> bytes | None:
        """The next line, without its newline; None after the last one."""
        while (end := self._text.find(b"\n", self._at)) < 0:
            if not self._more():
                return None
        line = self._text[self._at : end]
        self._at = end + 1
        self.number += 1
        return line

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """The number of a line, and it and others after it, each with its newline; so on to the end."""
        while True:
            end = self._text.rfind(b"\n", self._at, self._at + CHUNK) + 1 or self._text.find(b"\n", self._at) + 1
            if end:
                first, chunk = self.number + 1, self._text[self._at : end]
                self._at = end
                self.number += chunk.count(b"\n")
                yield first, chunk
            elif not self._more():
                return

    def _more(self) -> bool:
        rest = self._text[self._at :]
        if len(rest) > MAX_HEADER:
            raise self._malformed(self.number + 1, f"it is longer than {MAX_HEADER} bytes")
        block = next(self._blocks, b"")
        if rest and not block:
            raise self._malformed(self.number + 1, "it does not end in a newline")
        self._text, self._at = rest + block, 0
        return bool(block)
