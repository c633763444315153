"""A 503 storm: half of all requests are refused for a while. Nothing is lost, it ends, and the rate recovers.

The server is :mod:`tests.bench.store_stub` with the capacity of one partition of S3, so that there is a rate to fall from.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import store_job as job
from tests.bench import store_stub
from tests.bench.store_job import Run
from tests.bench.store_stub import BUCKET, ROOT, Space, Weather

CAPACITY = 3_500.0
"""Keys per second: what S3 promises for one partition."""
LATENCY = 0.03
BEFORE, STORM = 5.0, 10.0
"""Seconds of deletes before the storm, and of the storm."""
RECOVERED = 0.9
"""Share of the rate before the storm that counts as recovered."""


@dataclass(frozen=True)
class Second:
    """What happened in one second: keys deleted and requests refused, by the server; and marksweep's own limit, in keys
    per second, when it ended (null: none).
    """

    number: int
    deleted: int
    refused: int
    limit: float | None


@dataclass(frozen=True)
class Storm:
    """The storm as it went. ``began`` and ``ended``: its first and its last second."""

    run: Run
    retries: int
    seconds: list[Second]
    began: int
    ended: int

    @property
    def rate_before(self) -> float:
        """Keys per second before the storm, without the first second, in which it started."""
        return statistics.median(second.deleted for second in self.seconds[1 : self.began])

    @property
    def recovered_after(self) -> int | None:
        """Seconds from the storm's end until the rate was what it was; null if it never was."""
        enough = RECOVERED * self.rate_before
        back = [second.number for second in self.seconds if second.number >= self.ended and second.deleted >= enough]
        return back[0] - self.ended if back else None


def measured(folder: Path, seed: int, *, quick: bool) -> Storm:
    """Delete through the storm; the run fails if anything was lost."""
    storm = 3.0 if quick else STORM
    space = Space(int((BEFORE + 4 * storm) * CAPACITY / 3))
    uris = folder / "uris"
    uris.write_text("".join(f"s3://{BUCKET}/{space.path(place)}\n" for place in range(space.orphans)))
    with store_stub.running(space, Weather(LATENCY, CAPACITY, BEFORE, storm, seed)) as stub:
        given = {"endpoint": stub.url, "bucket": BUCKET, "root": f"s3://{BUCKET}/{ROOT}", "uris": str(uris)}
        run, said = job.client("layer", given, folder)
        state = stub.state()
    assert (state["deleted"], state["wrong"]) == (space.orphans * space.objects, 0), "something was lost"
    counted = {int(number): counts for number, counts in state["seconds"].items()}
    changes = [(at - state["began"], place, limit) for at, place, limit in said["rates"]]
    seconds = [
        Second(number, found.get("deleted", 0), found.get("refused", 0), _limit(changes, number + 1.0))
        for number in range(max(counted) + 1)
        for found in [counted.get(number, {})]
    ]
    return Storm(run, said["retries"], seconds, int(BEFORE), int(BEFORE + storm))


def _limit(changes: Sequence[tuple[float, str, float | None]], until: float) -> float | None:
    """The narrowest limit of deletes at a time; listings are paced apart."""
    limits = {place: limit for at, place, limit in changes if at < until and "listing" not in place}
    return min((limit for limit in limits.values() if limit is not None), default=None)
