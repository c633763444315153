"""Whose key signs and who is trusted: the user's configuration folder, the environment, or the options."""

from __future__ import annotations

import getpass
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_config_path

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.keys import SIGNING_KEY_VARIABLE, SigningKey, create_key, key_from_environment, load_signer
from marksweep.plan.openssh import Prompts, agent_key
from marksweep.plan.publickey import PublicKey
from marksweep.plan.sshsig import Signer

CONFIG_VARIABLE = "MARKSWEEP_CONFIG_DIR"
TRUST_VARIABLE = "MARKSWEEP_TRUST"


def config_dir() -> Path:
    """Where this user's key and trust file are."""
    return Path(os.environ.get(CONFIG_VARIABLE) or user_config_path("marksweep", appauthor=False))


def key_path() -> Path:
    return config_dir() / "signing_key"


def trust_path() -> Path:
    return config_dir() / "allowed_signers"


def principal() -> str:
    """This account on this machine, as a name for a trust file."""
    name = f"{getpass.getuser()}@{socket.gethostname()}"
    return re.sub(r"[^A-Za-z0-9._@+-]", "-", name)


def trust_line(name: str, key: PublicKey) -> str:
    """The line of an ``allowed_signers`` file that trusts *key* in every role of marksweep."""
    return f'{name} namespaces="marksweep-*@marksweep.dev" {key.line}'


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs, and where it came from."""

    key: Signer
    source: str


AGENT = "agent"
"""What ``--key`` is for a key of the ssh agent; a colon and its fingerprint or comment may follow."""


def in_ci() -> bool:
    """Whether nobody watches: then no key is made, and nothing may ask."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def prompts(tell: Callable[[str], None]) -> Prompts:
    """Whether ``ssh-keygen`` may ask: at a terminal, or through the program that the person named for it."""
    chosen = os.environ.get("SSH_ASKPASS_REQUIRE", "").lower() in {"force", "prefer"}
    return Prompts(not in_ci() and (chosen or sys.stdin.isatty()), tell)


def signing(key: str | None, tell: Callable[[str], None], *, make: bool = True) -> Signing:
    """The key to sign with: *key* (a file, or the agent's), the environment's, the user's own.

    The user's own is made on first use, but never in CI, and not without *make*: then UsageError.
    """
    if key is not None and (key == AGENT or key.startswith(f"{AGENT}:")):
        return Signing(agent_key(key.removeprefix(AGENT).removeprefix(":"), prompts(tell)), "the ssh agent")
    if key is not None:
        return Signing(load_signer(Path(key), prompts(tell)), key)
    from_environment = key_from_environment(os.environ)
    if from_environment is not None:
        return Signing(from_environment, SIGNING_KEY_VARIABLE)
    own = key_path()
    if own.exists():
        return Signing(load_signer(own, prompts(tell)), str(own))
    if not make:
        raise UsageError(f"there is no signing key at {own}", "give --key FILE, or run `marksweep keys create`")
    if in_ci():
        raise UsageError(
            f"there is no signing key, and in CI (CI={os.environ['CI']}) none is made",
            f"set {SIGNING_KEY_VARIABLE} to an OpenSSH private key from the CI's secrets, or give --key FILE",
        )
    made = create_own_key(own)
    tell(
        f"A signing key was made at {own}. It proves that this account on this machine computed a plan and that no byte "
        "of it changed since. It is no approval, and no protection from somebody who can use this account."
    )
    return Signing(made, str(own))


def create_own_key(path: Path, name: str | None = None) -> SigningKey:
    """Make a key at *path*, and trust it in this user's trust file as *name*, or as this account."""
    name = principal() if name is None else name
    key = create_key(path, name)
    add_trust(trust_line(name, key.public))
    return key


def checked_name(name: str) -> str:
    """*name*, if it can name one person in a trust file; raise UsageError otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9._@+-]+", name):
        raise UsageError(
            f"{name!r} cannot name a person in a trust file",
            "use letters, digits and . _ @ + - only: alice@example.org",
        )
    return name


def trusted_key(line: str) -> PublicKey:
    """The key that *line* trusts; raise UsageError unless it is exactly one line with one key."""
    remedy = "give a line such as `alice@example.org ssh-ed25519 AAAA…`, or a .pub file with --as alice@example.org"
    try:
        found = Trust.of([line], "the new line")
    except SignatureRefused as refused:
        raise UsageError(refused.fact, remedy) from None
    if len(found.lines) != 1 or len(line.splitlines()) != 1:
        why = "; ".join(found.ignored) or "it is not one line of an allowed_signers file"
        raise UsageError(f"that line would trust nobody: {why}", remedy)
    return found.lines[0].key


def add_trust(line: str) -> Path:
    """Append *line*, checked, to this user's trust file; return where that is."""
    trusted_key(line)
    path = trust_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if line not in before.splitlines():
        joint = "" if not before or before.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{joint}{line}\n")
    return path
