"""Whom one trusts: OpenSSH's ``allowed_signers`` file (ssh-keygen(1), ALLOWED SIGNERS).

It means what it means to ``ssh-keygen -Y verify``. Where the two differ, this reader is the stricter one: a line that
cannot be read refuses the whole file, whoever it names. One word is added: the option ``no-touch-required`` accepts
FIDO signatures made without a touch (``ssh-keygen`` never looks).
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Self

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.publickey import SUPPORTED, PublicKey, UnsupportedKey

MAX_TRUST_FILE = 4 * 1024 * 1024
"""Bytes of the largest trust file that is read."""

_KNOWN_BUT_UNUSED = re.compile(r"ssh-dss|ssh-xmss@openssh\.com|\S+-cert-v0[01]@openssh\.com")
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:\\"|[^"])*)")?(,|$)')
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z|UTC)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrustLine:
    """One line: who (a pattern list), with which key, in which namespaces (a pattern list), and when.

    Times are Unix seconds; both ends are included.
    """

    number: int
    who: str
    key: PublicKey
    namespaces: str | None = None
    valid_after: int | None = None
    valid_before: int | None = None
    touch_required: bool = True

    def refusal(self, namespace: str, now: datetime) -> str | None:
        """Why this line does not let its key sign in *namespace* at *now*, or None if it does."""
        seconds = now.timestamp() // 1
        if self.namespaces is not None and not matches(namespace, self.namespaces):
            return f"line {self.number} allows this key only in the namespaces {self.namespaces}"
        if self.valid_after is not None and seconds < self.valid_after:
            return f"line {self.number} says that this key is not valid yet"
        if self.valid_before is not None and seconds > self.valid_before:
            return f"line {self.number} says that this key is not valid any more"
        return None

    def names(self) -> frozenset[str]:
        """The principals of the line as written, without negated ones and literal ones that a negation excludes."""
        tokens = self.who.split(",")
        positive = (token for token in tokens if token and not token.startswith("!"))
        return frozenset(token for token in positive if not is_literal(token) or matches(token, self.who))


@dataclass(frozen=True, slots=True)
class Trust:
    """The lines of a trust file. ``ignored`` says which lines count for nothing, and why. ``source`` names the file."""

    lines: tuple[TrustLine, ...]
    ignored: tuple[str, ...] = ()
    source: str = "the trust file"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file; raise :class:`UsageError` if that fails, :class:`SignatureRefused` naming a malformed line."""
        remedy = f"name a trust file that exists, or make one with `marksweep keys trust` (expected at {path})"
        try:
            with path.open("rb") as file:
                octets = file.read(MAX_TRUST_FILE + 1)
        except OSError as error:
            raise UsageError(f"the trust file {path} cannot be read: {error.strerror}", remedy) from None
        if len(octets) > MAX_TRUST_FILE:
            raise UsageError(f"the trust file {path} is larger than {MAX_TRUST_FILE} bytes", remedy)
        return cls.of((line.decode("utf-8", "surrogateescape") for line in octets.split(b"\n")), str(path))

    @classmethod
    def of(cls, lines: Iterable[str], source: str = "the trust file") -> Self:
        """Read lines; *source* names them in the :class:`SignatureRefused` that a malformed one raises."""
        kept: list[TrustLine] = []
        ignored: list[str] = []
        for number, line in enumerate(lines, start=1):
            try:
                found = _read_line(number, line)
            except UnsupportedKey as reason:
                ignored.append(f"line {number} is ignored: {reason}")
            except ValueError as reason:
                fact = f"{source}, line {number}: {reason}"
                raise SignatureRefused(fact, "correct that line (see ALLOWED SIGNERS in `man ssh-keygen`)") from None
            else:
                if found is not None:
                    kept.append(found)
        return cls(tuple(kept), tuple(ignored), source)

    def principals(self, key: PublicKey, namespace: str, now: datetime) -> frozenset[str]:
        """Who may sign with *key* in *namespace* at *now* (aware): names as written, patterns among them."""
        lines = (line for line in self.lines if line.key.blob == key.blob and line.refusal(namespace, now) is None)
        return frozenset(name for line in lines for name in line.names())

    def allows(self, principal: str, key: PublicKey, namespace: str, now: datetime) -> bool:
        """What ``ssh-keygen -Y verify -I principal`` answers: whether a line lets *principal* sign so."""
        return any(
            line.key.blob == key.blob and line.refusal(namespace, now) is None and matches(principal, line.who)
            for line in self.lines
        )

    def everybody_with(self, key: PublicKey) -> frozenset[str]:
        """Every name that stands on a line with *key*, whatever its namespace and window: they all are one person."""
        return frozenset(name for line in self.lines if line.key.blob == key.blob for name in line.names())

    def refusals(self, key: PublicKey, namespace: str, now: datetime) -> tuple[str, ...]:
        """Per line with *key* that does not apply: why. Empty if no line has that key."""
        reasons = (line.refusal(namespace, now) for line in self.lines if line.key.blob == key.blob)
        return tuple(reason for reason in reasons if reason is not None)

    def touch_required(self, key: PublicKey, namespace: str, now: datetime) -> bool:
        """False only if a line that applies to *key* has the option ``no-touch-required``."""
        lines = (line for line in self.lines if line.key.blob == key.blob and line.refusal(namespace, now) is None)
        return all(line.touch_required for line in lines)

    def without_touch(self) -> Self:
        """The same lines, as if each had the option ``no-touch-required``: where a policy asks for no touch."""
        return replace(self, lines=tuple(replace(line, touch_required=False) for line in self.lines))


