"""Listing what orphans hold: requests and CPU of marksweep beside the two plain ways, on dense, mixed and sparse garbage.

The server is :mod:`tests.bench.store_stub`: what counts is the client's work, and sparse garbage lies among millions of
objects. Dense and mixed are 20,000 orphans among as many live versions, of three objects each; then a live version has more
and more objects between two orphans, up to 10,000, with a tenth of the orphans.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import store_job as job
from tests.bench import store_stub
from tests.bench.store_job import Run
from tests.bench.store_stub import BUCKET, PAGE, ROOT, Space

WINDOWS = {"a window of mark": 1_000, "all at once": 1_000_000}
"""How many places are asked for at a time."""
BARE_AT_MOST = 300
"""Pages that the bare client lists to learn what one object costs it."""


@dataclass(frozen=True)
class Listing:
    """One layout: what marksweep sent and took, and what the plain ways would have sent."""

    layout: str
    window: str
    space: Space
    run: Run
    listed: int
    bare_cpu: float

    @property
    def sent(self) -> int:
        return self.run.requests["list"]

    @property
    def per_version(self) -> int:
        """Requests of one listing per orphan."""
        return self.space.orphans * math.ceil(self.space.objects / PAGE)

    @property
    def flat(self) -> int:
        """Requests of one listing of everything."""
        return math.ceil(self.space.count / PAGE)

    @property
    def ratio(self) -> float:
        """Requests against the better of the plain ways."""
        return self.sent / min(self.per_version, self.flat)

    @property
    def cpu(self) -> float:
        """Microseconds per listed object, whosever it was."""
        return 1e6 * self.run.cpu / self.listed


def layouts(versions: int) -> dict[str, Space]:
    """The three kinds of garbage."""
    return {
        "dense": Space(versions, dense=True),
        "mixed": Space(versions),
        "a fifth": Space(versions, live_objects=12),
        "a page apart": Space(versions // 10, live_objects=1_000),
        "sparse": Space(versions // 10, live_objects=10_000),
    }


def measured(versions: int, runs: int, folder: Path) -> Iterator[Listing]:
    """List each layout *runs* times."""
    for layout, space in layouts(versions).items():
        uris = folder / "uris"
        uris.write_text("".join(f"s3://{BUCKET}/{space.path(place)}\n" for place in range(space.orphans)))
        with store_stub.running(space) as stub:
            given = {"endpoint": stub.url, "bucket": BUCKET, "root": f"s3://{BUCKET}/{ROOT}", "uris": str(uris)}
            bare, _ = job.client("bare-listing", {**given, "pages": BARE_AT_MOST}, folder)
            for window, places in WINDOWS.items():
                done = []
                for _ in range(runs):
                    before = stub.state()
                    run, _ = job.client("layer-listing", {**given, "window": places}, folder)
                    after = stub.state()
                    assert run.objects == space.orphans * space.objects, "a listing is not complete"
                    sent = {"list": after["requests"]["list"] - before["requests"]["list"]}
                    done.append(replace(run, requests=sent))
                listed = after["listed"] - before["listed"]
                yield Listing(layout, window, space, job.median(done), listed, 1e6 * bare.cpu / bare.objects)
