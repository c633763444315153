"""`marksweep prune` beside `zenml artifact prune`, on the same catalog with its files on a local disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.bench import store_job as job
from tests.bench.generate import small
from tests.bench.store_job import Run
from tests.support import zenml_runner

RELEASE = "0.98.0"
SHARE = 0.57
"""Orphans among the generated versions, in round numbers: how many to make for as many orphans as are wanted."""


@dataclass(frozen=True)
class Pruned:
    """Both on the same catalog: ``versions`` are its orphans. No *zenml* if there is none, and *why*."""

    versions: int
    marksweep: Run
    zenml: Run | None
    why: str = ""

    @property
    def times(self) -> float | None:
        """How many times faster."""
        return None if self.zenml is None else self.zenml.seconds / self.marksweep.seconds


def measured(versions: int, runs: int, folder: Path, seed: int) -> Pruned:
    """Prune the catalog *runs* times with marksweep and once with ZenML, which takes long; each time as it was made."""
    catalog, kept = folder / "catalog", folder / "kept"
    made = small(catalog, int(versions / SHARE), seed)
    shutil.copytree(catalog, kept, symlinks=True)
    url, mine = made.url, []
    for _ in range(runs):
        words = job.marksweep("prune", "--catalog", url, "--yes", "--no-grace", "--min-age", "0", "--max-share", "100")
        mine.append(job.command([*words, "--json", "--quiet"], folder))
        assert json.loads((folder / "log").read_text())["sweep"]["books"]["deleted"] == len(made.orphans)
        _restore(kept, catalog)
    try:
        theirs = _zenml(catalog, folder, len(made.orphans))
    except (zenml_runner.NoEnvironment, job.RunFailed) as missing:
        return Pruned(len(made.orphans), job.median(mine), None, str(missing))
    return Pruned(len(made.orphans), job.median(mine), theirs)


def _zenml(catalog: Path, folder: Path, orphans: int) -> Run:
    program = zenml_runner.interpreter(RELEASE).parent / "zenml"
    before = _count(catalog)
    more = {
        "ZENML_CONFIG_PATH": str(catalog / "cfg"), "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR", "ZENML_DISABLE_CLIENT_SERVER_MISMATCH_WARNING": "true",
    }  # fmt: skip
    run = job.command([str(program), "artifact", "prune", "--yes"], folder, more=more)
    gone = before - _count(catalog)
    assert gone >= orphans, f"zenml artifact prune deleted {gone} of {orphans} versions"
    return run


def _count(catalog: Path) -> int:
    database = catalog / "cfg" / "local_stores" / "default_zen_store" / "zenml.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as rows:
        found: int = rows.execute("SELECT count(*) FROM artifact_version").fetchone()[0]
    return found


def _restore(kept: Path, catalog: Path) -> None:
    shutil.rmtree(catalog)
    shutil.copytree(kept, catalog, symlinks=True)
