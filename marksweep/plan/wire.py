"""The SSH wire format (RFC 4251, section 5), read strictly: one value has one spelling."""

from __future__ import annotations


class WireError(ValueError):
    """The bytes are not what the SSH wire format allows here; the message says what was found, never the bytes."""


class WireReader:
    """Reads SSH values from the front of *octets*; every method raises :class:`WireError` when they are not there."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next *size* bytes."""
        if size > len(self._octets) - self._at:
            raise WireError("it ends too early")
        taken = self._octets[self._at : self._at + size]
        self._at += size
        return taken

    def u32(self) -> int:
        """The next four bytes, big-endian."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """A ``string``: its length, then its bytes."""
        return self.take(self.u32())

    def name(self) -> str:
        """A ``string`` that must be printable ASCII without spaces, such as an algorithm."""
        try:
            text = self.string().decode("ascii")
        except UnicodeDecodeError:
            raise WireError("it holds a name that is not ASCII") from None
        if any(not "!" <= character <= "~" for character in text):
            raise WireError("it holds a name with a space or a control character")
        return text

    def positive(self) -> int:
        """An ``mpint`` above zero, without needless leading zeros."""
        octets = self.string()
        if not octets or octets[0] >= 0x80 or (octets[0] == 0 and (len(octets) == 1 or octets[1] < 0x80)):
            raise WireError("it holds a number that is zero, negative or not in its shortest form")
        return int.from_bytes(octets, "big")

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._octets):
            raise WireError("it goes on after its end")


def put_string(octets: bytes | str) -> bytes:
    """*octets* as an SSH ``string``; text goes as UTF-8."""
    raw = octets.encode() if isinstance(octets, str) else octets
    return len(raw).to_bytes(4, "big") + raw


def put_positive(number: int) -> bytes:
    """A number of at least 1 as an SSH ``mpint``."""
    return put_string(number.to_bytes(number.bit_length() // 8 + 1, "big"))
