"""Writing a plan: a stream with flat memory, whole and durable under its name, or not there at all."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import itertools
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marksweep.errors import PlanMalformed, UsageError
from marksweep.model.entry import Entry
from marksweep.plan.document import (
    FORMAT,
    MAX_HEADER,
    PLAN_NAMESPACE,
    Draft,
    Header,
    Seal,
    decode_header_member,
    encode,
    encode_entries,
    moment,
    shown,
)
from marksweep.plan.keys import SigningKey
from marksweep.plan.ledger import Ledger
from marksweep.plan.sshsig import Signer, sign

CHUNK = 1024 * 1024
"""Bytes that are hashed at a time."""
BATCH = 1_000
"""Entries that are encoded, checked and written at a time."""

_PENDING = "sha256:" + "0" * 64
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class WrittenPlan:
    """Where a plan is, the SHA-256 of its signed bytes (``sha256:…``), and the fingerprint of its key."""

    path: Path
    digest: str
    fingerprint: str


def write_plan(
    path: Path, draft: Draft, entries: Iterable[Entry], key: SigningKey, *, overwrite: bool = False
) -> WrittenPlan:
    """Write *draft* and *entries* to *path*, signed by *key*; ``draft.totals`` must be what the entries add up to.

    *entries* come in strictly increasing ``Entry.order`` and are taken once. Raises :class:`PlanMalformed` when the
    verifier would refuse the result, and :class:`UsageError` when *path* exists (without *overwrite*) or cannot be
    written. On any error, the iterable's own too, nothing is left behind and an existing file stays as it was.
    """
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with _io(path):
        descriptor = os.open(temporary, flags, 0o644)
    try:
        with os.fdopen(descriptor, "w+b", buffering=0) as file:
            digest = _write(_Output(path, file), draft, entries, key)
        with _io(path):
            _publish(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)
    return WrittenPlan(path, digest, key.fingerprint)


def header_lines(header: Header) -> bytes:
    """Every line up to and with ``"entries":[``; raise ValueError if a reader would refuse them."""
    lines = bytearray(b'{\n"format":' + encode(FORMAT) + b",\n")
    for name in Header.__struct_fields__:
        value = encode(getattr(header, name))
        decode_header_member(name, value)
        lines += b'"%b":%b,\n' % (name.encode(), value)
    lines += b'"entries":[\n'
    if len(lines) > MAX_HEADER:
        raise ValueError(f"the header has {len(lines)} bytes, and at most {MAX_HEADER} are allowed: list fewer groups")
    if moment(header.plan.expires) <= moment(header.plan.created):
        raise ValueError("the plan expires before it was created")
    return bytes(lines)


def seal_line(sha512: bytes, sha256: bytes, key: Signer) -> bytes:
    """The last line, with its newline, for signed bytes of these digests."""
    blob = sign(key, PLAN_NAMESPACE, sha512)
    seal = Seal(
        digest=f"sha256:{sha256.hex()}", namespace=PLAN_NAMESPACE, sshsig=base64.b64encode(blob).decode("ascii")
    )
    return b'"signature":%b}\n' % encode(seal)


def _write(output: _Output, draft: Draft, entries: Iterable[Entry], key: SigningKey) -> str:
    members = {name: getattr(draft, name) for name in Draft.__struct_fields__}
    with _rules("the header"):
        ledger = Ledger(draft)
        head = header_lines(Header(**members, entries_sha256=_PENDING))
    output.write(head)
    left = iter(entries)
    while batch := list(itertools.islice(left, BATCH)):
        before, lines = ledger.entries, encode_entries(batch)
        try:
            ledger.add(batch, lines)
        except ValueError as error:
            at = ledger.entries
            raise _unfit(f"entry {at + 1} ({shown(batch[at - before].id)})", error) from None
        output.write((b",\n" if before else b"") + lines[:-1].replace(b"\n", b",\n"))
    output.write(b"\n],\n" if ledger.entries else b"],\n")
    with _rules("the header"):
        sealed = header_lines(Header(**members, entries_sha256=ledger.close()))
    assert len(sealed) == len(head)
    sha512, sha256 = output.replace_head(sealed)
    output.write(seal_line(sha512, sha256, key))
    output.sync()
    return f"sha256:{sha256.hex()}"


class _Output:
    """The temporary file; its errors name the plan that it will be."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        self._path = path
        self._file = file

    def write(self, octets: bytes | bytearray) -> None:
        view = memoryview(octets)
        with _io(self._path):
            while view:
                view = view[self._file.write(view) :]

    def replace_head(self, head: bytes) -> tuple[bytes, bytes]:
        """Put *head* over the first bytes; return the SHA-512 and SHA-256 of everything, as it is read back."""
        sha512, sha256 = hashlib.sha512(), hashlib.sha256()
        with _io(self._path):
            self._file.seek(0)
            self.write(head)
            self._file.seek(0)
            while chunk := self._file.read(CHUNK):
                sha512.update(chunk)
                sha256.update(chunk)
        return sha512.digest(), sha256.digest()

    def sync(self) -> None:
        with _io(self._path):
            os.fsync(self._file.fileno())


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


@contextmanager
def _rules(what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _unfit(what, error) from None


def _unfit(what: str, error: ValueError) -> PlanMalformed:
    remedy = "no plan was written; please report this as a bug of `marksweep mark`"
    return PlanMalformed(f"{what} does not fit into a plan: {error}", remedy)
