"""What somebody begins to use after the plan was made keeps its bytes, whatever row says so; an absent store is not empty."""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from marksweep.errors import ExitStatus, StoreRefused
from marksweep.model.entry import Entry
from marksweep.model.outcome import Mode
from tests.crash import world as worlds
from tests.crash.carried import carried, local_stores
from tests.crash.conftest import MakeWorld
from tests.crash.fuse import Fuse, PowerCut
from tests.crash.world import World
from tests.support.databases import Connection
from tests.support.mariadb import MariaDbServer
from tests.support.zenml_database import copy_row, editing, insert

LATER = "2026-11-22 10:00:00.000000"


class CutAt(Fuse):
    """Cuts the power at the first point whose name begins with *name*."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def point(self, name: str) -> None:
        if self.blown is None and name.startswith(self.name):
            self.blown = name
            raise PowerCut(name)
        super().point(name)


def cut(world: World, name: str) -> None:
    """Sweep until the power goes at the point *name*."""
    fuse = CutAt(name)
    with pytest.raises(PowerCut):
        world.sweep(
            batch=500,
            around_catalog=fuse.around("catalog"),
            around_stores=fuse.around_stores,
            around_journal=fuse.around("journal"),
        )


def row_id(shown: str) -> str:
    return shown.replace("-", "")


def serve(world: World, entry: Entry, db: Connection) -> None:
    (project,) = db.execute("SELECT id FROM project LIMIT 1").fetchone()
    config = base64.b64encode(json.dumps({"model_uri": entry.uri}).encode())
    db.execute(
        "INSERT INTO service (id, created, updated, name, project_id, service_type, type, flavor, config)"
        " VALUES (?,?,?,'churn',?,'{}','model','mlflow',?)",
        (uuid.uuid4().hex, LATER, LATER, project, config),
    )


def show(world: World, entry: Entry, db: Connection) -> None:
    live = next(v for v in world.catalog.versions if v not in world.catalog.orphans)
    row = {"created": LATER, "updated": LATER, "type": "html", "uri": entry.uri + "/data.json"}
    insert(db, "artifact_visualization", row | {"artifact_version_id": live})


def log(world: World, entry: Entry, db: Connection) -> None:
    copy_row(db, "logs", uri=entry.uri + "/out.log", created=LATER, source="x")


@pytest.mark.parametrize("use", [serve, show, log])
def test_a_place_that_came_into_use_since_the_plan_is_protected(
    new_world: MakeWorld, tmp_path: Path, use: Callable[[World, Entry, Connection], None]
) -> None:
    """A served model, a visualization of a live version, a log file: each would have kept it at the mark."""
    world = new_world(tmp_path / "w", versions=32, eventful=False)
    entry = world.expected.plan[0]
    with world.edit() as db:
        use(world, entry, db)
    found = world.sweep(batch=500)
    assert (found.status, found.protected) == (ExitStatus.ENTRIES_KEPT, 1)
    assert any(Path(entry.uri).rglob("*"))


def test_a_version_registered_at_a_marked_place_keeps_its_bytes(new_world: MakeWorld, tmp_path: Path) -> None:
    """Only-artifact, killed before the bytes went: a new version at the same URI is not swept along by the resume."""
    world = new_world(tmp_path / "w", Mode.ONLY_ARTIFACT, versions=32, eventful=False)
    entry = world.expected.plan[0]
    cut(world, "before store.delete")
    with world.edit() as db:
        copy_row(
            db, "artifact_version", f"id = '{row_id(entry.id)}'", uri=entry.uri, version="again",
            version_number=None, created=LATER, updated=LATER,
        )  # fmt: skip
    found = world.sweep(batch=500)
    assert (found.status, found.protected) == (ExitStatus.ENTRIES_KEPT, 1)
    assert any(p.is_file() for p in Path(entry.uri).rglob("*"))


def test_a_marked_row_claims_its_place_at_the_next_mark(new_world: MakeWorld, tmp_path: Path) -> None:
    """It may yet get its URI back: another orphan at the same place is not planned meanwhile."""
    world = new_world(tmp_path / "w", Mode.ONLY_ARTIFACT, versions=32, eventful=False)
    entry = world.expected.plan[0]
    cut(world, "before catalog.settle")
    with world.edit() as db:
        copy_row(
            db, "artifact_version", f"id = '{row_id(entry.id)}'", uri=entry.uri, version="again",
            version_number=None,
        )  # fmt: skip
    second = tmp_path / "second"
    second.mkdir()
    _, entries = worlds.mark(second, world.catalog.url, Mode.BOTH, world.local_stores)
    assert entry.uri not in {e.uri for e in entries}


@pytest.mark.parametrize("point", ["before catalog.settle", "after catalog.claim"])
def test_a_unit_loses_no_key_with_its_first_row(engine: MariaDbServer | None, tmp_path: Path, point: str) -> None:
    """Two versions at one URI, only-artifact: when somebody removes the first one's row, the other still deletes all bytes."""
    folder = tmp_path / "w"
    folder.mkdir()
    catalog = worlds.small(folder / "zenml", 32, worlds.SEED)
    if engine:
        catalog = carried(catalog, engine)
    with editing(catalog.database) as db:
        shown = {r[0] for r in db.execute("SELECT artifact_version_id FROM artifact_visualization")}
        first, other = sorted([v for v in catalog.versions if v in catalog.orphans and v not in shown][:2])
        shutil.rmtree(catalog.uris[other])
        db.execute("UPDATE artifact_version SET uri = ? WHERE id = ?", (catalog.uris[first], other))
    trust, entries = worlds.mark(folder, catalog.url, Mode.ONLY_ARTIFACT, local_stores(catalog.root))
    expected = worlds.Expected(entries, Mode.ONLY_ARTIFACT)
    world = World(folder, catalog, Mode.ONLY_ARTIFACT, trust, expected, worlds.observe(catalog.root, catalog.database))
    cut(world, point)
    with world.edit() as db:
        db.execute("DELETE FROM run_metadata_resource WHERE resource_id = ?", (first,))
        db.execute("DELETE FROM artifact_version WHERE id = ?", (first,))
    assert world.sweep(batch=500).status is ExitStatus.DONE
    assert not any(p.is_file() for p in Path(catalog.uris[first]).rglob("*"))


