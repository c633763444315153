"""An open file that ends in a signature line: what may be read of it before, and after, its signature was checked.

The file is opened once and hashed once, with a digest kept for each block. Every later read compares the block's digest
first, so that the bytes that are used are the bytes that were signed, whatever happens to the file meanwhile.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NoReturn, TypeVar

from marksweep.errors import PlanMalformed, SignatureRefused, UsageError
from marksweep.model.entry import Entry
from marksweep.plan.blocks import hashed, read_at
from marksweep.plan.document import (
    CARD_FORMAT,
    FORMAT,
    MAX_HEADER,
    MAX_SIGNATURE_LINE,
    Header,
    Seal,
    decode_header_member,
    decode_seal,
    shown,
)
from marksweep.plan.lines import Lines, Malformed

AGAIN = "fetch the plan again from where its author committed it, or make a new one with `marksweep mark`"
_GIT = "restore it with `git checkout`, and let nothing convert it: put `*.plan.json -text` into .gitattributes"
_SEAL = b'"signature":'
_H = TypeVar("_H", bound=Header)


class SignedFile(ABC):
    """A plan or the card of one, open; methods raise :class:`PlanMalformed`, with the line, for bytes that are neither."""

    head: ClassVar[bytes]
    """Its first two lines."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Own *descriptor*, which is *path* opened by :func:`open_regular`, and hash what is signed.

        Raises :class:`SignatureRefused` when there is no signature at its end.
        """
        self.path = path
        self._name, self._descriptor = str(path), descriptor
        try:
            size = os.fstat(descriptor).st_size
            if read_at(self._name, descriptor, len(self.head), 0) != self.head:
                self._refuse_head()
            self._seal, signed = self._find_seal(size)
            self._blocks, self.digests = hashed(self._name, descriptor, signed)
        except BaseException:
            os.close(descriptor)
            raise

    digests: Mapping[str, bytes]
    """The digests of the signed bytes by SSHSIG's names of the hashes."""

    @property
    def digest(self) -> str:
        """``sha256:…`` over the signed bytes."""
        return f"sha256:{self.digests['sha256'].hex()}"

    def seal(self) -> Seal:
        """The signature line, in canonical form; none of it is proven."""
        try:
            return decode_seal(self._seal)
        except ValueError as error:
            raise SignatureRefused(f"{self.path}: the signature line is damaged: {error}", AGAIN) from None

    def signed(self) -> Iterator[bytes]:
        """The signed bytes in blocks, each compared with its digest first."""
        return self._blocks.read()

    @abstractmethod
    def header(self) -> Header:
        """The header alone, from verified bytes; what it says of the entries is not compared with them."""

    @abstractmethod
    def read(self) -> tuple[Header, Iterator[Entry]]:
        """The header, and the entries from verified bytes: these end only if totals, groups and digest agree.

        Call it only after the signature was found good, and by somebody whom one trusts.
        """

    def malformed(self, number: int, what: str) -> PlanMalformed:
        """The error for line *number*, counted from 1."""
        return PlanMalformed(f"{self.path}, line {number}: {what}", AGAIN)

    def close(self) -> None:
        """Close the file; twice is no error."""
        self._blocks.close()

    def _read_header(self, lines: Lines, kind: type[_H], end: bytes | None) -> _H:
        """The header, up to the line *end*; its first two lines were compared on opening, and the block's digest holds them."""
        return read_header(lines, self.malformed, kind, end)

    def _refuse_head(self) -> NoReturn:
        start = read_at(self._name, self._descriptor, 4096, 0)
        if start.replace(b"\r\n", b"\n").startswith(b'{\n"format":') and b"\r\n" in start[: len(self.head) + 2]:
            raise PlanMalformed(f"{self.path}: its line ends were converted to CRLF", _GIT)
        squeezed = b"".join(start.removeprefix(b"\xef\xbb\xbf").split())
        if squeezed.startswith((b'{"format":"%b"' % FORMAT.encode(), b'{"format":"%b"' % CARD_FORMAT.encode())):
            fact = f"{self.path}: a formatter or an editor rewrote it; the signature is over its bytes"
            raise PlanMalformed(fact, _GIT)
        if squeezed.startswith((b'{"format":"marksweep.plan/', b'{"format":"marksweep.card/')):
            version = shown(squeezed[11:50].decode("ascii", "replace").split('"')[0])
            remedy = "use the marksweep that made it, or make a new plan with `marksweep mark`"
            fact = f"{self.path}: its format is {version}; this marksweep reads {FORMAT} and {CARD_FORMAT}"
            raise PlanMalformed(fact, remedy)
        raise PlanMalformed(
            f"{self.path} is not a marksweep plan", "give the path of a file that `marksweep mark` wrote"
        )

    def _find_seal(self, size: int) -> tuple[bytes, int]:
        """The value of the signature member, and where the signed bytes end."""
        at = max(0, size - MAX_SIGNATURE_LINE)
        tail = read_at(self._name, self._descriptor, size - at, at)
        start = tail.rfind(b"\n", 0, -1) + 1
        line = tail[start:]
        if not (start and line.startswith(_SEAL) and line.endswith(b"}\n")):
            fact = f"{self.path} does not end in a signature line: it was cut off, or the signature was removed"
            if line.startswith(_SEAL):
                fact = (
                    f"{self.path}: its last line is not a whole signature line: it was cut off, or an editor changed it"
                )
            raise SignatureRefused(fact, AGAIN)
        return line[len(_SEAL) : -2], size - len(line)


def read_header(lines: Lines, malformed: Malformed, kind: type[_H], end: bytes | None) -> _H:
    """The header on *lines*, up to the line *end*; the first two were compared when the file was opened."""
    size = 0
    members: dict[str, object] = {}
    names = iter((None, None, *kind.__struct_fields__))
    while (line := lines.next()) is not None:
        size += len(line) + 1
        if size > MAX_HEADER:
            raise malformed(lines.number, f"the header is longer than {MAX_HEADER} bytes")
        if line == end:
            break
        name = next(names, "")
        if name is None:
            continue
        prefix = b'"%b":' % name.encode()
        if not name or not line.startswith(prefix) or not line.endswith(b","):
            expected = f'"{name}":…,' if name else (end or _SEAL).decode()
            fact = f"it begins with {shown(line[:40].decode('latin-1'))}, expected {expected}"
            raise malformed(lines.number, fact)
        try:
            members[name] = decode_header_member(name, line[len(prefix) : -1])
        except ValueError as error:
            raise malformed(lines.number, str(error)) from None
    if len(members) != len(kind.__struct_fields__):
        raise malformed(lines.number, "the header is not complete")
    return kind(**members)  # type: ignore[arg-type]


def open_regular(path: Path) -> int:
    """A descriptor of the file *path*; UsageError unless it is a regular file that may be read, and no symbolic link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        what = "it is a symbolic link" if path.is_symlink() else error.strerror
        remedy = "give the path of a plan file itself"
        raise UsageError(f"the plan {path} cannot be opened: {what}", remedy) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is not a regular file", "give the path of a plan file")
    return descriptor
