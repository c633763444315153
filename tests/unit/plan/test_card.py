"""A card takes its plan's place: what it says, what is refused, and that nothing is fetched for whoever is not trusted."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from marksweep.errors import MarksweepError, PlanMalformed, SignatureRefused, StoreRefused, UsageError
from marksweep.plan.approvals import approve
from marksweep.plan.card import check_entries_uri
from marksweep.plan.document import encode_entries
from marksweep.plan.swept import swept_plan
from marksweep.plan.verify import verify
from marksweep.plan.writer import WrittenPlan, write_card, write_plan
from tests.unit.plan.support import ALICE, MALLORY, NOW, PLANNER, TRUST, body_of, draft, entry, seal, six, written

URI = "s3://plans/cards/01KAJ9.entries.jsonl"


class Bucket:
    """Objects by URI, and what was asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def fetch(self, uri: str) -> Iterator[bytes]:
        self.fetched.append(uri)
        if uri not in self.objects:
            raise StoreRefused(f"{uri} is not there", "look elsewhere")
        content = self.objects[uri]
        return (content[at : at + 100] for at in range(0, len(content), 100))

    @contextmanager
    def create(self, uri: str) -> Iterator[Callable[[bytes], object]]:
        written = bytearray()
        yield written.extend
        self.objects[uri] = bytes(written)

    def card(self, path: Path, uri: str = URI) -> WrittenPlan:
        return write_card(path, uri, self.create, draft(six()), six(), PLANNER)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def card(tmp_path: Path, bucket: Bucket) -> Path:
    return bucket.card(tmp_path / "weekly.card.json").path


def refused(card: Path, bucket: Bucket, kind: type[MarksweepError], *words: str) -> MarksweepError:
    with pytest.raises(kind) as caught:
        verify(card, TRUST, NOW, fetch=bucket.fetch)
    assert all(word in str(caught.value) for word in words), caught.value
    assert caught.value.remedy
    return caught.value


def test_a_card_is_read_as_its_plan(tmp_path: Path, card: Path, bucket: Bucket) -> None:
    """The same entries, units and header as the plan's; the object is fetched once, however often they are read."""
    written(tmp_path / "p")
    with verify(tmp_path / "p", TRUST, NOW) as plan, verify(card, TRUST, NOW, fetch=bucket.fetch) as found:
        assert list(found.entries()) == list(found.entries()) == list(plan.entries()) == six()
        assert list(found.units()) == list(plan.units())
        assert found.header.entries_sha256 == plan.header.entries_sha256
        assert found.header.totals == plan.header.totals
        assert found.digest == "sha256:" + hashlib.sha256(body_of(card.read_bytes())).hexdigest()
    assert bucket.fetched == [URI]
    with swept_plan(card, bucket.fetch) as swept:
        assert list(swept.entries()) == six()


def test_the_layout_is_that_of_a_plans_header(tmp_path: Path, card: Path, bucket: Bucket) -> None:
    """One member a line, the same bytes as in the plan up to entries_sha256, which is the object's own SHA-256."""
    plan = written(tmp_path / "p").path.read_text().splitlines()
    lines = card.read_text().splitlines()
    assert lines[1] == '"format":"marksweep.card/1",'
    assert lines[2:9] == plan[2:9]
    assert lines[9] == f'"entries_uri":"{URI}",'
    assert lines[10] == f'"entries_bytes":{len(bucket.objects[URI])},'
    assert lines[11].startswith('"signature":{')
    assert len(lines) == 12
    assert bucket.objects[URI] == encode_entries(six())
    assert (
        json.loads(card.read_bytes())["entries_sha256"] == "sha256:" + hashlib.sha256(bucket.objects[URI]).hexdigest()
    )


