"""Which trials there are, how they are spread over time, and what came of all of them."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from tests.chaos.jobs import Zygote
from tests.chaos.trial import Result, Setup, run_trial
from tests.support.mariadb import MariaDbServer, initialised
from tests.support.proxy import Break

_MEMORY = Path("/dev/shm")
CUTS = (Break.BEFORE, Break.AFTER, Break.LATE)
SLOW = 0.3
"""Seconds that slow linkers take from reading to linking, at the most; a drain of one second is longer."""


def _everywhere(engine: str) -> Iterator[Setup]:
    yield Setup("kills", engine, "both")
    yield Setup("kills", engine, "only-metadata", batch=1)
    yield Setup("kills, slow linkers", engine, "only-artifact", dwell=SLOW, kills=20)
    yield Setup("kills, slow linkers", engine, "both", dwell=SLOW)


SETUPS = (
    *_everywhere("sqlite"),
    Setup("kills of both", "mariadb", "both", restarts=8, kills=15),
    Setup("kills of both", "mariadb", "only-metadata", batch=1, restarts=8, kills=15),
    Setup("kills of both", "mariadb", "only-artifact", restarts=8, kills=12, dwell=SLOW),
    *_everywhere("mariadb"),
    Setup("kills, COMMITs cut", "mariadb", "both", faults=CUTS, kills=12),
    Setup("kills, COMMITs cut", "mariadb", "only-metadata", batch=1, faults=CUTS, kills=12),
    Setup("kills, COMMITs cut", "mariadb", "only-artifact", faults=CUTS, kills=10, dwell=SLOW),
    Setup("late COMMITs, no advisory lock", "mariadb", "both", faults=(Break.LATE,), kills=6, weaken=("no advisory lock",)),
)  # fmt: skip
"""What must show no violation."""


def _flaw(engine: str, *weaken: str, **changes: object) -> Setup:
    given = {
        "mode": "both",
        "kills": 0,
        "versions": 60,
        "writers": 3,
        "name": " + ".join(weaken) or "no drain",
    } | changes
    return Setup(engine=engine, weaken=weaken, expect=True, **given)  # type: ignore[arg-type]


def _flaws(engine: str) -> Iterator[Setup]:
    yield _flaw(engine, "no recheck")
    yield _flaw(engine, "late intent", kills=4, points=("before intend",))
    yield _flaw(engine, "select then delete")
    yield _flaw(engine, "bytes before rows", kills=4, points=("before commit",))
    yield _flaw(engine, "assume rollback", kills=4, points=("before advance",))
    yield _flaw(engine, "assume commit", kills=4, points=("after intend",))
    yield _flaw(engine, mode="only-artifact", drain=0.0, dwell=2 * SLOW, batch=30, writers=6)
    yield _flaw(engine, "no second look", mode="only-artifact", dwell=SLOW)
    yield _flaw(engine, "no look at places", batch=1)
    if engine == "mariadb":
        yield _flaw(engine, "plain presence", faults=(Break.LATE,), delay=(1.0, 2.0))


MUTANTS = (*_flaws("sqlite"), *_flaws("mariadb"))
"""What must show violations, within :data:`MOST` trials each."""
MOST = 6
HARM = {
    "linked version lost", "link lost", "linked bytes lost", "unreadable after the link", "row without bytes", "half deleted",
    "untrue outcome", "outside the plan", "registered bytes lost", "broken key",
}  # fmt: skip
"""The violations that a planted flaw has to show; that marksweep stumbles over it is not enough."""


@dataclass
class Tally:
    """All trials of one setup, added up."""

    setup: Setup
    trials: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        self.trials += 1
        self.counts += result.counts
        self.points += result.points
        self.violations += Counter(kind for kind, _ in result.violations)

    @property
    def harm(self) -> bool:
        """Whether something was lost or half done."""
        return bool(HARM & self.violations.keys())

    @property
    def wrong(self) -> bool:
        """Violations where none may be, or no harm where a flaw was planted."""
        if self.setup.expect:
            return not self.harm or "the sweep failed" in self.violations
        return bool(self.violations)


@dataclass
class Campaign:
    """Trials of *setups*, SQLite's and MariaDB's side by side; *tell* gets a line for whatever is worth one.

    Every trial's seed follows from *seed*, its setup and its number. *trials* is the most of each setup, and nothing new
    begins after *seconds*; each setup has one trial whatever the time.
    """

    seed: int
    setups: Sequence[Setup]
    tell: Callable[[str], None]
    seconds: float = 1e9
    trials: int = 10**9
    base: Path | None = None

    def run(self) -> list[Tally]:
        """All trials; the tallies in the order of the setups."""
        tallies = [Tally(setup) for setup in self.setups]
        lanes = [[t for t in tallies if t.setup.engine == engine] for engine in ("sqlite", "mariadb")]
        with _folder() as folder, ThreadPoolExecutor(2) as pool:
            running = [pool.submit(self._lane, lane, folder / str(n)) for n, lane in enumerate(lanes) if lane]
            for lane in running:
                lane.result()
        return tallies

    def _lane(self, tallies: Sequence[Tally], folder: Path) -> None:
        """One engine's setups in turns, until the time or the trials are used up."""
        folder.mkdir()
        until = time.monotonic() + self.seconds
        serving = tallies[0].setup.engine == "mariadb"
        server = MariaDbServer(self.base or initialised(folder / "base")) if serving else nullcontext()
        with Zygote() as zygote, server as up:
            for number in count():
                for tally in tallies:
                    if number and time.monotonic() > until:
                        return
                    if not tally.setup.expect or not tally.harm:
                        self._one(tally, number, folder, zygote, up)
                if number + 1 >= self.trials or all(t.setup.expect and (t.harm or number + 1 >= MOST) for t in tallies):
                    return

    def _one(self, tally: Tally, number: int, folder: Path, zygote: Zygote, server: MariaDbServer | None) -> None:
        setup, began = tally.setup, time.monotonic()
        seed = random.Random(f"{self.seed} {setup} {number}").getrandbits(32)
        place = folder / f"{number}-{seed}"
        result = run_trial(setup, place, seed, zygote, server)
        shutil.rmtree(place)
        tally.add(result)
        took = time.monotonic() - began
        found = Counter(kind for kind, _ in result.violations)
        self.tell(
            f"{setup.engine} {setup.mode} {setup.name!r} trial {number}: {took:.0f} s, {result.counts['kills']} kills,"
            f" {result.counts['restarts']} restarts, violations: {dict(found) or 'none'}"
        )
        if not setup.expect:
            for kind, words in result.violations[:20]:
                self.tell(f"  VIOLATION {kind}: {words}")


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory where there is such a place: trials sync all the time."""
    folder = Path(tempfile.mkdtemp(prefix="marksweep-chaos-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def smaller(setup: Setup) -> Setup:
    """A quick version of *setup*, for a test."""
    return replace(setup, versions=50, kills=min(setup.kills, 5), restarts=min(setup.restarts, 2))
