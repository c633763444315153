"""Somebody who links versions of the plan to steps while they are swept, and what that must come to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marksweep.model.entry import Entry
from tests.crash import linker
from tests.crash.invariants import Observed
from tests.support.catalogs import dashed
from tests.support.zenml_database import Where, database_of, reading

LINKS = "step_run_input_artifact"


@dataclass(frozen=True)
class Writer:
    """A running linker's log."""

    database: Where
    log: Path

    def turns(self) -> list[dict[str, Any]]:
        """Every turn whose outcome is final. The last line may still be being written."""
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def outcomes(self) -> Counter[str]:
        return Counter(turn["outcome"] for turn in self.turns())

    def recorded(self) -> set[str]:
        """The ids of the versions that the linker was told are linked."""
        return {dashed(turn["id"]) for turn in self.turns() if turn["outcome"] == "ok"}

    def lost(self) -> list[dict[str, Any]]:
        """Links that the linker was told are committed and that are not there, or whose version is not."""
        turns = self.turns()  # before the rows are read: what is linked meanwhile is not asked about
        with reading(self.database) as database:
            there = set(
                database.execute(
                    f"SELECT l.artifact_id, l.name FROM {LINKS} l JOIN artifact_version v ON v.id = l.artifact_id"
                )
            )
        return [
            turn
            for turn in turns
            if turn["outcome"] == "ok" and (turn["id"].replace("-", ""), turn["name"]) not in there
        ]


@contextmanager
def writing(
    database: Where, entries: Sequence[Entry], folder: Path, seed: int, *, pause: float, dwell: float, aim: int
) -> Iterator[Writer]:
    """Link *entries* in another process, about in their order, for as long as the block lasts."""
    ids, log = folder / "ids.json", folder / "linker.jsonl"
    ids.write_text(json.dumps([e.id for e in entries]))
    options = {"seed": seed, "count": 10**9, "seconds": 280, "pause": pause, "dwell": dwell, "aim": aim}
    command = [sys.executable, linker.__file__, database_of(database).url, str(ids), str(log)]
    process = subprocess.Popen(command + [f"--{name}={value}" for name, value in options.items()])
    try:
        yield Writer(database, log)
    finally:
        log.with_name(log.name + ".stop").touch()
        status = process.wait(timeout=70)
    assert status == 0, "the linker failed"


def without_links(observed: Observed) -> Observed:
    """What there is besides the linker's rows."""
    rows = [row for row in observed.tables[LINKS] if not row["name"].startswith("linked_")]
    return replace(observed, tables={**observed.tables, LINKS: rows})
