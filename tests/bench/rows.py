"""The rows of a generated ZenML 0.98.0 catalog (see :mod:`tests.bench.generate`)."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

UNTIL = datetime(2026, 1, 1)
"""When the newest version was made, in UTC."""
SPREAD = timedelta(days=365)

VERSIONS_PER_ARTIFACT = 20
STEPS_PER_RUN = 10
RUNS_PER_SNAPSHOT = 10
SHARE_MENTIONED = 0.001


@dataclass(frozen=True)
class Mix:
    """How densely versions are referred to. ``output``, ``model``: the share of versions with such a link.

    ``cached``: links from the outputs of cached steps to versions that are an output already, per version.
    """

    output: float = 0.40
    model: float = 0.05
    cached: float = 0.0
    outputs_per_step: int = 1
    inputs_per_step: int = 3
    metadata: bool = True


DENSE = Mix(output=0.757, model=0.20, cached=0.243, outputs_per_step=4, inputs_per_step=12, metadata=False)
"""A million versions have 3 million links from inputs, 1 million from outputs, 200,000 from models; 194,000 are orphans."""

KEPT_TABLES = {
    "alembic_version", "flavor", "project", "server_settings", "stack", "stack_component", "stack_composition", "user",
}  # fmt: skip
"""Tables that stay as the demo's catalog has them."""

_PIPELINES, _STEP_NAMES = 10, 40


