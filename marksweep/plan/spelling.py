"""The times and digests of many entries, looked at all at once.

msgspec would ask a regular expression for each of them, which is three quarters of what decoding an entry costs. So the
struct only limits their lengths, and here is the rest of the rule: the spelling, and that there is such a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from marksweep.model.entry import DIGEST_PATTERN, INSTANT_PATTERN, Entry

_DIGEST = re.compile(DIGEST_PATTERN)
_DIGESTS = re.compile(r"(?:sha256:[0-9a-f]{64}\n)*+")
_INSTANT = re.compile(INSTANT_PATTERN)
_USUAL_INSTANTS = re.compile(
    r"(?:(?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z\n)*+"
)
"""Lines with times of days that every month of every year has; other days are looked up in the calendar."""


def check_spelling(entries: Sequence[Entry]) -> None:
    """Raise ValueError unless every time of *entries* is a time in its one form, and every fingerprint a digest."""
    times = [entry.created for entry in entries] + [entry.updated for entry in entries]
    if not _all(_USUAL_INSTANTS, times):
        for time in times:
            _check_instant(time)
    digests = [entry.fingerprint for entry in entries if entry.fingerprint is not None]
    if not (_all(_DIGESTS, digests) or all(map(_DIGEST.fullmatch, digests))):
        raise ValueError("its fingerprint is not spelled as a digest: sha256:, and 64 hexadecimal digits")


def _all(lines: re.Pattern[str], texts: Sequence[str]) -> bool:
    """Whether each of *texts* is a line of *lines*; a text that holds a newline would be counted as two."""
    joined = "\n".join([*texts, ""])
    return joined.count("\n") == len(texts) and lines.fullmatch(joined) is not None


def _check_instant(text: str) -> None:
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("a time of it is not spelled as an instant in UTC: 2026-01-31T23:59:59Z")
    datetime.fromisoformat(text)  # which knows the calendar