def test_an_approval_of_a_card_is_over_its_bytes(card: Path, bucket: Bucket) -> None:
    """It counts for the card, and not for another card of the same entries."""
    with verify(card, TRUST, NOW, fetch=bucket.fetch) as plan:
        approve(plan, ALICE, "alice")
    verify(card, TRUST, NOW, approvals=1, fetch=bucket.fetch).close()
    other = bucket.card(card.with_name("other.card.json"), "s3://plans/other.entries.jsonl").path
    os.rename(card.with_name(card.name + ".approvals"), other.with_name(other.name + ".approvals"))
    with pytest.raises(MarksweepError, match="0 of 1"):
        verify(other, TRUST, NOW, approvals=1, fetch=bucket.fetch)


def test_nothing_is_fetched_before_the_signer_is_trusted(card: Path, bucket: Bucket) -> None:
    """Whoever is not trusted cannot make a verifier read a place of theirs; nor can a changed card."""
    body = body_of(card.read_bytes())
    for changed in (seal(body, MALLORY), body.replace(b"plans/cards", b"other/cards") + card.read_bytes()[len(body) :]):
        card.write_bytes(changed)
        refused(card, bucket, SignatureRefused)
    assert bucket.fetched == []


def test_whoever_cannot_fetch_says_so(card: Path) -> None:
    with pytest.raises(UsageError, match="card of a plan"):
        verify(card, TRUST, NOW)


def test_no_flipped_bit_of_a_card_is_accepted(card: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """Bits, bytes put in and taken out, cuts: the signature, or the line grammar, refuses each."""
    seed = random.SystemRandom().randrange(2**32)
    with capsys.disabled():
        print(f"\ncard fuzz seed {seed}", end="")
    rng, before = random.Random(seed), card.read_bytes()
    for _ in range(800):
        at, changed = rng.randrange(len(before)), bytearray(before)
        match rng.randrange(4):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at:at] = rng.choice((b"\n", b" ", b"{", b'"', b","))
            case 2:
                del changed[at]
            case _:
                del changed[at:]
        card.write_bytes(changed)
        with pytest.raises((SignatureRefused, PlanMalformed)):
            verify(card, TRUST, NOW, fetch=bucket.fetch)


