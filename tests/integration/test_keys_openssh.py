"""Keys that people have: in a real ssh-agent, behind a passphrase, of every type; and approvals at a real terminal.

These tests fail, and are not skipped, where OpenSSH is missing. A FIDO token cannot be had here: tests/unit/plan emulates
one. No test leaves an agent behind.
"""

from __future__ import annotations

import hashlib
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from marksweep.errors import UsageError
from marksweep.plan import openssh
from marksweep.plan.document import APPROVE_NAMESPACE, instant
from marksweep.plan.keys import load_signer
from marksweep.plan.openssh import KeygenKey, Prompts
from marksweep.plan.sshsig import Message, armor, seal, sign, verify
from marksweep.plan.writer import write_plan
from tests.support.catalogs import unpacked
from tests.support.cli import Cli
from tests.unit.plan.support import PLANNER, body_of, draft, six
from tests.unit.plan.test_sshsig import TOKENS, Token

KINDS = {"ed25519": ("ed25519",), "ecdsa": ("ecdsa", "-b", "384"), "rsa": ("rsa", "-b", "2048")}
NOBODY = Prompts(allowed=False, tell=lambda _: None)


def run(*words: object, environ: dict[str, str] | None = None) -> str:
    """What a stock command prints; it must succeed."""
    done = subprocess.run(
        [str(word) for word in words], env={**os.environ, **(environ or {})}, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done
    return done.stdout


@dataclass(frozen=True)
class Agent:
    """A running ssh-agent that holds the keys of :data:`KINDS`, whose private halves are nowhere else."""

    socket: str
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {"SSH_AUTH_SOCK": self.socket}

    def public(self, kind: str) -> Path:
        return self.folder / f"{kind}.pub"

    def fingerprint(self, kind: str) -> str:
        return run("ssh-keygen", "-l", "-f", self.public(kind)).split()[1]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    folder = Path(tempfile.mkdtemp(prefix="ms-agent-"))
    socket = str(folder / "s")
    child = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL, env={
        **os.environ, "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":nowhere",
    })  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while not os.path.exists(socket):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for kind, options in KINDS.items():
            key = folder / kind
            run("ssh-keygen", "-q", "-N", "", "-C", f"my {kind}", "-f", key, "-t", *options)
            run("ssh-add", "-q", key, environ={"SSH_AUTH_SOCK": socket})
            key.unlink()
        yield Agent(socket, folder)
    finally:
        child.terminate()
        child.wait(10)
        shutil.rmtree(folder)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan made an hour ago by somebody else."""
    entries, now = six(), datetime.now(UTC).replace(microsecond=0)
    header = draft(entries)
    facts = msgspec.structs.replace(
        header.plan, created=instant(now - timedelta(hours=1)), expires=instant(now + timedelta(days=1))
    )
    path = tmp_path / "p.plan.json"
    write_plan(path, msgspec.structs.replace(header, plan=facts), entries, PLANNER)
    return path


@pytest.fixture
def trust(tmp_path: Path) -> Callable[..., Path]:
    """Write a trust file: the planner, and one line for each name and public key file."""

    def write(**people: Path) -> Path:
        lines = [f"ci@example.org {PLANNER.public.line}"]
        lines += [
            f'{name}@example.org namespaces="{APPROVE_NAMESPACE}" {key.read_text()}' for name, key in people.items()
        ]
        path = tmp_path / "trust"
        path.write_text("".join(f"{line.strip()}\n" for line in lines))
        return path

    return write


def encrypted(folder: Path) -> Path:
    key = folder / "locked"
    run("ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", "correct horse", "-C", "me", "-f", key)
    return key


def askpass(folder: Path, says: str) -> str:
    """A program that answers every prompt, as a desktop's would."""
    program = folder / "askpass"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(program)