def test_an_empty_store_is_refused_and_not_taken_for_swept(new_world: MakeWorld, tmp_path: Path) -> None:
    """Killed before the bytes went, and the store's disk is not mounted at the resume: nothing is said to be deleted."""
    world = new_world(tmp_path / "w", versions=32, eventful=False)
    cut(world, "before store.delete")
    with worlds.open_catalog(world.catalog.url, world.local_stores) as catalog:
        roots = [Path(s.root) for s in catalog.stores().values() if s.flavor == "local"]
    used = [r for r in roots if any(e.uri.startswith(f"{r}/") for e in world.expected.plan)]
    for root in used:
        root.rename(f"{root}.away")
        root.mkdir()
    with pytest.raises(StoreRefused, match="it is empty"):
        world.sweep(batch=500)
    for root in used:
        root.rmdir()
        Path(f"{root}.away").rename(root)
    assert world.sweep(batch=500).status is ExitStatus.DONE
    assert not any(Path(e.uri).exists() for e in world.expected.plan)


def test_a_marked_row_that_was_linked_since_is_asked_about_again(new_world: MakeWorld, tmp_path: Path) -> None:
    """Only-artifact, killed before the bytes went, linked days later: the resume looks again before it deletes."""
    world = new_world(tmp_path / "w", Mode.ONLY_ARTIFACT, versions=32, eventful=False)
    entry = world.expected.plan[0]
    cut(world, "before store.delete")
    with world.edit() as db:
        (step,) = db.execute("SELECT id FROM step_run LIMIT 1").fetchone()
        db.execute(
            "INSERT INTO step_run_input_artifact (name, type, input_index, step_id, artifact_id) VALUES ('x','manual',0,?,?)",
            (step, row_id(entry.id)),
        )
    found = world.sweep(batch=500)
    assert (found.status, found.referenced) == (ExitStatus.ENTRIES_KEPT, 1)
    assert any(p.is_file() for p in Path(entry.uri).rglob("*"))
