"""A writer in its own process that links versions to steps, as ZenML does it, while something else sweeps the catalog.

    python tests/crash/linker.py URL IDS LOG [--seed 1] [--count 1000] [--seconds 30] [--pause 0.002] [--dwell 0] [--aim N]

IDS is a JSON file with a list of version ids. Each turn reads a random one of them and links it to a step run, on a
connection with foreign keys on, which waits 60 seconds for a lock. LOG gets one JSON line for
each turn, after the commit (and a file LOG.stop ends it): ``{"id": …, "outcome": …, "step": …, "name": …}``. Outcomes:

* ``ok``: the link is committed, and from here on nobody may delete the version.
* ``gone``: there was no such row, and nothing was written.
* ``fk_refused``: the row was there when it was read and was gone when the link came; the database refused.
* ``deadlock``: the database rolled the link back.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.support.databases import INTEGRITY, OPERATIONAL, Connection, database_at, described

WAIT = 60.0
"""Seconds that ZenML waits for SQLite's lock (since 0.97; 5 s before); 50 is what InnoDB waits for one on a row."""
_AHEAD = 200
"""How many entries a sweep may take between two turns."""
_DEADLOCK = 1213


def connect(url: str) -> Connection:
    """Open the catalog as ZenML does: foreign keys are on, and nothing is created."""
    return database_at(url).connect(timeout=WAIT, autocommit=True)


def link(connection: Connection, version: str, step: str, name: str, dwell: float = 0) -> str:
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
        sleep(dwell)
    connection.execute("BEGIN")
    try:
        connection.execute(statement, values)
    except INTEGRITY as error:
        connection.execute("ROLLBACK")
        if "FOREIGN KEY" not in str(error):
            raise
        return "fk_refused"
    except OPERATIONAL as error:
        connection.execute("ROLLBACK")
        if error.args[0] != _DEADLOCK:
            raise
        return "deadlock"
    connection.execute("COMMIT")
    return "ok"


def turns(
    connection: Connection, versions: list[str], rng: random.Random, dwell: float = 0, aim: int | None = None
) -> Iterator[dict[str, Any]]:
    """Link one random version after the other; each turn comes out when it is final.

    With *aim*, one of so many that come, in the order of *versions*, after the last one that is gone: a sweep takes them in
    that order, so both meet again and again.
    """
    steps = [row[0] for row in connection.execute("SELECT id FROM step_run ORDER BY id")]
    first = 0
    while True:
        if aim:
            first += _after_the_last_gone(connection, versions[first : first + _AHEAD])
        near = versions[first : first + aim] if aim else versions
        turn = {"id": rng.choice(near or versions), "step": rng.choice(steps)}
        turn["name"] = f"linked_{rng.getrandbits(64):016x}"
        wait = rng.uniform(0, 2 * dwell)
        yield turn | {"outcome": link(connection, turn["id"].replace("-", ""), turn["step"], turn["name"], wait)}


def _after_the_last_gone(connection: Connection, versions: list[str]) -> int:
    ids = [version.replace("-", "") for version in versions]
    query = f"SELECT id FROM artifact_version WHERE id IN ({', '.join('?' * len(ids))})"
    there = {id_ for (id_,) in connection.execute(query, ids)} if ids else set()
    return max((number for number, id_ in enumerate(ids, start=1) if id_ not in there), default=0)


def _columns(connection: Connection) -> list[str]:
    """The columns of the link table in this release; ``input_index`` is a part of the key since 0.92."""
    return [column.name for column in described(connection, "step_run_input_artifact")]


def main() -> int:
    """Read the command line and link until the count or the time is used up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
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
    connection = connect(given.url)
    with given.log.open("a") as log:
        for done, turn in enumerate(
            turns(connection, json.loads(given.ids.read_text()), rng, given.dwell, given.aim), start=1
        ):
            log.write(json.dumps(turn) + "\n")
            log.flush()
            if done >= given.count or time.monotonic() >= until or stop.exists():
                break
            sleep(rng.uniform(0, 2 * given.pause))
    connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