def is_literal(principal: str) -> bool:
    """Whether *principal* names one person: no pattern character in it."""
    return not set(principal) & set("*?!")


def best_name(principals: Iterable[str]) -> str:
    """Of several names of one key the one to show: spelt out if one is, and the first of those."""
    return min(principals, key=lambda name: (not is_literal(name), name))


def matches(text: str, patterns: str) -> bool:
    """OpenSSH's ``match_pattern_list``: a pattern matches and no negated one does. Only ``*`` and ``?`` are wild."""
    found = False
    for pattern in patterns.split(","):
        if _glob(pattern.removeprefix("!")).fullmatch(text.encode("utf-8", "surrogateescape")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[bytes]:
    """As OpenSSH, byte by byte: ``?`` is one byte of UTF-8."""
    pieces = re.split(r"(\*+|\?)", pattern)
    wild = {"*": b".*?", "?": b"."}
    parts = (wild.get(piece[:1]) or re.escape(piece.encode("utf-8", "surrogateescape")) for piece in pieces)
    return re.compile(b"".join(parts), re.DOTALL)


def _read_line(number: int, line: str) -> TrustLine | None:
    line = line.strip(" \t\r\n")
    if not line or line.startswith("#"):
        return None
    if "\0" in line:
        raise ValueError("it holds a NUL character")
    who, rest = _principals(line)
    if not rest:
        raise ValueError("the key is missing")
    options = ""
    if not _is_key_type(rest.split(maxsplit=1)[0]):
        options, rest = _past_options(rest)
        if not rest:
            raise ValueError("the key is missing")
    fields = _options(options)
    return TrustLine(number=number, who=who, key=_key(rest), **fields)  # type: ignore[arg-type]


def _is_key_type(word: str) -> bool:
    return word in SUPPORTED or _KNOWN_BUT_UNUSED.fullmatch(word) is not None


def _key(text: str) -> PublicKey:
    word = text.split(maxsplit=1)[0]
    if _KNOWN_BUT_UNUSED.fullmatch(word):
        raise UnsupportedKey(f"keys of type {word} are not supported")
    return PublicKey.parse(text)


def _principals(line: str) -> tuple[str, str]:
    """The first word; as in OpenSSH a double quote in it starts a stretch that may hold spaces and ends the word."""
    match = re.match(r'([^ \t\r\n"]*)(?:"([^"]*)")?', line)
    assert match is not None
    rest = line[match.end() :]
    if rest.startswith('"'):
        raise ValueError("a quote is not closed")
    who = match[1] + (match[2] or "")
    if not who:
        raise ValueError("it names nobody")
    return who, rest.strip(" \t\r\n")


def _past_options(text: str) -> tuple[str, str]:
    quoted, at = False, 0
    while at < len(text) and (quoted or text[at] not in " \t"):
        if text.startswith('\\"', at):
            at += 1
        elif text[at] == '"':
            quoted = not quoted
        at += 1
    if quoted:
        raise ValueError("a quote is not closed")
    return text[:at], text[at:].strip(" \t")


def _options(text: str) -> dict[str, str | int | bool]:
    fields: dict[str, str | int | bool] = {}
    at = 0
    while at < len(text):
        match = _OPTION.match(text, at)
        if match is None or (match[3] and match.end() == len(text)):
            raise ValueError("its options cannot be read")
        name, value = match[1].lower(), match[2]
        field, content = _option(name, value.replace('\\"', '"') if value is not None else None)
        if field in fields:
            raise ValueError(f"the option {name} stands twice")
        fields[field] = content
        at = match.end()
    after, before = fields.get("valid_after"), fields.get("valid_before")
    if isinstance(after, int) and isinstance(before, int) and before <= after:
        raise ValueError("valid-before is not after valid-after")
    return fields


def _option(name: str, value: str | None) -> tuple[str, str | int | bool]:
    match name, value:
        case "namespaces", str():
            return "namespaces", value
        case (("valid-after" | "valid-before"), str()):
            return name.replace("-", "_"), _seconds(name, value)
        case "no-touch-required", None:
            return "touch_required", False
        case "cert-authority", None:
            raise UnsupportedKey("cert-authority is not supported; list each person's own key")
        case _:
            raise ValueError(f"the option {name} is not known, or lacks its quoted value")


def _seconds(name: str, text: str) -> int:
    """Unix seconds of ``YYYYMMDD[HHMM[SS]][Z]``. Without Z it is local standard time, as in OpenSSH."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{name} is not a time such as 20271231Z or 202712312359Z")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 23 and minute <= 59 and second <= 61):
        raise ValueError(f"{name} is not a time that exists")
    moment = (year, month, day, hour, minute, second, 0, 0, 0)
    try:
        found = calendar.timegm(moment) if match[7] else int(time.mktime(moment))
    except (ValueError, OverflowError):
        found = 0
    if found <= 0:
        raise ValueError(f"{name} is before 1970, or not a time that exists")
    return found
