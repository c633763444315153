"""Images of rows: every value that a database driver gives comes back as it was, with its type."""

from __future__ import annotations

import math
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest

from marksweep.sweep.image import decoded, encoded

VALUES = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 0.1, -1e300, math.inf, -math.inf, "", "x", "ü\u2028\U0001f600", "\x00",
    "2026-01-01 00:00:00", '{"datetime": "2026"}', b"", b"\x00\xff", bytes(range(256)), date(2026, 1, 1),
    datetime(2026, 1, 1), datetime(2026, 1, 1, 1, 2, 3, 4), datetime(2026, 1, 1, tzinfo=UTC),
    timedelta(days=-3, microseconds=7), Decimal("1.10"), Decimal("1E+30"),
]  # fmt: skip


def test_every_value_comes_back_with_its_type() -> None:
    """Column by column, in the order of the columns."""
    image = {"t": [{f"c{at}": value for at, value in enumerate(VALUES)}], "empty": []}
    found = decoded(encoded(image))
    assert found == image
    (row,) = found["t"]
    assert [type(value) for value in row.values()] == [type(value) for value in VALUES]
    assert list(row) == list(image["t"][0])
    assert decoded(encoded(None)) is None
    assert decoded(None) is None


def test_random_rows_come_back() -> None:
    """Any rows of any tables."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    for _ in range(200):
        image = {
            f"t{table}": [
                {f"c{c}": draw.choice(VALUES) for c in range(draw.randrange(6))} for _ in range(draw.randrange(4))
            ]
            for table in range(draw.randrange(4))
        }
        assert decoded(encoded(image)) == image


def test_what_could_not_come_back_is_not_kept() -> None:
    """Better no claim than an image that lies."""
    with pytest.raises(TypeError, match="UUID"):
        encoded({"t": [{"id": uuid.uuid4()}]})


@pytest.mark.parametrize(
    "written",
    [
        {"t": [{"created": "2026-01-01T00:00:00"}]}, {"exact": 2, "t": []}, {"exact": 1, "t": [{"a": {"nosuch": 1}}]},
        {"exact": 1, "t": [{"a": {"datetime": "x"}}]}, {"exact": 1, "t": [{"a": {}}]}, {"exact": 1, "t": [1]},
        {"exact": 1, "t": 1}, [], 1, {"exact": 1, "t": [{"a": {"decimal": "x"}}]}, {"exact": 1, "t": [{"a": {"bytes": "x"}}]},
    ],
)  # fmt: skip
def test_what_was_kept_otherwise_is_refused(written: object) -> None:
    """By an older marksweep, or damaged: nobody guesses what it meant."""
    with pytest.raises(ValueError, match="were not kept exactly"):
        decoded(orjson.dumps(written))
