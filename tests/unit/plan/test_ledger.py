"""Entries that are taken many at a time are those that would have been taken one by one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import msgspec
import pytest

from marksweep.model.entry import Entry
from marksweep.model.uri import plain_key, plain_keys
from marksweep.plan.document import decode_entries, decode_entry, encode
from marksweep.plan.ledger import Ledger
from tests.unit.plan.support import draft, entry, shared, six

ROUNDS = 1500
BESIDE = ("x", "-", ".b", "0", "\u00fc", "\uffee", "\U0001f600", "\n", "%2F", " ", ":", "@", "//")
"""What makes a neighbour of a URI, or something that is none."""
ROOTS = ("s3://bucket2", "s3://bucket", "gs://bucket", "az://c", "abfs://c", "s3a://bucket", "file://", "", "//")


def _books(batches: Sequence[Sequence[Entry]], header_of: Sequence[Entry], *, one_by_one: bool) -> object:
    """What a ledger knows after *batches*, or the error and how many it took before."""
    ledger = Ledger(draft(header_of))
    if one_by_one:
        ledger._add_plain = lambda entries: False  # type: ignore[method-assign]
    try:
        for batch in batches:
            ledger.add(batch, b"".join(encode(found) + b"\n" for found in batch))
        return ledger.close()
    except ValueError as error:
        return ledger.entries, str(error)


def _changed(rng: random.Random, entries: list[Entry]) -> None:
    at, other = rng.randrange(len(entries)), rng.randrange(len(entries))
    match rng.randrange(12):
        case 0:
            entries[at], entries[other] = entries[other], entries[at]
        case 1:
            entries[at] = entries[other]
        case 2:
            changed = rng.choice(("s3://b/../x", "s3://u@b/x", "S3://bucket/zenml/x", entries[at].uri + "/"))
            entries[at] = msgspec.structs.replace(entries[at], uri=changed)
        case 3:
            entries.insert(at + 1, shared(90 + at, entries[at], "a"))
        case 4:
            entries[at] = msgspec.structs.replace(entries[at], shares=entries[other].id)
        case 5:
            entries[at] = msgspec.structs.replace(entries[at], uri=entries[other].uri + "/b")
        case 6:
            entries[at] = msgspec.structs.replace(entries[at], objects=None, bytes=None)
        case 7:
            entries[at] = msgspec.structs.replace(entries[at], bytes=7)
        case 8:
            entries[at] = msgspec.structs.replace(entries[at], uri=f"/local/zenml/{at}")
        case 9:
            entries[at] = msgspec.structs.replace(entries[at], uri=entries[other].uri + rng.choice(BESIDE))
        case 10:
            elsewhere = f"{rng.choice(ROOTS)}/zenml/{rng.choice('aZ0~é')}"
            entries[at] = msgspec.structs.replace(entries[at], uri=elsewhere)
        case _:
            entries.sort(key=lambda found: (found.uri.encode(), found.id))


def test_many_at_a_time_is_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Digest and sums, or error and place, are the same for random entries cut into random batches."""
    seed = random.SystemRandom().randrange(2**32)
    with capsys.disabled():
        print(f"\nledger seed {seed}", end="")
    rng, plain, accepted = random.Random(seed), 0, 0
    for _ in range(ROUNDS):
        entries = [entry(number) for number in range(rng.randrange(1, 9))]
        for _ in range(rng.choice((0, 1, 1, 2))):
            _changed(rng, entries)
        header_of = entries if rng.random() < 0.9 else entries[1:]
        cut = rng.randrange(len(entries) + 1)
        batches = [entries[:cut], entries[cut:]]
        found = _books(batches, header_of, one_by_one=False)
        assert found == _books(batches, header_of, one_by_one=True), (seed, entries)
        accepted += isinstance(found, str)
        plain += any(Ledger(draft(header_of))._add_plain(batch) for batch in batches if batch)
    assert accepted > ROUNDS / 10
    assert plain > ROUNDS / 10


@pytest.mark.parametrize("cut", range(7))
def test_a_unit_may_lie_across_batches(cut: int) -> None:
    """An entry inside of the last batch's unit is of it, and must say so."""
    batches = [six()[:cut], six()[cut:]]
    assert isinstance(_books(batches, six(), one_by_one=False), str)
    outside = [msgspec.structs.replace(found, shares=None, bytes=1) for found in six()]
    found = _books([outside[:cut], outside[cut:]], outside, one_by_one=False)
    assert found == (2, "its URI is inside the one of the unit before it, whose id is not what it has in shares")


