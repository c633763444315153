"""The one sanitiser, and the words for numbers."""

from __future__ import annotations

import unicodedata
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from marksweep.report.text import age, count, counted, duration, plain, remaining, size, when
from tests.unit.report.samples import HOSTILE

SURROGATES_TOO = st.text(
    st.characters(codec=None, categories=None) | st.sampled_from(HOSTILE + "\u0301\ufe0f\u034f\u3164")
)


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\x00", r"\x00"), ("\x07", r"\x07"), ("\x08", r"\x08"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"),
        ("\x1b", r"\x1b"), ("\x7f", r"\x7f"), ("\x85", r"\x85"), ("\x9b", r"\x9b"), ("\x9d", r"\x9d"), ("\xad", r"\xad"),
        ("\xa0", r"\xa0"), ("\u061c", r"\u061c"), ("\u200b", r"\u200b"), ("\u200d", r"\u200d"), ("\u200e", r"\u200e"),
        ("\u200f", r"\u200f"), ("\u2028", r"\u2028"), ("\u2029", r"\u2029"), ("\u202a", r"\u202a"), ("\u202e", r"\u202e"),
        ("\u2060", r"\u2060"), ("\u2066", r"\u2066"), ("\u2069", r"\u2069"), ("\ufeff", r"\ufeff"), ("\ufff9", r"\ufff9"),
        ("\ufffe", r"\ufffe"), ("\ud800", r"\ud800"), ("\udfff", r"\udfff"), ("\ue000", r"\ue000"), ("\u034f", r"\u034f"),
        ("\u3164", r"\u3164"), ("\u115f", r"\u115f"), ("\u180e", r"\u180e"), ("\ufe0f", r"\ufe0f"),
        ("\U000e0001", r"\U000e0001"), ("\U000e0041", r"\U000e0041"), ("\U000e0100", r"\U000e0100"),
        ("\U0001d173", r"\U0001d173"), ("\U0010ffff", r"\U0010ffff"),
    ],
)  # fmt: skip
def test_every_dangerous_character_is_escaped(character: str, shown: str) -> None:
    """Controls, format and bidi characters, separators, surrogates, tags and invisible letters become visible."""
    assert plain(f"a{character}b") == f"a{shown}b"


@pytest.mark.parametrize(
    "text", ["train::output", "Modell-Ü", "模型", "מודל", "e\u0301té", "🚀", "[red]x[/] :boom:", r"a\b"]
)
def test_what_people_write_stays(text: str) -> None:
    """Letters of any script, emoji, markup of rich's and backslashes are shown as they are."""
    assert plain(text) == text


def test_combining_marks_cannot_pile_up() -> None:
    """A tower of combining marks, which would cover other lines, is cut to a few."""
    shown = plain("a" + "\u0301" * 50 + "b")
    assert shown.count("\u0301") == 4
    assert shown.endswith(r"\u0301b")


@given(SURROGATES_TOO)
def test_plain_is_harmless_and_a_fixed_point(text: str) -> None:
    """Whatever goes in: one line, no control or format character, can be encoded, and a second pass changes nothing."""
    shown = plain(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert shown.splitlines() in ([shown], [])
    shown.encode()
    assert plain(shown) == shown


@given(SURROGATES_TOO, st.integers(1, 30))
def test_a_shortened_text_fits_and_stays_so(text: str, width: int) -> None:
    """With a width, the result has at most so many cells, is the text itself if that fits, and is a fixed point."""
    shown = plain(text, width)
    assert cell_len(shown) <= width
    assert shown == plain(text) if cell_len(plain(text)) <= width else "…" in shown
    assert plain(shown, width) == shown


def test_the_middle_is_cut_out() -> None:
    """Both ends of a name stay visible: ZenML's names often differ in the last part only."""
    assert plain("pipeline::step::output", 11) == "pipel…utput"
    assert plain("模型模型模型", 5) == "模…型"


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (None, "unknown"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3_435_973_836, "3.2 GiB"),
        (1024**2 - 1, "1.0 MiB"), (1024**3 - 1, "1.0 GiB"), (2**53 - 1, "8.0 PiB"), (5000 * 1024**6, "5,000.0 EiB"),
    ],
)  # fmt: skip
def test_sizes(octets: int | None, shown: str) -> None:
    """Bytes in binary units with one digit, never "1024.0 KiB"."""
    assert size(octets) == shown


def test_counts() -> None:
    """Commas, plurals, and a word for what nobody knows."""
    assert count(12873) == "12,873"
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(0, "entry", "entries") == "0 entries"
    assert counted(None, "object") == "unknown objects"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (4.21, "4.2 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (750, "12 min"),
        (12_000, "3 h 20 min"),
        (5e5, "5 days"),
    ],
)
def test_ages(seconds: float, shown: str) -> None:
    """Roughly, in the unit that a person would choose."""
    assert age(seconds) == shown


def test_durations_and_clocks() -> None:
    """A policy's durations are exact; the time left looks like a clock."""
    assert duration(timedelta(days=30)) == "30 days"
    assert duration(timedelta(days=1, hours=12)) == "1 day 12 hours"
    assert duration(timedelta(minutes=90, seconds=1)) == "1 hour 30 minutes 1 second"
    assert duration(timedelta()) == "0 seconds"
    assert [remaining(s) for s in (-3, 0, 48, 725, 3723)] == ["0:00", "0:00", "0:48", "12:05", "1:02:03"]


def test_times() -> None:
    """To the minute, in UTC; anything else is shown as it is, made harmless."""
    assert when("2026-11-21T09:00:59.5Z") == "2026-11-21 09:00 UTC"
    assert when("2026-11-21T09:00:00+02:00") == "2026-11-21 07:00 UTC"
    assert when("2026-11-21T09:00:00") == "2026-11-21T09:00:00"
    assert when("soon\x1b") == r"soon\x1b"
