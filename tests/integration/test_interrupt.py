"""Ctrl-C: the sweep and the mark end in good order, say so, and go on when they are run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.generate import small
from tests.crash.carried import carried

Generate = Callable[[int, bool], None]


@pytest.fixture(params=["sqlite", "mariadb"])
def generate(request: pytest.FixtureRequest, tmp_path: Path) -> Generate:
    """``generate(400, with_files)``: make a catalog that ZenML's own configuration leads to, on each engine."""

    def make(versions: int, with_files: bool) -> None:
        made = small(tmp_path / "cat", versions, with_files=with_files)
        if request.param == "mariadb":
            url = carried(made, request.getfixturevalue("mariadb")).url
            (made.root / "cfg" / "config.yaml").write_text(f"store:\n  type: sql\n  url: '{url}'\n")

    return make


@pytest.fixture
def home(generate: Generate, tmp_path: Path) -> Path:
    """A folder with a generated catalog and its files, and a plan of what is orphaned in it."""
    generate(400, True)
    assert run(tmp_path, "mark", "--no-grace", "--max-share", "100", "--out", "plan.json").wait() == 0
    return tmp_path


def run(home: Path, *arguments: str, err: int | None = None) -> subprocess.Popen[bytes]:
    """marksweep in a process of its own, its output in files; *err*: a descriptor for its stderr."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "MARKSWEEP_"))}
    environ |= {"ZENML_CONFIG_PATH": str(home / "cat" / "cfg"), "MARKSWEEP_CONFIG_DIR": str(home / "config"), "CI": ""}
    with (home / "out").open("wb") as out, (home / "err").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "marksweep", *arguments], cwd=home, env=environ, stdout=out, stderr=err or said
        )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sweep_in_good_order(home: Path, how: signal.Signals) -> None:
    """One signal: what is in flight is finished, the exit status is 130, and the next run does the rest."""
    sweep = run(home, "sweep", "plan.json", "--yes", "--batch-size", "3")
    wait_for(home / "plan.json.journal")
    time.sleep(0.5)
    sweep.send_signal(how)
    assert sweep.wait(timeout=30) == 130
    said = (home / "err").read_text()
    assert "error[interrupted]" in said
    assert "it resumes" in said
    assert run(home, "status", "plan.json", "--json").wait() == 0
    books = json.loads((home / "out").read_text())["books"]
    assert books["in_doubt"] == 0
    assert 0 < books["not_attempted"] < books["planned"]
    assert run(home, "sweep", "plan.json", "--yes", "--json").wait() == 0
    books = json.loads((home / "out").read_text())["books"]
    assert books["deleted"] == books["planned"]


def test_a_signal_that_also_ended_the_reader_tears_nothing(tmp_path: Path) -> None:
    """Ctrl-C in ``marksweep sweep … 2>&1 | tee log`` ends tee, too: what is in flight is finished all the same."""
    small(tmp_path / "cat", 400)
    assert run(tmp_path, "mark", "--no-grace", "--max-share", "100", "--out", "plan.json").wait() == 0
    reading, writing = os.pipe()
    os.close(reading)
    sweep = run(tmp_path, "sweep", "plan.json", "--yes", "--batch-size", "1", err=writing)
    os.close(writing)
    wait_for(tmp_path / "plan.json.journal")
    time.sleep(0.4)
    sweep.send_signal(signal.SIGINT)
    assert sweep.wait(timeout=30) == 130
    assert run(tmp_path, "status", "plan.json", "--json").wait() == 0
    books = json.loads((tmp_path / "out").read_text())["books"]
    assert books["in_doubt"] == 0
    assert 0 < books["not_attempted"] < books["planned"]


def test_a_second_signal_ends_a_sweep_at_once_and_loses_nothing(home: Path) -> None:
    """Two signals are a kill: the journal knows what was begun, and the next run does the rest."""
    sweep = run(home, "sweep", "plan.json", "--yes", "--batch-size", "3")
    wait_for(home / "plan.json.journal")
    time.sleep(0.5)
    for _ in range(2):
        sweep.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert sweep.wait(timeout=30) in (130, -signal.SIGINT)  # the latter when the first had ended it already
    assert run(home, "sweep", "plan.json", "--yes", "--json").wait() == 0
    books = json.loads((home / "out").read_text())["books"]
    assert books["deleted"] == books["planned"]


def test_a_signal_ends_a_mark_and_leaves_no_plan(generate: Generate, tmp_path: Path) -> None:
    """An interrupted mark writes no plan, exits with 130, and leaves no scratch files."""
    generate(20_000, False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    os.environ["TMPDIR"], before = str(scratch), os.environ.get("TMPDIR")
    try:
        mark = run(tmp_path, "mark", "--no-grace", "--max-share", "100", "--no-size", "--out", "plan.json")
        deadline = time.monotonic() + 60
        while not list(scratch.glob("marksweep-*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        mark.send_signal(signal.SIGINT)
        assert mark.wait(timeout=30) == 130
    finally:
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
    assert "no plan was written" in (tmp_path / "err").read_text()
    assert not (tmp_path / "plan.json").exists()
    assert not list(scratch.glob("marksweep-*"))