TWO = entry(2)
BROKEN: list[tuple[str, list[Entry]]] = [
    ("strictly increasing", [TWO, entry(1)]),
    ("strictly increasing", [TWO, TWO]),
    ("strictly increasing", [TWO, shared(4, TWO, "b"), shared(5, TWO, "a")]),
    ("strictly increasing", [TWO, entry(1, uri=TWO.uri, shares=TWO.id, objects=0, bytes=0)]),
    ("may not be deleted", [entry(1, uri="s3://b/../x")]),
    ("not inside the URI", [entry(1), entry(2, shares=entry(1).id)]),
    ("whose id is not", [TWO, shared(3, TWO, "a", shares="other")]),
    ("id of the unit's first", [TWO, shared(2, TWO, "a")]),
    ("counts some of its own", [TWO, shared(3, TWO, "a", bytes=1)]),
    ("counts some of its own", [TWO, shared(3, TWO, "a", objects=1)]),
]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("words", "entries"), BROKEN)
def test_each_rule_is_named(words: str, entries: list[Entry], together: bool) -> None:
    """In one batch, or one entry a batch; the entry that breaks it is the one after those that were taken."""
    found = _books([entries] if together else [[one] for one in entries], entries, one_by_one=False)
    assert isinstance(found, tuple), found
    assert found[0] == len(entries) - 1
    assert words in found[1]


URIS = [
    "s3://b/x", "s3://b/y", "s3://b/y/", "s3://b/y/z", "s3://b2/x", "gs://b/x", "/x", "/x/y", "/x/", "s3://b//x", "//x", "",
    "s3://b", "s3://b/", "s3:///x", "s3://b/../x", "s3://b/.x", "s3://u@b/x", "s3://b:1/x", "s3://b/x:y", "s3://b/x@y",
    "s3://b/x\ns3://b/y", "s3://b/x\n", "\n", "s3://b/x\0", "/a\n/b", "/a:b@c", "file:///x", "az://c/x", "s3://é/ü", "/é",
    "s3://b\n/x", "s3://b/x\n\ns3://b/z",
]  # fmt: skip


def test_plain_keys_are_those_of_each_uri() -> None:
    """Of every pair and of random lists: the same keys, or None; never a key where one URI alone has none."""
    rng = random.Random(7)
    lists = [[one, other] for one in URIS for other in URIS]
    lists += [rng.choices(URIS, k=rng.randrange(1, 6)) for _ in range(3000)]
    known = 0
    for uris in lists:
        keys = plain_keys(uris)
        known += keys is not None
        assert keys is None or keys == [plain_key(uri) for uri in uris], uris
    assert known > 30


TIMES = ["2026-01-01T12:00:00Z", "2024-02-29T00:00:00.000001Z", "2026-12-31T23:59:59.1Z", "0001-01-01T00:00:00Z"]
NO_TIMES = [
    "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-04-31T00:00:00Z", "0000-01-01T00:00:00Z",
    "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00",
    "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Z\n", "2026-1-1T00:00:00Z", "",
    "２０２６-01-01T00:00:00Z",
]  # fmt: skip
DIGEST = "sha256:" + "0a" * 32
NO_DIGESTS = [
    DIGEST[:-1],
    DIGEST.upper(),
    DIGEST[:-1] + "\n",
    DIGEST[:-1] + "g",
    "sha512:" + "0a" * 32,
    "0" * 71,
    "",
    "\n",
]


@pytest.mark.parametrize("among", [0, 3])
@pytest.mark.parametrize("member", ["created", "updated", "fingerprint"])
def test_every_time_and_digest_is_looked_at(member: str, among: int) -> None:
    """The last of a few, or the only one: what does not exist, or has another spelling, is refused; the others are read."""
    good, bad = ([DIGEST], NO_DIGESTS) if member == "fingerprint" else (TIMES, NO_TIMES)
    before = [entry(number) for number in range(among)]
    for text in good:
        entries = [*before, entry(9, **{member: text})]
        assert decode_entries(b"".join(encode(found) + b"\n" for found in entries)) == entries
        assert decode_entry(encode(entries[-1])) == entries[-1]
    for text in bad:
        entries = [*before, entry(9, **{member: text})]
        with pytest.raises(ValueError):
            decode_entries(b"".join(encode(found) + b"\n" for found in entries))
        with pytest.raises(ValueError):
            decode_entry(encode(entries[-1]))


def test_two_texts_in_one_are_not_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newline in a text does not make two good ones of it, even where its length were not limited."""
    from marksweep.plan import spelling

    class Long:
        def __init__(self, text: str) -> None:
            self.created = self.updated = TIMES[0]
            self.fingerprint = text

    with pytest.raises(ValueError, match="digest"):
        spelling.check_spelling([Long(f"{DIGEST}\n{DIGEST}")])  # type: ignore[list-item]
    assert re.fullmatch(spelling.DIGEST_PATTERN, DIGEST)
