"""Approvals count people: each one once, never the planner, and only for these bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from marksweep.errors import ApprovalsMissing, SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.approvals import approvals_directory, approve
from marksweep.plan.document import APPROVE_NAMESPACE, PLAN_NAMESPACE
from marksweep.plan.keys import SigningKey
from marksweep.plan.rules import RuleBook, Rules
from marksweep.plan.sshsig import RawSigner, Signer, armor, sign
from marksweep.plan.verify import review, verify
from tests.unit.plan.support import ALICE, BOB, CAROL, MALLORY, NOW, PLANNER, TRUST, body_of, entry, key, written
from tests.unit.plan.test_sshsig import TOKENS, Token


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return written(tmp_path / "p.plan.json").path


def trust(*lines: str) -> Trust:
    return Trust.of([f"ci@example.org {PLANNER.public.line}", *lines])


def approved(plan: Path, *by: Signer, trust: Trust = TRUST) -> None:
    with verify(plan, Trust.of([*_line(PLANNER)]), NOW) as verified:
        for number, signer in enumerate(by):
            approve(verified, signer, f"reviewer-{number}")


def _line(signer: SigningKey) -> list[str]:
    return [f"ci@example.org {signer.public.line}"]


def counted(plan: Path, trust: Trust = TRUST, **options: bool) -> tuple[Sequence[str], Sequence[str]]:
    with verify(plan, trust, NOW, rules=RuleBook(Rules(**options))) as verified:
        return verified.approvers, verified.ignored_approvals


def test_two_people_are_two(plan: Path) -> None:
    approved(plan, ALICE, BOB)
    assert counted(plan) == (("alice@example.org", "bob@example.org"), ())
    verify(plan, TRUST, NOW, approvals=2).close()
    with pytest.raises(ApprovalsMissing, match=r"2 of 3 .*alice@example.org, bob@example.org"):
        verify(plan, TRUST, NOW, approvals=3)


def test_no_directory_is_no_approval(plan: Path) -> None:
    with pytest.raises(ApprovalsMissing, match="0 of 1") as caught:
        verify(plan, TRUST, NOW, approvals=1)
    assert "marksweep approve" in caught.value.remedy
    assert caught.value.deleted == "nothing was deleted"


def test_one_key_under_two_file_names_is_one(plan: Path) -> None:
    approved(plan, ALICE, ALICE, ALICE)
    assert counted(plan)[0] == ("alice@example.org",)


def test_one_key_on_two_lines_is_one(plan: Path) -> None:
    """alice and al share a key: one person."""
    approved(plan, ALICE)
    assert len(counted(plan, trust(f"alice {ALICE.public.line}", f"al {ALICE.public.line}"))[0]) == 1
    assert len(counted(plan, trust(f"alice,al {ALICE.public.line}"))[0]) == 1


def test_two_keys_of_one_person_are_one(plan: Path) -> None:
    approved(plan, ALICE, BOB)
    assert counted(plan, trust(f"alice {ALICE.public.line}", f"alice {BOB.public.line}"))[0] == ("alice",)


def test_people_joined_by_a_third_key_are_one(plan: Path) -> None:
    """a has key 1, b has key 2, and key 3 says that a is b."""
    chain = trust(f"a {ALICE.public.line}", f"b {BOB.public.line}", f"a,b {CAROL.public.line}")
    approved(plan, ALICE, BOB)
    assert counted(plan, chain)[0] == ("a", "b")
    approved(plan, ALICE, BOB, CAROL)
    assert counted(plan, chain)[0] == ("a",)


def test_a_name_joins_even_where_its_line_does_not_apply(plan: Path) -> None:
    """An old key of alice's, on a line of another namespace with another name, is still hers."""
    approved(plan, ALICE, BOB)
    lines = [f"alice {ALICE.public.line}", f"bob {BOB.public.line}", f'alice namespaces="git" {BOB.public.line}']
    assert len(counted(plan, trust(*lines))[0]) == 1


@pytest.mark.parametrize("who", ["*", "*@example.org", "ali?e", "*,!bob"])
def test_patterns_are_nobody(plan: Path, who: str) -> None:
    approved(plan, ALICE)
    names, reasons = counted(plan, trust(f"{who} {ALICE.public.line}"))
    assert names == ()
    assert "only patterns" in reasons[0]


