"""A writer in its own process that links versions to steps, as ZenML does it, while something else sweeps the catalog.

    python tests/crash/linker.py DATABASE IDS LOG [--seed 1] [--count 1000] [--seconds 30] [--pause 0.002] [--dwell 0] [--aim N]

IDS is a JSON file with a list of version ids. Each turn reads a random one of them and links it to a step run, on a
connection with foreign keys on, a busy timeout of 60 seconds and the journal mode as it is. LOG gets one JSON line for
each turn, after the commit (and a file LOG.stop ends it): ``{"id": …, "outcome": …, "step": …, "name": …}``. Outcomes:

* ``ok``: the link is committed, and from here on nobody may delete the version.
* ``gone``: there was no such row, and nothing was written.
* ``fk_refused``: the row was there when it was read and was gone when the link came; the database refused.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUSY_TIMEOUT = 60.0
"""Seconds that ZenML waits for SQLite's lock (since 0.97; 5 s before)."""


def connect(database: Path) -> sqlite3.Connection:
    """Open the catalog as ZenML does: foreign keys are on, and nothing is created."""
    connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def link(connection: sqlite3.Connection, version: str, step: str, name: str, dwell: float = 0) -> str:
    """Link *version* to *step* as its input *name*; return the outcome once it is final.

    The row is read first, outside the transaction, as ZenML does it: pysqlite's BEGIN comes with the first write.
    *dwell* seconds pass between the two.
    """
    row = connection.execute("SELECT id, uri FROM artifact_version WHERE id = ?", [version]).fetchone()
    if row is None:
        return "gone"
    values = {"name": name, "type": "manual", "step_id": step, "artifact_id": version, "input_index": 0}
    columns = [c for c in _columns(connection) if c in values]
    statement = (
        f"INSERT INTO step_run_input_artifact ({', '.join(columns)}) VALUES ({', '.join(f':{c}' for c in columns)})"
    )
    if dwell:
        time.sleep(dwell)
    connection.execute("BEGIN")
    try:
        connection.execute(statement, values)
    except sqlite3.IntegrityError as error:
        connection.execute("ROLLBACK")
        if "FOREIGN KEY" not in str(error):
            raise
        return "fk_refused"
    connection.execute("COMMIT")
    return "ok"


def turns(
    connection: sqlite3.Connection, versions: list[str], rng: random.Random, dwell: float = 0, aim: int | None = None
) -> Iterator[dict[str, Any]]:
    """Link one random version after the other; each turn comes out when it is final.

    With *aim*, one of so many that come, in the order of *versions*, after the last one that is gone: a sweep takes them in
    that order, so both meet again and again.
    """
    steps = [row[0] for row in connection.execute("SELECT id FROM step_run ORDER BY id")]
    in_order = json.dumps([version.replace("-", "") for version in versions])
    while True:
        first = _after_the_last_gone(connection, in_order) if aim else 0
        near = versions[first : first + aim] if aim else versions
        turn = {"id": rng.choice(near or versions), "step": rng.choice(steps)}
        turn["name"] = f"linked_{rng.getrandbits(64):016x}"
        wait = rng.uniform(0, 2 * dwell)
        yield turn | {"outcome": link(connection, turn["id"].replace("-", ""), turn["step"], turn["name"], wait)}


def _after_the_last_gone(connection: sqlite3.Connection, in_order: str) -> int:
    query = "SELECT max(key) FROM json_each(?) WHERE value NOT IN (SELECT id FROM artifact_version)"
    (last,) = connection.execute(query, [in_order]).fetchone()
    return 0 if last is None else int(last) + 1


def _columns(connection: sqlite3.Connection) -> list[str]:
    """The columns of the link table in this release; ``input_index`` is a part of the key since 0.92."""
    return [row[1] for row in connection.execute("PRAGMA table_info(step_run_input_artifact)")]


def main() -> int:
    """Read the command line and link until the count or the time is used up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("ids", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pause", type=float, default=0.002, help="seconds between turns, on the average")
    parser.add_argument("--dwell", type=float, default=0, help="seconds from reading to linking, on the average")
    parser.add_argument("--aim", type=int, help="keep to so many ids after the last that is gone")
    given = parser.parse_args()
    stop = given.log.with_name(given.log.name + ".stop")
    rng = random.Random(given.seed)
    until = time.monotonic() + given.seconds
    connection = connect(given.database)
    with given.log.open("a") as log:
        for done, turn in enumerate(
            turns(connection, json.loads(given.ids.read_text()), rng, given.dwell, given.aim), start=1
        ):
            log.write(json.dumps(turn) + "\n")
            log.flush()
            if done >= given.count or time.monotonic() >= until or stop.exists():
                break
            time.sleep(rng.uniform(0, 2 * given.pause))
    connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
