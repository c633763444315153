"""Processes that write to a catalog as ZenML's pipelines do, and how long each of their transactions took.

One turn is a step: its row; its inputs, each read before they are linked; a new version; the link to it; the row once more
when it has ended. Each is a transaction of its own, with a short pause after it.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.databases import INTEGRITY, OPERATIONAL, Connection, MariaDbDatabase, SqliteDatabase

WRITERS = 4
THINK = 0.02
"""Seconds between two transactions of one writer, on the average."""
INPUTS = 3
TO_ORPHANS = 0.05
"""The share of linking transactions that link one version out of those that the claims come to next."""
AHEAD = 2_000
"""So many versions ahead of the last claim, and behind it, are linked then."""
PATIENCE = 60
"""Seconds that ZenML waits for a lock."""
_DEADLOCK, _LOCK_WAIT = 1213, 1205

AnyDatabase = SqliteDatabase | MariaDbDatabase


@dataclass(frozen=True, slots=True)
class Written:
    """One transaction: when it began (the monotonic clock), how many seconds it took, what it was and what became of it.

    Outcomes: ``ok``; ``gone`` (an input was not there any more); ``refused`` (by a foreign key); ``deadlock`` (the server
    chose it as the victim); ``timeout``.
    """

    began: float
    seconds: float
    kind: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Targets:
    """What there is to link: row ids of live versions, and of orphans in the order in which they are claimed."""

    live: Sequence[str]
    orphans: Sequence[str]
    artifacts: Sequence[str]
    runs: Sequence[str]


@contextmanager
def writing(database: AnyDatabase, targets: Targets, folder: Path, seed: int) -> Iterator[tuple[Any, list[Path]]]:
    """Four writers; yields where the claims are (a shared number of orphans, to be kept up) and their logs."""
    spawn = multiprocessing.get_context("spawn")
    position, stop = spawn.Value("l", 0), spawn.Event()
    logs = [folder / f"writer-{number}.log" for number in range(WRITERS)]
    processes = [
        spawn.Process(
            target=_write, args=(database, targets, log, f"writer {seed} {number}", position, stop), daemon=True
        )
        for number, log in enumerate(logs)
    ]
    for process in processes:
        process.start()
    try:
        yield position, logs
    finally:
        stop.set()
        for process in processes:
            process.join(2 * PATIENCE)
            if process.exitcode is None:
                process.kill()
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        raise RuntimeError(f"writers ended with {failed}")


def written(logs: Sequence[Path]) -> list[Written]:
    """What the writers logged."""
    rows = (line.split() for log in logs for line in log.read_text().splitlines())
    return [Written(float(began), float(seconds), kind, outcome) for began, seconds, kind, outcome in rows]


def _write(database: AnyDatabase, targets: Targets, log: Path, seed: str, position: Any, stop: Any) -> None:
    rng = random.Random(seed)
    with closing(database.connect(timeout=PATIENCE)) as connection, log.open("w") as output:
        writer = Writer(connection, targets, rng, begins=isinstance(database, MariaDbDatabase))
        while not stop.is_set():
            for kind, work in writer.turn(position.value):
                began = time.monotonic()
                outcome = writer.transact(work)
                output.write(f"{began} {time.monotonic() - began} {kind} {outcome}\n")
                time.sleep(rng.uniform(0, 2 * THINK))
            output.flush()


class Writer:
    """One pipeline's writes. On MariaDB a transaction *begins* with its first read, on SQLite with its first change."""

    def __init__(self, connection: Connection, targets: Targets, rng: random.Random, *, begins: bool) -> None:
        self.connection, self.targets, self.rng, self.begins = connection, targets, rng, begins
        self._patterns = {table: self._pattern(table) for table in ("step_run", "artifact_version")}

    def turn(self, position: int) -> Iterator[tuple[str, Callable[[], str]]]:
        """The transactions of one step, each with the kind that it is."""
        step, version = self._id(), self._id()
        yield "step", lambda: self._step(step)
        yield "link", lambda: self._link(step, self._inputs(position))
        yield "version", lambda: self._version(version)
        yield "output", lambda: self._output(step, version)
        yield "finish", lambda: self._finish(step)

    def transact(self, work: Callable[[], str]) -> str:
        """Do *work* and commit; the outcome. Like ZenML, it does not try again."""
        try:
            if self.begins:
                self.connection.execute("BEGIN")
            outcome = work()
            self.connection.commit()
        except INTEGRITY as error:
            self.connection.rollback()
            if "FOREIGN KEY" not in str(error).upper():
                raise
            return "refused"
        except OPERATIONAL as error:
            self.connection.rollback()
            if error.args[0] not in (_DEADLOCK, _LOCK_WAIT) and "locked" not in str(error):
                raise
            return "deadlock" if error.args[0] == _DEADLOCK else "timeout"
        return outcome

    def _inputs(self, position: int) -> list[str]:
        if self.rng.random() < TO_ORPHANS:
            near = self.targets.orphans[max(0, position - AHEAD) : position + AHEAD]
            return [self.rng.choice(near or self.targets.orphans)]
        return [self.rng.choice(self.targets.live) for _ in range(INPUTS)]

    def _step(self, step: str) -> str:
        run = self.rng.choice(self.targets.runs)
        self._insert("step_run", id=step, pipeline_run_id=run, name=f"step-{step}", status="running")
        return "ok"

    def _link(self, step: str, inputs: Sequence[str]) -> str:
        for index, version in enumerate(inputs):
            if not self.connection.execute('SELECT id, uri FROM "artifact_version" WHERE id = ?', [version]).fetchall():
                return "gone"
            self.connection.execute(
                'INSERT INTO "step_run_input_artifact" (name, type, input_index, step_id, artifact_id)'
                " VALUES (?, 'manual', 0, ?, ?)",
                [f"input_{index}", step, version],
            )
        return "ok"

    def _version(self, version: str) -> str:
        artifact, number = self.rng.choice(self.targets.artifacts), self.rng.randrange(1_000_000, 2_000_000_000)
        uri = f"/bench/{version}"
        self._insert(
            "artifact_version", id=version, artifact_id=artifact, uri=uri, version=str(number), version_number=number
        )
        return "ok"

    def _output(self, step: str, version: str) -> str:
        self.connection.execute(
            "INSERT INTO \"step_run_output_artifact\" (name, step_id, artifact_id) VALUES ('output', ?, ?)",
            [step, version],
        )
        return "ok"

    def _finish(self, step: str) -> str:
        self.connection.execute(
            "UPDATE \"step_run\" SET status = 'completed', updated = ? WHERE id = ?", [_now(), step]
        )
        return "ok"

    def _insert(self, table: str, **values: object) -> None:
        row = self._patterns[table] | values | {"created": _now(), "updated": _now()}
        names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
        self.connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))

    def _pattern(self, table: str) -> dict[str, Any]:
        cursor = self.connection.execute(f'SELECT * FROM "{table}" LIMIT 1')
        row = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
        self.connection.rollback()
        return row

    def _id(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