def test_the_planners_key_never_counts(plan: Path) -> None:
    """Whatever other name the trust file gives it; only the option lets it count."""
    approved(plan, PLANNER, BOB)
    both = trust(f"alice {PLANNER.public.line}", f"bob {BOB.public.line}")
    names, reasons = counted(plan, both)
    assert names == ("bob",)
    assert "planner's own key" in reasons[0]
    assert len(counted(plan, both, approver_may_be_planner=True)[0]) == 2


@pytest.mark.parametrize("planner", ["ci", "alice,ci", "al*", "*"])
def test_another_key_of_the_planner_does_not_count(plan: Path, planner: str) -> None:
    """The same name as the planner's, or one that the planner's pattern could mean."""
    approved(plan, ALICE)
    lines = [f"{planner} {PLANNER.public.line}", f"alice,ci {ALICE.public.line}"]
    names, reasons = counted(plan, Trust.of(lines))
    assert names == ()
    assert "by the planner" in reasons[0]
    assert counted(plan, Trust.of(lines), approver_may_be_planner=True)[0] == ("alice",)


def test_the_planner_is_known_by_every_line_of_its_key(plan: Path) -> None:
    """A line of another purpose, long expired, says that the planner's key is alice's: hers is no second opinion."""
    approved(plan, ALICE)
    lines = [f"alice {ALICE.public.line}", f'alice namespaces="git",valid-before="20200101Z" {PLANNER.public.line}']
    assert counted(plan, trust(*lines))[0] == ()


def test_strangers_do_not_count(plan: Path) -> None:
    approved(plan, MALLORY)
    names, reasons = counted(plan)
    assert names == ()
    assert MALLORY.fingerprint in reasons[0]


@pytest.mark.parametrize(
    "options",
    ['namespaces="git"', f'namespaces="{PLAN_NAMESPACE}"', 'valid-before="20261120Z"', 'valid-after="20261122Z"'],
)
def test_lines_that_do_not_apply_do_not_count(plan: Path, options: str) -> None:
    approved(plan, ALICE)
    names, reasons = counted(plan, trust(f"alice {options} {ALICE.public.line}"))
    assert names == ()
    assert "not trusted to approve" in reasons[0]


def test_an_approval_of_other_bytes_does_not_count(plan: Path, tmp_path: Path) -> None:
    """The plan was made again after it was approved."""
    approved(plan, ALICE)
    plan.unlink()
    written(plan, [entry(7)])
    names, reasons = counted(plan)
    assert names == ()
    assert "does not match" in reasons[0]


def put(plan: Path, name: str, content: bytes) -> Path:
    directory = approvals_directory(plan)
    directory.mkdir(exist_ok=True)
    (directory / name).write_bytes(content)
    return directory / name


def signed(plan: Path, by: RawSigner, namespace: str) -> bytes:
    return armor(sign(by, namespace, hashlib.sha512(body_of(plan.read_bytes())).digest())).encode()


@pytest.mark.parametrize("namespace", ["git", "file", PLAN_NAMESPACE, APPROVE_NAMESPACE.upper()])
def test_a_signature_for_another_purpose_does_not_count(plan: Path, namespace: str) -> None:
    put(plan, "carol.sig", signed(plan, CAROL, namespace))
    names, reasons = counted(plan)
    assert names == ()
    assert "namespace" in reasons[0]
    put(plan, "carol.sig", signed(plan, CAROL, APPROVE_NAMESPACE))
    assert counted(plan)[0] == ("carol@example.org",)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe", b"-----BEGIN SSH SIGNATURE-----\n", b"x" * 70_000])
def test_rubbish_is_reported_and_stops_nobody(plan: Path, content: bytes) -> None:
    approved(plan, ALICE)
    put(plan, "zz.sig", content)
    names, reasons = counted(plan)
    assert names == ("alice@example.org",)
    assert len(reasons) == 1
    assert reasons[0].startswith("zz.sig: ")
    assert ("larger than" in reasons[0]) == (len(content) > 65_536)


def test_only_regular_sig_files_are_read(plan: Path, tmp_path: Path) -> None:
    """No link, no pipe, no directory; other names are not looked at."""
    good = put(plan, "alice.sig", signed(plan, ALICE, APPROVE_NAMESPACE))
    directory = good.parent
    good.rename(tmp_path / "elsewhere")
    (directory / "link.sig").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(directory / "pipe.sig")
    (directory / "dir.sig").mkdir()
    put(plan, "README.md", b"hello")
    names, reasons = counted(plan)
    assert names == ()
    assert len(reasons) == 3
    assert [reason for reason in reasons if "regular" in reason or "cannot be read" in reason] == list(reasons)


