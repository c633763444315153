"""The claim bench's figures: what each load did, beside what the writers felt meanwhile."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.claim_loads import Done
from tests.bench.claim_writers import Written

NO_SWEEP = "no sweep"
LIMIT = 3
"""So many times the writers' 99th percentile without a sweep, it must stay below."""

_COLUMNS = (
    ("load", 24), ("rows/s", 7), ("batch", 7), ("hold p50", 9), ("hold p99", 9), ("stmts", 6), ("CPU/row", 8),
    ("linked", 6), ("tx/s", 6), ("p50", 7), ("p99", 8), ("max", 8), ("ratio", 6), ("deadlock", 9), ("timeout", 8),
    ("gone", 5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One load: seconds are shown as milliseconds, CPU time per row as microseconds; ``ratio`` is of the writers' p99.

    Rows are per second of the load; ``batch`` is the mean; statements are per claim; what a whole program holds, says
    and takes is not seen from outside. ``linked`` are versions that a claim left, as somebody had linked them or was about to.
    """

    name: str
    done: Done
    latencies: Sequence[float]
    outcomes: Counter[str]
    ratio: float

    def text(self) -> str:
        done, seconds = self.done, self.done.ended
        seen = bool(done.holds)
        cells = [
            self.name,
            f"{done.rows / seconds:,.0f}" if done.claims else "",
            f"{done.rows / done.claims:,.0f}" if done.claims else "",
            _ms(percentile(done.holds, 50)) if seen else "",
            _ms(percentile(done.holds, 99)) if seen else "",
            f"{done.statements / done.claims:.0f}" if seen else "",
            f"{done.cpu / max(1, done.rows) * 1e6:,.0f}" if seen else "",
            str(done.contested) if seen else "",
            f"{len(self.latencies) / seconds:.0f}",
            _ms(percentile(self.latencies, 50)),
            _ms(percentile(self.latencies, 99)),
            _ms(max(self.latencies)),
            f"{self.ratio:.2f}",
            *(str(self.outcomes[o]) for o in ("deadlock", "timeout")),
            str(self.outcomes["gone"] + self.outcomes["refused"]),
        ]
        return "  ".join(
            f"{c:>{w}}" if i else f"{c:<{w}}" for i, (c, (_, w)) in enumerate(zip(cells, _COLUMNS, strict=True))
        )


def head() -> str:
    """The names of the columns; times are in milliseconds, CPU per row in microseconds."""
    return "  ".join(f"{name:>{width}}" if i else f"{name:<{width}}" for i, (name, width) in enumerate(_COLUMNS))


def lines(done: dict[str, list[Done]], written: Sequence[Written]) -> list[Line]:
    """One line for each load, all its rounds taken together; a writer's transaction belongs to the load that it began in."""
    ordered = sorted(written, key=lambda w: w.began)
    begins = [w.began for w in ordered]
    felt = {
        name: [
            w for part in parts for w in ordered[bisect.bisect(begins, part.began) : bisect.bisect(begins, part.ended)]
        ]
        for name, parts in done.items()
    }
    usual = percentile([w.seconds for w in felt[NO_SWEEP]], 99)
    found = []
    for name, parts in done.items():
        latencies = [w.seconds for w in felt[name]]
        outcomes = Counter(w.outcome for w in felt[name])
        found.append(Line(name, _together(parts), latencies, outcomes, percentile(latencies, 99) / usual))
    return found


def percentile(values: Sequence[float], share: int) -> float:
    """The smallest value that so many per cent of *values* do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


def _together(parts: Sequence[Done]) -> Done:
    """The sum of all rounds; it begins at 0 and ends after as many seconds as they lasted."""
    total = Done()
    for part in parts:
        total.ended += part.ended - part.began
        total.rows += part.rows
        total.contested += part.contested
        total.claims += part.claims
        total.statements += part.statements
        total.cpu += part.cpu
        total.holds += part.holds
    return total


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"
