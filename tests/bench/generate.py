"""A big ZenML 0.98.0 catalog: the schema is ZenML's own (from the demo's database), the rows are made here.

    python tests/bench/generate.py DEST --versions 200000 [--dense]

The same seed, number and destination give the same rows. About 40 % of the versions are the output of a step, which has
three inputs among them; 5 % are linked to a model version; one in a thousand is named in the JSON of a live snapshot;
the rest are orphans. ``--dense`` gives :data:`tests.bench.rows.DENSE`. Foreign keys hold. Times are spread over the year
before :data:`tests.bench.rows.UNTIL`.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from marksweep.cli.demo import DEMO_ARCHIVE
from marksweep.cli.demo.unpack import unpack
from tests.bench.rows import DENSE, KEPT_TABLES, Mix, Rows


@dataclass(frozen=True)
class Generated:
    """One generated catalog. Ids are 32 hex digits, as in the database; ``orphans`` are those with no reference.

    ``steps`` are ids of step runs, to link more versions to.
    """

    root: Path
    versions: list[str]
    orphans: set[str]
    steps: list[str]
    uris: dict[str, str]

    @property
    def database(self) -> Path:
        return self.root / "cfg" / "local_stores" / "default_zen_store" / "zenml.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"


def small(destination: Path, versions: int = 300, seed: int = 1, with_files: bool = True) -> Generated:
    """A catalog for crash tests: like :func:`generate`, with one to three small files below each version's URI."""
    generated = generate(destination, versions, seed)
    if with_files:
        rng = random.Random(seed)
        for identifier, uri in generated.uris.items():
            place = Path(uri)
            place.mkdir(parents=True)
            (place / "data.json").write_text(f'{{"version": "{identifier}"}}')
            for part in range(rng.choice((0, 0, 1, 2))):
                (place / "parts").mkdir(exist_ok=True)
                (place / "parts" / f"{part}.bin").write_bytes(rng.randbytes(rng.randrange(200)))
    return generated


def generate(destination: Path, versions: int = 200_000, seed: int = 1, mix: Mix | None = None) -> Generated:
    """Make a catalog of *versions* versions, without files, as the new folder *destination*."""
    root = unpack(DEMO_ARCHIVE, destination)
    database = sqlite3.connect(root / "cfg" / "local_stores" / "default_zen_store" / "zenml.db", isolation_level=None)
    try:
        for pragma in ("foreign_keys = OFF", "journal_mode = OFF", "synchronous = OFF", "cache_size = -200000"):
            database.execute(f"PRAGMA {pragma}")
        rows = Rows(database, versions, seed, mix or Mix())
        _clear(root, database)
        rows.write()
        _check(database)
        database.execute("VACUUM")
    finally:
        database.close()
    orphans = {v for v in rows.versions if v not in rows.outputs and v not in rows.linked and v not in rows.mentioned}
    return Generated(root, rows.versions, orphans, rows.steps, rows.uris)


def _clear(root: Path, database: sqlite3.Connection) -> None:
    """Empty every table but those of the server, its users, projects and stacks; remove the demo's artifact files."""
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in names.fetchall():
        if table not in KEPT_TABLES:
            database.execute(f'DELETE FROM "{table}"')
    (root / "ground_truth.json").unlink()
    for path in sorted(root.rglob("*"), reverse=True):
        if path.name in ("zenml.db", "config.yaml"):
            continue
        if path.is_file():
            path.unlink()
        elif not any(path.iterdir()) and path.parent != root and path.parent.name != "local_stores":
            path.rmdir()


def _inhabit(root: Path) -> None:
    """Put something into every local store: an empty one looks like one that is not mounted, and is refused."""
    for store in (root / "cfg" / "local_stores").iterdir():
        if store.is_dir() and store.name != "default_zen_store":
            (store / "logs").mkdir()


def _check(database: sqlite3.Connection) -> None:
    broken = database.execute("PRAGMA foreign_key_check").fetchmany(5)
    if broken:
        raise AssertionError(f"the generated rows break foreign keys: {broken}")


def main() -> None:
    """Read the command line, make the catalog, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--versions", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dense", action="store_true", help="the mix of links that marking is measured with")
    parser.add_argument("--with-files", action="store_true", help="write one to three small files for each version")
    given = parser.parse_args()
    started = time.monotonic()
    if given.with_files:
        generated = small(given.destination, given.versions, given.seed)
    else:
        generated = generate(given.destination, given.versions, given.seed, DENSE if given.dense else None)
        if given.dense:
            _inhabit(generated.root)
    print(generated.url)
    print(
        f"{len(generated.versions)} versions, {len(generated.orphans)} orphans, seed {given.seed}, "
        f"{generated.database.stat().st_size / 1e6:.0f} MB, {time.monotonic() - started:.1f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