class Rows:
    """The rows of one catalog, table by table. A real row of each is the pattern for the columns not named here."""

    def __init__(self, database: sqlite3.Connection, versions: int, seed: int, mix: Mix) -> None:
        self.database = database
        self.mix = mix
        self.rng = random.Random(seed)
        self.patterns = {table: _pattern(database, table) for table in _TABLES}
        (self.project,) = database.execute("SELECT id FROM project WHERE name = 'default'").fetchone()
        row = database.execute("SELECT artifact_store_id, uri FROM artifact_version WHERE save_type = 'step_output'")
        self.store, uri = row.fetchone()
        dashed = _dashed(self.store)
        self.store_root = uri[: uri.index(dashed) + len(dashed)]
        self.interval = SPREAD / max(versions, 1)

        self.versions = self._ids(versions)
        self.artifacts = self._ids(-(-versions // VERSIONS_PER_ARTIFACT))
        draws = [(self.rng.random(), self.rng.random(), self.rng.random()) for _ in range(versions)]
        outputs = [i for i, draw in enumerate(draws) if draw[0] < mix.output]
        self.output_numbers = outputs
        self.outputs = {self.versions[i] for i in outputs}
        self.linked = {v: None for v, draw in zip(self.versions, draws, strict=True) if draw[1] < mix.model}
        self.mentioned = {v: None for v, draw in zip(self.versions, draws, strict=True) if draw[2] < SHARE_MENTIONED}
        self.made = [outputs[at : at + mix.outputs_per_step] for at in range(0, len(outputs), mix.outputs_per_step)]
        """Per step the numbers of its outputs; those of cached steps come last."""
        for _ in range(int(mix.cached * versions) // mix.outputs_per_step):
            self.made.append(self.rng.sample(outputs, mix.outputs_per_step))
        self.steps = self._ids(len(self.made))
        self.runs = self._ids(-(-len(self.made) // STEPS_PER_RUN))
        self.snapshots = self._ids(max(1, -(-len(self.runs) // RUNS_PER_SNAPSHOT)))
        self.pipelines = self._ids(_PIPELINES)
        self.uris: dict[str, str] = {}

    def write(self) -> None:
        """Insert everything, parents first."""
        model, model_version = self._ids(2)
        base = {"created": _at(UNTIL - SPREAD), "updated": _at(UNTIL - SPREAD), "project_id": self.project}
        self._insert("model", [base | {"id": model, "name": "model"}])
        self._insert("model_version", [base | {"id": model_version, "model_id": model, "name": "1", "number": 1}])
        self._insert("pipeline", ({"id": p, "name": f"pipeline_{i}"} | base for i, p in enumerate(self.pipelines)))
        self._insert("artifact", ({"id": a, "name": _artifact_name(i)} | base for i, a in enumerate(self.artifacts)))
        self._insert("pipeline_snapshot", self._snapshots(base))
        self._insert("step_configuration", self._configurations())
        self._insert("pipeline_run", self._runs())
        self._insert("step_run", self._steps())
        self._insert("logs", self._logs())
        self._insert("artifact_version", self._versions())
        self._insert("artifact_visualization", self._visualizations())
        if self.mix.metadata:
            metadata = self._ids(len(self.versions))
            self._insert("run_metadata", ({"id": m, "project_id": self.project} for m in metadata))
            self._insert("run_metadata_resource", self._metadata(metadata))
        self._insert("step_run_output_artifact", self._output_links())
        self._insert("step_run_input_artifact", self._input_links())
        self._insert("model_versions_artifacts", self._model_links(model_version))

    def _insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Insert *rows* in big transactions; columns that a row does not name are those of the pattern."""
        pattern = self.patterns[table]
        pattern |= {column: _at(UNTIL - SPREAD) for column in ("created", "updated") if column in pattern}
        names = ", ".join(f'"{column}"' for column in pattern)
        statement = f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(pattern))})'
        self.database.execute("BEGIN")
        self.database.executemany(statement, (tuple((pattern | row).values()) for row in rows))
        self.database.execute("COMMIT")

    def _ids(self, count: int) -> list[str]:
        digits = (f"{self.rng.getrandbits(128):032x}" for _ in range(count))
        return [f"{d[:12]}4{d[13:16]}a{d[17:]}" for d in digits]

    def _time(self, number: int) -> datetime:
        """When the version of this number was made: the last one at :data:`UNTIL`."""
        return UNTIL - self.interval * (len(self.versions) - 1 - number)

    def _snapshots(self, base: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, snapshot in enumerate(self.snapshots):
            yield base | {
                "id": snapshot,
                "pipeline_id": self.pipelines[number % _PIPELINES],
                "name": f"snapshot_{number}",
            }

    def _configurations(self) -> Iterator[dict[str, Any]]:
        """The steps of each snapshot; versions that only JSON mentions are spread over them as external inputs."""
        config = self.patterns["step_configuration"]["config"]
        places = len(self.snapshots) * STEPS_PER_RUN
        inputs: list[list[str]] = [[] for _ in range(places)]
        for number, version in enumerate(self.mentioned):
            inputs[number % places].append(f'"x{number}":{{"id":"{_dashed(version)}"}}')
        for place, identifier in enumerate(self._ids(places)):
            snapshot, step = divmod(place, STEPS_PER_RUN)
            external = f'"external_input_artifacts":{{{",".join(inputs[place])}}}'
            yield {
                "id": identifier, "snapshot_id": self.snapshots[snapshot], "step_run_id": None, "index": step,
                "name": f"step_{step}", "config": config.replace('"external_input_artifacts":{}', external),
            }  # fmt: skip

    def _runs(self) -> Iterator[dict[str, Any]]:
        for number, run in enumerate(self.runs):
            began = self._time(self.made[number * STEPS_PER_RUN][0])
            ended = self._time(self.made[min((number + 1) * STEPS_PER_RUN, len(self.steps)) - 1][0])
            yield {
                "id": run, "created": _at(began), "updated": _at(ended), "start_time": _at(began),
                "end_time": _at(ended), "name": f"run-{number}", "status": "completed",
                "in_progress": 0, "index": number,
                "snapshot_id": self.snapshots[number // RUNS_PER_SNAPSHOT], "project_id": self.project,
                "pipeline_id": self.pipelines[number // RUNS_PER_SNAPSHOT % _PIPELINES],
            }  # fmt: skip

    def _steps(self) -> Iterator[dict[str, Any]]:
        for number, step in enumerate(self.steps):
            run, at = number // STEPS_PER_RUN, _at(self._time(self.made[number][0]))
            yield {
                "id": step, "name": f"step_{number % STEPS_PER_RUN}", "created": at, "updated": at, "start_time": at,
                "end_time": at, "status": "completed", "pipeline_run_id": self.runs[run], "project_id": self.project,
                "snapshot_id": self.snapshots[run // RUNS_PER_SNAPSHOT],
            }  # fmt: skip

    def _logs(self) -> Iterator[dict[str, Any]]:
        for step, log in zip(self.steps, self._ids(len(self.steps)), strict=True):
            yield {
                "id": log, "uri": f"{self.store_root}/logs/{_dashed(log)}.log", "source": "step", "step_run_id": step,
                "artifact_store_id": self.store, "project_id": self.project,
            }  # fmt: skip

    def _versions(self) -> Iterator[dict[str, Any]]:
        for number, version in enumerate(self.versions):
            artifact, ordinal = number % len(self.artifacts), number // len(self.artifacts) + 1
            at = self._time(number)
            folder = f"{self.rng.getrandbits(128):032x}"
            uri = (
                f"{self.store_root}/step_{artifact % _STEP_NAMES}/{_artifact_name(artifact)}"
                f"/{_dashed(folder)}/{self.rng.getrandbits(32):08x}"
            )
            self.uris[version] = uri
            yield {
                "id": version, "created": _at(at), "updated": _at(at + timedelta(microseconds=21)),
                "version": str(ordinal), "version_number": ordinal, "uri": uri, "artifact_id": self.artifacts[artifact],
                "artifact_store_id": self.store, "project_id": self.project, "save_type": "step_output",
            }  # fmt: skip

    def _visualizations(self) -> Iterator[dict[str, Any]]:
        shown = self.versions[::10]
        for version, identifier in zip(shown, self._ids(len(shown)), strict=True):
            yield {"id": identifier, "uri": f"{self.uris[version]}/output.html", "artifact_version_id": version}

    def _metadata(self, metadata: list[str]) -> Iterator[dict[str, Any]]:
        for version, value, identifier in zip(self.versions, metadata, self._ids(len(metadata)), strict=True):
            yield {
                "id": identifier, "resource_id": version, "resource_type": "artifact_version", "run_metadata_id": value,
            }  # fmt: skip

    def _output_links(self) -> Iterator[dict[str, Any]]:
        for step, numbers in zip(self.steps, self.made, strict=True):
            for index, number in enumerate(numbers):
                name = f"output_{index}" if index else "output"
                yield {"name": name, "step_id": step, "artifact_id": self.versions[number]}

    def _input_links(self) -> Iterator[dict[str, Any]]:
        """Each step reads some of the outputs that are older than its own."""
        for position, step in enumerate(self.steps):
            older = min(position * self.mix.outputs_per_step, len(self.output_numbers))
            for index in range(min(self.mix.inputs_per_step, older)):
                number = self.output_numbers[self.rng.randrange(older)]
                yield {
                    "name": f"input_{index}", "type": "step_output", "input_index": 0, "step_id": step,
                    "artifact_id": self.versions[number],
                }  # fmt: skip

    def _model_links(self, model_version: str) -> Iterator[dict[str, Any]]:
        for version, identifier in zip(self.linked, self._ids(len(self.linked)), strict=True):
            yield {"id": identifier, "model_version_id": model_version, "artifact_version_id": version}


_TABLES = (
    "artifact", "artifact_version", "artifact_visualization", "logs", "model", "model_version",
    "model_versions_artifacts", "pipeline", "pipeline_run", "pipeline_snapshot", "run_metadata",
    "run_metadata_resource", "step_configuration", "step_run", "step_run_input_artifact", "step_run_output_artifact",
)  # fmt: skip


def _pattern(database: sqlite3.Connection, table: str) -> dict[str, Any]:
    """A real row of *table*, with its foreign keys into tables that are emptied set to null."""
    where = {
        "step_configuration": """ WHERE config LIKE '%"external_input_artifacts":{}%'""",
        "artifact_version": """ WHERE data_type LIKE '%"dict"%'""",  # what small() writes is then readable to ZenML
    }.get(table, "")
    cursor = database.execute(f'SELECT * FROM "{table}"{where} ORDER BY rowid LIMIT 1')
    pattern = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
    for key in database.execute(f'PRAGMA foreign_key_list("{table}")').fetchall():
        if key[2] not in KEPT_TABLES:
            pattern[key[3]] = None
    return pattern


def _artifact_name(number: int) -> str:
    return f"artifact_{number:05d}"


def _at(moment: datetime) -> str:
    """A time as SQLAlchemy writes it into SQLite: always with microseconds."""
    return moment.isoformat(" ", "microseconds")


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
