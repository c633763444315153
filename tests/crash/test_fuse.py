"""Cut the power at every touch of the outside world, before and after it, and sweep again: nothing lost, nothing left."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from marksweep.errors import ExitStatus
from marksweep.model.outcome import Mode
from marksweep.sweep.books import Books
from tests.crash.carried import InMariaDb
from tests.crash.conftest import MakeWorld
from tests.crash.fuse import Fuse, PowerCut
from tests.crash.invariants import InvariantBroken, check, check_journal, never_half
from tests.crash.world import World
from tests.support.zenml_database import digest

pytestmark = pytest.mark.usefixtures("quick_catalog")
DOUBLE_CUTS = {"sqlite": 25, "mariadb": 6}
"""By engine. A trial on MariaDB takes four times as long."""
SHARES = (0.4, 0.08)
"""Of the touches that are cut on MariaDB, at random: of those that ask the database or say what was asked, and of others."""
WORTH = (" catalog.", " journal.intend", " journal.settle", " journal.advance", " journal.abort")


def sweep_with(world: World, fuse: Fuse) -> Books:
    return world.sweep(
        around_catalog=fuse.around("catalog"), around_stores=fuse.around_stores, around_journal=fuse.around("journal")
    )


def is_cut(world: World, at: int) -> str | None:
    """Sweep until the fuse blows; return where, or None when the sweep ended before. Nothing may be half then."""
    fuse = Fuse(at)
    try:
        sweep_with(world, fuse)
    except PowerCut:
        never_half(world.before, world.observe(), world.expected)
        return fuse.blown
    return None


def finish(world: World, *, cut: bool = True, status: ExitStatus = ExitStatus.ENTRIES_KEPT) -> Books:
    """One run to the end, and all invariants; then one more, which must change nothing."""
    found = world.sweep()
    after = world.observe()
    check(world.before, after, world.expected)
    check_journal(world.journal_path, world.before, after, world.expected, found, cut=cut)
    database = digest(world.catalog.database)
    assert world.sweep() == found
    assert digest(world.catalog.database) == database
    assert world.observe().files == after.files
    assert found.status is status
    return found


def worth(world: World, points: list[str]) -> list[tuple[int, str]]:
    """The points that are cut, with their numbers: all on SQLite."""
    numbered = list(enumerate(points))
    if not isinstance(world.catalog, InMariaDb):
        return numbered
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    rng = random.Random(seed)
    return [p for p in numbered if rng.random() < SHARES[0 if any(words in p[1] for words in WORTH) else 1]]


@pytest.mark.parametrize("mode", Mode)
def test_power_cut_at_every_touch(new_world: MakeWorld, fast_folder: Path, mode: Mode) -> None:
    """After a cut at any point, before or after any touch, one run finishes the work, and the next changes nothing."""
    world = new_world(fast_folder / "world", mode)
    dry = Fuse()
    sweep_with(world, dry)
    finish(world, cut=False)
    missed, wrong = 0, []
    chosen = [at for at, _ in worth(world, dry.points)]
    for at in chosen:
        world.restore()
        where = "nowhere"
        try:
            where = is_cut(world, at) or "after its end"
            finish(world)
        except (InvariantBroken, AssertionError) as broken:
            wrong.append(f"cut at point {at}, {where}: {broken}")
        missed += where == "after its end"
    names = {p.split(" ", 2)[1] for p in dry.points}
    print(
        f"{mode}: {len(chosen)} of {len(dry.points)} points, {len(names)} kinds of touch, {missed} came after the end"
    )
    assert not wrong, f"{len(wrong)} of {len(chosen)} cuts did harm:\n" + "\n".join(wrong[:8])
    assert missed <= 4
    assert {"catalog.claim", "journal.intend", "journal.settle"} <= names
    assert mode is Mode.ONLY_METADATA or {"store.delete", "store.listing", "store.tidy"} <= names


@pytest.mark.parametrize("mode", Mode)
def test_power_cut_again_while_resuming(new_world: MakeWorld, fast_folder: Path, mode: Mode) -> None:
    """A resume is cut as well, at random points; the third run still finishes."""
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    rng = random.Random(seed)
    world = new_world(fast_folder / "world", mode)
    dry = Fuse()
    sweep_with(world, dry)
    second, cuts_made = 0, DOUBLE_CUTS["mariadb" if isinstance(world.catalog, InMariaDb) else "sqlite"]
    for _ in range(cuts_made):
        world.restore()
        points = rng.randrange(len(dry.points)), rng.randrange(len(dry.points)) // 2
        cuts = [is_cut(world, at) for at in points]
        second += None not in cuts
        try:
            finish(world)
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: cut at {points}, {cuts}: {broken}") from broken
    print(f"{mode}: {second} of {cuts_made} were cut twice")
    assert second >= cuts_made // 4


def test_a_row_that_somebody_removes_while_its_claim_is_in_doubt(new_world: MakeWorld, fast_folder: Path) -> None:
    """Cut before a commit, then somebody removes one of the rows: its bytes are not ours, however the resume is cut."""
    world = new_world(fast_folder / "world", eventful=False)
    dry = Fuse()
    sweep_with(world, dry)
    world.restore()
    assert is_cut(world, dry.points.index("after journal.intend")) is not None
    removed = world.expected.plan[0].id
    with world.edit() as db:
        db.execute("DELETE FROM run_metadata_resource WHERE resource_id = ?", (removed.replace("-", ""),))
        db.execute("DELETE FROM artifact_version WHERE id = ?", (removed.replace("-", ""),))
    world.before, world.expected = world.observe(), replace(world.expected, gone=frozenset({removed}))
    world.keep()
    dry = Fuse()
    sweep_with(world, dry)
    for at, _ in worth(world, dry.points[: dry.points.index("after catalog.claim") + 1]):
        world.restore()
        assert is_cut(world, at) is not None
        finish(world, status=ExitStatus.DONE)
