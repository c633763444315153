"""How long ``marksweep mark --no-size`` takes beside a plain read of the same versions, on SQLite and on MariaDB.

    python tests/bench/mark_scale.py [--versions 100000 1000000] [--engines sqlite mariadb] [--folder DIR]

For each size the same rows are put into both (:data:`tests.bench.rows.DENSE`), on disk, and read once before anything is
measured. Then, each in a process of its own: (a) the facts of every version, streamed by the plain driver; (b) the same as
marksweep reads, through SQLAlchemy; (c) the mark, from the command line to the verified plan. Seconds, CPU seconds and peak
resident memory come from ``wait4`` of just that process; with MariaDB the server's own work is in the seconds alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.bench.mariadb import load, server_on_disk

_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parent.parent


@dataclass(frozen=True)
class Cost:
    """What one process took: wall and CPU seconds, peak resident memory in MB, and its exit status."""

    status: int
    seconds: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Made:
    """One generated catalog: where its files are, and its URL on each engine."""

    root: Path
    urls: dict[str, str]

    @property
    def stores(self) -> Path:
        return self.root / "cfg" / "local_stores"


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


def make(versions: int, folder: Path, engines: list[str], stack: ExitStack) -> Made:
    """Generate the rows as SQLite, and load them into a server that runs until *stack* is closed."""
    # In a process of its own: a child's peak counts from its fork, so that a big parent would show in it.
    root = folder / f"catalog-{versions}"
    making = [sys.executable, str(_HERE / "generate.py"), str(root), "--dense", "--versions", str(versions)]
    urls = {"sqlite": subprocess.run(making, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()}
    if "mariadb" in engines:
        place = folder / f"mariadb-{versions}"
        place.mkdir()
        server = stack.enter_context(server_on_disk(place))
        urls["mariadb"] = load(server, Path(urls["sqlite"].removeprefix("sqlite:///")), place)
    return Made(root, urls)


def compare(made: Made, engine: str, folder: Path) -> Iterator[tuple[str, Cost]]:
    """The costs of the two reads and the mark."""
    url = made.urls[engine]
    environment = os.environ | {
        "MARKSWEEP_CONFIG_DIR": str(folder / "config"),
        "PYTHONPATH": str(_REPOSITORY),
        "ZENML_LOCAL_STORES_PATH": str(made.stores),
    }
    mark = [
        sys.executable, "-m", "marksweep", "mark", "--no-size", "--catalog", url, "--force",
        "--out", str(folder / "plan.json"), "--min-age", "0", "--no-grace", "--max-share", "100",
    ]  # fmt: skip
    log = folder / "log"
    query = str(folder / "query.sql")
    reader, plain = str(_HERE / "read_versions.py"), str(_HERE / "plain_read.py")
    measure([sys.executable, reader, url, query], environment, log)
    yield "plain", measure([sys.executable, plain, url, query], environment, log)
    yield "core", measure([sys.executable, reader, url], environment, log)
    yield "mark", measure(mark, environment, log)


def main() -> int:
    """Print the table; the exit status is 1 when a process failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--engines", nargs="+", choices=["sqlite", "mariadb"], default=["sqlite", "mariadb"])
    parser.add_argument("--folder", type=Path, help="an empty folder on disk, for the catalogs (default: temporary)")
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        folder = Path(scratch)
        print(f"{'versions':>9} {'engine':<8} {'what':<6} {'seconds':>8} {'CPU s':>7} {'peak MB':>8}  exit  load")
        for versions in given.versions:
            with ExitStack() as stack:
                made = make(versions, folder, given.engines, stack)
                for engine in given.engines:
                    failed |= not _show(
                        versions, engine, dict(_printed(versions, engine, compare(made, engine, folder)))
                    )
                    if failed:
                        print((folder / "log").read_text()[-2000:], file=sys.stderr)
    return 1 if failed else 0


def _printed(versions: int, engine: str, costs: Iterator[tuple[str, Cost]]) -> Iterator[tuple[str, Cost]]:
    for what, cost in costs:
        print(
            f"{versions:>9} {engine:<8} {what:<6} {cost.seconds:>8.2f} {cost.cpu:>7.2f} {cost.peak:>8.1f}"
            f"  {cost.status:>4}  {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        yield what, cost


def _show(versions: int, engine: str, costs: dict[str, Cost]) -> bool:
    """Print the ratios; whether every process did its work."""
    mark, plain, core = (costs[what] for what in ("mark", "plain", "core"))
    print(
        f"{versions:>9} {engine:<8} ratio  {mark.seconds / plain.seconds:.1f} times the plain read,"
        f" {mark.seconds / core.seconds:.1f} times the read through SQLAlchemy",
        flush=True,
    )
    return all(cost.status == 0 for cost in costs.values())


if __name__ == "__main__":
    sys.exit(main())
