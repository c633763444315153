"""The claim bench's arithmetic: which transaction belongs to which load, and what is compared with what."""

from __future__ import annotations

from tests.bench.claim_loads import Done
from tests.bench.claim_table import NO_SWEEP, head, lines, percentile
from tests.bench.claim_writers import Written


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """Of a hundred values the 99th, of few the greatest."""
    assert percentile([float(n) for n in range(100, 0, -1)], 99) == 99.0
    assert percentile([1.0, 2.0, 3.0], 99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_a_transaction_belongs_to_the_load_that_it_began_in() -> None:
    """One that waited for a claim to end counts for that claim, whenever it ended; one between two loads for none."""
    done = {
        NO_SWEEP: [Done(0.0, 10.0), Done(30.0, 40.0)],
        "adapted": [Done(10.0, 20.0, rows=50, claims=2, holds=[0.1, 0.2])],
    }
    written = [
        Written(5.0, 0.1, "step", "ok"),
        Written(35.0, 0.2, "link", "gone"),
        Written(19.0, 0.5, "link", "deadlock"),
        Written(25.0, 9.0, "link", "ok"),
    ]
    usual, adapted = lines(done, written)
    assert (usual.name, usual.latencies, usual.ratio) == (NO_SWEEP, [0.1, 0.2], 1.0)
    assert (adapted.latencies, adapted.ratio, adapted.outcomes["deadlock"]) == ([0.5], 2.5, 1)
    assert usual.done.ended == 20.0
    assert adapted.text().split()[:3] == ["adapted", "5", "25"]
    assert len(head()) == len(usual.text()) == len(adapted.text())
