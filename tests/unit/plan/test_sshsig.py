"""SSHSIG: only known keys, known hashes, the right namespace, and one spelling of each value."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from marksweep.errors import SignatureRefused
from marksweep.plan.keys import SigningKey
from marksweep.plan.publickey import SK_ECDSA, SK_ED25519, PublicKey, UnsupportedKey
from marksweep.plan.sshsig import MAGIC, Message, armor, dearmor, parse, sign, verify
from marksweep.plan.wire import WireError, WireReader, put_positive, put_string
from tests.unit.plan.support import ALICE, PLANNER, ecdsa_key, rsa_key

MESSAGE = b"a plan"
DIGESTS = {"sha256": hashlib.sha256(MESSAGE).digest(), "sha512": hashlib.sha512(MESSAGE).digest()}
NAMESPACE = "test@marksweep.dev"
RSA = rsa_key()
KEYS = {"ed25519": PLANNER, "p256": ecdsa_key(ec.SECP256R1()), "p384": ecdsa_key(ec.SECP384R1()),
        "p521": ecdsa_key(ec.SECP521R1()), "rsa": RSA}  # fmt: skip


def blob(key: bytes, raw: bytes, *, version: int = 1, namespace: str = NAMESPACE, reserved: bytes = b"",
         hash_name: str = "sha512") -> bytes:  # fmt: skip
    fields = (key, namespace, reserved, hash_name, raw)
    return MAGIC + version.to_bytes(4, "big") + b"".join(put_string(field) for field in fields)


def to_sign(hash_name: str = "sha512", reserved: bytes = b"") -> bytes:
    digest = hashlib.new(hash_name, MESSAGE).digest()
    return MAGIC + b"".join(put_string(field) for field in (NAMESPACE, reserved, hash_name, digest))


@dataclass
class Token:
    """A FIDO token in software: an ``sk-`` key of either type, whose flags and counter the test chooses."""

    private: Any
    application: bytes = b"ssh:"
    flags: int = 1

    @property
    def public(self) -> PublicKey:
        key = self.private.public_key()
        if isinstance(key, ed25519.Ed25519PublicKey):
            fields: tuple[str | bytes, ...] = (SK_ED25519, key.public_bytes_raw(), self.application)
        else:
            point = SigningKey(self.private).public.blob[-65:]
            fields = (SK_ECDSA, "nistp256", point, self.application)
        return PublicKey.of_blob(b"".join(put_string(field) for field in fields))

    def ready(self) -> None:
        pass

    def sshsig(self, namespace: str, message: Message) -> bytes:
        return sign(self, namespace, message.digests["sha512"])

    def sign_raw(self, message: bytes, flags: int | None = None, counter: int = 7) -> bytes:
        suffix = bytes([self.flags if flags is None else flags]) + counter.to_bytes(4, "big")
        signed = hashlib.sha256(self.application).digest() + suffix + hashlib.sha256(message).digest()
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return put_string(SK_ED25519) + put_string(self.private.sign(signed)) + suffix
        r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        return put_string(SK_ECDSA) + put_string(put_positive(r) + put_positive(s)) + suffix


TOKENS = {
    "sk-ed25519": Token(ed25519.Ed25519PrivateKey.generate()),
    "sk-ecdsa": Token(ec.generate_private_key(ec.SECP256R1())),
}


@pytest.mark.parametrize("name", [*KEYS, *TOKENS])
def test_every_key_type_signs_and_verifies(name: str) -> None:
    key = KEYS.get(name) or TOKENS[name]
    made = sign(key, NAMESPACE, DIGESTS["sha512"])
    assert verify(made, NAMESPACE, DIGESTS) == key.public
    assert verify(dearmor(armor(made)), NAMESPACE, DIGESTS).fingerprint == key.public.fingerprint


@pytest.mark.parametrize("name", [*KEYS, *TOKENS])
def test_no_changed_byte_is_accepted(name: str) -> None:
    """Each byte of each kind of signature."""
    key = KEYS.get(name) or TOKENS[name]
    made = sign(key, NAMESPACE, DIGESTS["sha512"])
    for at in range(len(made)):
        changed = bytearray(made)
        changed[at] ^= 1 if at % 2 else 0x80
        try:
            found = verify(bytes(changed), NAMESPACE, DIGESTS)
        except SignatureRefused:
            continue
        pytest.fail(f"byte {at} of {len(made)} changed: {found}")


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_both_message_hashes_count(hash_name: str) -> None:
    made = blob(PLANNER.public.blob, PLANNER.sign_raw(to_sign(hash_name)), hash_name=hash_name)
    assert verify(made, NAMESPACE, DIGESTS) == PLANNER.public


@pytest.mark.parametrize("hash_name", ["md5", "sha1", "sha384", "", "none"])
def test_other_message_hashes_do_not(hash_name: str) -> None:
    message = MAGIC + b"".join(
        put_string(field) for field in (NAMESPACE, b"", hash_name, hashlib.md5(MESSAGE).digest())
    )
    made = blob(PLANNER.public.blob, PLANNER.sign_raw(message), hash_name=hash_name)
    with pytest.raises(SignatureRefused, match="only sha256 and sha512"):
        verify(made, NAMESPACE, {**DIGESTS, hash_name: hashlib.md5(MESSAGE).digest()})


def test_another_namespace_is_refused() -> None:
    made = sign(PLANNER, "git", DIGESTS["sha512"])
    with pytest.raises(SignatureRefused, match="namespace"):
        verify(made, NAMESPACE, DIGESTS)


def test_the_namespace_itself_is_signed() -> None:
    """A signature made for git does not pass with its namespace field rewritten."""
    raw = parse(sign(PLANNER, "git", DIGESTS["sha512"])).signature
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(blob(PLANNER.public.blob, raw), NAMESPACE, DIGESTS)


def test_another_message_is_refused() -> None:
    other = {name: hashlib.new(name, b"another").digest() for name in DIGESTS}
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(sign(PLANNER, NAMESPACE, DIGESTS["sha512"]), NAMESPACE, other)


def test_another_key_is_refused() -> None:
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(blob(ALICE.public.blob, PLANNER.sign_raw(to_sign())), NAMESPACE, DIGESTS)


@pytest.mark.parametrize("name", TOKENS)
def test_a_security_key_must_be_touched(name: str) -> None:
    """The flag is signed; ssh-keygen does not look at it, this does, unless the trust line waives it."""
    token = TOKENS[name]
    untouched = blob(token.public.blob, token.sign_raw(to_sign(), flags=0))
    with pytest.raises(SignatureRefused, match="not touched"):
        verify(untouched, NAMESPACE, DIGESTS)
    assert verify(untouched, NAMESPACE, DIGESTS, touch_required=False) == token.public
    verified_only = blob(token.public.blob, token.sign_raw(to_sign(), flags=4))
    with pytest.raises(SignatureRefused, match="not touched"):
        verify(verified_only, NAMESPACE, DIGESTS)
    forged = untouched[:-5] + b"\x01" + untouched[-4:]
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(forged, NAMESPACE, DIGESTS)


def test_a_security_key_is_not_a_plain_key() -> None:
    """Neither may a plain signature stand for an ``sk-`` key's, nor one application for another."""
    token = TOKENS["sk-ed25519"]
    plain = SigningKey(token.private)
    with pytest.raises(SignatureRefused, match="cannot make"):
        verify(blob(token.public.blob, plain.sign_raw(to_sign())), NAMESPACE, DIGESTS)
    other = Token(token.private, b"ssh:other")
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(blob(token.public.blob, other.sign_raw(to_sign())), NAMESPACE, DIGESTS)