def test_keys_of_the_agent_approve(cli: Cli, agent: Agent, plan: Path, trust: Callable[..., Path]) -> None:
    """By .pub file, by fingerprint, by comment: each of ed25519, ECDSA and RSA; the file is named as the trust file says."""
    people = {"ada": "ed25519", "bob": "ecdsa", "eve": "rsa"}
    trusted = trust(**{name: agent.public(kind) for name, kind in people.items()})
    user = cli.with_environ(**agent.environ)
    for choice in ("{public}", "agent:{fingerprint}", "agent:my {kind}"):
        for count, (name, kind) in enumerate(people.items(), start=1):
            key = choice.format(public=agent.public(kind), fingerprint=agent.fingerprint(kind), kind=kind)
            said = user.json("approve", plan, "--yes", "--trust", trusted, "--key", key)
            assert Path(said["approval"]) == Path(f"{plan}.approvals") / f"{name}@example.org.sig"
            assert said["fingerprint"] == agent.fingerprint(kind)
            assert said["does_not_count"] is None
            assert len(said["approvals"]) == count
        assert user.json("verify", plan, "--trust", trusted, "--approvals", 3)["approvals"] == said["approvals"]
        shutil.rmtree(f"{plan}.approvals")


def test_stock_ssh_keygen_approves_with_a_public_key_file(
    cli: Cli, agent: Agent, plan: Path, trust: Callable[..., Path]
) -> None:
    """The line that the guide shows, with the key in the agent; marksweep counts it like its own."""
    key = agent.public("ed25519")
    Path(f"{plan}.approvals").mkdir()
    command = f"head -n -1 {plan} | ssh-keygen -Y sign -f {key} -n {APPROVE_NAMESPACE} > {plan}.approvals/ada.sig"
    run("sh", "-c", command, environ=agent.environ)
    assert cli.json("verify", plan, "--trust", trust(ada=key), "--approvals", 1)["approvals"] == ["ada@example.org"]


def test_a_key_that_cannot_sign_says_why(cli: Cli, agent: Agent, plan: Path, tmp_path: Path) -> None:
    """No agent, not in the agent, several in the agent, none of that name, refused by the agent; nothing is written."""
    trusted = tmp_path / "trust"
    trusted.write_text(f"ci@example.org {PLANNER.public.line}\n")
    approve = ("approve", plan, "--yes", "--trust", trusted, "--key")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "absent")
    (tmp_path / "absent").unlink()
    user = cli.with_environ(**agent.environ)
    cli(*approve, tmp_path / "absent.pub").refused(2, "no agent is running", "private key is not beside it", "ssh-add")
    user(*approve, tmp_path / "absent.pub").refused(2, "the agent does not hold it", "ssh-add")
    cli(*approve, "agent").refused(2, "there is no ssh agent to ask", "ssh-agent")
    user(*approve, "agent").refused(2, "holds 3 keys, and exactly one is needed", agent.fingerprint("rsa"), "my ecdsa")
    user(*approve, "agent:SHA256:nobody").refused(2, "holds no keys that are 'SHA256:nobody'", "agent:SHA256:")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "shy", "-f", tmp_path / "shy")
    run("ssh-add", "-q", "-c", tmp_path / "shy", environ=agent.environ)  # the agent asks, and its askpass says no
    try:
        user(*approve, "agent:shy").refused(2, "the agent refused to sign", "confirm or touch")
    finally:
        run("ssh-add", "-q", "-d", tmp_path / "shy", environ=agent.environ)
    cli.with_environ(PATH="/nowhere")(*approve, tmp_path / "shy.pub").refused(2, "ssh-keygen cannot be run", "install")
    assert not Path(f"{plan}.approvals").exists()


