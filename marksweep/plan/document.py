"""What stands in a plan file, and the one way to spell each line of it.

The header's structs are in file order. A line's canonical form is msgspec's encoding of its struct, with the control,
format and bidirectional characters of a fixed list escaped as ``\\uXXXX``, so that a diff shows them. Whoever reads a
plan re-encodes each line and compares: that one comparison refuses duplicate keys, other escapes, spaces, -0 and 1e3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar, get_type_hints

import msgspec

from marksweep.errors import PlanMalformed
from marksweep.model.entry import MAX_INTEGER, Count, Digest, Entry, Instant
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.spelling import check_spelling

FORMAT: Final = "marksweep.plan/1"
CARD_FORMAT: Final = "marksweep.card/1"
PLAN_NAMESPACE: Final = "marksweep-plan@marksweep.dev"
APPROVE_NAMESPACE: Final = "marksweep-approve@marksweep.dev"
RECEIPT_NAMESPACE: Final = "marksweep-receipt@marksweep.dev"

MAX_HEADER = 1024 * 1024
"""Bytes of all lines before the first entry."""
MAX_ENTRY_LINE = 16 * 1024
"""Bytes of one entry's canonical form."""
MAX_SIGNATURE_LINE = 16 * 1024
"""Bytes of the last line."""

Name = Annotated[str, msgspec.Meta(max_length=4096)]
_T = TypeVar("_T")


class PlanFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plan itself. ``created`` and ``expires`` are RFC 3339 in UTC (see :func:`moment`).

    ``limits``: for who reads the file, what its mode cannot promise; empty if there is nothing to say.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    created: Instant
    expires: Instant
    tool: Name
    mode: Mode
    limits: Annotated[str, msgspec.Meta(max_length=500)]


class CatalogFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which catalog the plan is for: the members of the port's ``Identity``, and its ``rows`` by table at the mark."""

    kind: Name
    server_id: Name
    schema: Name
    release: Name
    dialect: Name
    instance: Name
    rows: Annotated[dict[Name, Count], msgspec.Meta(max_length=100)]


class StoreFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One artifact store with entries: its root (never with credentials), and whether a delete in it can be undone."""

    root: Annotated[str, msgspec.Meta(max_length=8192)]
    flavor: Name
    undo: Undo


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sums over all entries; null where an entry's own is null. ``kept`` counts the versions kept, by reason."""

    entries: Count
    objects: Count | None
    bytes: Count | None
    versions_in_catalog: Count
    kept: Annotated[dict[Name, Count], msgspec.Meta(max_length=100)]


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The entries of one artifact, for people; checked against the entries. ``bytes`` is null if one's is."""

    project: Name
    artifact: Name
    entries: Count
    bytes: Count | None


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A header before its entries were hashed: what :func:`marksweep.plan.writer.write_plan` takes."""

    plan: PlanFacts
    catalog: CatalogFacts
    policy: Policy
    stores: tuple[StoreFacts, ...]
    totals: Totals
    groups: tuple[Group, ...]


class Header(Draft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan's header. ``entries_sha256`` is over each entry's canonical form followed by a newline, without commas."""

    entries_sha256: Digest


