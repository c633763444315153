"""One trial: a world, writers in it, a sweep that is killed, cut off and resumed until it ends, and the audit of it all."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from marksweep.errors import ExitStatus
from tests.chaos.audit import Evidence, Violations, judged, lines
from tests.chaos.jobs import Child, Zygote
from tests.chaos.world import World, world
from tests.support.mariadb import MariaDbServer
from tests.support.proxy import Break, Fault, Proxy

KILLED = -9
"""The exit status of a process that SIGKILL ended."""
_ALWAYS = ("claim", "intend", "commit", "advance", "outcome", "presence", "receipt", "forget")
TOUCHED = {
    "both": (*_ALWAYS, "overlap", "delete", "delete"),
    "only-metadata": _ALWAYS,
    "only-artifact": (*_ALWAYS, "advance", *2 * ("overlap", "second look"), *4 * ("delete",)),
}
POINTS_OF = {
    mode: [f"{when} {name}" for name in names for when in ("before", "after")] for mode, names in TOUCHED.items()
}
"""Per mode the points at which a sweep is killed, of :data:`tests.chaos.sweeper.POINTS`."""
RUNS = 150
"""Sweeps after which a trial that does not end is a violation."""
PATIENCE = 150.0
"""Seconds that one run may take."""


@dataclass(frozen=True)
class Setup:
    """What kind of trial.

    ``kills``: SIGKILLs of the sweeper, at points of its mode and at random times; only at ``points`` if some are given.
    ``restarts``: SIGKILLs of the server, each followed by a start. ``faults``: what befalls COMMITs on their way, and
    ``delay`` the seconds by which a late one is. ``dwell``: seconds that a linker takes from reading to linking, at the
    most. ``drain``: whole seconds. ``weaken``: names of mutants. ``expect``: harm is what is wanted.
    """

    name: str
    engine: str
    mode: str
    kills: int = 25
    points: Sequence[str] = ()
    versions: int = 160
    batch: int = 2
    writers: int = 3
    dwell: float = 0.0
    drain: float = 1.0
    restarts: int = 0
    faults: Sequence[Break] = ()
    delay: tuple[float, float] = (0.1, 1.2)
    weaken: Sequence[str] = ()
    expect: bool = False


@dataclass
class Result:
    """What happened in a trial. ``counts`` has the writers' outcomes and the harness' own; ``points`` the kills by place."""

    counts: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    violations: Violations = field(default_factory=list)


@dataclass
class Trial:
    """One under way."""

    setup: Setup
    world: World
    zygote: Zygote
    server: MariaDbServer | None
    rng: random.Random
    result: Result = field(default_factory=Result)
    proxy: Proxy | None = None

    def run(self) -> Result:
        """All of it."""
        with ExitStack() as stack:
            if self.setup.faults:
                assert self.server is not None
                self.proxy = stack.enter_context(Proxy(self.server.port))
            with self._writers(), self._restarts():
                status = self._sweep_to_the_end()
            if self.proxy:
                self.result.counts["faulted"] = sum(self.proxy.counts[how] for how in self.setup.faults)
        after = self.world.observe()
        said = [line for number in range(self.setup.writers) for line in lines(self._log(number))]
        events = sorted(lines(self.world.folder / "events"), key=lambda event: float(event["at"]))
        evidence = Evidence(self.world, after, said, events)
        self.result.violations += judged(evidence)
        if status is not None and not self.setup.expect:
            self._sweep_once_more(status, evidence)
        self._count(evidence)
        return self.result

    def _sweep_to_the_end(self) -> int | None:
        """Run, kill, run again; the last exit status, or None if it never ended well."""
        for _ in range(RUNS):
            status = self._run_once()
            match status:
                case ExitStatus.DONE | ExitStatus.ENTRIES_KEPT:
                    return status
                case -9:
                    self.result.counts["kills"] += 1
                case ExitStatus.INCOMPLETE:
                    self.result.counts["incomplete"] += 1
                case ExitStatus.LOCKED:
                    self.result.counts["locked"] += 1
                    time.sleep(0.1)
                case ExitStatus.CATALOG_NOT_UNDERSTOOD if (
                    self.setup.restarts or self.setup.faults
                ):  # it was not there when the sweep began
                    self.result.counts["not opened"] += 1
                    time.sleep(0.2)
                case _:
                    self.result.violations.append(("the sweep failed", f"status {status}: {self._last_words()}"))
                    return None
        self.result.violations.append(("the sweep failed", f"it did not end in {RUNS} runs: {self._last_words()}"))
        return None

    @property
    def _may_be_down(self) -> bool:
        """Whether a sweep may find no server when it begins."""
        return bool(self.setup.restarts or self.setup.faults)

    def _run_once(self) -> int | None:
        """One run, perhaps with a fault on its way, perhaps killed: at a point, or after a while if it is not met."""
        to_kill = not self._plan_fault() and self.result.counts["kills"] < self.setup.kills
        at_a_point = to_kill and (bool(self.setup.points) or self.rng.random() < 0.75)
        points = self.setup.points or POINTS_OF[self.world.mode]
        point = (self.rng.choice(points), self.rng.choice((1, 1, 1, 2, 3))) if at_a_point else None
        before = _content(self.world.folder / "flight")
        child = self._start(point)
        timely = to_kill and not self.setup.points
        status = self._wait_a_while(child, before, at_a_point) if timely else child.wait(PATIENCE)
        if status == KILLED:
            assert point is not None
            self.result.points[point[0]] += 1
        if status is None:
            child.kill()
            status = child.wait(60)
            self.result.points["random time"] += status == KILLED
            if not timely:
                self.result.violations.append(("the sweep failed", f"it hung for {PATIENCE} s: {self._last_words()}"))
        return status

    def _wait_a_while(self, child: Child, flight: str, at_a_point: bool) -> int | None:
        """Wait for a moment at which to kill: some while the sweep starts and resumes, the others after its first claim."""
        if not at_a_point and self.rng.random() < 0.4:
            return child.wait(self.rng.uniform(0.1, 0.6))
        until = time.monotonic() + 20
        while time.monotonic() < until and _content(self.world.folder / "flight") == flight:
            if (status := child.wait(0.005)) is not None:
                return status
        longest = self.rng.choice((0.1, 0.4))
        if (
            self.world.mode == "only-artifact" and self.rng.random() < 0.6
        ):  # the second half, which comes after the drain
            return child.wait(self.setup.drain + self.rng.uniform(0, longest))
        return child.wait(longest if at_a_point else self.rng.uniform(0, longest))

    def _plan_fault(self) -> bool:
        """Decide what becomes of a COMMIT of the next run; whether one is to be broken."""
        if self.proxy is None:
            return False
        how, nth = self.rng.choice(list(self.setup.faults)), self.rng.choice((1, 2, 3, 5, 8))
        broken = self.rng.random() < (0.5 if self.setup.kills else 0.9)
        self.proxy.plan(*([Fault(how, nth, seconds=self.rng.uniform(*self.setup.delay))] if broken else []))
        return broken

    def _start(self, point: tuple[str, int] | None) -> Child:
        folder = self.world.folder
        drain = f"{self.setup.drain:.0f}s" if self.setup.drain else "0"
        return self.zygote.start(
            "marksweep", folder / "sweep.log", point=point, weaken=list(self.setup.weaken),
            argv=self.world.arguments(self.proxy.port if self.proxy else None, self.setup.batch, drain),
            environment=self.world.environment, flight=str(folder / "flight"), events=str(folder / "events"),
        )  # fmt: skip

    def _sweep_once_more(self, status: int, before: Evidence) -> None:
        """The plan is done: a sweep by hand, on its own, changes nothing and says the same."""
        again, output = self.world.sweep_for_real()
        after = Evidence(self.world, self.world.observe(), before.said, before.events)
        if (again, after.after.tables, after.after.files) != (status, before.after.tables, before.after.files):
            self.result.violations.append(("a second run did something", f"status {status}, then {again}: {output}"))
        if after.journal != before.journal:
            self.result.violations.append(("a second run did something", "the journal changed"))
        self.result.violations += [found for found in judged(after) if found not in self.result.violations]

    @contextmanager
    def _writers(self) -> Iterator[None]:
        """Writers at work for as long as the block lasts."""
        folder = self.world.folder
        (folder / "manifest.json").write_text(json.dumps(self.world.manifest))
        started = [
            self.zygote.start("writer", folder / "writers.log", given=self._given(n)) for n in range(self.setup.writers)
        ]
        try:
            yield
        finally:
            (folder / "stop").touch()
            ends = [child.wait(150) for child in started]
        assert ends == [0] * len(started), (
            f"the writers ended with {ends}: {(folder / 'writers.log').read_text()[-3000:]}"
        )

    def _given(self, number: int) -> dict[str, object]:
        folder, drained = self.world.folder, self.world.mode == "only-artifact" and self.setup.drain
        plan = [str(entry["id"]).replace("-", "") for entry in self.world.entries]
        return {
            "url": self.world.database.url, "seed": self.rng.getrandbits(32), "manifest": str(folder / "manifest.json"),
            "plan": plan, "runs": self.world.runs[number], "store": str(self.world.store), "flight": str(folder / "flight"),
            "log": str(self._log(number)), "stop": str(folder / "stop"), "dwell": self.setup.dwell,
            "deadline": self.setup.drain / 2 if drained else None, "budget": len(plan) // 5, "eager": 0.5,
        }  # fmt: skip

    def _log(self, number: int) -> Path:
        return self.world.folder / f"writer-{number}.jsonl"

    @contextmanager
    def _restarts(self) -> Iterator[None]:
        """Kill the server again and again, soon after something came into flight, and start it."""
        over = threading.Event()
        thread = threading.Thread(target=self._restart_often, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _restart_often(self, over: threading.Event) -> None:
        rng, flight = random.Random(self.rng.getrandbits(32)), self.world.folder / "flight"
        for _ in range(self.setup.restarts):
            assert self.server is not None
            until, seen = time.monotonic() + rng.uniform(0.1, 1.0), _content(flight)
            while not over.is_set() and (time.monotonic() < until or _content(flight) == seen):
                time.sleep(0.001)
                if time.monotonic() < until:
                    seen = _content(flight)
            if over.is_set():
                return
            time.sleep(rng.uniform(0, 0.04))
            self.server.kill()
            time.sleep(rng.uniform(0, 0.3))
            self.server.start()
            self.result.counts["restarts"] += 1

    def _last_words(self) -> str:
        return (self.world.folder / "sweep.log").read_text(errors="replace")[-1500:]

    def _count(self, evidence: Evidence) -> None:
        counts = self.result.counts
        for line in evidence.said:
            counts[f"{line['do']}: {line['out']}"] += 1
            counts[f"writers: {line['out']}"] += 1
            counts["contested"] += line["out"] in ("linked", "gone") and line["contested"]
            counts["late"] += bool(line.get("late"))
        for found in evidence.journal.values():
            counts[f"entries: {found['code'] or found['state']}"] += 1


def run_trial(setup: Setup, folder: Path, seed: int, zygote: Zygote, server: MariaDbServer | None) -> Result:
    """Run one trial in the new folder *folder*; what happens in it follows from *seed*, as far as processes can be steered."""
    rng = random.Random(seed)
    made = world(folder, setup.engine, setup.mode, rng.getrandbits(32), setup.versions, setup.writers, zygote, server)
    with made as made_world:
        return Trial(setup, made_world, zygote, server, rng).run()


def _content(file: Path) -> str:
    with suppress(FileNotFoundError):
        return file.read_text()
    return ""