def test_a_passphrase_is_asked_for_where_somebody_can_answer(
    cli: Cli, plan: Path, trust: Callable[..., Path], tmp_path: Path
) -> None:
    """By the program that the person named; where nobody can answer, in CI too, the end comes at once and says so."""
    key = encrypted(tmp_path)
    trusted = trust(ada=Path(f"{key}.pub"))
    for which in (key, f"{key}.pub"):
        approve = ("approve", plan, "--yes", "--trust", trusted, "--key", which)
        cli(*approve).refused(2, "is encrypted with a passphrase", "no terminal", "ssh-add")
        forced = {"SSH_ASKPASS_REQUIRE": "force", "SSH_ASKPASS": askpass(tmp_path, "wrong")}
        cli.with_environ(**forced)(*approve).refused(2, "that was not the passphrase")
        assert not Path(f"{plan}.approvals").exists()
        forced["SSH_ASKPASS"] = askpass(tmp_path, "correct horse")
        cli.with_environ(CI="true", **forced)(*approve).refused(2, "no terminal", "CI's secrets")
        assert cli.with_environ(**forced).json(*approve)["approvals"] == ["ada@example.org"]
        shutil.rmtree(f"{plan}.approvals")


def test_what_ssh_keygen_returns_is_not_believed(
    cli: Cli, agent: Agent, plan: Path, trust: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another namespace, another key, other bytes, no signature at all, and one that never comes: nothing is written."""
    real, ada, bob = shutil.which("ssh-keygen"), agent.public("ed25519"), agent.public("ecdsa")
    folder = tmp_path / "bin"
    folder.mkdir()
    user = cli.with_environ(**agent.environ, PATH=f"{folder}:{os.environ['PATH']}")
    approve = ("approve", plan, "--yes", "--trust", trust(ada=ada, bob=bob), "--key", ada)
    monkeypatch.setattr(openssh, "PATIENCE", 0.3)
    for script, status, why in (
        (f"exec {real} -Y sign -n git -f {ada}", 20, "made for the namespace"),
        (f"exec {real} -Y sign -n {APPROVE_NAMESPACE} -f {bob}", 20, "and not by"),
        (f"head -c 9 | {real} -Y sign -n {APPROVE_NAMESPACE} -f {ada}", 20, "does not match"),
        ("cat > /dev/null; echo hello", 2, "returned no signature"),
        ("printf 'no \\033[31m way\\n' >&2; exit 1", 2, "no \\x1b[31m way"),
        ("exec sleep 60", 2, "did not answer"),
    ):
        (folder / "ssh-keygen").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ssh-keygen").chmod(0o755)
        user(*approve).refused(status, why)
        assert not Path(f"{plan}.approvals").exists()


def test_an_untouched_security_key_approves_only_where_touch_is_waived(cli: Cli, plan: Path, tmp_path: Path) -> None:
    """By the option on its line, or by the policy. (The token is emulated; its signature comes out of an ssh-keygen.)"""
    token, folder = Token(TOKENS["sk-ed25519"].private, flags=0), tmp_path / "bin"
    folder.mkdir()
    digest = hashlib.sha512(body_of(plan.read_bytes())).digest()
    (tmp_path / "made").write_text(armor(sign(token, APPROVE_NAMESPACE, digest)))
    (folder / "ssh-keygen").write_text(f"#!/bin/sh\ncat > /dev/null\ncat {tmp_path}/made\n")
    (folder / "ssh-keygen").chmod(0o755)
    (tmp_path / "token.pub").write_text(token.public.line)
    user = cli.with_environ(PATH=f"{folder}:{os.environ['PATH']}")
    approve = ("approve", plan, "--yes", "--key", tmp_path / "token.pub", "--trust")
    strict, waived, ruled = (tmp_path / name for name in ("strict", "waived", "ruled"))
    planner = f"ci@example.org {PLANNER.public.line}\n"
    strict.write_text(f"{planner}ada@example.org {token.public.line}\n")
    waived.write_text(f"{planner}ada@example.org no-touch-required {token.public.line}\n")
    ruled.mkdir()
    shutil.copy(strict, ruled / "allowed_signers")
    (ruled / "policy.toml").write_text("require_touch = false\n")
    user(*approve, strict).refused(20, "was not touched", "nothing was written")
    assert not Path(f"{plan}.approvals").exists()
    for trusted in (waived, ruled):
        said = user("approve", plan, *approve[2:], trusted, "--json")
        assert "Touch the security key" in said.err
        assert said.json["approvals"] == ["ada@example.org"]
        assert said.json["does_not_count"] is None
    assert said.json["approvals_needed"] == 1


def test_a_large_message_goes_through_a_pipe(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken chunk by chunk, and a signer that gives up early ends with its reason, not with a broken pipe."""
    monkeypatch.setenv("SSH_AUTH_SOCK", agent.socket)
    chunks, taken = [bytes([n]) * 100_000 for n in range(200)], list[int]()

    def again() -> Iterator[bytes]:
        for chunk in chunks:
            taken.append(len(chunk))
            yield chunk

    message = Message(Message.of(b"".join(chunks)).digests, again)
    key = load_signer(agent.public("rsa"), NOBODY)
    assert verify(seal(key, "test@x", message), "test@x", message.digests) == key.public
    assert len(taken) == 200
    gone = KeygenKey(PLANNER.public, agent.folder / "nothing.pub", NOBODY)
    with pytest.raises(UsageError, match="Couldn't load public key"):
        gone.sshsig("test@x", message)


def test_the_agent_signs_plans_and_receipts(
    cli: Cli, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mark, sweep and restore with a key that no file here holds; the receipt is verified, and rewritten by a restore."""
    catalog = unpacked("0.98.0", tmp_path)
    user, plan, key = cli.with_environ(**agent.environ), tmp_path / "plan.json", ("--key", "agent:my ed25519")
    user.done("keys", "import", agent.public("ed25519"), "--as", "ada@example.org", "--role", "all")
    away = ("--key", agent.folder / "rsa.pub")
    with monkeypatch.context() as patched:  # it would take hours, and then nobody could sign
        patched.setattr("marksweep.cli.marking._draft", lambda *_: pytest.fail("the catalog was read first"))
        cli("mark", "--catalog", catalog.url, "--no-grace", "--out", plan, *away).refused(2, "no agent is running")
    user.done("mark", "--catalog", catalog.url, "--no-grace", "--out", plan, *key)
    assert user.json("verify", plan)["signer"] == {
        "principal": "ada@example.org", "fingerprint": agent.fingerprint("ed25519")
    }  # fmt: skip
    sweep = ("sweep", plan, "--yes", "--catalog", catalog.url, "--trash", tmp_path / "trash")
    before = catalog.file_digests()
    cli(*sweep, *away).refused(2, "no agent is running")
    assert catalog.file_digests() == before
    user.done(*sweep, *key)
    receipt = user.json("verify-receipt", plan)
    assert (receipt["principal"], receipt["outcomes"]["deleted"]) == ("ada@example.org", 27)
    assert (receipt["plan_matches"], receipt["journal_matches"]) == (True, True)
    restored = user.json("restore", plan, "--yes", "--catalog", catalog.url, *key)
    assert restored["receipt"] == receipt["path"]
    again = user.json("verify-receipt", restored["receipt"])
    assert (again["outcomes"]["deleted"], again["outcomes"]["restored"]) == (0, 27)
    assert again["journal_matches"] is True
    assert "✓ The journal beside it says the same" in user.done("verify-receipt", plan).out
    _refused_receipts(user, plan)


def _refused_receipts(user: Cli, plan: Path) -> None:
    """A receipt of another plan, one by a key that is not trusted, and one whose bytes changed."""
    receipt = Path(f"{plan}.receipt.json")
    other = plan.with_name("other.json")
    other.write_bytes(plan.read_bytes().replace(b"signature", b"signature", 1))
    nobody = plan.with_name("nobody")
    nobody.write_text("")
    user("verify-receipt", plan, "--trust", nobody).refused(20, "not trusted to sign receipts")
    good = receipt.read_bytes()
    receipt.write_bytes(good.replace(b'"restored":27', b'"restored":26'))
    user("verify-receipt", plan).refused(20, "was changed after it was signed")
    receipt.write_bytes(good)
    lines = plan.read_bytes().split(b"\n")
    plan.write_bytes(
        b"\n".join([*lines[:2], lines[2].replace(b'"mode":"both"', b'"mode":"only_metadata"'), *lines[3:]])
    )
    user("verify-receipt", plan).refused(26, "is of another plan")
    plan.unlink()
    assert user.json("verify-receipt", receipt)["plan_matches"] is None


def talked(cli: Cli, *arguments: object, turns: list[tuple[str, str]]) -> tuple[int, str]:
    """The program at a terminal: its status, and all that was shown. Each turn is what to wait for, and what to type."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "marksweep", *map(str, arguments)], cli.environment())
    shown, answered, until, turns = b"", 0, time.monotonic() + 30, list(turns)
    try:
        while time.monotonic() < until:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError:  # the end, as Linux says it
                    break
            if turns and turns[0][0].encode() in shown[answered:]:
                answered = len(shown)
                time.sleep(0.1)  # the question is shown before its answer is waited for
                os.write(terminal, turns.pop(0)[1].encode())
    finally:
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, shown.decode()


def test_at_a_terminal_approve_shows_asks_and_lets_ssh_keygen_ask(
    cli: Cli, plan: Path, trust: Callable[..., Path], tmp_path: Path
) -> None:
    """y and the passphrase: approved. No, and Ctrl-C at the prompt: 130, and nothing is written."""
    key = encrypted(tmp_path)
    approve = ("approve", plan, "--trust", trust(ada=Path(f"{key}.pub")), "--key", key)
    cli(*approve).refused(2, "no terminal to ask at", "--yes")
    cli = cli.with_environ(TERM="dumb")
    for turns in ([("Approve?", "n\n")], [("Approve?", "y\n"), ("passphrase", "\x03")]):
        status, shown = talked(cli, *approve, turns=turns)
        assert status == 130, shown
        assert not Path(f"{plan}.approvals").exists()
    status, shown = talked(cli, *approve, turns=[("Approve?", "y\n"), ("Enter passphrase", "correct horse\n")])
    flat = " ".join(shown.split())
    assert status == 0, shown
    for words in (
        "About to approve",
        "6 versions",
        "made by ci@example.org",
        "sign as ada@example.org",
        "by nobody yet",
    ):
        assert words in flat, shown
    assert os.listdir(f"{plan}.approvals") == ["ada@example.org.sig"]


def test_an_approval_that_does_not_count_is_written_and_says_so(
    cli: Cli, agent: Agent, plan: Path, trust: Callable[..., Path]
) -> None:
    """The trust in use is the reader's; the protected branch may have another. The reason is the one that verify gives."""
    user = cli.with_environ(**agent.environ)
    approve = ("approve", plan, "--yes", "--trust", trust(ada=agent.public("rsa")), "--key", agent.public("ecdsa"))
    said = user.json(*approve)
    assert "no line of the trust file has it" in said["does_not_count"]
    assert said["approvals"] == []
    assert Path(said["approval"]).exists()
    assert "It does not count under the trust in use" in user.done(*approve).flat
    planner = PLANNER.public.line
    trusted = plan.with_name("two-keys")
    trusted.write_text(f"ci@example.org {planner}\nci@example.org {agent.public('rsa').read_text()}")
    user("approve", plan, "--yes", "--trust", trusted, "--key", agent.public("rsa")).refused(2, "it is by the planner")


def home_keys(cli: Cli) -> Path:
    folder = cli.home / ".ssh"
    folder.mkdir()
    for kind, options in {"ed25519": (), "weak": ("-b", "1024")}.items():
        name = "rsa" if kind == "weak" else kind
        run("ssh-keygen", "-q", "-t", name, *options, "-N", "", "-C", f"ada {kind}", "-f", folder / f"id_{kind}")
    run("ssh-keygen", "-q", "-s", folder / "id_ed25519", "-I", "ada", "-n", "ada", folder / "id_weak.pub")
    (folder / "id_dsa.pub").write_text("ssh-dss AAAAB3NzaC1kc3MAAACBAP ada\n")
    return folder


def test_keys_that_people_have_are_imported(cli: Cli, tmp_path: Path) -> None:
    """From ~/.ssh: one line for each good key, with its roles and window; the others are named with their reason."""
    folder, into = home_keys(cli), tmp_path / "repo" / ".marksweep" / "allowed_signers"
    cli("keys", "import").refused(2, "whose keys", "--as")
    done = cli.json("keys", "import", "--as", "ada@example.org", "--into", into, "--valid-before", "2030-12-31")
    assert done["into"] == str(into)
    (line,) = done["added"]
    assert line.startswith(
        'ada@example.org namespaces="marksweep-approve@marksweep.dev",valid-before="20301231Z" ssh-ed2'
    )
    assert into.read_text() == line + "\n"
    reasons = {Path(refused["file"]).name: refused["reason"] for refused in done["refused"]}
    assert set(reasons) == {"id_weak.pub", "id_weak-cert.pub", "id_dsa.pub"}
    for name, why in {"id_weak.pub": "1024 bits", "id_weak-cert.pub": "certificate", "id_dsa.pub": "DSA"}.items():
        assert why in reasons[name]
    again = cli.json("keys", "import", "--as", "ada@example.org", "--into", into, "--valid-before", "20301231")
    assert (again["added"], again["present"]) == ([], [line])
    more = ("keys", "import", folder / "id_ed25519.pub", "--as", "ada@example.org", "--into", into)
    rotated = cli.json(*more, "--role", "plan", "--role", "receipt", "--valid-after", "2030-01-01T12:30Z")
    assert (
        'namespaces="marksweep-plan@marksweep.dev,marksweep-receipt@marksweep.dev",valid-after="203001011230Z"'
        in (rotated["added"][0])
    )
    assert "line 1 has the key" in rotated["remarks"][0]
    assert "past" in cli.json(*more, "--valid-before", "2020-01-01")["remarks"][0]
    before = into.read_bytes()
    for options, why in (
        ((folder / "id_ed25519",), "private key"),
        ((folder / "id_ed25519",), "give its public half"),
        ((folder / "id_ed25519.pub", folder / "id_dsa.pub"), "DSA"),
        ((folder / "id_ed25519.pub", "--valid-after", "tomorrow"), "is not a date"),
        ((folder / "id_ed25519.pub", "--valid-after", "2027-01-01", "--valid-before", "2026-01-01"), "not after"),
        ((tmp_path / "absent.pub",), "cannot be read"),
    ):
        ended = cli("keys", "import", *options, "--as", "ada@example.org", "--into", into)
        ended.refused(2, why)
        secret = (folder / "id_ed25519").read_text().splitlines()[2]
        assert secret not in ended.out + ended.err
    assert into.read_bytes() == before


def test_show_lists_the_keys_that_could_sign(cli: Cli, agent: Agent) -> None:
    """Those of the agent and of ~/.ssh, each once, and whether this user's trust file has them; none is offered twice."""
    user = cli.with_environ(**agent.environ)
    folder = home_keys(cli)
    user.done("keys", "import", agent.public("rsa"), "--as", "ada@example.org")
    shutil.copy(agent.public("ecdsa"), folder / "same.pub")
    found = {key["fingerprint"]: key for key in user.json("keys", "show")["others"]}
    assert len(found) == 4
    assert found[agent.fingerprint("ecdsa")]["found"] == "agent"
    assert found[agent.fingerprint("rsa")]["trusted_as"] == ["ada@example.org"]
    assert found[agent.fingerprint("ed25519")]["trusted_as"] == []
    shown = user.json("keys", "show", "--key", "agent:my rsa")
    assert shown["trusted_in"] == str(cli.config / "allowed_signers")
    assert len(shown["others"]) == 3
    assert "trusted as ada@example.org" in user.done("keys", "show").out
