"""What is no plan, not signed, not trusted, too old or not approved is refused, in that order, and says so."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from marksweep.errors import ApprovalsMissing, MarksweepError, PlanExpired, PlanMalformed, SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import APPROVE_NAMESPACE
from marksweep.plan.sshsig import sign
from marksweep.plan.verify import VerifiedPlan, inspect, verify
from marksweep.plan.writer import write_plan
from tests.unit.plan.support import (
    ALICE,
    MALLORY,
    NOW,
    PLANNER,
    TRUST,
    body_of,
    draft,
    entry,
    rsa_key,
    seal,
    shared,
    six,
    written,
)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return written(tmp_path / "p.plan.json").path


def refused(path: Path, kind: type[MarksweepError], *words: str, trust: Trust = TRUST) -> MarksweepError:
    """Verify *path* and return its error, which must be a *kind* with every one of *words* in its fact or remedy."""
    with pytest.raises(kind) as caught:
        verify(path, trust, NOW)
    text = caught.value.fact + " | " + caught.value.remedy
    assert all(word in text for word in words), text
    assert caught.value.deleted == "nothing was deleted"
    assert caught.value.remedy
    return caught.value


# Structure


def test_crlf_names_git(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes().replace(b"\n", b"\r\n"))
    refused(plan, PlanMalformed, "CRLF", ".gitattributes")


def test_a_formatter_is_named(plan: Path) -> None:
    """Pretty-printed, minified and marked with a byte order mark: same content, other bytes, never accepted."""
    original = plan.read_bytes()
    for changed in (
        msgspec.json.format(original, indent=2),
        msgspec.json.format(original, indent=0),
        b"\xef\xbb\xbf" + original,
    ):
        plan.write_bytes(changed)
        refused(plan, PlanMalformed, "formatter", "git checkout")


@pytest.mark.parametrize("content", [b"", b"{", b"{}\n", b"hello\n" * 999, b"\0" * 99, b"PK\x03\x04"])
def test_other_files_are_no_plans(plan: Path, content: bytes) -> None:
    plan.write_bytes(content)
    refused(plan, PlanMalformed, "not a marksweep plan")


def test_a_newer_format_is_named(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes().replace(b"plan/1", b"plan/2", 1))
    refused(plan, PlanMalformed, "marksweep.plan/2", "marksweep.plan/1")


def test_a_plan_without_its_signature_is_refused(plan: Path) -> None:
    """The last line removed, replaced, emptied, cut, or followed by something."""
    content = plan.read_bytes()
    body = body_of(content)
    for changed in (
        body, body + b"}\n", body + b'"signature":null}\n', body + b'"signature":{}}\n', content[:-1], content[:-2],
        content + b"\n", content + b" ", content + b"x\n", content[: len(body) + 40],
    ):  # fmt: skip
        plan.write_bytes(changed)
        refused(plan, SignatureRefused)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"signature":{', b'"signature": {'),
        (b'{"digest"', b'{ "digest"'),
        (b'"namespace":"marksweep-plan@', b'"namespace":"marksweep-approve@'),
        (b'"namespace":"marksweep-plan@', b'"namespace":"\\u006darksweep-plan@'),
        (b'"namespace"', b'"namespace":"x","namespace"'),
        (b'"namespace"', b'"extra":1,"namespace"'),
        (b'"digest":"sha256:', b'"digest":"sha512:'),
        (b'"sshsig":"U1', b'"sshsig":"VU'),
        (b'"sshsig":"U', b'"sshsig":"\\nU'),
        (b'"sshsig":"', b'"sshsig":" '),
    ],
)
def test_every_byte_of_the_signature_line_counts(plan: Path, old: bytes, new: bytes) -> None:
    body = body_of(plan.read_bytes())
    tail = plan.read_bytes()[len(body) :]
    assert old in tail
    plan.write_bytes(body + tail.replace(old, new, 1))
    refused(plan, SignatureRefused)


def test_base64_with_spare_bits_is_refused(plan: Path) -> None:
    """The last character before the padding carries bits that decode to nothing: only one spelling counts."""
    planner = rsa_key()
    content = seal(body_of(plan.read_bytes()), planner)
    text = content.rsplit(b'"', 2)[1].decode()
    blob = base64.b64decode(text)
    assert text.endswith("==")
    at = len(text.rstrip("=")) - 1
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = text[:at] + alphabet[alphabet.index(text[at]) | 1] + text[at + 1 :]
    assert base64.b64decode(other) == blob
    plan.write_bytes(content.replace(text.encode(), other.encode()))
    refused(plan, SignatureRefused, "shortest", trust=Trust.of([f"ci {planner.public.line}"]))


def test_links_and_other_things_are_not_opened(plan: Path, tmp_path: Path) -> None:
    """A symbolic link, a directory, a pipe (without waiting for a writer), and nothing at all."""
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(plan)
    os.mkfifo(pipe)
    refused(link, UsageError, "symbolic link")
    refused(tmp_path / "absent", UsageError)
    for path in (tmp_path, pipe, Path("/dev/zero")):
        refused(path, UsageError, "not a regular file")


# Signature and trust


def test_a_changed_plan_is_refused(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes().replace(b"s3://bucket/zenml/00000005", b"s3://bucket/zenml/00000007"))
    refused(plan, SignatureRefused, "changed after it was signed")


def test_a_changed_plan_with_its_digest_corrected_is_refused(plan: Path) -> None:
    body = body_of(plan.read_bytes()).replace(b"zenml/00000005", b"zenml/00000007")
    good = plan.read_bytes()
    ours = seal(body)
    theirs = good[len(body_of(good)) :]
    sshsig = theirs[theirs.index(b'"sshsig"') :]
    plan.write_bytes(ours[: ours.index(b'"sshsig"', len(body))] + sshsig)
    refused(plan, SignatureRefused, "does not match")


def test_a_strangers_signature_names_the_key_and_the_way_to_trust_it(plan: Path) -> None:
    plan.write_bytes(seal(body_of(plan.read_bytes()), MALLORY))
    refused(plan, SignatureRefused, MALLORY.fingerprint, "marksweep keys trust", MALLORY.public.line)


def test_a_reviewers_key_is_no_planners(plan: Path) -> None:
    """Alice may approve; that does not let her plan."""
    plan.write_bytes(seal(body_of(plan.read_bytes()), ALICE))
    refused(plan, SignatureRefused, "namespaces", ALICE.fingerprint)


def test_an_approval_is_no_plan_signature(plan: Path) -> None:
    """The planner's own signature over the same bytes, made for another purpose."""
    content = plan.read_bytes()
    body = body_of(content)
    blob = sign(PLANNER, APPROVE_NAMESPACE, hashlib.sha512(body).digest())
    tail = content[len(body) :]
    start = tail.index(b'"sshsig":"') + 10
    plan.write_bytes(body + tail[:start] + base64.b64encode(blob) + b'"}}\n')
    refused(plan, SignatureRefused, "namespace")


