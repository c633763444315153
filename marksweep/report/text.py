"""Words and numbers for people. :func:`plain` is the one sanitiser for text that somebody else wrote.

rich passes ESC, OSC, C1 and bidirectional controls through ``str``, ``escape()`` and ``Text`` alike, to terminals and
to pipes; so whatever comes from a catalog, a plan, a store or an exception goes through :func:`plain` first.
"""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len

MARKS_IN_A_ROW = 4
"""Combining marks that may follow each other; more of them would draw over the lines above and below."""

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_UNUSUAL = re.compile(r"[^\n -~]")
_INVISIBLE = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10))
) | frozenset(range(0xE0000, 0xE1000))
"""Printable by their category and yet invisible (Default_Ignorable_Code_Point, and the blank Braille pattern)."""


_COMMAND = re.compile(
    r"::(?=(?:add-mask|add-matcher|add-path|debug|echo|end-?group|error|group|notice|remove-matcher|save-state|set-env"
    r"|set-output|stop-commands|warning|internal-[a-z-]+)(?:\s|::))|##(?=\[)",
    re.IGNORECASE,
)
"""What GitHub's runner obeys at the beginning of a line (and a folded line begins anywhere), or anywhere in it."""


class _Escapes(dict[int, str]):
    """A table for ``str.translate``, filled as characters are met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        shown = character if character.isprintable() and code not in _INVISIBLE else _escaped(character)
        self[code] = shown
        return shown


_ESCAPES = _Escapes()


def plain(text: str, width: int | None = None) -> str:
    r"""*text* without anything that a terminal obeys or a reader cannot see, each such character escaped (``\x1b``).

    Escaped are: control characters (C0, DEL, C1), format characters (bidirectional, zero-width, tags), separators other
    than the space, lone surrogates, private and unassigned characters, variation selectors, invisible letters, and
    combining marks piled up. The result is one line, can be encoded, and is a fixed point; a backslash stays as it is.
    With *width*, the middle is cut out (``…``) so that at most *width* terminal cells remain.
    """
    shown = text.translate(_ESCAPES)
    if not shown.isascii():
        shown = _unpiled(shown)
    shown = _COMMAND.sub(lambda found: f"\\x{ord(found[0][0]):02x}{found[0][1:]}", shown)
    return shown if width is None else _shortened(shown, width)


def json_text(value: object, indent: int | None = 2) -> str:
    r"""*value* as JSON in which the characters that :func:`plain` escapes stand as ``\uXXXX``; one line without *indent*."""
    return _UNUSUAL.sub(_escaped_in_json, json.dumps(value, indent=indent, ensure_ascii=False))


def size(octets: int | None) -> str:
    """Bytes for people: ``512 B``, ``3.2 GiB``; ``unknown`` for None."""
    if octets is None:
        return "unknown"
    if octets < 1024:
        return f"{octets} B"
    amount, unit = octets / 1024, 0
    while amount >= 1023.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:,.1f} {_UNITS[unit]}"


def count(number: int | None) -> str:
    """A number with commas; ``unknown`` for None."""
    return "unknown" if number is None else f"{number:,}"


def counted(number: int | None, one: str, many: str | None = None) -> str:
    """``1 entry``, ``2,000 entries``, ``unknown objects``; *many* defaults to *one* with an s."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def extent(entries: int, octets: int | None) -> str:
    """``1 entry, 3.2 GiB``."""
    return f"{counted(entries, 'entry', 'entries')}, {size(octets)}"


def share(part: int, whole: int) -> str:
    """``12.5 %``; of nothing, 0."""
    return f"{100 * part / max(1, whole):.1f} %"


def age(seconds: float) -> str:
    """How long something took, roughly: ``4.2 s``, ``54 s``, ``12 min``, ``3 h 20 min``, ``5 days``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400:,} days"


def duration(span: timedelta) -> str:
    """A policy's duration, exactly: ``30 days``, ``1 day 12 hours``, ``0 seconds``."""
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [
        counted(number, unit)
        for number, unit in ((span.days, "day"), (hours, "hour"), (minutes, "minute"), (seconds, "second"))
        if number
    ]
    return " ".join(parts) or "0 seconds"


def remaining(seconds: float) -> str:
    """Time left as a clock shows it: ``0:48``, ``12:05``, ``1:02:03``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def when(moment: str) -> str:
    """A document's time to the minute, ``2026-11-21 09:00 UTC``; what is no time is shown as it is, made plain."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return plain(moment)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found.tzinfo else plain(moment)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped_in_json(match: re.Match[str]) -> str:
    if plain(match[0]) == match[0]:
        return match[0]
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _unpiled(text: str) -> str:
    shown: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        shown.append(character if marks <= MARKS_IN_A_ROW else _escaped(character))
    return "".join(shown)


def _shortened(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    for room in range(max(width, 1) - 1, 0, -1):
        head = _fitting(text, room - room // 2)
        tail = _fitting(text[::-1], room // 2)[::-1]
        while tail and unicodedata.category(tail[0]) in ("Mn", "Me"):
            tail = tail[1:]
        shown = f"{head}…{tail}"
        if cell_len(shown) <= width:
            return shown
    return "…"


def _fitting(text: str, room: int) -> str:
    """The longest beginning of *text* that fits into *room* cells, counted character by character."""
    taken = 0
    for at, character in enumerate(text):
        taken += cell_len(character)
        if taken > room:
            return text[:at]
    return text
