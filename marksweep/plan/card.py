"""The card of a big plan: its signed header, with where its entries are, how many bytes they have, and their digest.

A card takes a plan's place wherever one is read. Its entries are fetched only after its signature was found good and by
somebody whom one trusts, once, into a private copy; none is decoded before length and digest were compared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from marksweep.errors import PlanMalformed, UsageError
from marksweep.model.entry import Entry
from marksweep.model.uri import UriRefused, locate
from marksweep.plan.blocks import Blocks
from marksweep.plan.document import CARD_FORMAT, CardHeader, Header
from marksweep.plan.entry_lines import EntryLines
from marksweep.plan.lines import Lines
from marksweep.plan.reader import PlanFile
from marksweep.plan.signed_file import AGAIN, SignedFile, open_regular
from marksweep.plan.spool import Expected, spooled

Fetch = Callable[[str], Iterator[bytes]]
"""Reads the object at a URI from its first byte to its last, raising StoreRefused if it cannot; the CLI has one."""

_PLAIN = re.compile(r"(?:s3|gs|az|abfs|abfss|file)://[^\s?#@*\[\]\\\x00-\x20\x7f]+(?<!/)")


class CardFile(SignedFile):
    """A plan with its entries in an object elsewhere, which :meth:`read` fetches the first time."""

    head = b'{\n"format":"%b",\n' % CARD_FORMAT.encode()

    def __init__(self, path: Path, descriptor: int, fetch: Fetch) -> None:
        """As of every :class:`SignedFile`; *fetch* is asked for nothing yet."""
        super().__init__(path, descriptor)
        self._fetch = fetch
        self._copy: Blocks | None = None

    def header(self) -> CardHeader:
        """As of every :class:`SignedFile`; nothing is fetched."""
        return self._read_header(Lines(self.signed(), self.malformed), CardHeader, None)

    def read(self) -> tuple[Header, Iterator[Entry]]:
        """As of every :class:`SignedFile`; raises what fetching raises, and SignatureRefused for another object, too."""
        header = self.header()
        try:
            check_entries_uri(header.entries_uri)
        except ValueError as error:
            raise PlanMalformed(f"{self.path}: its entries_uri may not be read: {error}", AGAIN) from None
        if self._copy is None:
            expected = Expected(self.path, header.entries_uri, header.entries_bytes, header.entries_sha256)
            self._copy = spooled(expected, self._fetch(header.entries_uri))
        return header, self._entries(header, self._copy)

    def _entries(self, header: CardHeader, copy: Blocks) -> Iterator[Entry]:
        def malformed(number: int, what: str) -> PlanMalformed:
            return PlanMalformed(f"the entries of {self.path}, line {number}: {what}", AGAIN)

        entries = EntryLines(header, str(self.path), malformed, AGAIN)
        for first, chunk in Lines(copy.read(), malformed).chunks():
            yield from entries.read(first, chunk)
        entries.close()

    def close(self) -> None:
        """Close the file, and forget the copy; twice is no error."""
        super().close()
        if self._copy is not None:
            self._copy.close()


def refuse_to_fetch(uri: str) -> Iterator[bytes]:
    """The :data:`Fetch` of whoever has none: raises UsageError."""
    raise UsageError(
        f"this is the card of a plan, and what reads it here does not fetch its entries from {uri}",
        "give the plan itself, or look at the card with `marksweep show`",
    )


def open_plan(path: Path, fetch: Fetch = refuse_to_fetch) -> SignedFile:
    """Open the plan, or the card of one, at *path*, which must be a regular file and no symbolic link.

    Raises :class:`SignatureRefused` when there is no signature at its end, :class:`PlanMalformed` for another file.
    """
    descriptor = open_regular(path)
    try:
        is_card = os.pread(descriptor, len(CardFile.head), 0) == CardFile.head
    except OSError as error:
        os.close(descriptor)
        raise UsageError(f"{path} cannot be read: {error.strerror}", "try again") from None
    return CardFile(path, descriptor, fetch) if is_card else PlanFile(path, descriptor)


def check_entries_uri(uri: str) -> None:
    """Raise ValueError, without repeating *uri*, unless it is one plain spelling of one object, with no credentials."""
    if _PLAIN.fullmatch(uri) is None:
        raise ValueError(
            "it must be s3://, gs://, az://, abfs:// or file://, without user, password, query, fragment or wildcards"
        )
    try:
        place = locate(uri)
    except UriRefused as refused:
        raise ValueError(str(refused)) from None
    if not place.segments:
        raise ValueError("it names no object")
