"""SSH public keys, parsed by hand: the type in the blob, and not a library's guess, decides what a signature must be.

(``cryptography`` loads a FIDO ``sk-ssh-ed25519`` key as a plain Ed25519 key.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from marksweep.plan.wire import WireError, WireReader

ED25519 = "ssh-ed25519"
RSA = "ssh-rsa"
SK_ED25519 = "sk-ssh-ed25519@openssh.com"
SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
"""SSH's name of a curve -> the curve, and the hash that RFC 5656 ties to it."""
ECDSA = {f"ecdsa-sha2-{curve}": curve for curve in CURVES}
SUPPORTED = frozenset({ED25519, RSA, SK_ED25519, SK_ECDSA, *ECDSA})
"""Key types whose signatures marksweep accepts."""
RSA_HASHES: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
"""RSA signature algorithms (RFC 8332); ``ssh-rsa``, which is SHA-1, is not among them."""
RSA_BITS = range(2048, 16385)
"""Sizes of RSA moduli that count, in bits."""
USER_PRESENT = 0x01
"""Flag of a FIDO signature: somebody touched the token (PROTOCOL.u2f)."""


class UnsupportedKey(ValueError):
    """A well-formed key of a type, or a size, that marksweep does not accept."""


@dataclass(frozen=True, slots=True)
class _Material:
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    application: bytes = b""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An SSH public key. ``blob`` is its wire form: two keys are the same person's key if their blobs are equal."""

    algorithm: str
    blob: bytes

    @classmethod
    def of_blob(cls, blob: bytes) -> Self:
        """Read a wire blob; raise :class:`UnsupportedKey`, or another ValueError if it is no key at all."""
        key = cls(WireReader(blob).name(), blob)
        if key.algorithm not in SUPPORTED:
            raise UnsupportedKey(f"keys of type {key.algorithm} are not supported")
        key._material()
        return key

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``ssh-ed25519 AAAA… comment`` (one line of a .pub file); errors as :meth:`of_blob`."""
        words = text.split(maxsplit=2)
        if len(words) < 2:
            raise WireError("it is not an SSH public key: a type, then base64")
        try:
            blob = base64.b64decode(words[1], validate=True)
        except (binascii.Error, ValueError):
            raise WireError("the key is not base64") from None
        if WireReader(blob).name() != words[0]:
            raise WireError("the key's type is not the type that its line says")
        return cls.of_blob(blob)

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -l`` and GitHub show it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def line(self) -> str:
        """``ssh-ed25519 AAAA…``: what a .pub file and an allowed_signers line hold."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()}"

    def check(self, signature: bytes, message: bytes, *, touch_required: bool = True) -> None:
        """Return if *signature* (SSH wire form) is this key's over *message*; otherwise raise ValueError saying why.

        A FIDO signature made without touching the token is refused unless *touch_required* is off: ``ssh-keygen`` (9.2)
        does not look at that flag.
        """
        reader = WireReader(signature)
        algorithm = reader.name()
        if algorithm not in (RSA_HASHES if self.algorithm == RSA else {self.algorithm}):
            raise WireError(f"a key of type {self.algorithm} cannot make a signature of type {algorithm}")
        inner = reader.string()
        material = self._material()
        if self.algorithm in (SK_ED25519, SK_ECDSA):
            flags, counter = reader.take(1), reader.take(4)
            if touch_required and not flags[0] & USER_PRESENT:
                raise ValueError("the security key was not touched for it")
            hashed = (hashlib.sha256(material.application).digest(), flags, counter, hashlib.sha256(message).digest())
            message = b"".join(hashed)
        reader.end()
        try:
            _check_primitive(material.key, algorithm, inner, message)
        except InvalidSignature:
            raise ValueError("the signature does not match these bytes") from None

    def _material(self) -> _Material:
        try:
            return _read_material(self.blob)
        except (WireError, UnsupportedKey):
            raise
        except (ValueError, UnsupportedAlgorithm):
            raise WireError(f"it is not a valid {self.algorithm} key") from None


def _check_primitive(
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    algorithm: str,
    signature: bytes,
    message: bytes,
) -> None:
    match key:
        case rsa.RSAPublicKey():
            key.verify(signature, message, padding.PKCS1v15(), RSA_HASHES[algorithm])
        case ec.EllipticCurvePublicKey():
            reader = WireReader(signature)
            r, s = reader.positive(), reader.positive()
            reader.end()
            _, digest = CURVES[ECDSA.get(algorithm, "nistp256")]
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
        case ed25519.Ed25519PublicKey():
            key.verify(signature, message)


def _read_material(blob: bytes) -> _Material:
    reader = WireReader(blob)
    algorithm = reader.name()
    material: _Material
    if algorithm == RSA:
        exponent, modulus = reader.positive(), reader.positive()
        if modulus.bit_length() not in RSA_BITS:
            raise UnsupportedKey(f"RSA keys of {modulus.bit_length()} bits are not supported: at least 2048 are needed")
        material = _Material(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    elif algorithm in (ED25519, SK_ED25519):
        octets = reader.string()
        application = reader.string() if algorithm == SK_ED25519 else b""
        material = _Material(ed25519.Ed25519PublicKey.from_public_bytes(octets), application)
    else:
        expected = ECDSA.get(algorithm, "nistp256")
        if reader.name() != expected:
            raise WireError("its curve is not the one that its type says")
        point = reader.string()
        if point[:1] != b"\x04":
            raise WireError("its point is compressed")
        application = reader.string() if algorithm == SK_ECDSA else b""
        curve, _ = CURVES[expected]
        material = _Material(ec.EllipticCurvePublicKey.from_encoded_point(curve, point), application)
    reader.end()
    return material
