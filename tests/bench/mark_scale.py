"""How long ``marksweep mark --no-size`` takes on a big catalog, and in how much memory, beside plain ``sqlite3``.

    python tests/bench/mark_scale.py [--versions 20000 200000] [--folder DIR]

Each runs in a process of its own; seconds, CPU seconds and peak resident memory come from ``wait4`` of just that
process. They cannot show less memory than this program had when it started them: that floor is the empty interpreter's.
Memory is flat if ten times the versions do not need much more of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_GENERATOR = Path(__file__).with_name("generate.py")
_REPOSITORY = Path(__file__).parent.parent.parent

_READER = """
import sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows = 0
for query in (
    "SELECT v.id, v.artifact_id, a.name, v.version, v.version_number, v.project_id, v.uri, v.artifact_store_id, "
    "v.created, v.updated, v.save_type, v.materializer FROM artifact_version v JOIN artifact a ON a.id = v.artifact_id",
    "SELECT artifact_id FROM step_run_input_artifact",
    "SELECT artifact_id FROM step_run_output_artifact",
    "SELECT artifact_version_id FROM model_versions_artifacts",
):
    for row in database.execute(query):
        rows += 1
print(rows)
"""
"""Reads what mark has to read at the least, row by row, and keeps none of it."""


@dataclass(frozen=True)
class Cost:
    """What one process took: wall and CPU seconds, peak resident memory in MB, and its exit status."""

    status: int
    seconds: float
    cpu: float
    peak: float


def measure(command: list[str], environment: dict[str, str], log: Path) -> Cost:
    """Run *command* to its end; its output goes to *log*."""
    started = time.perf_counter()
    with log.open("wb") as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    per_mb = 1024**2 if sys.platform == "darwin" else 1024
    return Cost(child.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / per_mb)


def compare(versions: int, folder: Path) -> tuple[Cost, Cost, Cost]:
    """Make a catalog of *versions* and measure plain ``sqlite3``, then mark, then an interpreter that does nothing."""
    # Made in a process of its own: a child's peak counts from its fork, so that a big parent would show in it.
    root = folder / f"catalog-{versions}"
    making = [sys.executable, str(_GENERATOR), str(root), "--versions", str(versions)]
    url = subprocess.run(making, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    database = url.removeprefix("sqlite:///")
    environment = os.environ | {"MARKSWEEP_CONFIG_DIR": str(folder / "config"), "PYTHONPATH": str(_REPOSITORY)}
    mark = [
        sys.executable, "-m", "marksweep", "mark", "--no-size", "--catalog", url,
        "--out", str(folder / f"plan-{versions}.json"), "--min-age", "0", "--no-grace", "--max-share", "100",
    ]  # fmt: skip
    with Path(database).open("rb") as file:  # fill the page cache for both alike, without holding it here
        while file.read(1 << 20):
            pass
    return (
        measure([sys.executable, "-c", _READER, database], environment, folder / "reader.log"),
        measure(mark, environment, folder / f"mark-{versions}.log"),
        measure([sys.executable, "-c", "pass"], environment, folder / "nothing.log"),
    )


def main() -> int:
    """Print the table; the exit status is 1 when a process failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--folder", type=Path, help="where to make the catalogs and leave them (default: temporary)")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder.resolve() if given.folder else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'versions':>9}  {'what':<22} {'seconds':>8} {'CPU s':>7} {'peak MB':>8}  exit")
        for versions in given.versions:
            names = ("plain sqlite3", "marksweep mark", "an empty interpreter")
            for what, cost in zip(names, compare(versions, folder), strict=True):
                print(
                    f"{versions:>9}  {what:<22} {cost.seconds:>8.2f} {cost.cpu:>7.2f} {cost.peak:>8.1f}  {cost.status}",
                    flush=True,
                )
                # A plan with entries ends in 0 or 10 (see the design's exit statuses).
                if cost.status not in (0, 10):
                    failed = True
                    print((folder / f"mark-{versions}.log").read_text()[-2000:], file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