def test_a_file_for_a_directory_and_too_many_files_are_errors(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    approvals_directory(plan).write_text("x")
    with pytest.raises(UsageError):
        verify(plan, TRUST, NOW)
    approvals_directory(plan).unlink()
    monkeypatch.setattr("marksweep.plan.quorum.MAX_APPROVALS", 1)
    approved(plan, ALICE, BOB)
    with pytest.raises(UsageError, match="more than"):
        verify(plan, TRUST, NOW)


def test_a_security_key_approves_only_when_touched(plan: Path) -> None:
    token = Token(TOKENS["sk-ed25519"].private, flags=0)
    line = token.public.line
    with pytest.raises(SignatureRefused, match="not touched"):
        approved(plan, token)
    put(plan, "reviewer-0.sig", signed(plan, token, APPROVE_NAMESPACE))
    names, reasons = counted(plan, trust(f"alice {line}"))
    assert names == ()
    assert "not touched" in reasons[0]
    assert counted(plan, trust(f"alice no-touch-required {line}"))[0] == ("alice",)
    approved(plan, TOKENS["sk-ed25519"])
    assert counted(plan, trust(f"alice {line}"))[0] == ("alice",)


# Writing them


def test_an_approval_is_a_file_beside_the_plan(plan: Path) -> None:
    before = plan.read_bytes()
    with verify(plan, TRUST, NOW) as verified:
        path = approve(verified, ALICE, "alice@example.org")
        assert approve(verified, ALICE, "alice@example.org") == path
    assert path == plan.parent / "p.plan.json.approvals" / "alice@example.org.sig"
    assert path.read_text().startswith("-----BEGIN SSH SIGNATURE-----\n")
    assert os.listdir(path.parent) == [path.name]
    assert plan.read_bytes() == before


def test_somebody_elses_approval_is_not_replaced_but_a_stale_one_is(plan: Path) -> None:
    with verify(plan, TRUST, NOW) as verified:
        path = approve(verified, ALICE, "alice")
        before = path.read_bytes()
        with pytest.raises(UsageError, match="already the approval"):
            approve(verified, BOB, "alice")
        assert path.read_bytes() == before
    plan.unlink()
    written(plan, [entry(7)])
    with verify(plan, TRUST, NOW) as verified:
        approve(verified, ALICE, "alice")
    assert counted(plan)[0] == ("alice@example.org",)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../x", "a\0", "a\nb", "a b", "é", "-x", "x" * 101, "x\n"]
)
def test_an_approvals_name_is_a_plain_file_name(plan: Path, name: str) -> None:
    with verify(plan, TRUST, NOW) as verified, pytest.raises(UsageError):
        approve(verified, ALICE, name)
    assert os.listdir(plan.parent) == ["p.plan.json"]


def test_an_unwritable_place_is_a_usage_error(plan: Path) -> None:
    with verify(plan, TRUST, NOW) as verified:
        approvals_directory(plan).write_text("in the way")
        with pytest.raises(UsageError, match="cannot be written"):
            approve(verified, ALICE, "alice")


def test_no_permutation_of_approvals_changes_the_count(plan: Path) -> None:
    """Files are read by name, and who is counted does not depend on it."""
    keys = [ALICE, BOB, CAROL, key(5), key(6)]
    lines = [f"a {keys[0].public.line}", f"b {keys[1].public.line}", f"a,c {keys[2].public.line}",
             f"c,b {keys[3].public.line}", f"z {keys[4].public.line}"]  # fmt: skip
    for by in range(5):
        approved(plan, *keys[by:], *keys[:by])
        assert counted(plan, trust(*lines))[0] == ("a", "z")
        for path in approvals_directory(plan).iterdir():
            path.unlink()


def test_approvals_are_not_written_through_a_link(plan: Path, tmp_path: Path) -> None:
    """A folder of approvals comes with the branch: as a link it would say which file of the reviewer is written over."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "alice.sig").write_text("mine")
    approvals_directory(plan).symlink_to(elsewhere)
    with review(plan, TRUST, NOW) as reviewed, pytest.raises(UsageError, match="symbolic link"):
        approve(reviewed, ALICE, "alice")
    assert (elsewhere / "alice.sig").read_text() == "mine"
