"""An open file that was hashed once, block by block: what is read of it later is what was hashed, or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from marksweep.errors import PlanMalformed, UsageError

BLOCK = 4 * 1024 * 1024
"""Bytes that share one digest."""


class Blocks:
    """The first *size* bytes of *descriptor*, which it owns; *name* is for errors, *digests* one SHA-256 per block."""

    def __init__(self, name: str, descriptor: int, size: int, digests: bytes) -> None:
        self._name = name
        self._descriptor = descriptor
        self._size = size
        self._digests = digests

    def read(self) -> Iterator[bytes]:
        """The bytes in blocks. Raises :class:`PlanMalformed` at one that is not what was hashed, before it is used."""
        for index, at in enumerate(range(0, self._size, BLOCK)):
            block = read_at(self._name, self._descriptor, min(BLOCK, self._size - at), at)
            if hashlib.sha256(block).digest() != self._digests[index * 32 : index * 32 + 32]:
                fact = f"{self._name} was changed while it was read"
                raise PlanMalformed(fact, "find out who writes to it, then run again")
            yield block

    def close(self) -> None:
        """Close the file; twice is no error, but :meth:`read` raises ValueError from then on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def hashed(name: str, descriptor: int, size: int) -> tuple[Blocks, dict[str, bytes]]:
    """The first *size* bytes of *descriptor*, read once, and their digests by SSHSIG's names of the hashes."""
    sha512, sha256, digests = hashlib.sha512(), hashlib.sha256(), bytearray()
    for at in range(0, size, BLOCK):
        block = read_at(name, descriptor, min(BLOCK, size - at), at)
        sha512.update(block)
        sha256.update(block)
        digests += hashlib.sha256(block).digest()
    return Blocks(name, descriptor, size, bytes(digests)), {"sha256": sha256.digest(), "sha512": sha512.digest()}


def read_at(name: str, descriptor: int, size: int, at: int) -> bytes:
    """Exactly *size* bytes, or fewer if the file ends; UsageError if it cannot be read, ValueError if it is closed."""
    if descriptor < 0:
        raise ValueError("the plan is closed")
    try:
        found = os.pread(descriptor, size, at)
        while len(found) < size and (more := os.pread(descriptor, size - len(found), at + len(found))):
            found += more
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", "try again") from None
    return found