def _rsa_raw(algorithm: str, digest: hashes.HashAlgorithm, key: SigningKey = RSA) -> bytes:
    private = key._private
    assert isinstance(private, rsa.RSAPrivateKey)
    return put_string(algorithm) + put_string(private.sign(to_sign(), padding.PKCS1v15(), digest))


def test_rsa_signs_with_sha2_only() -> None:
    assert verify(blob(RSA.public.blob, _rsa_raw("rsa-sha2-256", hashes.SHA256())), NAMESPACE, DIGESTS) == RSA.public
    for algorithm, digest in (
        ("ssh-rsa", hashes.SHA1()),
        ("rsa-sha2-512", hashes.SHA1()),
        ("rsa-sha2-512", hashes.SHA256()),
    ):
        with pytest.raises(SignatureRefused):
            verify(blob(RSA.public.blob, _rsa_raw(algorithm, digest)), NAMESPACE, DIGESTS)


def test_small_rsa_keys_do_not_count() -> None:
    private = rsa.generate_private_key(65537, 1024)
    numbers = private.public_key().public_numbers()
    key = put_string("ssh-rsa") + put_positive(numbers.e) + put_positive(numbers.n)
    raw = put_string("rsa-sha2-512") + put_string(private.sign(to_sign(), padding.PKCS1v15(), hashes.SHA512()))
    with pytest.raises(SignatureRefused, match="1024 bits"):
        verify(blob(key, raw), NAMESPACE, DIGESTS)
    with pytest.raises(UnsupportedKey):
        PublicKey.of_blob(key)


