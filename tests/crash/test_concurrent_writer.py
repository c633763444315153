"""A pipeline links versions while they are swept: no committed link is ever lost, whoever is killed when."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from marksweep.errors import ExitStatus
from marksweep.model.outcome import Mode
from marksweep.sweep.journal_reader import journal_path
from tests.crash.carried import local_stores
from tests.crash.conftest import MakeWorld
from tests.crash.invariants import Expected, Observed, check, check_journal, observe
from tests.crash.process import SweepCommand
from tests.crash.world import mark, plan_path
from tests.crash.writer import Writer, without_links, writing
from tests.support.catalogs import RealCatalog
from tests.support.mariadb_catalogs import MariaDbCatalog
from tests.support.zenml_database import reading

CONTESTED = 20
"""Links that must at least have met the sweep, one way or the other."""


def given_seed() -> int:
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    return seed


def check_writer(before: Observed, after: Observed, plan: Expected, command: SweepCommand, writer: Writer) -> Expected:
    """No link is lost; what is linked is kept whole and reported as referenced; the rest is swept."""
    assert writer.lost() == []
    expected = replace(plan, kept=frozenset(writer.recorded()))
    after = without_links(after)
    check(before, after, expected)
    found = command.books(len(plan.plan))
    check_journal(journal_path(command.plan), before, after, expected, found)
    assert found.referenced == len(expected.kept)
    return expected


def test_no_committed_link_is_lost(new_world: MakeWorld, tmp_path: Path) -> None:
    """A linker in its own process against a sweep in small batches that is killed several times."""
    seed = given_seed()
    rng = random.Random(seed)
    world = new_world(tmp_path / "world", versions=1500, eventful=False)
    command = world.command(3)
    kills = 0
    with writing(
        world.catalog.database, world.expected.plan, tmp_path, seed, pause=0.002, dwell=0.03, aim=10
    ) as writer:
        for _ in range(6):
            process = command.start()
            if command.wait_until_under_way(process):
                time.sleep(rng.uniform(0.1, 1.0))
                process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
            assert writer.lost() == []
        before_last = writer.outcomes()
        status, output = command.finish()
        assert status == ExitStatus.ENTRIES_KEPT, output
    outcomes = writer.outcomes()
    expected = check_writer(world.before, world.observe(), world.expected, command, writer)
    print(
        f"{dict(outcomes)} turns of the linker, {dict(outcomes - before_last)} of them in the last run; {kills} kills; "
        f"{len(expected.kept)} of {len(expected.plan)} entries were linked in time and kept"
    )
    assert kills >= 4
    assert len(expected.kept) > CONTESTED
    assert outcomes["fk_refused"] > 0, "the linker never met a claim between reading and linking"
    assert len(expected.kept) + outcomes["fk_refused"] > 2 * CONTESTED
    assert len(expected.swept) > CONTESTED


def test_rows_alone(new_world: MakeWorld, tmp_path: Path) -> None:
    """The same for a plan that deletes only rows."""
    seed = given_seed()
    world = new_world(tmp_path / "world", Mode.ONLY_METADATA, versions=700, eventful=False)
    command = world.command(2)
    with writing(
        world.catalog.database, world.expected.plan, tmp_path, seed, pause=0.002, dwell=0.03, aim=10
    ) as writer:
        status, output = command.finish()
        assert status in (ExitStatus.ENTRIES_KEPT, ExitStatus.DONE), output
    expected = check_writer(world.before, world.observe(), world.expected, command, writer)
    print(f"{dict(writer.outcomes())} turns; {len(expected.kept)} of {len(expected.plan)} entries kept")
    assert len(expected.kept) > CONTESTED
    assert len(expected.swept) > CONTESTED


def test_on_the_schema_of_each_release(real_catalog: RealCatalog, tmp_path: Path) -> None:
    """A linker against the sweep of each real catalog, one entry at a time."""
    seed = given_seed()
    folder = tmp_path / "plan"
    folder.mkdir()
    stores = local_stores(real_catalog.root)
    _, entries = mark(folder, real_catalog.url, Mode.BOTH, stores)
    before = observe(real_catalog.root, real_catalog.database)
    command = SweepCommand(plan_path(folder), real_catalog.url, 1, stores)
    with writing(real_catalog.database, entries, tmp_path, seed, pause=0.05, dwell=0.05, aim=5) as writer:
        status, output = command.finish()
        assert status in (ExitStatus.ENTRIES_KEPT, ExitStatus.DONE), output
    after = observe(real_catalog.root, real_catalog.database)
    on_mariadb = isinstance(real_catalog, MariaDbCatalog)
    stay = real_catalog.release != "0.98.0" and not on_mariadb  # before 0.91.2 ZenML enforced no foreign keys on SQLite
    expected = check_writer(before, after, Expected(entries, Mode.BOTH, artifacts_stay=stay), command, writer)
    print(f"{real_catalog.release}: {dict(writer.outcomes())} turns; {len(expected.kept)} of {len(entries)} kept")
    if not on_mariadb:
        with reading(real_catalog.database) as database:
            assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)


@pytest.mark.parametrize("mode", [Mode.ONLY_ARTIFACT])
def test_a_link_before_the_second_look_saves_the_bytes(new_world: MakeWorld, tmp_path: Path, mode: Mode) -> None:
    """Only-artifact: whoever links a version between its marking and the end of the drain keeps row, URI and bytes."""
    world = new_world(tmp_path / "world", mode, eventful=False)
    linked: list[str] = []

    class LinksMeanwhile:
        """A catalog in which somebody links marked rows just before the second look."""

        def __init__(self, real: object) -> None:
            self._real = real

        def __getattr__(self, name: str) -> object:
            if name == "settle" and not linked:
                with world.edit() as db:
                    (step,) = db.execute("SELECT id FROM step_run LIMIT 1").fetchone()
                    for number, entry in enumerate(world.expected.plan[::3]):
                        linked.append(entry.id)
                        db.execute(
                            "INSERT INTO step_run_input_artifact (name, type, input_index, step_id, artifact_id)"
                            " VALUES (?, 'manual', 0, ?, ?)",
                            (f"linked_{number}", step, entry.id.replace("-", "")),
                        )
            return getattr(self._real, name)

    found = world.sweep(around_catalog=LinksMeanwhile)
    assert linked
    expected = replace(world.expected, kept=frozenset(linked))
    after = without_links(world.observe())
    check(world.before, after, expected)
    check_journal(world.journal_path, world.before, after, expected, found, cut=False)
