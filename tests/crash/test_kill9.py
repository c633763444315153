"""``kill -9`` of a real sweep, a hundred times at random moments, then one run to the end: nothing lost, nothing left."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from marksweep.errors import ExitStatus
from marksweep.model.outcome import Mode
from tests.crash.conftest import MakeWorld
from tests.crash.invariants import check, check_journal, never_half
from tests.crash.nursery import Nursery
from tests.crash.process import Killer
from tests.crash.world import World
from tests.support.mariadb import MariaDbServer

KILLS = {(Mode.BOTH, 3): 40, (Mode.BOTH, 25): 36, (Mode.ONLY_METADATA, 3): 16, (Mode.ONLY_ARTIFACT, 3): 16}
"""By mode and batch size. Two sweeps are killed side by side: most of a kill's time is waiting for a random moment."""
KILLS_ON_MARIADB = {(Mode.BOTH, 25): 8, (Mode.ONLY_METADATA, 3): 4, (Mode.ONLY_ARTIFACT, 3): 4}
"""Fewer: the chaos suite kills sweeps on MariaDB a thousand times."""
VERSIONS = {Mode.BOTH: 1600, Mode.ONLY_METADATA: 600, Mode.ONLY_ARTIFACT: 1200}


def kill_often(world: World, kills: int, batch: int, seed: int, amid_work: int) -> Killer:
    """Kill the sweep of *world* so often, and on until *amid_work* kills met work; then let it end. All invariants must hold.

    What is killed are forks of a process that has imported marksweep; what ends is ``python -m marksweep``.
    A sweep that ends before it was killed often enough, on a busy machine, is checked and begun anew.
    """
    command = world.command(batch)
    with Nursery() as nursery:
        killer = Killer(nursery, command, len(world.expected.plan), kills, random.Random(seed))
        while killer.under_way < kills or (killer.with_work < amid_work and killer.under_way < 3 * kills):
            if not killer.strike():
                end(world, killer)
                world.restore()
            elif killer.under_way % 10 == 0:
                never_half(world.before, world.observe(), world.expected)
    left = command.books(killer.planned).not_attempted
    end(world, killer)
    print(
        f"{world.mode}, batches of {batch}: {killer.under_way} kills while the sweep was under way, {killer.with_work}"
        f" with work done in between, {killer.in_doubt} left something begun and not finished; {left} of"
        f" {killer.planned} entries were left for the last run"
    )
    return killer


def end(world: World, killer: Killer) -> None:
    """Let the sweep end, check everything, and see that one more run changes nothing."""
    command = replace(killer.command, batch=50)  # the last run need not be slow
    status, output = command.finish()
    assert status == ExitStatus.ENTRIES_KEPT, output
    after = world.observe()
    check(world.before, after, world.expected)
    found = command.books(killer.planned)
    check_journal(world.journal_path, world.before, after, world.expected, found)
    assert command.finish()[0] == ExitStatus.ENTRIES_KEPT
    assert world.observe() == after
    assert command.books(killer.planned) == found


def given_seed() -> int:
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    return seed


def test_kills_lose_nothing_and_leave_nothing(
    engine: MariaDbServer | None, new_world: MakeWorld, tmp_path: Path
) -> None:
    """Long sweeps in every mode, killed at random moments; each then runs to its end and balances its books."""
    seed = given_seed()
    plan = KILLS_ON_MARIADB if engine else KILLS
    worlds = [new_world(tmp_path / str(number), mode, versions=VERSIONS[mode]) for number, (mode, _) in enumerate(plan)]
    with ThreadPoolExecutor(2) as pool:
        running = [
            pool.submit(kill_often, world, kills, batch, seed + number, 1 if engine else kills * 3 // 8)
            for number, (world, ((_, batch), kills)) in enumerate(zip(worlds, plan.items(), strict=True))
        ]
        killers = [each.result() for each in running]
    assert all(k.under_way >= kills for k, kills in zip(killers, plan.values(), strict=True)), (
        tmp_path / "0" / "sweep.log"
    ).read_text()[-3000:]
    assert sum(k.with_work for k in killers) >= (3 if engine else 40)
    assert engine or sum(k.in_doubt for k in killers) >= 10


def test_a_plan_is_swept_by_one_at_a_time(new_world: MakeWorld, tmp_path: Path) -> None:
    """A second sweep of the same plan is refused while the first runs; when the first is killed, the lock is free."""
    world = new_world(tmp_path / "world", versions=600)
    command = world.command(1)
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
    assert replace(command, batch=50).finish()[0] == ExitStatus.ENTRIES_KEPT
    check(world.before, world.observe(), world.expected)
