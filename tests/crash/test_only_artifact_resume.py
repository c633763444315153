"""Only-artifact, killed while bytes went: whoever links the marked row meanwhile does not get a URI with bytes missing."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from marksweep.model.outcome import Mode
from tests.crash.fuse import Fuse, PowerCut
from tests.crash.harm import sweep_with
from tests.crash.world import make_world

pytestmark = pytest.mark.usefixtures("quick_catalog")


@pytest.mark.parametrize("begun", [False, True], ids=["nothing gone yet", "one file gone"])
def test_a_link_after_the_first_delete_does_not_bring_the_uri_back(fast_folder: Path, begun: bool) -> None:
    """A resume looks again at what is whole; what has begun to go is finished, and its row stays marked."""
    world = make_world(fast_folder / "world", Mode.ONLY_ARTIFACT, eventful=False)
    dry = Fuse()
    sweep_with(world, dry)
    point = "after store.delete" if begun else "before store.delete"
    at = next(number for number, name in enumerate(dry.points) if name.startswith(point))
    world.restore()
    fuse = Fuse(at)
    with suppress(PowerCut):
        sweep_with(world, fuse)
    assert fuse.blown is not None
    key = fuse.blown.removeprefix(point).strip()
    entry = next(e for e in world.expected.plan if any(p.endswith(f"/{key}") for p in world.before.below(e.uri)))
    with world.edit() as db:
        (step,) = db.execute("SELECT id FROM step_run LIMIT 1").fetchone()
        db.execute(
            "INSERT INTO step_run_input_artifact (name, type, input_index, step_id, artifact_id)"
            " VALUES ('late', 'manual', 0, ?, ?)",
            (step, entry.id.replace("-", "")),
        )
    found = world.sweep()
    after = world.observe()
    row = after.version(entry.id)
    assert row is not None
    whole = after.below(entry.uri) == world.before.below(entry.uri)
    assert (row["uri"] == entry.uri) == whole, f"{row['uri']}: {len(after.below(entry.uri))} files are left"
    assert whole is not begun
    assert found.referenced == int(not begun)