def test_trust_is_as_of_now(plan: Path) -> None:
    line = f'ci valid-before="20261120Z" {PLANNER.public.line}'
    refused(plan, SignatureRefused, "not valid any more", trust=Trust.of([line]))
    refused(
        plan,
        SignatureRefused,
        "not valid yet",
        trust=Trust.of([line.replace("before", "after").replace("1120", "1122")]),
    )
    verify(plan, Trust.of([line.replace("1120", "1122")]), NOW).close()


def test_trust_in_nobody_refuses(plan: Path) -> None:
    refused(plan, SignatureRefused, PLANNER.fingerprint, trust=Trust.of([]))


# Contents, validly signed


def hostile(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        body = body_of(path.read_bytes())
        changed = change(body)
        assert changed != body
        path.write_bytes(seal(changed))

    return apply


def swap(old: bytes, new: bytes, count: int = 1) -> Callable[[Path], None]:
    def change(body: bytes) -> bytes:
        assert old in body, old
        return body.replace(old, new, count)

    return hostile(change)


def lines(change: Callable[[list[bytes]], object]) -> Callable[[Path], None]:
    def apply(body: bytes) -> bytes:
        found = body.split(b"\n")
        change(found)
        return b"\n".join(found)

    return hostile(apply)


HOSTILE = {
    "duplicate key": swap(b'{"id":"00000001', b'{"id":"x","id":"00000001'),
    "duplicate key in the header": swap(b'"mode":"both"', b'"mode":"only_metadata","mode":"both"'),
    "float": swap(b'"objects":1,', b'"objects":1.0,'),
    "exponent": swap(b'"bytes":1000,', b'"bytes":1e3,'),
    "minus zero": swap(b'"objects":0,', b'"objects":-0,'),
    "negative": swap(b'"objects":1,', b'"objects":-1,'),
    "huge": swap(b'"objects":1,', b'"objects":99999999999999999999999,'),
    "huge in the policy": swap(b'"keep_latest":3', b'"keep_latest":99999999999999999999999'),
    "float in the policy": swap(b'"keep_latest":3', b'"keep_latest":3.0'),
    "exponent in the policy": swap(b'"keep_latest":3', b'"keep_latest":3e0'),
    "true for a number": swap(b'"objects":1,', b'"objects":true,'),
    "text for a number": swap(b'"objects":1,', b'"objects":"1",'),
    "unknown field": swap(b'"shares":null}', b'"shares":null,"x":1}'),
    "unknown header field": swap(b'"mode":"both"', b'"mode":"both","only_if":"monday"'),
    "missing field": swap(b',"shares":null}', b"}"),
    "missing required field": swap(b'"reason":"unreferenced",', b""),
    "reordered keys": swap(b'"version":"1","project":"default"', b'"project":"default","version":"1"'),
    "spaces": swap(b'"version":"1",', b'"version": "1",'),
    "tab": swap(b'"objects":1,', b'"objects":\t1,'),
    "other escape": swap(b'"project":"default"', b'"project":"\\u0064efault"'),
    "escaped slash": swap(b'"s3://bucket/zenml/00000001', b'"s3:\\/\\/bucket/zenml/00000001'),
    "raw bidi": swap(b'"version":"1",', '"version":"1\u202e",'.encode()),
    "upper-case escape": swap(b'"version":"1",', b'"version":"1\\u202E",'),
    "not UTF-8": swap(b'"version":"1",', b'"version":"1\xff",'),
    "lone surrogate": swap(b'"version":"1",', b'"version":"\\ud800",'),
    "lone surrogate in UTF-8": swap(b'"version":"1",', b'"version":"\xed\xa0\x80",'),
    "NUL": swap(b'"version":"1",', b'"version":"\0",'),
    "deep": swap(b'"objects":1,', b'"objects":' + b"[" * 7000 + b"]" * 7000 + b","),
    "deep header": swap(b'"keep_latest":3', b'"keep_latest":' + b"[" * 300000 + b"]" * 300000),
    "long line": swap(b'"version":"1",', b'"version":"' + b"x" * 17000 + b'",'),
    "very long line": swap(b'"version":"1",', b'"version":"' + b"x" * 9_000_000 + b'",'),
    "huge header": swap(b'"tool":"', b'"tool":"' + b"x" * 2_000_000),
    "header of many lines": lines(lambda found: found.__setitem__(slice(2, 2), [b"" for _ in range(9)])),
    "mode": swap(b'"mode":"both"', b'"mode":"everything"'),
    "duration spelled otherwise": swap(b'"min_age":"P1D"', b'"min_age":"PT24H"'),
    "duration as a number": swap(b'"min_age":"P1D"', b'"min_age":86400'),
    "negative in the policy": swap(b'"keep_latest":3', b'"keep_latest":-3'),
    "negative duration": swap(b'"min_age":"P1D"', b'"min_age":"-P1D"'),
    "endless duration": swap(b'"min_age":"P1D"', b'"min_age":"P99999999999999D"'),
    "unsorted kept": swap(b'"kept":{"referenced":12,"too_young":3}', b'"kept":{"too_young":3,"referenced":12}'),
    "duplicate kept": swap(b'"kept":{"referenced":12,', b'"kept":{"referenced":12,"referenced":12,'),
    "header order": lines(lambda found: found.__setitem__(slice(2, 4), [found[3], found[2]])),
    "header line twice": lines(lambda found: found.insert(3, found[2])),
    "header line gone": lines(lambda found: found.pop(4)),
    "header null": swap(b'"stores":[', b'"stores":null,"stores":['),
    "last header line gone": lines(lambda found: found.pop(8)),
    "no header at all": lines(lambda found: found.__setitem__(slice(2, 9), [])),
    "extra header line": lines(lambda found: found.insert(3, b'"more":1,')),
    "empty header line": lines(lambda found: found.insert(3, b"")),
    "header line without a comma": lines(lambda found: found.__setitem__(4, found[4][:-1])),
    "entry gone": lines(lambda found: found.pop(12)),
    "entry twice": lines(lambda found: found.insert(12, found[12])),
    "entries swapped": lines(lambda found: found.__setitem__(slice(13, 15), [found[14], found[13]])),
    "empty line among entries": lines(lambda found: found.insert(12, b"")),
    "comma missing": lines(lambda found: found.__setitem__(12, found[12][:-1])),
    "comma after the last": lines(lambda found: found.__setitem__(15, found[15] + b",")),
    "two entries on a line": lines(lambda found: found.__setitem__(slice(12, 14), [found[12] + found[13]])),
    "no end of entries": lines(lambda found: found.pop(16)),
    "something after the entries": lines(lambda found: found.insert(17, b'"entries":[],')),
    "entries after the entries": lines(lambda found: found.insert(17, found[14])),
    "null entry": lines(lambda found: found.__setitem__(12, b"null,")),
    "CRLF on one line": lines(lambda found: found.__setitem__(12, found[12] + b"\r")),
    "totals.entries": swap(b'"totals":{"entries":6', b'"totals":{"entries":5'),
    "totals.objects": swap(b',"objects":4,"bytes":14000,"versions', b',"objects":5,"bytes":14000,"versions'),
    "totals.bytes": swap(b'"bytes":14000,"versions', b'"bytes":13999,"versions'),
    "totals unknown": swap(b'"bytes":14000,"versions', b'"bytes":null,"versions'),
    "group count": swap(b'"artifact":"train::output_1","entries":2', b'"artifact":"train::output_1","entries":1'),
    "group of nothing": swap(b'"groups":[', b'"groups":[{"project":"p","artifact":"a","entries":1,"bytes":1},'),
    "entries_sha256": swap(b'"entries_sha256":"sha256:', b'"entries_sha256":"sha256:0'),
    "another entries_sha256": lines(
        lambda found: found.__setitem__(8, b'"entries_sha256":"sha256:' + b"0" * 64 + b'",')
    ),
    "way out": swap(b"s3://bucket/zenml/00000001/data", b"s3://bucket/zenml/../00000001/data"),
    "credentials": swap(b"s3://bucket/zenml/00000001/data", b"s3://me:secret@bucket/zenml/00000001/data"),
    "unknown scheme": swap(b"s3://bucket/zenml/00000001/data", b"https://bucket/zenml/00000001/data"),
    "shares of nobody": lines(lambda found: found.__setitem__(10, found[10].replace(b":null}", b':"x"}'))),
    "unit not told": lines(lambda found: found.__setitem__(12, found[12].rsplit(b":", 1)[0] + b":null},")),
    "counts twice": lines(
        lambda found: found.__setitem__(12, found[12].replace(b'"objects":0,"bytes":0', b'"objects":1,"bytes":0'))
    ),
    "impossible time": swap(b'"created":"2026-01-01', b'"created":"2026-02-31'),
    "impossible created": swap(b'"created":"2026-11-21', b'"created":"2026-11-31'),
    "local time": swap(b'T09:00:00Z","expires', b'T09:00:00","expires'),
    "from the future": swap(b'"created":"2026-11-21T09:00', b'"created":"2026-11-21T12:06'),
    "expires before it begins": swap(b'"expires":"2026-12-05', b'"expires":"2026-11-20'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_plan_with_a_good_signature_is_malformed(plan: Path, name: str) -> None:
    HOSTILE[name](plan)
    error = refused(plan, PlanMalformed)
    assert "secret" not in str(error)
    assert len(str(error)) < 600
    assert str(error).isprintable()


STORE = b'{"root":"s3://bucket/zenml","flavor":"s3","undo":"versioned"}'
LIMITS = {
    "the header is longer than 1048576 bytes": swap(STORE, b",".join([STORE] * 20_000)),
    "and an entry at most 16384": swap(b'"version":"1",', b'"version":"' + b"\\u202e" * 4000 + b'",'),
    "it is longer than 1048576 bytes": HOSTILE["very long line"],
}


@pytest.mark.parametrize("words", LIMITS)
def test_lines_that_are_canonical_but_too_long_are_refused_for_that(plan: Path, words: str) -> None:
    LIMITS[words](plan)
    refused(plan, PlanMalformed, words)


def test_the_line_is_named(plan: Path) -> None:
    HOSTILE["unknown field"](plan)
    refused(plan, PlanMalformed, "line 11")
    written(plan.with_name("q"))
    HOSTILE["unknown header field"](plan.with_name("q"))
    refused(plan.with_name("q"), PlanMalformed, "line 3", "only_if")


@pytest.mark.parametrize(
    ("old", "new"), [(b'"objects":', b'"objects": '), (b"2026-01-01", b"2026-02-30"), (b"s3://", b"s4://")]
)
def test_the_line_is_named_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes
) -> None:
    """Entries are read many at a time: one that is not canonical, or that breaks a rule, is told from the others."""
    monkeypatch.setattr("marksweep.plan.lines.CHUNK", 3000)  # eight entries or so
    plan = written(tmp_path / "p", [entry(number) for number in range(30)]).path
    before = body_of(plan.read_bytes()).split(b"\n")
    first = before.index(b'"entries":[') + 1
    for line in range(first, first + 30):
        changed = [*before[:line], before[line].replace(old, new), *before[line + 1 :]]
        plan.write_bytes(seal(b"\n".join(changed)))
        refused(plan, PlanMalformed, f"line {line + 1}:")


@pytest.mark.parametrize("chunk", [1, 800, 100_000])
def test_commas_and_the_end_are_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Wherever the lines are parted to be read: a comma missing, one too many, a line after the end, no end."""
    monkeypatch.setattr("marksweep.plan.lines.CHUNK", chunk)
    plan = written(tmp_path / "p", [entry(number) for number in range(8)]).path
    before = body_of(plan.read_bytes()).split(b"\n")
    first, end = before.index(b'"entries":[') + 1, before.index(b"],")
    verify(plan, TRUST, NOW).close()
    cases = [([*before[:at], before[at][:-1], *before[at + 1 :]], "no comma") for at in range(first, end - 1)]
    cases += [
        ([*before[: end - 1], before[end - 1] + b",", *before[end:]], "the last entry has a comma"),
        ([*before[:end], b"],", *before[end:]], "between the entries and the signature"),
        ([*before[: end + 1], before[end - 1], *before[end + 1 :]], "between the entries and the signature"),
        ([*before[: end + 1], b"", *before[end + 1 :]], "between the entries and the signature"),
        ([*before[:end], *before[end + 1 :]], "the entries do not end"),
        ([*before[:first], *before[first : end - 1], b"],", *before[end - 1 :]], ""),
    ]
    for lines, words in cases:
        plan.write_bytes(seal(b"\n".join(lines)))
        refused(plan, PlanMalformed, words)


def test_re_signing_unchanged_bytes_is_accepted(plan: Path) -> None:
    """Or else the tests above would prove nothing."""
    before = plan.read_bytes()
    assert seal(body_of(before)) == before
    verify(plan, TRUST, NOW).close()


def test_rules_hold_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines and characters that lie across the edge of a block are whole, for every place of the edge."""
    monkeypatch.setattr("marksweep.plan.blocks.BLOCK", 512)
    for width in range(0, 600, 7):
        path = tmp_path / f"{width}"
        entries = [entry(1, artifact="é" * width), *six()[1:]]
        write_plan(path, draft(entries), entries, PLANNER)
        with verify(path, TRUST, NOW) as verified:
            assert list(verified.entries()) == entries


# Swapped between the passes


def test_a_plan_that_is_changed_after_it_was_verified_is_not_used(plan: Path) -> None:
    """In place, in the same open file: the next pass compares the blocks."""
    with verify(plan, TRUST, NOW) as verified:
        content = plan.read_bytes()
        with plan.open("r+b") as file:
            file.write(content.replace(b"zenml/00000005", b"zenml/00000007"))
        with pytest.raises(PlanMalformed, match="changed while it was read"):
            list(verified.entries())
        with plan.open("r+b") as file:
            file.truncate(900)
        with pytest.raises(PlanMalformed):
            list(verified.units())


def test_a_plan_that_is_replaced_is_still_the_one_that_was_verified(plan: Path) -> None:
    with verify(plan, TRUST, NOW) as verified:
        plan.unlink()
        plan.write_text("something else")
        assert list(verified.entries()) == six()


def test_a_change_between_the_hash_and_the_first_reading_is_seen(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between pass 1 and pass 2 of one verify, too."""
    real = verify.__globals__["_check_trust"]

    def swapping(*arguments: object) -> object:
        with plan.open("r+b") as file:
            file.write(plan.read_bytes().replace(b"zenml/00000005", b"zenml/00000007"))
        return real(*arguments)

    monkeypatch.setitem(verify.__globals__, "_check_trust", swapping)
    refused(plan, PlanMalformed, "changed while it was read")


# Expiry, approvals, order


def test_a_plan_expires_to_the_second(plan: Path) -> None:
    end = NOW.replace(month=12, day=5, hour=9)
    verify(plan, TRUST, end - timedelta(microseconds=1)).close()
    with pytest.raises(PlanExpired, match="expired"):
        verify(plan, TRUST, end)


def test_clocks_may_differ_by_five_minutes(plan: Path) -> None:
    start = NOW.replace(hour=9)
    verify(plan, TRUST, start - timedelta(minutes=5)).close()
    with pytest.raises(PlanMalformed, match="future"):
        verify(plan, TRUST, start - timedelta(minutes=5, seconds=1))


def test_a_naive_clock_is_a_bug(plan: Path) -> None:
    with pytest.raises(ValueError, match="aware"):
        verify(plan, TRUST, NOW.replace(tzinfo=None))


def test_what_is_wrong_first_is_said_first(plan: Path) -> None:
    """Signature, then trust, then contents, then expiry, then approvals."""
    late = NOW + timedelta(days=99)
    with pytest.raises(PlanExpired):
        verify(plan, TRUST, late, approvals=1)
    with pytest.raises(ApprovalsMissing):
        verify(plan, TRUST, NOW, approvals=1)
    HOSTILE["float"](plan)
    with pytest.raises(PlanMalformed):
        verify(plan, TRUST, late, approvals=1)
    with pytest.raises(SignatureRefused, match="not trusted"):
        verify(plan, Trust.of([]), late, approvals=1)
    plan.write_bytes(plan.read_bytes().replace(b"1.0", b"2.0", 1))
    with pytest.raises(SignatureRefused, match="changed after"):
        verify(plan, Trust.of([]), late, approvals=1)


def test_an_expired_plan_may_be_looked_at_but_is_not_verified(plan: Path) -> None:
    """``inspect`` makes no VerifiedPlan; whatever else is wrong, it refuses too."""
    late = NOW + timedelta(days=99)
    with inspect(plan, TRUST, late) as signed:
        assert not isinstance(signed, VerifiedPlan)
        assert list(signed.entries()) == six()
    with pytest.raises(SignatureRefused):
        inspect(plan, Trust.of([]), late)
    HOSTILE["float"](plan)
    with pytest.raises(PlanMalformed):
        inspect(plan, TRUST, late)


def test_no_file_stays_open(plan: Path) -> None:
    """Neither after a refusal nor after close."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        verify(plan, TRUST, NOW).close()
        refused(plan, SignatureRefused, trust=Trust.of([]))
    plan.write_bytes(b"x")
    refused(plan, PlanMalformed)
    assert len(os.listdir("/proc/self/fd")) == before


def test_nested_units_follow_each_other(tmp_path: Path) -> None:
    """A unit ends where its root ends; a neighbour whose name merely begins alike is no part of it."""
    root = entry(1, uri="s3://b/r/abc")
    other = entry(3, uri="s3://b/r/abc-d")
    inside = shared(2, root, "x")
    entries = sorted([root, inside, other], key=lambda found: found.order)
    written(tmp_path / "p", entries)
    with verify(tmp_path / "p", TRUST, NOW) as verified:
        assert sorted(len(unit) for unit in verified.units()) == [1, 2]
