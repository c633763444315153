"""Durations, times and fingerprints: what is written down comes back as itself, and nothing else is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marksweep.model.entry import Entry, fingerprint
from marksweep.model.instant import from_text, to_text
from marksweep.model.policy import duration
from marksweep.model.store import StoredObject


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("90m", timedelta(minutes=90)),
        ("45s", timedelta(seconds=45)), ("2w", timedelta(weeks=2)), ("0", timedelta(0)), ("0d", timedelta(0)),
        (" 30D ", timedelta(days=30)), ("1 d", timedelta(days=1)), ("00", timedelta(0)),
    ],
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    """``0`` needs no unit."""
    assert duration(text) == expected


@pytest.mark.parametrize(
    "text", ["30", "", "d", "-1d", "1.5d", "1d2h", "1y", "1M1", "٣٠", "inf", "40000d", "9" * 400 + "d"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    """A bare ``30`` could be days or seconds; nobody guesses."""
    with pytest.raises(ValueError):
        duration(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_comes_back(moment: datetime) -> None:
    """To the microsecond."""
    text = to_text(moment)
    assert text.endswith("Z")
    assert from_text(text) == moment


def test_times_are_written_in_utc_with_the_fraction_that_they_have() -> None:
    """One spelling for one moment."""
    assert to_text(datetime(2026, 1, 2, 3, 4, 5, 120000, UTC)) == "2026-01-02T03:04:05.12Z"
    assert to_text(datetime(2026, 1, 2, 3, 0, 0, 0, timezone(timedelta(hours=2)))) == "2026-01-02T01:00:00Z"


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "2026-01-02T03:04:05+00:00", "Z", "tomorrowZ", ""])
def test_a_time_that_is_not_utc_is_refused(text: str) -> None:
    """Only what ``to_text`` writes."""
    with pytest.raises(ValueError):
        from_text(text)


OBJECTS = st.lists(
    st.builds(StoredObject, st.text(max_size=4), st.integers(0, 3), st.sampled_from(["t", "u"])),
    max_size=4,
    unique_by=lambda o: o.key,
)


@given(OBJECTS, st.randoms())
def test_a_fingerprint_does_not_depend_on_the_order(objects: list[StoredObject], random: object) -> None:
    """Stores list in their own order."""
    shuffled = list(objects)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint(objects) == fingerprint(shuffled)


@given(OBJECTS, OBJECTS)
def test_other_objects_have_another_fingerprint(one: list[StoredObject], other: list[StoredObject]) -> None:
    """Key, size and tag all count."""
    assert (fingerprint(one) == fingerprint(other)) == (set(one) == set(other))


def _entry(id_: str, uri: str) -> Entry:
    return Entry(
        id=id_, artifact="a", version="1", project="p", uri=uri, objects=0, bytes=0, fingerprint=None,
        created="2026-01-01T00:00:00Z", updated="2026-01-01T00:00:00Z", reason="unreferenced",
    )  # fmt: skip


def test_plan_order_puts_nested_places_next_to_each_other() -> None:
    """``a!`` sorts between ``a`` and ``a/b`` as plain strings; as keys it does not come between."""
    uris = ["s3://b/a!", "s3://b/a/b", "s3://b/a", "s3://b/é", "s3://b/a"]
    ordered = sorted((_entry(str(n), uri) for n, uri in enumerate(uris)), key=lambda e: e.order)
    assert [(e.uri, e.id) for e in ordered] == [
        ("s3://b/a!", "0"), ("s3://b/a", "2"), ("s3://b/a", "4"), ("s3://b/a/b", "1"), ("s3://b/é", "3"),
    ]  # fmt: skip
