"""A new file beside others that matter: whole and durable under its name, or not there at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marksweep.errors import UsageError
from marksweep.plan.sshsig import Message

CHUNK = 1024 * 1024
"""Bytes that are hashed at a time."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Output:
    """The file while it is written, under another name; its errors name the plan that it will be."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self._path = path
        self._file = file

    def write(self, octets: bytes | bytearray) -> None:
        """Append *octets*; raise UsageError if that cannot be done, as all methods."""
        view = memoryview(octets)
        with _io(self._path):
            while view:
                view = view[self._file.write(view) :]

    def replace_head(self, head: bytes) -> Message:
        """Put *head* over the first bytes; return everything as a message, as it is read back."""
        sha512, sha256 = hashlib.sha512(), hashlib.sha256()
        with _io(self._path):
            self._file.seek(0)
            self.write(head)
            for chunk in self.chunks():
                sha512.update(chunk)
                sha256.update(chunk)
        return Message({"sha512": sha512.digest(), "sha256": sha256.digest()}, self.chunks)

    def chunks(self) -> Iterator[bytes]:
        """What was written, from its first byte; afterwards, the next byte goes to the end."""
        with _io(self._path):
            self._file.seek(0)
            while chunk := self._file.read(CHUNK):
                yield chunk

    def sync(self) -> None:
        """Wait until it is on the disk."""
        with _io(self._path):
            os.fsync(self._file.fileno())


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Output]:
    """A file that gets the name *path* at the end, unless there was an error; over another one only with *overwrite*.

    Raises :class:`UsageError` when *path* exists, at once, or cannot be written. On any error nothing is left behind, and
    an existing file stays as it was.
    """
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with _io(path):
        descriptor = os.open(temporary, flags, 0o644)
    try:
        with os.fdopen(descriptor, "w+b", buffering=0) as file:
            yield Output(path, file)
        with _io(path):
            _publish(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give the finished file its name, in one step; never over another file unless told so."""
    if overwrite:
        temporary.replace(path)
    else:
        try:
            path.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", "choose another path with --out, or replace that plan with --force")


@contextmanager
def _io(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        remedy = "choose another path, or make room"
        raise UsageError(f"the plan {path} cannot be written: {error.strerror}", remedy) from None