class CardHeader(Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The header of a plan whose entries are elsewhere: where the object with their canonical forms is, each followed by a
    newline, and how many bytes it has. ``entries_sha256`` is the SHA-256 of that object.
    """

    entries_uri: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
    entries_bytes: Count


class Seal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last line: the digest of the signed bytes, and the base64 of the SSHSIG blob. All of it is derived again."""

    digest: Digest
    namespace: Annotated[str, msgspec.Meta(max_length=256)]
    sshsig: Annotated[str, msgspec.Meta(max_length=MAX_SIGNATURE_LINE)]


_ENCODER = msgspec.json.Encoder(order="deterministic")
_ENTRY_DECODER = msgspec.json.Decoder(Entry)
_SEAL_DECODER = msgspec.json.Decoder(Seal)
_HEADER_DECODERS: dict[str, msgspec.json.Decoder[object]] = {
    name: msgspec.json.Decoder(kind) for name, kind in get_type_hints(CardHeader, include_extras=True).items()
}
_HIDDEN = re.compile(
    rb"\x7f|\xc2[\x80-\x9f\xad]|\xd8\x9c|\xe1\xa0\x8e|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]"
    rb"|\xef\xbb\xbf|\xef\xbf[\xb9-\xbb]|\xf3\xa0[\x80\x81][\x80-\xbf]"
)
"""UTF-8 of U+007F-009F, 00AD, 061C, 180E, 200B-200F, 2028-202E, 2060-206F, FEFF, FFF9-FFFB and E0000-E007F."""


def encode(struct: object) -> bytes:
    """The canonical bytes of one value, without a newline; ValueError if a string in it is not Unicode text."""
    try:
        line = _ENCODER.encode(struct)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from None
    return _spelled(line)


def decode_header_member(name: str, line: bytes) -> object:
    """Read the canonical bytes of the value of one of the header's members; errors as :func:`decode_entry`."""
    value = decode(_HEADER_DECODERS[name], line)
    if isinstance(value, Policy):
        for choice in msgspec.structs.astuple(value):
            too_large = isinstance(choice, int) and not 0 <= choice <= MAX_INTEGER
            if too_large or (isinstance(choice, timedelta) and choice < timedelta()):
                raise ValueError("its policy holds a number or a duration out of range")
    return value


def decode_entry(line: bytes) -> Entry:
    """Read an entry's canonical bytes; raise ValueError for anything else, another spelling of the same value too."""
    if len(line) > MAX_ENTRY_LINE:
        raise ValueError(f"it has {len(line)} bytes, and an entry at most {MAX_ENTRY_LINE}")
    found = decode(_ENTRY_DECODER, line)
    check_spelling((found,))
    return found


def decode_seal(line: bytes) -> Seal:
    """Read the canonical bytes of the signature member's value; errors as :func:`decode_entry`."""
    return decode(_SEAL_DECODER, line)


def decode(decoder: msgspec.json.Decoder[_T], line: bytes) -> _T:
    """Read the canonical bytes of one value; raise ValueError for anything else, another spelling of it too."""
    try:
        found = decoder.decode(line)
        again = encode(found)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it cannot be read: {shown(str(error))}") from None
    if again != line:
        raise ValueError("it is not in its canonical form (re-encoding it gives other bytes)")
    return found


def encode_entry(entry: Entry) -> bytes:
    """One entry's canonical bytes; raise :class:`PlanMalformed` if no plan can hold it (keep that version)."""
    try:
        line = encode(entry)
        if len(line) > MAX_ENTRY_LINE:
            raise ValueError(f"its line has {len(line)} bytes, and at most {MAX_ENTRY_LINE} are allowed")
        decode_entry(line)
    except ValueError as error:
        fact = f"the version {shown(entry.id)} does not fit into a plan: {error}"
        raise PlanMalformed(
            fact, "rename or delete that version in the catalog, or leave it out with a filter"
        ) from None
    return line


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """The canonical bytes of *entries*, each followed by a newline; errors as :func:`encode_entry`."""
    try:
        lines = _spelled(_ENCODER.encode_lines(entries))
        if max(map(len, lines.split(b"\n"))) <= MAX_ENTRY_LINE:
            check_spelling(_ENTRY_DECODER.decode_lines(lines))
            return lines
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        pass
    return b"".join(encode_entry(entry) + b"\n" for entry in entries)  # one of them does not fit: it says which


def decode_entries(lines: bytes) -> list[Entry]:
    """Read entries from canonical bytes, each followed by a newline; raise ValueError unless all of them are that."""
    if max(map(len, lines.split(b"\n"))) > MAX_ENTRY_LINE:
        raise ValueError("a line is too long")
    try:
        found = _ENTRY_DECODER.decode_lines(lines)
        again = _spelled(_ENCODER.encode_lines(found))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it cannot be read: {shown(str(error))}") from None
    if again != lines:
        raise ValueError("it is not in its canonical form (re-encoding it gives other bytes)")
    check_spelling(found)
    return found


def instant(when: datetime) -> str:
    """*when* (aware) as plans spell it: RFC 3339 in UTC, to the second, or to the microsecond if it has some."""
    if when.tzinfo is None:
        raise ValueError("a plan's times are aware")
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The aware datetime of a plan's time; ValueError if there is no such time."""
    if not text.isascii() or text.strip() != text:
        raise ValueError("it is not a time in UTC")
    return datetime.fromisoformat(text)


def shown(text: str) -> str:
    """*text* for an error message: at most 120 characters, printable ASCII only."""
    plain = ascii(text)[1:-1]
    return plain if len(plain) <= 120 else plain[:117] + "..."


def _spelled(octets: bytes) -> bytes:
    return octets if octets.isascii() and b"\x7f" not in octets else _HIDDEN.sub(_escape, octets)


def _escape(match: re.Match[bytes]) -> bytes:
    units = match[0].decode().encode("utf-16-be")
    return b"".join(b"\\u%02x%02x" % (units[at], units[at + 1]) for at in range(0, len(units), 2))
