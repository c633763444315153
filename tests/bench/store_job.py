"""One measured run: a command in a process of its own, its seconds, CPU and memory; and medians of several."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.seaweed import ENVIRONMENT

REPOSITORY = Path(__file__).parent.parent.parent
CLIENTS = REPOSITORY / "tests" / "bench" / "store_clients.py"

_LOOKS = 0.02
"""Seconds between two looks at a process."""
_HIGH_WATER = re.compile(r"^VmHWM:\s+(\d+) kB", re.M)


@dataclass(frozen=True)
class Run:
    """What one run took. ``seconds`` and ``cpu`` are those of the work; of the whole process where it is a command.

    ``versions`` and ``objects`` are what it did, ``peak`` is in MB. ``requests``: as the server counted them, and
    ``server_cpu`` its own CPU seconds meanwhile.
    """

    seconds: float
    cpu: float
    peak: float
    versions: int
    objects: int
    requests: Mapping[str, int] = field(default_factory=Counter)
    server_cpu: float = 0.0


class RunFailed(Exception):
    """A measured program ended with an error; the message holds the end of what it wrote."""


def environment(folder: Path) -> dict[str, str]:
    """For every measured process: the server's credentials, and a home that is empty."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | ENVIRONMENT | {
        "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state"),
        "MARKSWEEP_CONFIG_DIR": str(folder / "config"), "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip


def command(
    words: Sequence[str], folder: Path, *, versions: int = 0, objects: int = 0, more: Mapping[str, str] | None = None
) -> Run:
    """Run *words* to their end, in :func:`environment` and *more*; the caller knows what it did.

    Raise RunFailed for any exit status but 0.
    """
    log = folder / "log"
    began = time.perf_counter()
    with log.open("wb") as output:
        child = subprocess.Popen(
            words, env=environment(folder) | dict(more or {}), stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
        ended, peak = 0, 0.0
        while not ended:
            # What wait4 says of memory counts from the fork, so that a big parent shows in it. This only grows.
            peak = max(peak, _peak(child.pid))
            time.sleep(_LOOKS)
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        said = log.read_text(errors="replace")[-3000:]
        raise RunFailed(f"{Path(words[0]).name} ended with {child.returncode}:\n{said}")
    return Run(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, peak, versions, objects)


def _peak(pid: int) -> float:
    try:
        found = _HIGH_WATER.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else 0.0


def marksweep(*words: str | Path) -> list[str]:
    """The command line of marksweep, for :func:`command`."""
    return [sys.executable, "-m", "marksweep", *map(str, words)]


def client(what: str, job: Mapping[str, object], folder: Path) -> tuple[Run, dict[str, object]]:
    """Run one client of :mod:`tests.bench.store_clients` and return what it took and what it says of itself."""
    (folder / "job.json").write_text(json.dumps(job))
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    whole = command([sys.executable, str(CLIENTS), what, str(folder / "job.json"), str(result)], folder)
    said = json.loads(result.read_text())
    run = Run(said.pop("seconds"), said.pop("cpu"), whole.peak, said.pop("versions"), said.pop("objects"))
    return run, said


def median(runs: Sequence[Run]) -> Run:
    """The median of each figure; the requests of the first run, since they do not vary by chance."""
    return Run(
        statistics.median(run.seconds for run in runs), statistics.median(run.cpu for run in runs),
        statistics.median(run.peak for run in runs), runs[0].versions, runs[0].objects, runs[0].requests,
        statistics.median(run.server_cpu for run in runs),
    )  # fmt: skip