def test_the_envelope_is_strict() -> None:
    """Another version, a filled reserved field (signed or not), trailing bytes, and every shorter prefix."""
    raw = PLANNER.sign_raw(to_sign())
    good = blob(PLANNER.public.blob, raw)
    wrong = [
        blob(PLANNER.public.blob, raw, version=2),
        blob(PLANNER.public.blob, raw, reserved=b"x"),
        blob(PLANNER.public.blob, PLANNER.sign_raw(to_sign(reserved=b"x")), reserved=b"x"),
        blob(PLANNER.public.blob + b"\0", raw),
        blob(PLANNER.public.blob, raw + b"\0"),
        good + b"\0",
        b"",
        b"\xff" * 99,
        good + b"\0" * 20_000,
        *(good[:size] for size in range(len(good))),
    ]
    verify(good, NAMESPACE, DIGESTS)
    for made in wrong:
        with pytest.raises(SignatureRefused):
            verify(made, NAMESPACE, DIGESTS)


def test_numbers_have_one_spelling() -> None:
    """An ECDSA signature whose numbers have leading zeros, or are negative, is refused."""
    key = KEYS["p256"]
    raw = WireReader(key.sign_raw(to_sign()))
    raw.name()
    inner = WireReader(raw.string())
    r, s = inner.string(), inner.string()
    spellings = [
        put_string(b"\0" + r) + put_string(s),
        put_string(r) + put_string(b"\0\0" + s),
        put_string(r) * 3,
        put_string(r) + put_string(s) + b"\0",
        put_string(b"") + put_string(s),
        put_string(b"\0") + put_string(s),
    ]
    for padded in spellings:
        with pytest.raises(SignatureRefused):
            verify(blob(key.public.blob, put_string("ecdsa-sha2-nistp256") + put_string(padded)), NAMESPACE, DIGESTS)


@pytest.mark.parametrize(
    "fields",
    [
        ("ecdsa-sha2-nistp256", "nistp384", KEYS["p256"].public.blob[-65:]),
        ("ecdsa-sha2-nistp256", "nistp256", b"\x04" + b"\x01" * 64),
        ("ecdsa-sha2-nistp256", "nistp256", b"\x02" + KEYS["p256"].public.blob[-64:-32]),
        ("ssh-ed25519", b"short"),
        ("ssh-dss", b"x"),
        ("ecdsa-sha2-nistp999", "nistp256", KEYS["p256"].public.blob[-65:]),
        ("", b"x"),
        ("a b", b"x"),
        (b"\xff", b"x"),
    ],
)
def test_bad_keys_are_refused(fields: tuple[str | bytes, ...]) -> None:
    with pytest.raises(ValueError):
        PublicKey.of_blob(b"".join(put_string(field) for field in fields))


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 !!!!", f"ssh-rsa {PLANNER.public.line.split()[1]}"])
def test_bad_key_lines_are_refused(text: str) -> None:
    with pytest.raises(WireError):
        PublicKey.parse(text)


def test_a_key_line_is_read_with_its_comment() -> None:
    assert PublicKey.parse(PLANNER.public.line + " who and where\n") == PLANNER.public


def test_too_long_a_signature_is_not_looked_at() -> None:
    with pytest.raises(SignatureRefused, match="longer than"):
        parse(blob(PLANNER.public.blob, PLANNER.sign_raw(to_sign())) + b"\0" * 20_000)


@pytest.mark.parametrize("number", [b"", b"\0", b"\x80", b"\xff\x01", b"\0\x01", b"\0\0\x80"])
def test_a_wire_number_is_positive_and_short(number: bytes) -> None:
    with pytest.raises(WireError):
        WireReader(put_string(number)).positive()


@pytest.mark.parametrize("number", [1, 127, 128, 255, 256, 2**64])
def test_wire_numbers_come_back(number: int) -> None:
    assert WireReader(put_positive(number)).positive() == number


@pytest.mark.parametrize("name", ["a b", "a\n", "\0", "\x7f", "\x1b[2J"])
def test_a_wire_name_is_plain(name: str) -> None:
    with pytest.raises(WireError):
        WireReader(put_string(name)).name()


def test_sign_takes_a_sha512() -> None:
    with pytest.raises(ValueError, match="SHA-512"):
        sign(PLANNER, NAMESPACE, DIGESTS["sha256"])


def test_armor_is_what_ssh_keygen_writes_and_reading_is_a_little_wider() -> None:
    made = sign(PLANNER, NAMESPACE, DIGESTS["sha512"])
    text = armor(made)
    assert max(map(len, text.splitlines())) == 70
    for accepted in (text, text.replace("\n", "\r\n"), text.rstrip("\n"), text + "\n"):
        assert dearmor(accepted) == made
    for wrong in ("", "x" + text, text + "x", text.replace("SSH", "PGP"), text.replace("U1NI", "U1!I"), text * 2,
                  text.replace("U1NI", "U1N"), text.replace("\n", ""), "\ufffd" + text):  # fmt: skip
        with pytest.raises(SignatureRefused):
            dearmor(wrong)
