"""The entries of a card, fetched: a private copy that nobody else can name, hashed while it is written."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan import blocks
from marksweep.plan.blocks import Blocks

_CANNOT_RESERVE = {errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
_OTHER = "ask the plan's author where the object is that `marksweep mark` wrote, or make a new plan"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a card says of its entries: *uri*, *size* in bytes, *digest* ``sha256:…``; *card* is its path."""

    card: Path
    uri: str
    size: int
    digest: str


def spooled(expected: Expected, chunks: Iterator[bytes]) -> Blocks:
    """Copy *chunks*, which are the object from its first byte, to an unlinked file of mode 0600, and return that.

    It lies in ``TMPDIR`` if that is set, else beside the card. Raises :class:`SignatureRefused` unless length and digest
    are the expected ones, as soon as one byte too many comes; :class:`UsageError` when there is no room, before anything
    is fetched where the file system can tell.
    """
    descriptor = _unlinked(expected)
    try:
        return Blocks(f"the copy of {expected.uri}", descriptor, expected.size, _copy(expected, chunks, descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def _copy(expected: Expected, chunks: Iterator[bytes], descriptor: int) -> bytes:
    """The digests of the blocks."""
    whole, digests, size = hashlib.sha256(), bytearray(), 0
    for block in _in_blocks(chunks):
        size += len(block)
        if size > expected.size:
            raise _refused(expected, f"it has more than the {expected.size} bytes that it was signed with")
        whole.update(block)
        digests += hashlib.sha256(block).digest()
        _write(expected, block, descriptor)
    if size < expected.size:
        raise _refused(expected, f"it has {size} bytes, and was signed with {expected.size}")
    found = f"sha256:{whole.hexdigest()}"
    if found != expected.digest:
        raise _refused(expected, f"its digest is {found}, and {expected.digest} was signed")
    return bytes(digests)


def _in_blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for chunk in chunks:
        block += chunk
        while len(block) >= blocks.BLOCK:
            yield bytes(block[: blocks.BLOCK])
            del block[: blocks.BLOCK]
    if block:
        yield bytes(block)


def _unlinked(expected: Expected) -> int:
    folders = [os.environ["TMPDIR"]] if os.environ.get("TMPDIR") else [str(expected.card.parent), tempfile.gettempdir()]
    error: OSError | None = None
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                descriptor = os.dup(file.fileno())
        except OSError as found:
            error = found
            continue
        try:
            if expected.size:
                os.posix_fallocate(descriptor, 0, expected.size)
        except OSError as found:
            if found.errno not in _CANNOT_RESERVE:
                os.close(descriptor)
                raise _no_room(expected, found) from None
        return descriptor
    assert error is not None, "there is at least one folder"
    raise _no_room(expected, error)


def _write(expected: Expected, block: bytes, descriptor: int) -> None:
    view = memoryview(block)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise _no_room(expected, error) from None


def _refused(expected: Expected, why: str) -> SignatureRefused:
    return SignatureRefused(f"{expected.card}: the object {expected.uri} is not the one that was signed: {why}", _OTHER)


def _no_room(expected: Expected, error: OSError) -> UsageError:
    fact = f"the {expected.size} bytes of {expected.uri} cannot be stored here: {error.strerror}"
    return UsageError(fact, "make room, or name a folder that has it with the environment variable TMPDIR")
