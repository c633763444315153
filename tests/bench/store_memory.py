"""Memory: what ten times the objects cost, for the whole mark and the whole sweep.

Against :mod:`tests.bench.store_stub`, since it is the client that is measured; the catalog is a real one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import store_data as data
from tests.bench import store_job as job
from tests.bench import store_stub
from tests.bench.store_job import Run
from tests.bench.store_stub import Space
from tests.support.seaweed import ACCESS_KEY, SECRET_KEY

OBJECTS = 3
LIMIT_MB = 50.0
"""What the bigger one may take more than the smaller one."""
UNCAPPED = ("--max-share", "100", "--max-entries", "10000000", "--max-bytes", "10000000000000")


@dataclass(frozen=True)
class Held:
    """Peak memory of one phase over so many objects."""

    phase: str
    objects: int
    run: Run


def measured(sizes: tuple[int, ...], folder: Path, seed: int) -> Iterator[Held]:
    """Mark and sweep a catalog for each number of objects."""
    for objects in sizes:
        space = Space(objects // OBJECTS, OBJECTS)
        place = folder / f"memory-{objects}"
        place.mkdir()
        with store_stub.running(space) as stub:
            yield from _phases(space, stub, place, seed)


def _phases(space: Space, stub: store_stub.Running, folder: Path, seed: int) -> Iterator[Held]:
    layout = data.Layout(
        [space.path(place) for place in range(space.orphans)],
        [space.path(place, live=True) for place in range(space.orphans)],
    )
    options = {"key": ACCESS_KEY, "secret": SECRET_KEY, "client_kwargs": {"endpoint_url": stub.url}}
    catalog = data.catalog(folder / "catalog", layout, options, seed)
    plan, where = folder / "plan.json", ("--catalog", catalog.url)
    mark = job.marksweep("mark", *where, "--out", plan, "--no-grace", "--min-age", "0", *UNCAPPED, "--quiet")
    objects = space.orphans * space.objects
    yield Held("mark", objects, job.command(mark, folder, versions=space.orphans, objects=objects))
    sweep = job.marksweep("sweep", plan, *where, "--yes", "--json", "--quiet")
    yield Held("sweep", objects, job.command(sweep, folder, versions=space.orphans, objects=objects))
    said, state = json.loads((folder / "log").read_text()), stub.state()
    assert said["books"]["deleted"] == space.orphans, said["books"]
    assert (state["deleted"], state["wrong"]) == (objects, 0), state
