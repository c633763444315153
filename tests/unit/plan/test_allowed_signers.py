"""The trust file, without ssh-keygen; ``tests/integration/test_ssh_keygen.py`` compares the two."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust, is_literal, matches
from tests.unit.plan.support import ALICE, BOB, NOW, PLANNER, rsa_key

KEY = ALICE.public
NS = "marksweep-plan@marksweep.dev"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def names(line: str, now: datetime = NOW, namespace: str = NS) -> set[str]:
    return set(Trust.of([line]).principals(KEY, namespace, now))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("alice {key}", {"alice"}),
        ("alice {key} a comment # here", {"alice"}),
        ("  alice\t {key}\r", {"alice"}),
        ("alice,bob {key}", {"alice", "bob"}),
        ('"Alice Liddell" {key}', {"Alice Liddell"}),
        ("*@example.org,!eve@example.org {key}", {"*@example.org"}),
        ("alice,!alice {key}", set()),
        ("alice,!a* {key}", set()),
        ("!bob {key}", set()),
        ('alice namespaces="{ns}" {key}', {"alice"}),
        ('alice namespaces="marksweep-*" {key}', {"alice"}),
        ('alice namespaces="git,marksweep-plan@*" {key}', {"alice"}),
        ('alice namespaces="git" {key}', set()),
        ('alice namespaces="marksweep-*,!{ns}" {key}', set()),
        ('alice namespaces="" {key}', set()),
        ('alice NAMESPACES="{ns}" {key}', {"alice"}),
        ('alice valid-after="20261121120000Z" {key}', {"alice"}),
        ('alice valid-after="20261121120001Z" {key}', set()),
        ('alice valid-before="20261121120000Z" {key}', {"alice"}),
        ('alice valid-before="20261121115959Z" {key}', set()),
        ('alice valid-before="202611211200UTC" {key}', {"alice"}),
        ('alice valid-after="20261101Z",valid-before="20261201Z",namespaces="*" {key}', {"alice"}),
        ("alice no-touch-required {key}", {"alice"}),
        ("alice cert-authority {key}", set()),
        ('alice namespaces="*",cert-authority {key}', set()),
        ("alice {bob}", set()),
        ("", set()),
        ("   # alice {key}", set()),
        ("#alice {key}", set()),
    ],
)
def test_who_may_sign(line: str, expected: set[str]) -> None:
    assert names(line.format(key=KEY.line, bob=BOB.public.line, ns=NS)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice ",
        "alice ssh-ed25519",
        "alice ssh-ed25519 AAAA",
        "alice ssh-ed25519 !!!!",
        "alice ssh-rsa {blob}",
        "alice unknown-option {key}",
        'alice namespaces="x" ',
        'alice namespaces="x {key}',
        "alice namespaces=x {key}",
        "alice namespaces {key}",
        'alice namespaces="a",namespaces="b" {key}',
        'alice namespaces="a", {key}',
        'alice namespaces="a"x {key}',
        'alice valid-after="2026" {key}',
        'alice valid-after="20261301Z" {key}',
        'alice valid-after="20261132Z" {key}',
        'alice valid-after="202611212460Z" {key}',
        'alice valid-after="19600101Z" {key}',
        'alice valid-after="19700101Z" {key}',
        'alice valid-after="٢٠٢٦1121Z" {key}',
        'alice valid-after="20261121Z",valid-after="20261121Z" {key}',
        'alice valid-after="20261121Z",valid-before="20261121Z" {key}',
        'alice cert-authority="x" {key}',
        '"alice {key}',
        '"" {key}',
        "ali\0ce {key}",
        "{key}",
    ],
)
def test_a_malformed_line_refuses_the_file_and_is_named(line: str) -> None:
    text = line.format(key=KEY.line, blob=KEY.line.split()[1])
    with pytest.raises(SignatureRefused, match="line 3"):
        Trust.of(["# trust", f"bob {BOB.public.line}", text])


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("alice cert-authority {key}", "cert-authority"),
        ("alice ssh-dss AAAAB3NzaC1kc3M=", "ssh-dss"),
        ("alice ssh-ed25519-cert-v01@openssh.com AAAA", "cert"),
        ("alice {small}", "1024 bits"),
    ],
)
def test_lines_that_cannot_count_are_ignored_and_reported(line: str, word: str) -> None:
    """A key type of other people's trust does not make the file useless."""
    small = rsa.generate_private_key(65537, 1024).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    trust = Trust.of([line.format(key=KEY.line, small=small.decode()), f"bob {BOB.public.line}"])
    assert len(trust.lines) == 1
    assert len(trust.ignored) == 1
    assert word in trust.ignored[0]
    assert "line 1" in trust.ignored[0]


