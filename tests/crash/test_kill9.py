"""``kill -9`` of a real sweep, a hundred times at random moments, then one run to the end: nothing lost, nothing left."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from marksweep.errors import ExitStatus
from marksweep.model.outcome import Mode
from tests.crash.invariants import check, check_journal, never_half
from tests.crash.process import Killer, SweepCommand
from tests.crash.world import World, make_world

KILLS = 104
"""Of mode both, over two sweeps that are killed side by side: half of a kill's time is the program's start."""
KILLS_OF_OTHER_MODES = 10


def kill_often(world: World, kills: int, batch: int, seed: int) -> Killer:
    """Kill the sweep of *world* so often, then let it end; all invariants must hold."""
    command = SweepCommand(world.plan_path, world.catalog.url, batch)
    killer = Killer(command, len(world.expected.plan), kills, random.Random(seed))
    while killer.under_way < kills:
        assert killer.strike(), (world.folder / "sweep.log").read_text()[
            -3000:
        ] or "it ended before it was killed enough"
        if killer.under_way % 10 == 0:
            never_half(world.before, world.observe(), world.expected)
    left = command.books(killer.planned).not_attempted
    status, output = command.finish()
    assert status == ExitStatus.ENTRIES_KEPT, output
    after = world.observe()
    check(world.before, after, world.expected)
    found = command.books(killer.planned)
    check_journal(world.journal_path, world.before, after, world.expected, found)
    assert command.finish()[0] == ExitStatus.ENTRIES_KEPT
    assert world.observe() == after
    assert command.books(killer.planned) == found
    print(
        f"{world.mode}, batches of {batch}: {killer.under_way} kills while the sweep was under way, {killer.with_work}"
        f" with work done in between, {killer.in_doubt} left something begun and not finished; {left} of"
        f" {killer.planned} entries were left for the last run"
    )
    return killer


def given_seed() -> int:
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    return seed


def test_a_hundred_kills_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """Two long sweeps, killed at random moments; each then runs to its end and balances its books."""
    seed = given_seed()
    worlds = [make_world(tmp_path / str(number), versions=2000) for number in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        killers = list(pool.map(kill_often, worlds, (KILLS // 2,) * 2, (3, 25), (seed, seed + 1)))
    assert sum(k.under_way for k in killers) >= 100
    assert sum(k.with_work for k in killers) >= 40
    assert sum(k.in_doubt for k in killers) >= 10


def test_kills_in_the_other_modes(tmp_path: Path) -> None:
    """The same for plans that delete only rows, or only bytes."""
    seed = given_seed()
    worlds = [make_world(tmp_path / mode, mode, versions=600) for mode in (Mode.ONLY_METADATA, Mode.ONLY_ARTIFACT)]
    with ThreadPoolExecutor(2) as pool:
        killers = list(pool.map(kill_often, worlds, (KILLS_OF_OTHER_MODES,) * 2, (3, 3), (seed, seed + 1)))
    assert all(k.with_work for k in killers)


@pytest.mark.parametrize("batch", [1])
def test_a_plan_is_swept_by_one_at_a_time(tmp_path: Path, batch: int) -> None:
    """A second sweep of the same plan is refused while the first runs; when the first is killed, the lock is free."""
    world = make_world(tmp_path / "world", versions=600)
    command = SweepCommand(world.plan_path, world.catalog.url, batch)
    first = command.start()
    try:
        assert command.wait_until_under_way(first)
        second = command.start(world.folder / "second.log")
        status = second.wait(timeout=60)
        assert first.poll() is None, "the first sweep ended too early to tell"
        assert status == ExitStatus.LOCKED
    finally:
        first.kill()
        first.wait()
    assert command.finish()[0] == ExitStatus.ENTRIES_KEPT
    check(world.before, world.observe(), world.expected)
