"""A small catalog with its files and a signed plan, on either engine, and room for the writers to work in."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.generate import small
from tests.chaos.jobs import REPOSITORY, Zygote
from tests.support.databases import Database, MariaDbDatabase, Row, SqliteDatabase, Violation, everything, violations
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_load import load_sqlite
from tests.support.zenml_database import copy_row

RUNS, STEPS = 4, 3
"""Pipeline runs that each writer owns, and steps of each."""
MODES = {"both": (), "only-metadata": ("--only-metadata",), "only-artifact": ("--only-artifact",)}
"""The options of mark."""


@dataclass(frozen=True)
class Observed:
    """A catalog as it is: all rows, all files below the root with their digests, all broken foreign keys."""

    tables: Mapping[str, Sequence[Row]]
    files: Mapping[str, str]
    broken: frozenset[Violation]


@dataclass(frozen=True)
class World:
    """One catalog with a plan. ``entries`` are the plan's, as its file has them; ``runs`` is per writer run -> steps."""

    folder: Path
    engine: str
    mode: str
    database: Database
    local_stores: Path
    store: Path
    entries: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, tuple[str, Mapping[str, str]]]
    runs: Sequence[Mapping[str, Sequence[str]]]
    before: Observed

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def environment(self) -> dict[str, str]:
        return {"MARKSWEEP_CONFIG_DIR": str(self.folder.parent / "config"), "NO_COLOR": "1"}

    def arguments(self, port: int | None, batch: int, drain: str) -> list[str]:
        """Of ``marksweep sweep``; *port* is that of a proxy before the server."""
        url = self.database.url
        if port is not None:
            head, _, tail = url.rpartition(":")
            url = f"{head}:{port}/{tail.partition('/')[2]}"
        return [
            "sweep", str(self.plan), "--yes", "--quiet", "--catalog", url, "--local-stores", str(self.local_stores),
            "--batch-size", str(batch), "--drain", drain,
        ]  # fmt: skip

    def observe(self) -> Observed:
        """Read the whole of it."""
        with closing(self.database.connect()) as connection:
            broken = frozenset(violations(connection))
        return Observed(everything(self.database), dict(_files(self.folder / "zenml")), broken)

    def sweep_for_real(self) -> tuple[int, str]:
        """``python -m marksweep``, as a user starts it, without any instrument; its exit status and its output."""
        command = [sys.executable, "-m", "marksweep", *self.arguments(None, 50, "1s")]
        environment = os.environ | self.environment | {"PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        return done.returncode, done.stdout + done.stderr


@contextmanager
def world(
    folder: Path,
    engine: str,
    mode: str,
    seed: int,
    versions: int,
    writers: int,
    zygote: Zygote,
    server: MariaDbServer | None,
) -> Iterator[World]:
    """Generate a catalog with *versions*, give each writer runs of its own, and mark. A database is dropped at the end."""
    folder.mkdir(parents=True)
    made = small(folder / "zenml", versions, seed)
    runs = [_runs(made.database) for _ in range(writers)]
    if engine == "sqlite":
        database: Database = SqliteDatabase(made.database)
    else:
        assert server is not None
        database = load_sqlite(server, made.database, random.Random(seed).choice(("latin1", "utf8mb4")))
        made.database.unlink()
    try:
        stores = made.root / "cfg" / "local_stores"
        _mark(folder, database.url, stores, mode, zygote)
        entries = json.loads((folder / "plan.json").read_text())["entries"]
        before = Observed(everything(database), dict(_files(made.root)), frozenset())
        store = Path(next(iter(made.uris.values()))).parents[3]
        manifest = {id_: (uri, _below(uri, before.files)) for id_, uri in made.uris.items()}
        yield World(folder, engine, mode, database, stores, store, entries, manifest, runs, before)
    finally:
        if isinstance(database, MariaDbDatabase) and server is not None:
            if server.pid is None:
                server.start()
            server.drop_database(database.name)


def _runs(database: Path) -> dict[str, list[str]]:
    """Runs that have ended, with steps, for one writer."""
    made: dict[str, list[str]] = {}
    with closing(sqlite3.connect(database)) as connection, connection:
        for _ in range(RUNS):
            run = copy_row(connection, "pipeline_run", name=f"chaos-{uuid.uuid4().hex}", orchestrator_run_id=None)["id"]
            made[run] = [
                copy_row(connection, "step_run", name=f"chaos-{n}", pipeline_run_id=run)["id"] for n in range(STEPS)
            ]
    return made


def _mark(folder: Path, url: str, stores: Path, mode: str, zygote: Zygote) -> None:
    argv = ["mark", "--catalog", url, "--local-stores", str(stores), "--out", str(folder / "plan.json"), "--quiet"]
    argv += ["--min-age", "0", "--no-grace", *MODES[mode]]
    environment = {"MARKSWEEP_CONFIG_DIR": str(folder.parent / "config"), "CI": ""}  # in CI no key is made
    log = folder / "mark.log"
    status = zygote.start("marksweep", log, argv=argv, environment=environment).wait(120)
    assert status == 0, f"mark ended with {status}: {log.read_text()}"


def _files(root: Path) -> Iterator[tuple[str, str]]:
    for path in root.rglob("*"):
        if path.is_file() and not path.name.startswith("zenml.db"):
            yield str(path), hashlib.sha256(path.read_bytes()).hexdigest()


def _below(uri: str, files: Mapping[str, str]) -> dict[str, str]:
    return {path[len(uri) + 1 :]: digest for path, digest in files.items() if path.startswith(uri + "/")}
