"""``marksweep keys import``: from public keys that people have to lines of a trust file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from marksweep.cli.identity import trusted_key
from marksweep.cli.key_roles import Role
from marksweep.cli.own_keys import public_key_files
from marksweep.errors import UsageError
from marksweep.plan.allowed_signers import Trust, TrustLine
from marksweep.plan.keys import MAX_KEY_FILE
from marksweep.plan.publickey import PublicKey
from marksweep.report.trust_documents import KeysImportResult, RefusedKey

_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2}))?)?Z?", re.ASCII)
_CERTIFICATE = re.compile(rb"\S+-cert-v0[01]@openssh\.com\s")


@dataclass(frozen=True, slots=True)
class KeyImport:
    """Whose the keys are, what they may sign, and when: dates as a person wrote them, in UTC."""

    name: str
    roles: tuple[Role, ...]
    valid_after: str | None = None
    valid_before: str | None = None

    def line(self, key: PublicKey) -> str:
        """The ``allowed_signers`` line; raise UsageError if it would trust nobody."""
        roles = (Role.ALL,) if Role.ALL in self.roles else tuple(dict.fromkeys(self.roles))
        options = [f'namespaces="{",".join(role.namespace for role in roles)}"']
        for option, date in (("valid-after", self.valid_after), ("valid-before", self.valid_before)):
            if date is not None:
                options.append(f'{option}="{_moment(option, date)}"')
        line = f"{self.name} {','.join(options)} {key.line}"
        trusted_key(line)
        return line


def import_keys(files: tuple[Path, ...], order: KeyImport, into: Path, now: datetime) -> KeysImportResult:
    """Append a line for each key in *files*, or in ``~/.ssh/*.pub``, to the trust file *into*.

    A named file that cannot be imported is a UsageError, and then nothing is written; those of ``~/.ssh`` are reported.
    """
    wanted = files or public_key_files()
    if not wanted:
        raise UsageError(f"{Path.home() / '.ssh'} holds no public keys (*.pub)", "name a FILE.pub")
    lines: dict[str, PublicKey] = {}
    refused: list[RefusedKey] = []
    for path in wanted:
        try:
            key = _public_key(path)
        except ValueError as reason:
            if files:
                raise UsageError(f"{path} cannot be imported: {reason}", _remedy(path)) from None
            refused.append(RefusedKey(file=str(path), reason=str(reason)))
        else:
            lines[order.line(key)] = key
    before = Trust.load(into) if into.exists() else Trust((), source=str(into))
    text = into.read_text(encoding="utf-8", errors="surrogateescape") if into.exists() else ""
    there = frozenset(text.splitlines())
    added = tuple(line for line in lines if line not in there)
    remarks = [*_ended(added, now), *(remark for line in added for remark in _same_key(lines[line], before.lines))]
    _append(into, text, added)
    present = tuple(line for line in lines if line in there)
    return KeysImportResult(
        into=str(into), added=added, present=present, refused=tuple(refused), remarks=tuple(dict.fromkeys(remarks))
    )


def _public_key(path: Path) -> PublicKey:
    """The one key in a ``.pub`` file; ValueError saying why not. What a private key's file holds is never shown."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY" in octets:
        raise ValueError(
            "it is a private key; only public keys (.pub) are imported, and a private one stays where it is"
        )
    if _CERTIFICATE.match(octets):
        raise ValueError("it is a certificate: what counts is a person's own key")
    if octets.startswith(b"ssh-dss"):
        raise ValueError("it is a DSA key, and those can be forged")
    lines = octets.decode("utf-8", "replace").strip().splitlines()
    if len(lines) != 1:
        raise ValueError(f"it holds {len(lines)} lines, and a public key is one")
    return PublicKey.parse(lines[0])


def _remedy(path: Path) -> str:
    public = path.with_name(f"{path.name}.pub")
    return f"give its public half, {public}" if public.is_file() else "give the .pub file of another key"


def _moment(option: str, date: str) -> str:
    match = _DATE.fullmatch(date)
    if match is None:
        raise UsageError(f"--{option} {date!r} is not a date", "write it as 2026-12-31, or 2026-12-31T18:00Z (UTC)")
    return "".join(part or "" for part in match.groups()) + "Z"


def _ended(lines: Iterable[str], now: datetime) -> Iterable[str]:
    for line in Trust.of(lines).lines:
        if line.valid_before is not None and line.valid_before < now.timestamp():
            yield "valid-before is past: what was added lets nobody sign any more"


def _same_key(key: PublicKey, lines: Iterable[TrustLine]) -> Iterable[str]:
    for line in lines:
        if line.key.blob == key.blob:
            yield (
                f"line {line.number} has the key {key.fingerprint} already, for {line.who}; a key counts when any of its"
                " lines lets it: to restrict it, change that line"
            )


def _append(into: Path, before: str, added: tuple[str, ...]) -> None:
    if not added:
        return
    joint = "" if not before or before.endswith("\n") else "\n"
    try:
        into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with into.open("a", encoding="utf-8") as file:
            file.write(joint + "".join(f"{line}\n" for line in added))
    except OSError as error:
        raise UsageError(f"the trust file {into} cannot be written: {error.strerror}", "make it writable") from None
