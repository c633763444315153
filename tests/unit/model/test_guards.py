"""The rules that compare two looks at the same thing, at their edges."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marksweep.errors import GuardRefused
from marksweep.model.guards import LINKS, VERSIONS, Share, check_clocks, check_jump, collapsed
from marksweep.model.policy import CLOCK_SKEW, COLLAPSE_APPLIES_FROM, COLLAPSE_KEEPS, JUMP_FACTOR, JUMP_POINTS
from tests.support.fakes import NOW

SECOND = timedelta(seconds=1)


def test_the_margins_are_those_of_the_design() -> None:
    """Five minutes; half of a hundred rows; twice the share and ten points."""
    assert timedelta(minutes=5) == CLOCK_SKEW
    assert (COLLAPSE_KEEPS, COLLAPSE_APPLIES_FROM) == (50, 100)
    assert (JUMP_FACTOR, JUMP_POINTS) == (2, 10)


@pytest.mark.parametrize("ahead", [-1, 1])
def test_clocks_may_be_five_minutes_apart_and_no_more(ahead: int) -> None:
    """Either way; the refusal gives both times and the difference."""
    check_clocks(NOW, NOW + ahead * CLOCK_SKEW, NOW)
    with pytest.raises(GuardRefused) as refused:
        check_clocks(NOW, NOW + ahead * (CLOCK_SKEW + SECOND), NOW)
    assert refused.value.status == 26
    for word in ("2026-06-01T12:00:00Z", "0:05:01 apart", "at most 0:05:00"):
        assert word in refused.value.fact


def test_a_slow_answer_is_no_difference() -> None:
    """The database said its time somewhere within the hour that the answer took."""
    for minutes in (0, 30, 60):
        check_clocks(NOW, NOW + timedelta(minutes=minutes), NOW + timedelta(hours=1))
    with pytest.raises(GuardRefused):
        check_clocks(NOW, NOW + timedelta(hours=1) + CLOCK_SKEW + SECOND, NOW + timedelta(hours=1))
    with pytest.raises(GuardRefused):
        check_clocks(NOW, NOW - CLOCK_SKEW - SECOND, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("before", "now", "removed", "gone"),
    [
        ({VERSIONS: 1000, "step": 3000}, {VERSIONS: 1000, "step": 3000}, {}, ""),
        ({"step": 3000}, {"step": 9000, "more": 1}, {}, ""),
        ({"step": 3000}, {"step": 1500}, {}, ""),
        ({"step": 3000}, {"step": 1499}, {}, "step"),
        ({"step": 100}, {"step": 49}, {}, "step"),
        ({"step": 99}, {"step": 1}, {}, ""),
        ({"step": 1}, {"step": 0}, {}, "step"),
        ({"step": 1}, {}, {}, "step"),
        ({"step": 0}, {}, {}, ""),
        ({VERSIONS: 10}, {VERSIONS: 5}, {}, ""),
        ({VERSIONS: 10}, {VERSIONS: 4}, {}, VERSIONS),
        ({VERSIONS: 10}, {VERSIONS: 4}, {VERSIONS: 2}, ""),
        ({VERSIONS: 10}, {VERSIONS: 3}, {VERSIONS: 2}, VERSIONS),
        ({VERSIONS: 10}, {VERSIONS: 0}, {VERSIONS: 10}, ""),
        ({VERSIONS: 10}, {VERSIONS: 0}, {VERSIONS: 9}, VERSIONS),
        ({LINKS: 300}, {LINKS: 20}, {LINKS: 260}, ""),
        ({LINKS: 300}, {LINKS: 20}, {LINKS: 100}, LINKS),
    ],
)
def test_what_counts_as_a_collapse(
    before: dict[str, int], now: dict[str, int], removed: dict[str, int], gone: str
) -> None:
    """Empty or absent now, or less than half of what is expected; small tables of references may shrink."""
    assert collapsed(before, now, removed).partition(" ")[0] == gone


def test_a_collapse_is_told_with_its_numbers() -> None:
    """Each table: rows then, rows that should be there, rows now."""
    said = collapsed({VERSIONS: 1000, "step": 400, "run": 5}, {VERSIONS: 200, "step": 7, "run": 5}, {VERSIONS: 300})
    assert said == (
        "artifact_version held 1000 rows, should hold about 700, and holds 200; "
        "step held 400 rows, should hold about 400, and holds 7"
    )


def jumps(before: tuple[int, int], now: tuple[int, int], allowed: int | None = None) -> bool:
    try:
        check_jump(Share(*before), Share(*now), allowed, "")
    except GuardRefused:
        return True
    return False


@pytest.mark.parametrize(
    ("before", "now", "jumped"),
    [
        ((0, 100), (0, 100), False),
        ((0, 100), (9, 100), False),
        ((0, 100), (10, 100), True),
        ((10, 100), (20, 100), False),
        ((10, 100), (21, 100), True),
        ((100, 1000), (201, 1000), True),
        ((100, 1000), (201, 2000), False),
        ((30, 100), (55, 100), False),
        ((60, 100), (10, 100), False),
        ((0, 0), (1, 10), True),
        ((5, 10), (0, 0), False),
    ],
)
def test_a_jump_is_both_a_factor_and_points(before: tuple[int, int], now: tuple[int, int], jumped: bool) -> None:
    """More than twice the share, and at least ten percentage points more."""
    assert jumps(before, now) is jumped


def test_the_points_that_are_allowed_replace_the_rule() -> None:
    """Exactly so many: wider than the rule, or narrower; and what the refusal suggests is enough."""
    assert not jumps((0, 100), (40, 100), 40)
    assert jumps((0, 100), (41, 100), 40)
    assert jumps((30, 100), (31, 100), 0)
    assert not jumps((31, 100), (31, 100), 0)
    with pytest.raises(GuardRefused) as refused:
        check_jump(Share(1, 300), Share(100, 300), None, " (other options)")
    assert "1 of 300 versions (0.3 %) in the plan before, 100 of 300 versions (33.3 %) now (other" in refused.value.fact
    assert refused.value.remedy.endswith("--max-jump 33")
    assert not jumps((1, 300), (100, 300), 33)
    assert jumps((1, 300), (100, 300), 32)