def _swap(body: bytes) -> bytes:
    lines = body.split(b"\n")
    lines[9], lines[10] = lines[10], lines[9]
    return b"\n".join(lines)


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "members swapped": _swap,
    "without its size": lambda body: re.sub(rb'"entries_bytes":\d+,\n', b"", body),
    "a member more": lambda body: body + b'"sweep_all":true,\n',
    "entries in it": lambda body: body + b'"entries":[\n],\n',
    "the format of a plan": lambda body: body.replace(b"marksweep.card/1", b"marksweep.plan/1"),
    "a newer format": lambda body: body.replace(b"marksweep.card/1", b"marksweep.card/2"),
    "CRLF": lambda body: body.replace(b"\n", b"\r\n"),
    "a size that is no number": lambda body: re.sub(rb'"entries_bytes":\d+', b'"entries_bytes":1e3', body),
    "other totals": lambda body: body.replace(b'"totals":{"entries":6', b'"totals":{"entries":5'),
    "a password": lambda body: body.replace(URI.encode(), b"s3://user:secret@plans/x"),
    "a query": lambda body: body.replace(URI.encode(), b"s3://plans/x?X-Amz-Signature=secret"),
    "a chain": lambda body: body.replace(URI.encode(), b"file::s3://plans/x"),
    "a web server": lambda body: body.replace(URI.encode(), b"https://plans/x"),
    "a way up": lambda body: body.replace(URI.encode(), b"s3://plans/../x"),
    "a bucket alone": lambda body: body.replace(URI.encode(), b"s3://plans"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_card_with_a_good_signature_is_malformed(card: Path, bucket: Bucket, name: str) -> None:
    """Also by the planner's own key, and no place but the one that was named plainly is read."""
    body = body_of(card.read_bytes())
    changed = HOSTILE[name](body)
    assert changed != body
    card.write_bytes(seal(changed))
    error = refused(card, bucket, PlanMalformed)
    assert "secret" not in str(error)
    assert set(bucket.fetched) <= {URI}


def test_a_plan_with_the_format_of_a_card_is_malformed(tmp_path: Path, bucket: Bucket) -> None:
    """Neither can pass for the other, whoever signs it."""
    path = written(tmp_path / "p").path
    path.write_bytes(seal(body_of(path.read_bytes()).replace(b"marksweep.plan/1", b"marksweep.card/1")))
    refused(path, bucket, PlanMalformed)
    assert bucket.fetched == []


OBJECTS: dict[str, Callable[[bytes], bytes]] = {
    "of another plan": lambda content: encode_entries([entry(number) for number in range(6)]),
    "one byte changed": lambda content: content.replace(b"zenml/00000005", b"zenml/00000007"),
    "lines swapped": lambda content: b"".join(reversed(content.splitlines(keepends=True))),
    "longer": lambda content: content + b"\n",
    "endless": lambda content: content * 1000,
    "cut off": lambda content: content[:-1],
    "empty": lambda content: b"",
    "commas": lambda content: content.replace(b"\n", b",\n"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_is_not_the_signed_one_is_refused(
    card: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before anything of it is decoded; nothing of it is left."""
    content = OBJECTS[name](bucket.objects[URI])
    assert content != bucket.objects[URI]
    bucket.objects[URI] = content

    def decoded(lines: bytes) -> None:
        pytest.fail("it was decoded")

    monkeypatch.setattr("marksweep.plan.entry_lines.decode_entries", decoded)
    words = "more than" if name in ("longer", "endless", "commas") else "and was signed with"
    other = "digest is" if len(content) == json.loads(card.read_bytes())["entries_bytes"] else words
    refused(card, bucket, SignatureRefused, "is not the one that was signed", other)
    assert os.listdir(card.parent) == [card.name]


def test_an_endless_object_is_not_read_to_its_end(card: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops within a block of the size that was signed."""
    monkeypatch.setattr("marksweep.plan.blocks.BLOCK", 1000)
    read = 0

    def endless(uri: str) -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 100
            yield b"x" * 100

    with pytest.raises(SignatureRefused, match="more than"):
        verify(card, TRUST, NOW, fetch=endless)
    assert read <= len(bucket.objects[URI]) + 1100


def test_an_object_that_breaks_a_rule_is_malformed_though_it_is_signed(card: Path, bucket: Bucket) -> None:
    """Digest and size agree, and yet each line is held against the rules: order here."""
    content = b"".join(reversed(bucket.objects[URI].splitlines(keepends=True)))
    body = re.sub(rb"sha256:[0-9a-f]{64}(?=\",\n\"entries_uri)", _sha256(content), body_of(card.read_bytes()))
    bucket.objects[URI] = content
    card.write_bytes(seal(body))
    refused(card, bucket, PlanMalformed, "line 2", "strictly increasing")
    whole = encode_entries(six())
    for changed, size, words in ((whole[:-1], len(whole) - 1, "newline"), (whole, len(whole), "")):
        bucket.objects[URI] = changed
        again = re.sub(
            rb'"entries_bytes":\d+', b'"entries_bytes":%d' % size, body.replace(_sha256(content), _sha256(changed))
        )
        card.write_bytes(seal(again))
        if words:
            refused(card, bucket, PlanMalformed, words)
        else:
            verify(card, TRUST, NOW, fetch=bucket.fetch).close()


def _sha256(content: bytes) -> bytes:
    return b"sha256:" + hashlib.sha256(content).hexdigest().encode()


def test_a_missing_object_is_the_stores_refusal(card: Path, bucket: Bucket) -> None:
    bucket.objects.clear()
    refused(card, bucket, StoreRefused)
    assert os.listdir(card.parent) == [card.name]


def test_the_copy_is_private_and_has_no_name(card: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode 0600, unlinked, in the card's folder; what is read again from it is what was fetched, or nothing."""
    seen: list[int] = []
    real = os.posix_fallocate

    def watch(descriptor: int, offset: int, size: int) -> None:
        seen.append(os.dup(descriptor))
        real(descriptor, offset, size)

    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("os.posix_fallocate", watch)
    with verify(card, TRUST, NOW, fetch=bucket.fetch) as plan:
        found = os.fstat(seen[0])
        assert (found.st_nlink, stat.S_IMODE(found.st_mode)) == (0, 0o600)
        assert found.st_dev == card.parent.stat().st_dev
        assert os.listdir(card.parent) == [card.name]
        bucket.objects[URI] = b"changed since"
        assert list(plan.entries()) == six()
        os.pwrite(seen[0], b"#", 700)
        with pytest.raises(PlanMalformed, match="changed while it was read"):
            list(plan.entries())
    os.close(seen[0])
    with pytest.raises(ValueError, match="closed"):
        list(plan.entries())


def test_a_full_disk_is_told_before_anything_is_fetched(
    card: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    error = refused(card, bucket, UsageError, "No space left")
    assert "TMPDIR" in error.remedy
    monkeypatch.setenv("TMPDIR", str(card.parent / "no such folder"))
    refused(card, bucket, UsageError, "No such file")


def test_no_file_stays_open(card: Path, bucket: Bucket) -> None:
    before = os.listdir("/proc/self/fd")
    verify(card, TRUST, NOW, fetch=bucket.fetch).close()
    bucket.objects[URI] += b"\n"
    refused(card, bucket, SignatureRefused)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_card_that_cannot_be_written_leaves_no_object(tmp_path: Path, bucket: Bucket) -> None:
    """Neither a header that is not true, nor a card that exists, nor a place that may not be named."""
    with pytest.raises(PlanMalformed):
        write_card(tmp_path / "c", URI, bucket.create, draft([]), six(), PLANNER)
    with pytest.raises(PlanMalformed):
        bucket.card(tmp_path / "c", "s3://user:secret@plans/x")
    (tmp_path / "c").write_text("somebody else's")
    with pytest.raises(UsageError):
        bucket.card(tmp_path / "c")
    assert bucket.objects == {}
    assert os.listdir(tmp_path) == ["c"]


def test_an_empty_plan_has_an_empty_object(tmp_path: Path, bucket: Bucket) -> None:
    path = write_card(tmp_path / "c", URI, bucket.create, draft([]), [], PLANNER).path
    with verify(path, TRUST, NOW, fetch=bucket.fetch) as plan:
        assert list(plan.entries()) == []


def test_a_card_says_where_only_in_plain_words() -> None:
    """Every place that may be named, and none that could hold a credential, a second meaning, or a way out."""
    for uri in (URI, "gs://b/x", "az://c/x.jsonl", "abfs://c/x", "file:///mnt/plans/x.jsonl"):
        check_entries_uri(uri)
    for uri in (
        "", "x", "/mnt/x", "s3://", "s3://b", "s3://b/", "s3:///x", "S3://b/x", "s3://b/x/", "s3://b/x y", "s3://b/x\n",
        "s3://b/x#y", "s3://b/x*", "s3://b/x?", "s3://b/x#", "s3://b/x@", "s3://b/*x", "s3://b/[x]", "s3://u@b/x",
        "s3://b:1/x", "http://b/x", "memory://b/x", "s3::file:///x", "file://host/x", "file:///../x", "s3://b//x",
        "s3://b/\x1bx", "abfs://c@account.dfs.core.windows.net/x",
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must be|segment|names|holds|path|scheme"):
            check_entries_uri(uri)


def test_a_plan_is_still_a_plan(tmp_path: Path, bucket: Bucket) -> None:
    """Nothing is fetched for it."""
    write_plan(tmp_path / "p", draft(six()), six(), PLANNER)
    verify(tmp_path / "p", TRUST, NOW, fetch=bucket.fetch).close()
    assert bucket.fetched == []
