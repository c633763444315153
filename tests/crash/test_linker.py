"""The concurrent writer tells the truth: what it calls linked is committed, and what it calls refused left nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash import linker
from tests.support.catalogs import RealCatalog
from tests.support.zenml_database import editing


def links(catalog: RealCatalog) -> set[tuple[str, str]]:
    database = catalog.connect()
    found = set(database.execute("SELECT artifact_id, name FROM step_run_input_artifact WHERE name LIKE 'linked_%'"))
    database.close()
    return found


def test_every_recorded_link_is_committed(real_catalog: RealCatalog, tmp_path: Path) -> None:
    """Run as its own process, on each release's schema: 50 turns, each link in the database and no other."""
    ids, log = tmp_path / "ids.json", tmp_path / "log.jsonl"
    absent = "0" * 32
    ids.write_text(json.dumps([*sorted(real_catalog.by_id)[:5], absent]))
    command = [sys.executable, linker.__file__, real_catalog.url, ids, log, "--count", "50", "--pause", "0"]
    subprocess.run(command, check=True)
    turns = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(turns) == 50
    assert {turn["outcome"] for turn in turns if turn["id"] == absent} == {"gone"}
    recorded = {(turn["id"].replace("-", ""), turn["name"]) for turn in turns if turn["outcome"] == "ok"}
    assert recorded
    assert recorded == links(real_catalog)


def test_a_version_that_goes_between_reading_and_linking_is_refused(
    real_catalog: RealCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is deleted by somebody else after the read: the database refuses the link, and nothing is written."""
    version = sorted(real_catalog.by_id)[0].replace("-", "")

    def overtaken(_: float) -> None:
        with editing(real_catalog.database) as other:
            other.execute("DELETE FROM artifact_version WHERE id = ?", [version])

    with closing(linker.connect(real_catalog.url)) as connection:
        (step,) = connection.execute("SELECT id FROM step_run LIMIT 1").fetchone()
        monkeypatch.setattr(linker, "sleep", overtaken)
        assert linker.link(connection, version, step, "linked_late", dwell=1) == "fk_refused"
    assert links(real_catalog) == set()
