"""Receipts are read as strictly as plans: signature first, one spelling, books that balance, and a key that is trusted."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from marksweep.errors import MarksweepError, PlanMalformed, SignatureRefused, UsageError
from marksweep.model.outcome import Mode
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import PLAN_NAMESPACE, RECEIPT_NAMESPACE, Seal, encode
from marksweep.plan.receipt import (
    MAX_RECEIPT,
    Outcomes,
    Receipt,
    read_receipt,
    receipt_path,
    verify_receipt,
    write_receipt,
)
from marksweep.plan.sshsig import Message, Signer, seal
from tests.unit.plan.support import ALICE, CAROL, NOW, PLANNER
from tests.unit.plan.test_sshsig import TOKENS, Token

OUTCOMES = Outcomes(
    planned=10, deleted=3, gone=1, referenced=1, changed=1, protected=1, failed=1, not_attempted=1, objects=9, bytes=900,
    left=2, restored=1,
)  # fmt: skip
RECEIPT = Receipt(
    plan="01KAJ9", plan_digest="sha256:" + "0" * 64, mode=Mode.BOTH, tool="marksweep 0.1.0",
    started="2026-11-21T09:00:00Z", finished="2026-11-21T10:00:00.5Z", outcomes=OUTCOMES, journal="sha256:" + "1" * 64,
)  # fmt: skip
TRUST = Trust.of(
    [
        f'ci@example.org namespaces="{RECEIPT_NAMESPACE}" {ALICE.public.line}',
        f'ada@example.org namespaces="{PLAN_NAMESPACE}" {PLANNER.public.line}',
    ]
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_receipt(tmp_path / "p.plan.json", RECEIPT, ALICE)


def signed(
    octets: bytes, by: Signer = ALICE, namespace: str = RECEIPT_NAMESPACE, said: str = RECEIPT_NAMESPACE
) -> bytes:
    """*octets* and a good signature line: what they hold is for the reader to refuse."""
    import base64

    message = Message.of(octets)
    blob = base64.b64encode(seal(by, namespace, message)).decode()
    digest = f"sha256:{message.digests['sha256'].hex()}"
    return octets + b'"signature":%b}\n' % encode(Seal(digest=digest, namespace=said, sshsig=blob))


def body(receipt: Receipt = RECEIPT) -> bytes:
    return b'{"format":"marksweep.receipt/1",\n"receipt":%b,\n' % encode(receipt)


def test_a_receipt_comes_back(path: Path) -> None:
    """With the key that signed it, and the name that the trust file gives that key."""
    found = verify_receipt(path, TRUST, NOW)
    assert (found.receipt, found.principal, found.fingerprint) == (RECEIPT, "ci@example.org", ALICE.fingerprint)
    assert read_receipt(path).key == ALICE.public
    assert path == receipt_path(path.parent / "p.plan.json")


def test_no_changed_byte_is_accepted(path: Path) -> None:
    """Any byte changed, removed or added, anywhere, refuses the receipt."""
    good, rng = path.read_bytes(), random.Random(5)
    changed: set[bytes] = {good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))}
    for _ in range(100):
        at = rng.randrange(len(good))
        changed |= {good[:at] + good[at + 1 :], good[:at] + b" " + good[at:], good[:at], good + good[:at]}
    changed |= {good.replace(b"\n", b"\r\n"), good + b"\n", good.rstrip(b"\n"), b"\xef\xbb\xbf" + good, good * 2}
    for number, octets in enumerate(sorted(changed - {good})):
        path.write_bytes(octets)
        with pytest.raises((SignatureRefused, PlanMalformed)):
            pytest.fail(f"{number}: {read_receipt(path)}")


MALFORMED: dict[str, Callable[[], bytes]] = {
    "books that do not balance": lambda: body(
        msgspec.structs.replace(RECEIPT, outcomes=msgspec.structs.replace(OUTCOMES, deleted=4))
    ),
    "ended before it began": lambda: body(msgspec.structs.replace(RECEIPT, finished="2026-11-21T08:00:00Z")),
    "no such day": lambda: body(msgspec.structs.replace(RECEIPT, finished="2026-11-31T08:00:00Z")),
    "an unknown member": lambda: body().replace(b'{"plan":', b'{"only_if":1,"plan":'),
    "a member twice": lambda: body().replace(b'{"plan":', b'{"plan":"x","plan":'),
    "a missing member": lambda: body().replace(b'"gone":1,', b""),
    "a negative count": lambda: body().replace(b'"gone":1,', b'"gone":-1,'),
    "a float": lambda: body().replace(b'"gone":1,', b'"gone":1.0,'),
    "a space": lambda: body().replace(b'"gone":1,', b'"gone": 1,'),
    "another mode": lambda: body().replace(b'"both"', b'"all"'),
    "a line more": lambda: body() + b'"x":1,\n',
    "another format": lambda: body().replace(b"receipt/1", b"receipt/2"),
    "no receipt": lambda: b'{"format":"marksweep.receipt/1",\n',
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_good_signature_excuses_nothing(path: Path, case: str) -> None:
    """What no marksweep writes is refused, whoever signed it."""
    path.write_bytes(signed(MALFORMED[case]()))
    with pytest.raises(PlanMalformed):
        read_receipt(path)


def test_a_signature_for_something_else_is_none(path: Path) -> None:
    """A plan's signature, or a line that says that it is one, does not sign a receipt."""
    for octets in (
        signed(body(), namespace=PLAN_NAMESPACE),
        signed(body(), namespace=PLAN_NAMESPACE, said=PLAN_NAMESPACE),
        signed(body(), said="git"),
    ):
        path.write_bytes(octets)
        with pytest.raises(SignatureRefused):
            read_receipt(path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no line with that key"),
        (f"ada@example.org {PLANNER.public.line}", "no line with that key"),
        (f'ada@example.org namespaces="{PLAN_NAMESPACE}" {ALICE.public.line}', "only in the namespaces"),
        (f'ada@example.org valid-before="20261120Z" {ALICE.public.line}', "not valid any more"),
        (f'ada@example.org valid-after="20261122Z" {ALICE.public.line}', "not valid yet"),
    ],
)
def test_whose_key_it_is_decides(path: Path, line: str, why: str) -> None:
    """Only a key that may sign receipts now counts; the message says why another does not. Reading asks nobody."""
    with pytest.raises(SignatureRefused, match=why):
        verify_receipt(path, Trust.of([line]), NOW)
    assert read_receipt(path).receipt == RECEIPT


