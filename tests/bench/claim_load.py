"""What a sweep's claims cost the other writers of a catalog, and how many rows go per second, on MariaDB and on SQLite.

    python tests/bench/claim_load.py [--engines mariadb sqlite] [--versions 300000] [--rounds 2] [--seconds 6] [--folder DIR]

Four processes write as ZenML's pipelines do, all the time (see :mod:`tests.bench.claim_writers`). Beside them come, in one
run and in turn with times of no sweep at all: claims in the batch size that adapts itself, the whole program
(``marksweep sweep`` of an only-metadata plan), claims of 1 to 10,000 versions, and on MariaDB claims without SKIP LOCKED.
Every ratio is against all times of no sweep in the same run. MariaDB is as durable as in production, its data on disk.

The exit status is 1 if the adapted claims, or the program, make the writers' 99th percentile 3 times as long on MariaDB.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from marksweep.catalog.zenml import known
from marksweep.model.entry import Entry
from tests.bench.claim_loads import Claims, Command, Done
from tests.bench.claim_table import LIMIT, NO_SWEEP, Line, head, lines
from tests.bench.claim_writers import AnyDatabase, Targets, writing, written
from tests.bench.generate import generate
from tests.bench.mariadb import load, server_on_disk
from tests.bench.rows import SPREAD, UNTIL, Mix
from tests.support.databases import MariaDbDatabase, SqliteDatabase

MIX = Mix(output=0.58, model=0.2, cached=0.42, outputs_per_step=4, inputs_per_step=12)
"""Per version 3 links from inputs, 1 from outputs, 0.2 from models, and 1 row of metadata; a third are orphans."""
BATCHES = (1, 10, 100, 1_000, 10_000)
MOST = 6_000
"""Versions that one load takes in one round, or one batch of them if that is more."""
SETTLE = 1.0
"""Seconds after a load that count for nothing: the server tidies up."""
ADAPTED, PROGRAM = "adapted", "marksweep sweep"

_SAME_TIMES = ("logs", "artifact_visualization", "step_configuration")
"""Tables whose generated rows all have the time of the row that is their pattern."""

Load = Callable[[], Done]


@contextmanager
def mariadb(source: Path, folder: Path) -> Iterator[MariaDbDatabase]:
    """A durable server on disk with the rows of *source*; its loaded data stays in *folder* for the next time."""
    kept = folder / "mariadb-loaded"
    server = server_on_disk(folder)
    server.options["innodb_buffer_pool_size"] = "512M"
    if kept.exists():
        shutil.rmtree(server.datadir)
        shutil.copytree(kept, server.datadir)
    with server:
        if kept.exists():
            yield MariaDbDatabase(server.url("zenml_1"))
            return
        url = load(server, source, folder)
        server.stop()
        shutil.copytree(server.datadir, kept)
        server.start()
        yield MariaDbDatabase(url)


@contextmanager
def sqlite(source: Path, folder: Path) -> Iterator[SqliteDatabase]:
    """A copy of the database *source*, as the bench eats it up."""
    copy = folder / "claimed.db"
    shutil.copyfile(source, copy)
    yield SqliteDatabase(copy)


ENGINES = {"mariadb": mariadb, "sqlite": sqlite}


def made(versions: int, seed: int, folder: Path) -> Path:
    """The SQLite database of a generated catalog, below *folder*; its rows are older than any plan."""
    catalog = folder / f"catalog-{versions}"
    database = catalog / "cfg" / "local_stores" / "default_zen_store" / "zenml.db"
    if not database.exists():
        generate(catalog, versions, seed, MIX)
        with closing(sqlite3.connect(database)) as rows, rows:
            for table in _SAME_TIMES:
                rows.execute(f'UPDATE "{table}" SET created = ?, updated = ?', [str(UNTIL - SPREAD)] * 2)
    return database


def targets_of(database: AnyDatabase, entries: Sequence[Entry]) -> Targets:
    """What the writers link, and where they put new rows."""
    orphans = [known.row_id(entry.id) for entry in entries]
    with closing(database.connect()) as connection:
        dead = set(orphans)
        live = [i for (i,) in connection.execute('SELECT id FROM "artifact_version" ORDER BY id') if i not in dead]
        artifacts = [i for (i,) in connection.execute('SELECT id FROM "artifact" ORDER BY id')]
        runs = [i for (i,) in connection.execute('SELECT id FROM "pipeline_run" ORDER BY id')]
    return Targets(live, orphans, artifacts, runs)


def measure(engine: str, source: Path, folder: Path, given: argparse.Namespace) -> list[Line]:
    """All loads on one engine, *given.rounds* times, each with a time of no sweep before it."""
    with ENGINES[engine](source, folder) as database, tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = Command(database.url, source.parent.parent, Path(scratch))
        entries = command.mark()
        targets = targets_of(database, entries)
        done: dict[str, list[Done]] = {}
        with writing(database, targets, Path(scratch), given.seed) as (position, logs):
            claims = Claims(
                database.url, entries, len(entries) // 4, Path(scratch)
            )  # the first quarter is the program's
            run = functools.partial(claims.run, seconds=given.seconds, shared=position)
            loads: dict[str, Load] = {
                ADAPTED: lambda: run(None, most=MOST),
                PROGRAM: lambda: command.sweep(given.seconds, position),
                **{f"{size:,}": functools.partial(run, size, most=max(MOST, size)) for size in given.batches},
            }
            if engine == "mariadb":
                for size in (None, 50, 1_000):
                    name = f"no SKIP LOCKED: {size or ADAPTED}"
                    loads[name] = functools.partial(run, size, most=MOST // 3, locks_skipped=False)
            _no_sweep(given.seconds)  # warms everything up, and is not counted
            for _ in range(given.rounds):
                for name, work in loads.items():
                    done.setdefault(NO_SWEEP, []).append(_no_sweep(given.seconds / 2))
                    done.setdefault(name, []).append(work())
                    time.sleep(SETTLE)
        return lines(done, written(logs))


def _no_sweep(seconds: float) -> Done:
    began = time.monotonic()
    time.sleep(seconds)
    return Done(began, time.monotonic())


def report(engine: str, measured: Sequence[Line], given: argparse.Namespace) -> bool:
    """Print the table; whether the limit is kept, which is for MariaDB only: SQLite has one writer at a time."""
    print(f"\n{engine}: {given.versions:,} versions, {given.rounds} rounds of {given.seconds:g} s, seed {given.seed},")
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[1]:.1f} in the last 5 minutes\n\n{head()}")
    for line in measured:
        print(line.text())
    if engine != "mariadb":
        return True
    kept = True
    for line in measured:
        if line.name in (ADAPTED, PROGRAM):
            kept = kept and line.ratio < LIMIT
            verdict = "less than" if line.ratio < LIMIT else "NOT less than"
            print(f"{line.name}: the writers' p99 is {line.ratio:.2f} times that of no sweep, {verdict} {LIMIT} times")
    return kept


def main() -> int:
    """Make the catalog, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=tuple(ENGINES), default=list(ENGINES))
    parser.add_argument("--versions", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each load lasts at the most")
    parser.add_argument("--batches", type=int, nargs="*", default=BATCHES, help="the fixed batch sizes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the catalogs are made, and stay (default: temporary)")
    given = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder.resolve() if given.folder else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        source = made(given.versions, given.seed, folder)
        for engine in given.engines:
            kept = report(engine, measure(engine, source, folder, given), given) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
