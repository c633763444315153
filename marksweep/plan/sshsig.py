"""SSHSIG (OpenSSH, PROTOCOL.sshsig): what ``ssh-keygen -Y sign`` makes and git uses.

The signed blob holds a namespace, so that a signature made for one purpose (a git commit) never counts for another (an
approval), and the message's digest, so that its size is the same for a plan of any size.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from marksweep.errors import SignatureRefused
from marksweep.plan.publickey import PublicKey
from marksweep.plan.wire import WireError, WireReader, put_string

__all__ = [
    "Message",
    "PublicKey",
    "RawSigner",
    "Signature",
    "Signer",
    "armor",
    "dearmor",
    "parse",
    "seal",
    "sign",
    "verify",
]

MAGIC = b"SSHSIG"
VERSION = 1
DIGEST_SIZES = {"sha256": 32, "sha512": 64}
"""The message hashes that SSHSIG allows -> their length in bytes."""
MAX_BLOB = 16 * 1024
"""Bytes of the largest signature that is looked at; the largest RSA key needs about 4 KiB."""

_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\r?\n([A-Za-z0-9+/=\r\n]+?)\r?\n-----END SSH SIGNATURE-----\s*")
_REMEDY = "fetch the file again from where its author put it, or ask for a new signature"
_TOUCH = "sign again, and touch the security key when it asks; see `ssh-keygen -l` for what kind of key it is"


@dataclass(frozen=True, slots=True)
class Message:
    """What is signed: its digests by SSHSIG's names of the hashes, and its bytes, from the first one at each call.

    A signer in this program needs only a digest; ``ssh-keygen`` wants the bytes, of which a plan can have gigabytes.
    """

    digests: Mapping[str, bytes]
    chunks: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, octets: bytes) -> Self:
        """A message that is in memory."""
        return cls({name: hashlib.new(name, octets).digest() for name in DIGEST_SIZES}, lambda: (octets,))


class Signer(Protocol):
    """Something that can sign: a private key in memory, or ``ssh-keygen`` with whatever it has (agent, token, prompt)."""

    @property
    def public(self) -> PublicKey:
        """The key that checks what :meth:`sshsig` returns."""
        ...

    def ready(self) -> None:
        """Find out now, before hours of work, whether :meth:`sshsig` would work; raise :class:`UsageError` if not."""
        ...

    def sshsig(self, namespace: str, message: Message) -> bytes:
        """The SSHSIG blob over *message* in *namespace*, not checked: call :func:`seal` instead."""
        ...


class RawSigner(Protocol):
    """Something that signs bytes in memory, and leaves the envelope to :func:`sign`."""

    @property
    def public(self) -> PublicKey:
        """The key that checks what :meth:`sign_raw` returns."""
        ...

    def sign_raw(self, message: bytes) -> bytes:
        """The signature over *message* in SSH wire form (algorithm, then its bytes)."""
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed SSHSIG blob. Nothing in it is proven until :func:`verify` returned."""

    key: PublicKey
    namespace: str
    hash_name: str
    signature: bytes


def seal(key: Signer, namespace: str, message: Message, *, touch_required: bool = True) -> bytes:
    """The SSHSIG blob by *key* over *message*, checked as its readers will check it.

    Raises :class:`UsageError` when *key* does not sign, and :class:`SignatureRefused` when what it made does not count.
    """
    blob = key.sshsig(namespace, message)
    try:
        found = verify(blob, namespace, message.digests, touch_required=touch_required)
    except SignatureRefused as refused:
        raise SignatureRefused(f"{refused.fact}; it was made just now, and nothing was written", _TOUCH) from None
    if found.blob != key.public.blob:
        fact = f"the signature was made by {found.fingerprint} and not by {key.public.fingerprint}; nothing was written"
        raise SignatureRefused(fact, "name the key by its fingerprint: --key agent:SHA256:…")
    return blob


def sign(key: RawSigner, namespace: str, digest: bytes) -> bytes:
    """The SSHSIG blob by *key* for a message whose SHA-512 is *digest*."""
    if len(digest) != DIGEST_SIZES["sha512"]:
        raise ValueError("sign() takes the SHA-512 of the message")
    raw = key.sign_raw(_to_sign(namespace, "sha512", digest))
    fields = (key.public.blob, namespace, b"", "sha512", raw)
    return MAGIC + VERSION.to_bytes(4, "big") + b"".join(put_string(field) for field in fields)


def parse(blob: bytes) -> Signature:
    """Take an SSHSIG blob apart; raise :class:`SignatureRefused` if it is none, or of a kind that is not accepted."""
    try:
        if len(blob) > MAX_BLOB:
            raise WireError(f"it is longer than {MAX_BLOB} bytes")
        reader = WireReader(blob)
        if reader.take(len(MAGIC)) != MAGIC:
            raise WireError("it is not an SSH signature")
        version = reader.u32()
        if version != VERSION:
            raise WireError(f"it has version {version}; only version {VERSION} is known")
        key = PublicKey.of_blob(reader.string())
        namespace = reader.name()
        if reader.string() != b"":
            raise WireError("its reserved field is not empty")
        hash_name = reader.name()
        if hash_name not in DIGEST_SIZES:
            raise WireError(f"its message hash is {hash_name}; only sha256 and sha512 count")
        raw = reader.string()
        reader.end()
    except ValueError as error:
        raise SignatureRefused(f"the signature cannot be used: {error}", _REMEDY) from None
    return Signature(key, namespace, hash_name, raw)


def verify(
    sshsig_blob: bytes, namespace: str, digests: Mapping[str, bytes], *, touch_required: bool = True
) -> PublicKey:
    """The key that made *sshsig_blob* in *namespace* over the message whose digests, by hash name, are *digests*.

    Raises :class:`SignatureRefused`. That the key is anybody's whom one trusts is not checked here.
    """
    signature = parse(sshsig_blob)
    if signature.namespace != namespace:
        fact = f'the signature was made for the namespace "{signature.namespace}" and not for "{namespace}"'
        raise SignatureRefused(fact, _REMEDY)
    digest = digests[signature.hash_name]
    try:
        message = _to_sign(namespace, signature.hash_name, digest)
        signature.key.check(signature.signature, message, touch_required=touch_required)
    except ValueError as error:
        raise SignatureRefused(f"the signature by {signature.key.fingerprint} is refused: {error}", _REMEDY) from None
    return signature.key


def armor(blob: bytes) -> str:
    """The text form that ``ssh-keygen`` writes: base64 in lines of 70 characters between two marks."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join(("-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""))


def dearmor(text: str) -> bytes:
    """The blob inside *text*; lines may be of any width and end in CRLF. Raises :class:`SignatureRefused`."""
    match = _ARMOR.fullmatch(text)
    if match is None:
        raise SignatureRefused("the file is not an armored SSH signature", _REMEDY)
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", match[1]), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureRefused("the SSH signature's base64 is damaged", _REMEDY) from None


def _to_sign(namespace: str, hash_name: str, digest: bytes) -> bytes:
    if len(digest) != DIGEST_SIZES[hash_name]:
        raise ValueError(f"the digest is not a {hash_name}")
    return MAGIC + b"".join(put_string(field) for field in (namespace, b"", hash_name, digest))
