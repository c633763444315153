"""The bench of the stores: marksweep beside the bare client, s5cmd, per-key deletes and ZenML's way, in one run.

    python tests/bench/store_bench.py [--quick] [--versions N] [--runs N] [--only PART ...] [--folder DIR]

The parts: ``deletes`` on a SeaweedFS server of the bench's own, its data laid out anew before every run; ``listing``,
``memory`` and ``storm`` against a server made of arithmetic; ``prune`` on a local store, beside the real ZenML (looked for in
``$MARKSWEEP_ZENML_VENVS``, and made there if it can be). Every measured program is a process of its own. The exit status is 1
when an aim is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.bench import store_listing, store_memory, store_prune, store_storm
from tests.bench.store_deletes import Deletes
from tests.bench.store_server import BenchServer
from tests.bench.store_tables import Report

PARTS = ("deletes", "listing", "memory", "storm", "prune")
VERSIONS, PRUNED = 20_000, 3_000
OBJECTS = (20_000, 200_000)
QUICK = 20
"""Times smaller with ``--quick``: that shows that the bench works, and not much more."""


def main() -> int:
    """Measure, print the tables, and say which aims are missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} times smaller, and once instead of three times")
    parser.add_argument("--versions", type=int, help=f"orphans to delete and to list (default {VERSIONS:,})")
    parser.add_argument("--runs", type=int, help="runs of each, of which the median counts (default 3)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--folder", type=Path, help="where the data is made (default: temporary)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    report = Report()
    report.console.print(
        f"{os.cpu_count()} CPUs, load average {os.getloadavg()[1]:.1f} in the last 5 minutes, seed {given.seed}",
        highlight=False,
    )
    with tempfile.TemporaryDirectory(prefix="marksweep-bench-", dir=given.folder) as scratch:
        for part in given.only:
            folder = Path(scratch) / part
            folder.mkdir()
            _run(part, folder, report, given)
    for missed in report.missed:
        report.console.print(f"missed: {missed}", highlight=False)
    return 1 if report.missed else 0


def _run(part: str, folder: Path, report: Report, given: argparse.Namespace) -> None:
    scale = QUICK if given.quick else 1
    versions = given.versions or VERSIONS // scale
    runs = given.runs or (1 if given.quick else 3)
    match part:
        case "deletes":
            _deletes(folder, report, versions, runs, given.seed)
        case "listing":
            report.listings(list(store_listing.measured(versions, runs, folder)))
        case "memory":
            sizes = tuple(objects // scale for objects in OBJECTS)
            report.memory(list(store_memory.measured(sizes, folder, given.seed)))
        case "storm":
            report.storm(store_storm.measured(folder, given.seed, quick=given.quick))
        case "prune":
            report.prune(store_prune.measured(PRUNED // scale, runs, folder, given.seed))


def _deletes(folder: Path, report: Report, versions: int, runs: int, seed: int) -> None:
    began = time.monotonic()
    with BenchServer(folder) as server:
        deletes = Deletes(server, folder, versions, seed)
        deletes.prepare()
        for number in range(runs):
            for name in deletes.once():
                print(f"{time.monotonic() - began:6.0f} s  run {number + 1} of {runs}: {name}", file=sys.stderr)
    report.deletes(deletes.runs, deletes.own_counts)


if __name__ == "__main__":
    sys.exit(main())