def test_a_window_is_asked_at_the_time_of_the_check(path: Path) -> None:
    """What the receipt says of its own time lets no ended key sign."""
    trust = Trust.of([f'ci@example.org valid-before="20261122Z" {ALICE.public.line}'])
    assert verify_receipt(path, trust, NOW).principal == "ci@example.org"
    with pytest.raises(SignatureRefused, match="not valid any more"):
        verify_receipt(path, trust, NOW + timedelta(days=2))


def test_a_security_key_must_be_touched(tmp_path: Path) -> None:
    """It signs a receipt only when touched; a trust line can waive that for what was signed elsewhere."""
    untouched = Token(TOKENS["sk-ed25519"].private, flags=0)
    with pytest.raises(SignatureRefused, match="not touched"):
        write_receipt(tmp_path / "p.plan.json", RECEIPT, untouched)
    assert os.listdir(tmp_path) == []
    path = write_receipt(tmp_path / "p.plan.json", RECEIPT, TOKENS["sk-ed25519"])
    assert verify_receipt(path, Trust.of([f"ci {untouched.public.line}"]), NOW).principal == "ci"


def test_files_that_are_no_receipts(path: Path) -> None:
    """A link, a pipe, a folder, nothing, too much, and a plan: refused, and nothing waits."""
    folder = path.parent
    link, pipe, big, empty = (folder / name for name in ("link", "pipe", "big", "empty"))
    link.symlink_to(path)
    os.mkfifo(pipe)
    big.write_bytes(b"x" * (MAX_RECEIPT + 1))
    empty.write_bytes(b"")
    for other in (link, pipe, big, empty, folder, folder / "absent"):
        with pytest.raises((UsageError, PlanMalformed)) as caught:
            read_receipt(other)
        assert isinstance(caught.value, MarksweepError)
        assert caught.value.remedy


def test_another_key_replaces_the_receipt_whole(path: Path) -> None:
    """The next run's receipt stands in its place; a run that cannot sign leaves the old one."""

    class Broken:
        public = CAROL.public

        def ready(self) -> None:
            pass

        def sshsig(self, namespace: str, message: Message) -> bytes:
            return seal(ALICE, namespace, message)

    before = path.read_bytes()
    with pytest.raises(SignatureRefused, match="and not by"):
        write_receipt(path.parent / "p.plan.json", RECEIPT, Broken())
    assert path.read_bytes() == before
    write_receipt(path.parent / "p.plan.json", RECEIPT, CAROL)
    assert read_receipt(path).key == CAROL.public
    assert os.listdir(path.parent) == [path.name]
