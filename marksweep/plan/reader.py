"""One open plan file: what may be read of it before, and after, its signature was checked.

The file is opened once and hashed once, with a digest kept for each block. Every later read compares the block's digest
first, so that the bytes that are used are the bytes that were signed, whatever happens to the file meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from marksweep.errors import PlanMalformed, SignatureRefused, UsageError
from marksweep.model.entry import Entry
from marksweep.plan.document import (
    FORMAT,
    MAX_ENTRY_LINE,
    MAX_HEADER,
    MAX_SIGNATURE_LINE,
    Header,
    Seal,
    decode_entries,
    decode_entry,
    decode_header_member,
    decode_seal,
    shown,
)
from marksweep.plan.ledger import Ledger

BLOCK = 4 * 1024 * 1024
"""Bytes that share one digest."""
_BATCH = 1_000
"""Entries that are decoded and checked at a time."""

_HEAD = b'{\n"format":"%b",\n' % FORMAT.encode()
_SEAL = b'"signature":'
_AGAIN = "fetch the plan again from where its author committed it, or make a new one with `marksweep mark`"
_GIT = "restore it with `git checkout`, and let nothing convert it: put `*.plan.json -text` into .gitattributes"


class PlanFile:
    """A plan file, open. Methods raise :class:`PlanMalformed`, with the line number, for bytes that are no plan."""

    def __init__(self, path: Path) -> None:
        """Open *path*, which must be a regular file and no symbolic link, and hash what is signed.

        Raises :class:`SignatureRefused` when there is no signature at its end.
        """
        self.path = path
        self._descriptor = _open(path)
        try:
            self._size = self._check_head()
            self._seal, self._signed = self._find_seal()
            self.sha512, self.sha256 = self._hash_blocks()
        except BaseException:
            self.close()
            raise

    @property
    def digest(self) -> str:
        """``sha256:…`` over the signed bytes."""
        return f"sha256:{self.sha256.hex()}"

    @property
    def digests(self) -> dict[str, bytes]:
        """The digests of the signed bytes by SSHSIG's names of the hashes."""
        return {"sha256": self.sha256, "sha512": self.sha512}

    def seal(self) -> Seal:
        """The signature line, in canonical form; none of it is proven."""
        try:
            return decode_seal(self._seal)
        except ValueError as error:
            raise SignatureRefused(f"{self.path}: the signature line is damaged: {error}", _AGAIN) from None

    def read(self) -> tuple[Header, Iterator[Entry]]:
        """The header, and the entries from verified bytes: these end only if totals, groups and digest agree."""
        lines = self._lines()
        header = self._read_header(lines)
        return header, self._entries(header, lines)

    def _entries(self, header: Header, lines: Iterator[tuple[int, bytes]]) -> Iterator[Entry]:
        with_comma, number, bodies = True, 0, list[bytes]()
        ledger = self._ledger(header)
        for number, line in lines:
            if line == b"],":
                break
            if not with_comma:
                raise self.malformed(number, "it follows an entry that has no comma, and is not the end of the entries")
            with_comma = line.endswith(b",")
            bodies.append(line[:-1] if with_comma else line)
            if len(bodies) == _BATCH:
                yield from self._read_entries(ledger, number, bodies)
                bodies.clear()
        else:
            raise self.malformed(number, "the entries do not end")
        yield from self._read_entries(ledger, number - 1, bodies)
        if with_comma and ledger.entries:
            raise self.malformed(number, "the last entry has a comma")
        for number, _ in lines:
            raise self.malformed(number, "it stands between the entries and the signature")
        try:
            found = ledger.close()
            if found != header.entries_sha256:
                raise ValueError(f"entries_sha256 says {header.entries_sha256}, but the entries give {found}")
        except ValueError as error:
            raise PlanMalformed(f"{self.path}: {error}", _AGAIN) from None

    def malformed(self, number: int, what: str) -> PlanMalformed:
        """The error for line *number*, counted from 1."""
        return PlanMalformed(f"{self.path}, line {number}: {what}", _AGAIN)

    def close(self) -> None:
        """Close the file; twice is no error."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _check_head(self) -> int:
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{self.path} is not a regular file", "give the path of a plan file")
        head = self._pread(len(_HEAD), 0)
        if head != _HEAD:
            self._refuse_head(head)
        return found.st_size

    def _refuse_head(self, head: bytes) -> NoReturn:
        if head.replace(b"\r\n", b"\n").startswith(_HEAD[:12]) and b"\r\n" in head:
            raise PlanMalformed(f"{self.path}: its line ends were converted to CRLF", _GIT)
        squeezed = b"".join(self._pread(4096, 0).removeprefix(b"\xef\xbb\xbf").split())
        if squeezed.startswith(b"".join(_HEAD.split()).rstrip(b",")):
            raise PlanMalformed(
                f"{self.path}: a formatter or an editor rewrote it; the signature is over its bytes", _GIT
            )
        if squeezed.startswith(b'{"format":"marksweep.plan/'):
            version = shown(squeezed[11:50].decode("ascii", "replace").split('"')[0])
            remedy = "use the marksweep that made it, or make a new plan with `marksweep mark`"
            raise PlanMalformed(f"{self.path}: its format is {version}; this marksweep reads {FORMAT}", remedy)
        raise PlanMalformed(
            f"{self.path} is not a marksweep plan", "give the path of a file that `marksweep mark` wrote"
        )

    def _find_seal(self) -> tuple[bytes, int]:
        """The value of the signature member, and where the signed bytes end."""
        tail = self._pread(min(self._size, MAX_SIGNATURE_LINE), max(0, self._size - MAX_SIGNATURE_LINE))
        start = tail.rfind(b"\n", 0, -1) + 1
        line = tail[start:]
        if not (start and line.startswith(_SEAL) and line.endswith(b"}\n")):
            fact = f"{self.path} does not end in a signature line: it was cut off, or the signature was removed"
            if line.startswith(_SEAL):
                fact = (
                    f"{self.path}: its last line is not a whole signature line: it was cut off, or an editor changed it"
                )
            raise SignatureRefused(fact, _AGAIN)
        return line[len(_SEAL) : -2], self._size - len(line)

    def _hash_blocks(self) -> tuple[bytes, bytes]:
        sha512, sha256 = hashlib.sha512(), hashlib.sha256()
        self._blocks = bytearray()
        for at in range(0, self._signed, BLOCK):
            block = self._pread(min(BLOCK, self._signed - at), at)
            sha512.update(block)
            sha256.update(block)
            self._blocks += hashlib.sha256(block).digest()
        return sha512.digest(), sha256.digest()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """The signed lines with their numbers, without newlines, each block compared with its digest first."""
        number, rest = 0, b""
        for index, at in enumerate(range(0, self._signed, BLOCK)):
            block = self._pread(min(BLOCK, self._signed - at), at)
            if hashlib.sha256(block).digest() != self._blocks[index * 32 : index * 32 + 32]:
                raise self._changed()
            lines = (rest + block).split(b"\n")
            del block
            rest = lines.pop()
            for line in lines:
                number += 1
                yield number, line
            if len(rest) > MAX_HEADER:
                raise self.malformed(number + 1, f"it is longer than {MAX_HEADER} bytes")
        assert not rest, "the signed bytes end where the last line begins"

    def _read_header(self, lines: Iterator[tuple[int, bytes]]) -> Header:
        """The header; its first two lines were compared on opening, and the block's digest holds them."""
        size, number = 0, 0
        members: dict[str, object] = {}
        names = iter((None, None, *Header.__struct_fields__))
        for number, line in lines:
            size += len(line) + 1
            if size > MAX_HEADER:
                raise self.malformed(number, f"the header is longer than {MAX_HEADER} bytes")
            if line == b'"entries":[':
                break
            name = next(names, "")
            if name is None:
                continue
            prefix = b'"%b":' % name.encode()
            if not name or not line.startswith(prefix) or not line.endswith(b","):
                expected = f'"{name}":…,' if name else '"entries":['
                raise self.malformed(
                    number, f"it begins with {shown(line[:40].decode('latin-1'))}, expected {expected}"
                )
            try:
                members[name] = decode_header_member(name, line[len(prefix) : -1])
            except ValueError as error:
                raise self.malformed(number, str(error)) from None
        if len(members) != len(Header.__struct_fields__):
            raise self.malformed(number, "the header is not complete")
        return Header(**members)  # type: ignore[arg-type]

    def _ledger(self, header: Header) -> Ledger:
        try:
            return Ledger(header)
        except ValueError as error:
            raise PlanMalformed(f"{self.path}: {error}", _AGAIN) from None

    def _read_entries(self, ledger: Ledger, last: int, bodies: Sequence[bytes]) -> Sequence[Entry]:
        """The entries on as many lines, up to and with line *last*."""
        before, first = ledger.entries, last - len(bodies) + 1
        lines = b"".join([body + b"\n" for body in bodies])
        try:
            if not all(len(body) <= MAX_ENTRY_LINE for body in bodies):
                raise ValueError("a line is too long")
            entries = decode_entries(lines)
        except ValueError:
            entries = [self._read_entry(first + at, body) for at, body in enumerate(bodies)]
        try:
            ledger.add(entries, lines)
        except ValueError as error:
            raise self.malformed(first + ledger.entries - before, str(error)) from None
        return entries

    def _read_entry(self, number: int, body: bytes) -> Entry:
        try:
            if len(body) > MAX_ENTRY_LINE:
                raise ValueError(f"it has {len(body)} bytes, and an entry at most {MAX_ENTRY_LINE}")
            return decode_entry(body)
        except ValueError as error:
            raise self.malformed(number, str(error)) from None

    def _pread(self, size: int, at: int) -> bytes:
        """Exactly *size* bytes, or fewer if the file ends."""
        if self._descriptor < 0:
            raise ValueError("the plan is closed")
        try:
            found = os.pread(self._descriptor, size, at)
            while len(found) < size and (more := os.pread(self._descriptor, size - len(found), at + len(found))):
                found += more
        except OSError as error:
            raise UsageError(f"the plan {self.path} cannot be read: {error.strerror}", "try again") from None
        return found

    def _changed(self) -> PlanMalformed:
        return PlanMalformed(f"{self.path} was changed while it was read", "find out who writes to it, then run again")


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


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        what = "it is a symbolic link" if path.is_symlink() else error.strerror
        remedy = "give the path of a plan file itself"
        raise UsageError(f"the plan {path} cannot be opened: {what}", remedy) from None
