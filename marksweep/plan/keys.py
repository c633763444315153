"""Private keys: made, loaded, and never shown. No message here holds a byte of one."""

from __future__ import annotations

import base64
import os
import re
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from marksweep.errors import UsageError
from marksweep.plan.openssh import KeygenKey, Prompts
from marksweep.plan.publickey import CURVES, ECDSA, RSA, RSA_HASHES, PublicKey, UnsupportedKey
from marksweep.plan.sshsig import Message, Signer, sign
from marksweep.plan.wire import WireReader, put_positive, put_string

SIGNING_KEY_VARIABLE = "MARKSWEEP_SIGNING_KEY"
"""Environment variable with the text of an unencrypted OpenSSH private key, for CI."""
MAX_KEY_FILE = 64 * 1024
"""Bytes of the largest key file that is read."""

_AGENT = "sign with `ssh-keygen -Y sign`, which asks for the passphrase or the agent, or run `marksweep keys create`"
_PUBLIC = (b"ssh-", b"ecdsa-", b"sk-")
_MAGIC = b"openssh-key-v1\0"
_OPENSSH = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END OPENSSH PRIVATE KEY-----")
_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class SigningKey:
    """A private key in memory: Ed25519, ECDSA on a NIST curve, or RSA of at least 2048 bits. Its ``repr`` hides it."""

    __slots__ = ("_private", "public")

    public: PublicKey

    def __init__(self, private: _PrivateKey) -> None:
        """Wrap a key of ``cryptography``; raise ValueError for a curve or a size that no verifier accepts."""
        self._private = private
        self.public = PublicKey.parse(
            private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        )

    @classmethod
    def of_text(cls, text: str, source: str) -> Self:
        """Read the text of an OpenSSH private key; *source* names it in the :class:`UsageError`."""
        octets = ("\n".join(text.split("\r\n")).strip() + "\n").encode("utf-8", "replace")
        if octets.startswith(_PUBLIC):
            raise UsageError(f"{source} holds a public key", f"give the private key, or {_AGENT}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                private = load_ssh_private_key(octets, None)
            if not isinstance(private, _PrivateKey):
                raise ValueError
            return cls(private)
        except TypeError:
            raise UsageError(f"{source} is encrypted with a passphrase", _AGENT) from None
        except UnsupportedAlgorithm:
            raise UsageError(f"{source} is encrypted, or of a type that cannot be used here", _AGENT) from None
        except ValueError:
            fact = f"{source} is not an OpenSSH private key of a supported type"
            raise UsageError(fact, f"convert it with `ssh-keygen -p -f FILE`, or {_AGENT}") from None

    @property
    def fingerprint(self) -> str:
        """``SHA256:…`` of the public key."""
        return self.public.fingerprint

    def ready(self) -> None:
        """It is in memory: nothing can be missing."""

    def sshsig(self, namespace: str, message: Message) -> bytes:
        """The SSHSIG blob over *message*; its bytes are not read, its SHA-512 is what is signed."""
        return sign(self, namespace, message.digests["sha512"])

    def sign_raw(self, message: bytes) -> bytes:
        """The signature over *message* in SSH wire form; RSA signs as ``rsa-sha2-512``."""
        private = self._private
        match private:
            case ed25519.Ed25519PrivateKey():
                return put_string(self.public.algorithm) + put_string(private.sign(message))
            case ec.EllipticCurvePrivateKey():
                _, digest = CURVES[ECDSA[self.public.algorithm]]
                r, s = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
                return put_string(self.public.algorithm) + put_string(put_positive(r) + put_positive(s))
            case rsa.RSAPrivateKey():
                assert self.public.algorithm == RSA
                signature = private.sign(message, padding.PKCS1v15(), RSA_HASHES["rsa-sha2-512"])
                return put_string("rsa-sha2-512") + put_string(signature)

    def __repr__(self) -> str:
        return f"SigningKey({self.fingerprint})"


def create_key(path: Path, comment: str) -> SigningKey:
    """Make an Ed25519 key: *path* (0600, OpenSSH format, no passphrase) and *path*.pub. Neither is ever overwritten.

    Raises :class:`UsageError` when one of them exists or cannot be written; then neither is left.
    """
    if not comment.isprintable():
        raise UsageError("the key's comment holds a control character", "choose another comment")
    private = ed25519.Ed25519PrivateKey.generate()
    key = SigningKey(private)
    public = path.with_name(path.name + ".pub")
    made: list[Path] = []
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        for target, octets, mode in ((path, secret, 0o600), (public, f"{key.public.line} {comment}\n".encode(), 0o644)):
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
                made.append(target)
                os.fchmod(file.fileno(), mode)
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for target in made:
            target.unlink(missing_ok=True)
        fact = f"the key {error.filename or path} cannot be made: {error.strerror}"
        raise UsageError(fact, "choose another path; an existing key is never overwritten") from None
    return key


def load_key(path: Path) -> SigningKey:
    """Load an OpenSSH private key file; raise :class:`UsageError` if it is encrypted, or open to group or others."""
    return SigningKey.of_text(_octets(path).decode("utf-8", "replace"), str(path))


def load_signer(path: Path, prompts: Prompts) -> Signer:
    """The key in the file *path*, whatever it takes to sign with it.

    An unencrypted private key is loaded. A ``.pub`` file (its key is an agent's, or beside it), a private key with a
    passphrase, and the handle of a FIDO ``sk-`` key are left to ``ssh-keygen``. Raises :class:`UsageError`.
    """
    octets = _octets(path)
    public = _left_to_ssh_keygen(path, octets)
    if public is not None:
        return KeygenKey(public, path, prompts)
    return SigningKey.of_text(octets.decode("utf-8", "replace"), str(path))


def _left_to_ssh_keygen(path: Path, octets: bytes) -> PublicKey | None:
    """The public half of a key that cannot, or should not, be loaded; None if it can be, or is no key at all."""
    try:
        if octets.startswith(_PUBLIC):
            return PublicKey.parse(octets.decode("utf-8", "replace"))
        if b"Proc-Type: 4,ENCRYPTED" in octets:  # PEM, as ssh-keygen wrote it before 2018: the .pub file tells the key
            return PublicKey.parse(path.with_name(path.name + ".pub").read_text(encoding="utf-8"))
        match = _OPENSSH.search(octets)
        if match is None:
            return None
        reader = WireReader(base64.b64decode(match[1]))
        if reader.take(len(_MAGIC)) != _MAGIC:
            return None
        cipher, _kdf, _options, keys = reader.name(), reader.name(), reader.string(), reader.u32()
        public = PublicKey.of_blob(reader.string())
        plain = cipher == "none" and not public.algorithm.startswith("sk-")
        return None if plain or keys != 1 else public
    except UnsupportedKey as reason:
        raise UsageError(f"the key {path} cannot be used: {reason}", f"give another key, or {_AGENT}") from None
    except (ValueError, OSError):
        return None


def _octets(path: Path) -> bytes:
    """The bytes of a key file; raise UsageError if it is none, or a private one that others can read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            octets = file.read(MAX_KEY_FILE + 1) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        remedy = "give another path, or make a key with `marksweep keys create`"
        raise UsageError(f"the key {path} cannot be read: {error.strerror}", remedy) from None
    if not stat.S_ISREG(found.st_mode) or len(octets) > MAX_KEY_FILE:
        raise UsageError(f"{path} is not a key file", "give the path of an OpenSSH private key")
    if found.st_mode & 0o077 and not octets.startswith(_PUBLIC):
        fact = f"the key {path} is open to other accounts (mode {stat.S_IMODE(found.st_mode):04o}, expected 0600)"
        raise UsageError(fact, f"run `chmod 600 {path}`, and replace the key if somebody may have read it")
    return octets


def key_from_environment(environ: Mapping[str, str]) -> SigningKey | None:
    """The key in ``MARKSWEEP_SIGNING_KEY``, or None if it is not set; :class:`UsageError` if it is set and no key."""
    text = environ.get(SIGNING_KEY_VARIABLE)
    if text is None:
        return None
    if not text.strip():
        remedy = "check the name of the CI secret (forks do not get it), or unset the variable"
        raise UsageError(f"{SIGNING_KEY_VARIABLE} is set but empty", remedy)
    return SigningKey.of_text(text, f"the key in {SIGNING_KEY_VARIABLE}")
