"""Private keys are made once, closed to others, and never shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from marksweep.errors import UsageError
from marksweep.plan.keys import SigningKey, create_key, key_from_environment, load_key
from marksweep.plan.publickey import PublicKey
from tests.unit.plan.support import PLANNER


def test_a_made_key_can_be_loaded(tmp_path: Path) -> None:
    """0600 whatever the umask, in a directory that is made closed, with its public half beside it."""
    path = tmp_path / "new" / "key"
    before = os.umask(0)
    try:
        made = create_key(path, "me@here")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_key(path).public == made.public
    public = (path.parent / "key.pub").read_text()
    assert PublicKey.parse(public) == made.public
    assert public.endswith(" me@here\n")


@pytest.mark.parametrize("existing", ["key", "key.pub"])
def test_an_existing_key_is_never_overwritten(tmp_path: Path, existing: str) -> None:
    """Nor is half a pair left behind."""
    (tmp_path / existing).write_text("precious")
    with pytest.raises(UsageError):
        create_key(tmp_path / "key", "me")
    assert (tmp_path / existing).read_text() == "precious"
    assert os.listdir(tmp_path) == [existing]


def test_a_comment_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        create_key(tmp_path / "key", "me\nssh-ed25519 AAAA")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    create_key(tmp_path / "key", "me")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(UsageError) as caught:
        load_key(tmp_path / "key")
    assert "chmod 600" in caught.value.remedy


def test_a_directory_a_pipe_and_nothing_are_no_keys(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent", tmp_path / "big"):
        with pytest.raises(UsageError):
            load_key(path)


def test_a_public_key_is_told_from_a_private_one(tmp_path: Path) -> None:
    create_key(tmp_path / "key", "me")
    with pytest.raises(UsageError, match="public key"):
        load_key(tmp_path / "key.pub")


def pem(private: Any, form: PrivateFormat = PrivateFormat.OpenSSH) -> str:
    return str(private.private_bytes(Encoding.PEM, form, NoEncryption()), "ascii")


ENCRYPTED = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCWhYjyKb
-----END OPENSSH PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "make",
    [
        lambda: "",
        lambda: "hello",
        lambda: "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
        lambda: ENCRYPTED,
        lambda: pem(PLANNER._private)[:200],
        lambda: pem(PLANNER._private).replace("b3Bl", "b3Bm"),
        lambda: pem(PLANNER._private, PrivateFormat.PKCS8),
        lambda: pem(rsa.generate_private_key(65537, 1024)),
        lambda: pem(ec.generate_private_key(ec.SECP256K1()), PrivateFormat.PKCS8),
        lambda: pem(dsa.generate_private_key(1024), PrivateFormat.PKCS8),
    ],
)
def test_other_texts_are_refused_without_showing_them(make: Callable[[], str]) -> None:
    text = make()
    with pytest.raises(UsageError) as caught:
        key_from_environment({"MARKSWEEP_SIGNING_KEY": text})
    said = str(caught.value) + caught.value.remedy
    assert not any(line in said for line in text.split("\n")[1:] if len(line) > 9)
    assert (caught.value.__cause__ is None and "ssh-keygen" in said) or not text


def test_the_environment_gives_a_key_in_any_line_ends() -> None:
    """CI systems strip the last newline, or send CRLF."""
    text = pem(PLANNER._private)
    for spelled in (text, text.strip(), text.replace("\n", "\r\n"), "\n" + text + "\n"):
        found = key_from_environment({"MARKSWEEP_SIGNING_KEY": spelled})
        assert found is not None
        assert found.public == PLANNER.public


def test_an_unset_variable_is_no_key_and_an_empty_one_a_mistake() -> None:
    assert key_from_environment({}) is None
    with pytest.raises(UsageError, match="empty"):
        key_from_environment({"MARKSWEEP_SIGNING_KEY": " \n"})


def test_no_key_is_ever_shown() -> None:
    for shown in (repr(PLANNER), str(PLANNER), f"{PLANNER}"):
        assert shown == f"SigningKey({PLANNER.fingerprint})"


def test_every_kind_of_key_is_loaded() -> None:
    for private in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        assert SigningKey.of_text(pem(private), "it").public == SigningKey(private).public
