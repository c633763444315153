"""Writing a plan, or the card of one: a stream with flat memory, whole and durable under its name, or not there at all."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from marksweep.errors import PlanMalformed
from marksweep.model.entry import Entry
from marksweep.plan.card import check_entries_uri
from marksweep.plan.document import (
    CARD_FORMAT,
    FORMAT,
    MAX_HEADER,
    PLAN_NAMESPACE,
    CardHeader,
    Draft,
    Header,
    Seal,
    decode_header_member,
    encode,
    encode_entries,
    moment,
    shown,
)
from marksweep.plan.ledger import Ledger
from marksweep.plan.output import Output, new_file
from marksweep.plan.sshsig import Message, Signer, seal

BATCH = 1_000
"""Entries that are encoded, checked and written at a time."""

Create = Callable[[str], AbstractContextManager[Callable[[bytes], object]]]
"""Makes a new object at a URI from the bytes that it is called with, in order: all of it is there after the end of the
context, and nothing of it after an error; never over another object. Raises StoreRefused. The CLI has one."""

_PENDING = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class WrittenPlan:
    """Where a plan is, the SHA-256 of its signed bytes (``sha256:…``), and the fingerprint of its key."""

    path: Path
    digest: str
    fingerprint: str


def write_plan(
    path: Path, draft: Draft, entries: Iterable[Entry], key: Signer, *, overwrite: bool = False
) -> WrittenPlan:
    """Write *draft* and *entries* to *path*, signed by *key*; ``draft.totals`` must be what the entries add up to.

    *entries* come in strictly increasing ``Entry.order`` and are taken once. Raises :class:`PlanMalformed` when the
    verifier would refuse the result, and :class:`UsageError` when *path* exists (without *overwrite*) or cannot be
    written. On any error, the iterable's own too, nothing is left behind and an existing file stays as it was.
    """
    with new_file(path, overwrite=overwrite) as output:
        digest = _write(output, draft, entries, key)
    return WrittenPlan(path, digest, key.public.fingerprint)


def write_card(
    path: Path,
    uri: str,
    create: Create,
    draft: Draft,
    entries: Iterable[Entry],
    key: Signer,
    *,
    overwrite: bool = False,
) -> WrittenPlan:
    """Write *entries* to a new object at *uri*, and the card that says so to *path*; otherwise as :func:`write_plan`.

    The card is signed before the object is complete, and gets its name after: a card always has its object. The object is
    left without a card only when the very last step fails. Raises what *create* raises, too.
    """
    members = {name: getattr(draft, name) for name in Draft.__struct_fields__}

    def lines_of(entries_sha256: str, size: int) -> bytes:
        return header_lines(CardHeader(**members, entries_sha256=entries_sha256, entries_uri=uri, entries_bytes=size))

    with new_file(path, overwrite=overwrite) as output:
        with _rules("the header"):
            check_entries_uri(uri)
            ledger, size = Ledger(draft), 0
            lines_of(_PENDING, size)
        with create(uri) as write:
            for lines in _checked(ledger, entries):
                write(lines)
                size += len(lines)
            with _rules("the header"):
                signed = lines_of(ledger.close(), size)
            message = Message.of(signed)
            output.write(signed + seal_line(message, key))
            output.sync()
    return WrittenPlan(path, f"sha256:{message.digests['sha256'].hex()}", key.public.fingerprint)


def header_lines(header: Header) -> bytes:
    """Every line before the first entry, or a card's before its signature; ValueError if a reader would refuse them."""
    is_card = isinstance(header, CardHeader)
    lines = bytearray(b'{\n"format":' + encode(CARD_FORMAT if is_card else FORMAT) + b",\n")
    for name in header.__struct_fields__:
        value = encode(getattr(header, name))
        decode_header_member(name, value)
        lines += b'"%b":%b,\n' % (name.encode(), value)
    if not is_card:
        lines += b'"entries":[\n'
    if len(lines) > MAX_HEADER:
        raise ValueError(f"the header has {len(lines)} bytes, and at most {MAX_HEADER} are allowed: list fewer groups")
    if moment(header.plan.expires) <= moment(header.plan.created):
        raise ValueError("the plan expires before it was created")
    return bytes(lines)


def seal_line(message: Message, key: Signer) -> bytes:
    """The last line, with its newline, for these signed bytes."""
    blob = seal(key, PLAN_NAMESPACE, message)
    digest = f"sha256:{message.digests['sha256'].hex()}"
    last = Seal(digest=digest, namespace=PLAN_NAMESPACE, sshsig=base64.b64encode(blob).decode("ascii"))
    return b'"signature":%b}\n' % encode(last)


def _write(output: Output, draft: Draft, entries: Iterable[Entry], key: Signer) -> str:
    members = {name: getattr(draft, name) for name in Draft.__struct_fields__}
    with _rules("the header"):
        ledger = Ledger(draft)
        head = header_lines(Header(**members, entries_sha256=_PENDING))
    output.write(head)
    comma = b""
    for lines in _checked(ledger, entries):
        output.write(comma + lines[:-1].replace(b"\n", b",\n"))
        comma = b",\n"
    output.write(b"\n],\n" if ledger.entries else b"],\n")
    with _rules("the header"):
        sealed = header_lines(Header(**members, entries_sha256=ledger.close()))
    assert len(sealed) == len(head)
    message = output.replace_head(sealed)
    output.write(seal_line(message, key))
    output.sync()
    return f"sha256:{message.digests['sha256'].hex()}"


def _checked(ledger: Ledger, entries: Iterable[Entry]) -> Iterator[bytes]:
    """The canonical lines of *entries*, each with its newline, many at a time, as *ledger* took them."""
    left = iter(entries)
    while batch := list(itertools.islice(left, BATCH)):
        before, lines = ledger.entries, encode_entries(batch)
        try:
            ledger.add(batch, lines)
        except ValueError as error:
            at = ledger.entries
            raise _unfit(f"entry {at + 1} ({shown(batch[at - before].id)})", error) from None
        yield lines


@contextmanager
def _rules(what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise _unfit(what, error) from None


def _unfit(what: str, error: ValueError) -> PlanMalformed:
    remedy = "no plan was written; please report this as a bug of `marksweep mark`"
    return PlanMalformed(f"{what} does not fit into a plan: {error}", remedy)
