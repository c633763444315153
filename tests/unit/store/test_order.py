"""The two orders of a listing, and what a page therefore covers."""

from __future__ import annotations

import itertools
import random
import secrets

import pytest

from marksweep.store.order import before, by_segments, follows, is_ordered, reached

LETTERS = "a", "b", "-", ".", "0", "!", "~", " ", "\x01", "\x1f", "é", "\ud7ff", "\ue000", "\uffff", "\U00010000"


def paths(count: int) -> list[str]:
    """Random paths of few letters, so that many begin alike; the seed is printed."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rnd = random.Random(seed)
    return [
        "/".join("".join(rnd.choices(LETTERS, k=rnd.randint(1, 2))) for _ in range(rnd.randint(1, 3)))
        for _ in range(count)
    ]


def test_a_listing_from_before_a_path_on_has_all_of_it() -> None:
    """What is returned comes before the path, in both orders, and can be written into a URL; nothing lies between."""
    for path in paths(2_000):
        start = before(path)
        if start is None:
            assert path[-1] <= " "
            continue
        start.encode()
        assert "\0" not in start
        assert start < path
        assert by_segments(start) < by_segments(path)
        assert start.rpartition("/")[0] in (path.rpartition("/")[0], path[:-1])
        assert follows(path, start)


@pytest.mark.parametrize("path", ["a ", "v/\x01", "\x1f"])
def test_there_is_no_key_before_a_control_character(path: str) -> None:
    """Neither requests nor servers take a NUL, and some take no control character."""
    assert before(path) is None


def test_the_characters_around_the_surrogates_are_neighbours() -> None:
    assert before("v\ue000") == "v\ud7ff~"


@pytest.mark.parametrize(
    ("last", "covered"),
    [
        ("abc", False),
        ("abc/z", False),
        ("abc-2/x", False),  # by segments `abc` is over, as bytes `abc/` is still to come
        ("abc.txt", False),
        ("abc0", True),
        ("abd", True),
        ("abc\U0010ffff", True),
        ("ab/z", False),
        ("b", True),
        ("", False),
    ],
)
def test_a_place_is_covered_when_both_orders_are_past_it(last: str, covered: bool) -> None:
    assert reached(last, "abc") is covered


def test_nothing_that_is_covered_lies_behind() -> None:
    """Whichever of the two orders a server lists in: no key at or below a place comes after a key that has covered it."""
    names = paths(250)
    keys = sorted({*names, *(f"{path}/{name}" for path in names for name in ("x", "-"))})
    for path, last in itertools.product(names[:60], keys):
        if reached(last, path):
            for key in (path, f"{path}/", f"{path}/\U0010ffff"):
                assert key < last
                assert by_segments(key) < by_segments(last)
        if follows(path, last):
            for key in (path, f"{path}/", f"{path}/\x01"):
                assert last < key
                assert by_segments(last) < by_segments(key)


@pytest.mark.parametrize(
    ("start", "keys", "ordered"),
    [
        ("", [], True),
        ("", ["a", "b"], True),
        ("", ["b", "a"], False),
        ("b", ["a"], False),
        ("a", ["a/x", "a-b/x"], True),  # by segments
        ("a", ["a-b/x", "a/x"], True),  # as bytes
        ("", ["a/x", "a-b/x", "a.b", "a-c"], False),  # by neither
        ("a/x", ["a", "b"], False),
        ("", ["a", "a", "b"], True),  # versions of one key
    ],
)
def test_a_page_is_in_one_of_the_two_orders_or_in_none(start: str, keys: list[str], ordered: bool) -> None:
    assert is_ordered(start, keys) is ordered