@pytest.mark.usefixtures("berlin")
def test_a_time_without_z_is_local_standard_time() -> None:
    """ssh-keygen leaves daylight saving time out: in July 00:00 in Berlin is taken as 23:00 UTC."""
    line = f'alice valid-after="20260701" {KEY.line}'
    assert names(line, datetime(2026, 6, 30, 22, 59, 59, tzinfo=UTC)) == set()
    assert names(line, datetime(2026, 6, 30, 23, 0, 0, tzinfo=UTC)) == {"alice"}


def test_fractions_of_a_second_are_cut() -> None:
    line = f'alice valid-before="20261121120000Z" {KEY.line}'
    assert names(line, NOW.replace(microsecond=999_999)) == {"alice"}


def test_any_line_that_applies_is_enough() -> None:
    trust = Trust.of(
        [f'alice namespaces="git" {KEY.line}', f'alice valid-before="20200101Z" {KEY.line}', f"al {KEY.line}"]
    )
    assert trust.principals(KEY, NS, NOW) == {"al"}
    assert trust.everybody_with(KEY) == {"alice", "al"}
    assert len(trust.refusals(KEY, NS, NOW)) == 2


def test_the_key_decides_and_not_its_comment() -> None:
    trust = Trust.of([f"alice {KEY.line} bob's key"])
    assert trust.principals(BOB.public, NS, NOW) == frozenset()
    assert trust.principals(rsa_key().public, NS, NOW) == frozenset()
    assert not trust.allows("alice", PLANNER.public, NS, NOW)


def test_touch_is_waived_only_by_a_line_that_applies() -> None:
    waived = f'alice namespaces="git",no-touch-required {KEY.line}'
    assert Trust.of([waived]).touch_required(KEY, NS, NOW)
    assert not Trust.of([waived]).touch_required(KEY, "git", NOW)
    assert Trust.of([waived]).touch_required(BOB.public, "git", NOW)
    assert Trust.of([f"alice {KEY.line}"]).touch_required(KEY, NS, NOW)


def test_patterns() -> None:
    for text, pattern in [
        ("a", "a"),
        ("a", "?"),
        ("", "*"),
        ("abc", "a*c"),
        ("a.c", "a.c"),
        ("é", "??"),
        ("a\nb", "a*"),
    ]:
        assert matches(text, pattern)
    for text, pattern in [("a", "A"), ("abc", "a.c"), ("ab", "a"), ("a", "[a]"), ("é", "?"), ("a", ""), ("a", "!b"),
                          ("a", "*,!a"), ("a", "!a,*")]:  # fmt: skip
        assert not matches(text, pattern)
    assert is_literal("a@b")
    assert not any(map(is_literal, ("*", "a?", "!a")))


def test_a_file_is_loaded_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "allowed_signers"
    path.write_bytes(f"# caf\u00e9\r\nalice {KEY.line}\r\n".encode() + b"# latin \xe9\n")
    assert Trust.load(path).principals(KEY, NS, NOW) == {"alice"}
    path.write_text("alice\n")
    with pytest.raises(SignatureRefused, match="allowed_signers, line 1"):
        Trust.load(path)
    for bad in (tmp_path / "absent", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            Trust.load(bad)
    path.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    with pytest.raises(UsageError, match="larger"):
        Trust.load(path)
