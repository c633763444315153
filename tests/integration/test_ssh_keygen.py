"""Stock ``ssh-keygen`` and marksweep agree: on plans, on approvals, and on every line of a trust file.

These tests fail, and are not skipped, where ``ssh-keygen`` is missing: that the two agree is a promise.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.approvals import approve
from marksweep.plan.document import APPROVE_NAMESPACE, PLAN_NAMESPACE
from marksweep.plan.keys import SigningKey, create_key, load_key
from marksweep.plan.publickey import PublicKey
from marksweep.plan.sshsig import RawSigner, armor, sign
from marksweep.plan.verify import verify
from tests.unit.plan.support import ALICE, BOB, NOW, PLANNER, ecdsa_key, rsa_key, six, written
from tests.unit.plan.test_sshsig import TOKENS

KINDS = {
    "ed25519": (),
    "ecdsa-256": ("-b", "256"),
    "ecdsa-384": ("-b", "384"),
    "ecdsa-521": ("-b", "521"),
    "rsa": ("-b", "3072"),
}


def ssh_keygen(*arguments: object, stdin: bytes = b"", zone: str = "UTC") -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, env={**os.environ, "TZ": zone})


def made_by_ssh_keygen(directory: Path, kind: str, passphrase: str = "") -> Path:
    path = directory / f"id_{kind}"
    done = ssh_keygen(
        "-q", "-t", kind.split("-", maxsplit=1)[0], *KINDS[kind], "-N", passphrase, "-C", "me@here", "-f", path
    )
    assert done.returncode == 0, done.stderr
    return path


def signed_part(plan: Path) -> bytes:
    """Exactly what the documentation tells people to pipe."""
    return subprocess.run(["head", "-n", "-1", plan], capture_output=True, check=True).stdout


def good(directory: Path, line: str, who: str, namespace: str, sig: str, message: bytes, *options: object) -> bool:
    (directory / "signers").write_text(line + "\n")
    (directory / "sig").write_text(sig)
    done = ssh_keygen("-Y", "verify", *options, "-f", directory / "signers", "-I", who, "-n", namespace,
                      "-s", directory / "sig", stdin=message)  # fmt: skip
    assert (done.returncode == 0) == done.stdout.startswith(b'Good "'), (done.stdout, done.stderr)
    return done.returncode == 0


@pytest.mark.parametrize("kind", ["ed25519", "p256", "p384", "p521", "rsa", "sk-ed25519", "sk-ecdsa"])
def test_ssh_keygen_says_good_to_our_signatures(tmp_path: Path, kind: str) -> None:
    curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    key: RawSigner = PLANNER
    if kind in TOKENS:
        key = TOKENS[kind]
    elif kind in curves:
        key = ecdsa_key(curves[kind])
    elif kind == "rsa":
        key = rsa_key()
    sig = armor(sign(key, PLAN_NAMESPACE, hashlib.sha512(b"message").digest()))
    line = f"ci {key.public.line}"
    assert good(tmp_path, line, "ci", PLAN_NAMESPACE, sig, b"message")
    assert not good(tmp_path, line, "ci", PLAN_NAMESPACE, sig, b"massage")
    assert not good(tmp_path, line, "ci", APPROVE_NAMESPACE, sig, b"message")


def test_a_plan_is_good_without_marksweep(tmp_path: Path) -> None:
    """``head -n -1`` prints the signed bytes, and jq can take the signature out."""
    plan = written(tmp_path / "p.plan.json")
    assert plan.digest == "sha256:" + hashlib.sha256(signed_part(plan.path)).hexdigest()
    blob = base64.b64decode(json.loads(plan.path.read_bytes())["signature"]["sshsig"])
    line = f'ci namespaces="{PLAN_NAMESPACE}" {PLANNER.public.line}'
    assert good(tmp_path, line, "ci", PLAN_NAMESPACE, armor(blob), signed_part(plan.path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hash_name", ["sha512", "sha256"])
def test_people_approve_without_marksweep(tmp_path: Path, kind: str, hash_name: str) -> None:
    plan = written(tmp_path / "p.plan.json").path
    key = made_by_ssh_keygen(tmp_path, kind)
    option = f"hashalg={hash_name}"
    done = ssh_keygen("-Y", "sign", "-O", option, "-f", key, "-n", APPROVE_NAMESPACE, stdin=signed_part(plan))
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "p.plan.json.approvals"
    directory.mkdir()
    (directory / "alice.sig").write_bytes(done.stdout)
    public = key.with_name(key.name + ".pub").read_text().strip()
    with verify(plan, Trust.of([f"ci {PLANNER.public.line}", f"alice {public}"]), NOW, approvals=1) as verified:
        assert verified.approvers == ("alice",)
        assert list(verified.entries()) == six()


@pytest.mark.parametrize("kind", KINDS)
def test_our_approvals_are_good(tmp_path: Path, kind: str) -> None:
    """With keys that ssh-keygen made, of every type, loaded from their files."""
    plan = written(tmp_path / "p.plan.json").path
    key = load_key(made_by_ssh_keygen(tmp_path, kind))
    with verify(plan, Trust.of([f"ci {PLANNER.public.line}"]), NOW) as verified:
        path = approve(verified, key, "alice")
    assert good(tmp_path, f"alice {key.public.line}", "alice", APPROVE_NAMESPACE, path.read_text(), signed_part(plan))


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprints_are_ssh_keygens(tmp_path: Path, kind: str) -> None:
    path = made_by_ssh_keygen(tmp_path, kind)
    public = path.with_name(path.name + ".pub")
    shown = ssh_keygen("-l", "-f", public).stdout.decode().split()[1]
    assert PublicKey.parse(public.read_text()).fingerprint == load_key(path).fingerprint == shown


def test_ssh_keygen_reads_the_keys_that_we_make(tmp_path: Path) -> None:
    made = create_key(tmp_path / "key", "me@here")
    assert ssh_keygen("-y", "-f", tmp_path / "key").stdout.decode().split()[:2] == made.public.line.split()
    assert made.fingerprint in ssh_keygen("-l", "-f", tmp_path / "key.pub").stdout.decode()


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_encrypted_key_is_handed_to_ssh_keygen(tmp_path: Path, kind: str) -> None:
    path = made_by_ssh_keygen(tmp_path, kind, passphrase="correct horse")
    with pytest.raises(UsageError, match="encrypted") as caught:
        load_key(path)
    assert "ssh-keygen -Y sign" in caught.value.remedy


# Trust files

NAMESPACES = [PLAN_NAMESPACE, APPROVE_NAMESPACE, "git"]
WHO = ["alice", "bob@example.org", "Alice Liddell", "é"]
PRINCIPALS = [
    "alice",
    "bob@example.org",
    "*",
    "*@example.org",
    "al?ce",
    "alice,bob@example.org",
    "*,!alice",
    "!alice,*",
    "!bob@example.org",
    "alice,!al*",
    "ALICE",
    '"Alice Liddell"',
    '"Alice*",alice',
    'a"lice"',
    "é",
    "?",
    "??",
    "a**e",
    "alice,,x",
    "[a]lice",
    "a.ice",
]
NAMESPACE_OPTIONS = [
    "",
    f'namespaces="{PLAN_NAMESPACE}"',
    'namespaces="marksweep-*"',
    'namespaces="git,*approve*"',
    f'namespaces="*,!{PLAN_NAMESPACE}"',
    'namespaces="*"',
    'namespaces=""',
    'Namespaces="git"',
    'namespaces="\\"git"',
]
TIMES = [
    "20260701",
    "20260701Z",
    "202607011200",
    "202607011200Z",
    "20260701120000",
    "20260701120000Z",
    "20260115",
    "20260115Z",
    "202601151200",
    "20260701120000UTC",
    "20260701120000z",
    "20260231Z",
    "20260701120060Z",
    "202603290230",
    "202610250230",
]
ODD = [
    "cert-authority",
    "no-such-option",
    'namespaces="x',
    "namespaces=x",
    'valid-after="2026"',
    'valid-after="20261301Z"',
    'valid-after="20260101Z",valid-before="20260101Z"',
    'namespaces="git",namespaces="git"',
    'namespaces="git",',
    'namespaces="git"x',
    'valid-before="yesterday"',
    'valid-before=""',
    'valid-after="19700101Z"',
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


class Case:
    """One trust line put to both programs: who signs in which namespace, and when."""

    def __init__(self, rng: random.Random, key: SigningKey, other: SigningKey) -> None:
        options = [rng.choice(NAMESPACE_OPTIONS) if rng.random() < 0.5 else ""]
        self.times = []
        for name in ("valid-after", "valid-before"):
            if rng.random() < 0.4:
                self.times.append(rng.choice(TIMES))
                options.append(f'{name}="{self.times[-1]}"')
        if rng.random() < 0.1:
            options.append(rng.choice(ODD))
        rng.shuffle(options)
        signer = key if rng.random() < 0.9 else other
        comment = rng.choice(["", " comment", "  a # b", "\t", "\r"])
        gap = rng.choice([" ", "\t", "   "])
        words = [
            rng.choice(PRINCIPALS) if rng.random() < 0.7 else "alice,Alice*",
            ",".join(filter(None, options)),
            signer.public.line + comment,
        ]
        self.line = rng.choice(["", " ", "\t"]) + gap.join(filter(None, words))
        self.who = rng.choice([*WHO, "alice", "alice", "alice"])
        self.namespace = rng.choice([*NAMESPACES, PLAN_NAMESPACE])
        self.zone = rng.choice(ZONES)
        self.now = self._instant(rng)

    def _instant(self, rng: random.Random) -> int:
        """Any time of 2026, or a second around one of the line's own times, in one of the zones' readings of it."""
        if not self.times or rng.random() < 0.3:
            return rng.randrange(1767225600, 1798761600)
        digits = "".join(c for c in rng.choice(self.times) if c.isdigit()).ljust(14, "0")
        moment = datetime(int(digits[:4]), int(digits[4:6]), 1, tzinfo=UTC).timestamp()
        day, hour, minute, second = int(digits[6:8]) - 1, int(digits[8:10]), int(digits[10:12]), int(digits[12:14])
        offset = rng.choice([0, 0, 3600, 7200, -14400, -18000, 19800])
        return int(moment) + day * 86400 + hour * 3600 + minute * 60 + second - offset + rng.choice([-1, 0, 1])

    def ours(self, key: PublicKey) -> bool:
        try:
            trust = Trust.of([self.line])
        except SignatureRefused:
            return False
        when = datetime.fromtimestamp(self.now, UTC)
        allowed = trust.allows(self.who, key, self.namespace, when)
        assert not allowed or trust.principals(key, self.namespace, when), "who is allowed has a name"
        return allowed

    def theirs(self, directory: Path, sig: str) -> bool:
        stamp = datetime.fromtimestamp(self.now, UTC).strftime("%Y%m%d%H%M%SZ")
        (directory / "signers").write_bytes(self.line.encode() + b"\n")
        (directory / "sig").write_text(sig)
        done = ssh_keygen("-Y", "verify", "-O", f"verify-time={stamp}", "-f", directory / "signers", "-I", self.who,
                          "-n", self.namespace, "-s", directory / "sig", stdin=b"x", zone=self.zone)  # fmt: skip
        return done.returncode == 0


def test_trust_lines_mean_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_zone: pytest.MonkeyPatch
) -> None:
    """1,500 random lines: principals, patterns, options, windows to the second, local times in four zones."""
    seed = random.SystemRandom().randrange(2**32)
    with capsys.disabled():
        print(f"\ntrust lines seed {seed}", end="")
    rng = random.Random(seed)
    digest = hashlib.sha512(b"x").digest()
    sigs = {namespace: armor(sign(ALICE, namespace, digest)) for namespace in NAMESPACES}
    agreed = {True: 0, False: 0}
    for _ in range(1500):
        case = Case(rng, ALICE, BOB)
        in_zone.setenv("TZ", case.zone)
        time.tzset()
        ours, theirs = case.ours(ALICE.public), case.theirs(tmp_path, sigs[case.namespace])
        assert ours == theirs, f"seed {seed}: ssh-keygen says {theirs} to {vars(case)}"
        agreed[ours] += 1
    assert min(agreed.values()) > 100, agreed


@pytest.mark.parametrize(
    "line", ["alice {key}", "alice  {key} c", "*,!bob {key}", '"a b",x {key}', "alice no-touch-required {key}"]
)
def test_an_odd_line_is_never_read_more_widely(tmp_path: Path, line: str) -> None:
    """Where the two differ, on ``no-touch-required``, ssh-keygen refuses the line: a plan is then good for us alone."""
    text = line.format(key=ALICE.public.line)
    sig = armor(sign(ALICE, "git", hashlib.sha512(b"x").digest()))
    theirs = good(tmp_path, text, "alice", "git", sig, b"x")
    try:
        ours = Trust.of([text]).allows("alice", ALICE.public, "git", NOW)
    except SignatureRefused:
        ours = False
    assert ours == theirs or "no-touch-required" in text
