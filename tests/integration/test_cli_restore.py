"""`marksweep restore` end to end: what a sweep took comes back as it was, or is refused with the reason."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.store.local import LocalStore
from marksweep.sweep.restore_journal import RestoreJournal
from tests.integration.conftest import on_sqlite
from tests.integration.test_s3_end_to_end import Cloud, cloud
from tests.support import zenml_runner
from tests.support.catalogs import RealCatalog, expected_orphans
from tests.support.cli import Cli, Ended
from tests.support.zenml_database import Snapshot, everything

__all__ = ["cloud"]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class World:
    """A catalog, its files and rows before the sweep, a plan of all its orphans, and a trash beside the catalog."""

    catalog: RealCatalog
    cli: Cli
    folder: Path
    rows: Snapshot
    files: dict[str, str]
    orphans: set[str]

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def trash(self) -> Path:
        return self.folder / "trash"

    def mark(self, *options: object) -> None:
        self.cli.done("mark", "--catalog", self.catalog.url, "--no-grace", "--quiet", "--out", self.plan, *options)

    def sweep(self, *options: object, status: int = 0) -> Any:
        words = ("sweep", self.plan, "--yes", "--catalog", self.catalog.url, "--drain", "0", *options)
        return self.cli.json(*words, status=status)

    def restore(self, *options: object, status: int = 0) -> Any:
        return self.cli.json("restore", self.plan, "--yes", "--catalog", self.catalog.url, *options, status=status)

    def untouched(self) -> bool:
        """All rows, and all files but the database's own."""
        return everything(self.catalog.database) == self.rows and files_of(self.catalog) == self.files

    def trashed(self) -> list[Path]:
        return [path for path in self.trash.rglob("*") if path.is_file()]

    def states(self) -> dict[str, int]:
        """State (and code, of what was kept) -> entries in the journal."""
        with closing(sqlite3.connect(f"{self.plan}.journal")) as journal:
            query = "SELECT iif(state = 'kept', code, state), count(*) FROM entry GROUP BY 1"
            return dict(journal.execute(query).fetchall())


def files_of(catalog: RealCatalog) -> dict[str, str]:
    return {path: digest for path, digest in catalog.file_digests().items() if "zenml.db" not in path}


@pytest.fixture
def world(newest: RealCatalog, cli: Cli, tmp_path: Path) -> World:
    rows, files = everything(newest.database), files_of(newest)
    return World(newest, cli, tmp_path, rows, files, expected_orphans(newest))


def kill_at(patch: pytest.MonkeyPatch, kind: type, name: str, call: int, *, after: bool) -> None:
    """The process ends at that call of *name*, before it or after it is done."""
    real, calls = getattr(kind, name), [0]

    def wired(self: Any, *arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == call and not after:
            raise Killed
        done = real(self, *arguments, **more)
        if calls[0] == call:
            raise Killed
        return done

    patch.setattr(kind, name, wired)


def test_a_swept_plan_comes_back_as_it_was(world: World) -> None:
    """Bytes from the trash, rows from the journal, on both engines; a dry run before it writes nothing."""
    world.mark()
    swept = world.sweep("--trash", world.trash)
    assert swept["books"]["deleted"] == len(world.orphans)
    assert len(world.trashed()) == swept["books"]["objects"]
    assert len(files_of(world.catalog)) == len(world.files) - swept["books"]["objects"]
    rows = everything(world.catalog.database)

    looked = world.restore("--dry-run")
    assert (looked["restored"], looked["refused"], looked["objects"]) == (27, 0, swept["books"]["objects"])
    assert everything(world.catalog.database) == rows
    assert world.states() == {"deleted": 27}

    done = world.restore()
    assert (done["swept"], done["restored"], done["refused"]) == (27, 27, 0)
    assert (done["objects"], done["bytes"]) == (swept["books"]["objects"], swept["books"]["bytes"])
    assert world.untouched()
    assert world.trashed() == []


@on_sqlite
def test_a_sweep_after_a_restore_takes_nothing_again(world: World) -> None:
    """The books say restored, and not deleted; a new plan of the same orphans may be swept, and restored."""
    world.mark()
    world.sweep("--trash", world.trash)
    world.restore()
    again = world.sweep(status=11)
    assert (again["books"]["deleted"], again["books"]["restored"], again["books"]["objects"]) == (0, 27, 0)
    assert {line["code"] for line in again["lines"]} == {"restored"}
    assert world.untouched()
    shown = world.cli.done("status", world.plan)
    assert "kept: restored" in shown.out
    nothing = world.restore()
    assert (nothing["swept"], nothing["restored"], nothing["refused"]) == (0, 0, 0)
    for path in world.folder.glob("plan.json*"):
        path.unlink()
    world.mark()
    assert world.sweep("--trash", world.trash)["books"]["deleted"] == 27
    assert world.restore()["restored"] == 27
    assert world.untouched()


def test_some_entries_and_the_journal_as_argument(world: World) -> None:
    """``--entry`` takes its unit along and nothing else; the others stay deleted, and come back later."""
    world.mark()
    world.sweep("--trash", world.trash)
    chosen = sorted(world.orphans)[:2]
    words = [word for id_ in chosen for word in ("--entry", id_)]
    journal = f"{world.plan}.journal"
    done = world.cli.json("restore", journal, "--yes", "--catalog", world.catalog.url, *words)
    assert done["restored"] == 2
    assert world.catalog.existing_ids() & world.orphans == set(chosen)
    assert world.states() == {"deleted": 25, "restored": 2}
    refused = world.restore(*words[:2], status=12)
    assert [(line["id"], line["code"]) for line in refused["lines"]] == [(chosen[0], "not-deleted")]
    world.cli("restore", world.plan, "--yes", "--catalog", world.catalog.url, "--entry", "nosuch").refused(
        2, "no entry"
    )
    assert world.restore()["restored"] == 25
    assert world.untouched()


def test_only_the_rows_went(world: World) -> None:
    """Mode only-metadata: rows come back, and no bytes are looked at."""
    world.mark("--only-metadata")
    world.sweep()
    assert files_of(world.catalog) == world.files
    assert not world.catalog.existing_ids() & world.orphans
    assert world.restore()["restored"] == 27
    assert world.untouched()


def test_only_the_bytes_went(world: World) -> None:
    """Mode only-artifact: bytes come back, and the tombstones come off."""
    world.mark("--only-artifact")
    world.sweep("--trash", world.trash)
    assert files_of(world.catalog) != world.files
    assert world.restore()["restored"] == 27
    assert world.untouched()
    assert world.sweep(status=11)["books"]["restored"] == 27
    assert world.untouched()


@on_sqlite
def test_what_a_local_store_deleted_for_good_is_refused(world: World) -> None:
    """12, the reason and the remedy for each; no row comes back without its bytes."""
    world.mark()
    world.sweep()
    rows = everything(world.catalog.database)
    done = world.restore(status=12)
    with_bytes = [line for line in done["lines"] if "without a trash is gone" in line["detail"]]
    assert len(with_bytes) == done["refused"] > 20
    assert all("--trash" in line["detail"] for line in with_bytes)
    assert done["restored"] == 27 - done["refused"], "versions without objects have nothing to wait for"
    assert (
        len(everything(world.catalog.database)["artifact_version"]) == len(rows["artifact_version"]) + done["restored"]
    )


@on_sqlite
def test_one_entry_that_cannot_come_back_does_not_stop_the_others(world: World) -> None:
    """A row with its id, an object more, one less, another content: each is refused for its own reason, and left as it is."""
    world.mark()
    world.sweep("--trash", world.trash)
    files = sorted(world.trashed())
    (world.catalog.root / "keep").mkdir()
    shown = world.cli.json("show", world.plan, "--entries", 100)["entries"]
    full = [e for e in shown if e["objects"]]
    extra, less, other = full[0], full[1], full[2]
    Path(extra["uri"]).mkdir(parents=True)
    (Path(extra["uri"]) / "new").write_bytes(b"somebody's")
    lost = [path for path in files if less["uri"].rpartition("/")[2] in str(path)]
    lost[0].unlink()
    changed = next(path for path in files if other["uri"].rpartition("/")[2] in str(path))
    changed.write_bytes(changed.read_bytes() + b"!")
    done = world.restore(status=12)
    assert (done["restored"], done["refused"]) == (24, 3)
    assert {line["id"] for line in done["lines"]} == {extra["id"], less["id"], other["id"]}
    assert all("together they are not the same" in line["detail"] for line in done["lines"])
    assert not world.catalog.existing_ids() & {extra["id"], less["id"], other["id"]}
    assert [path.name for path in Path(extra["uri"]).iterdir()] == ["new"]
    assert world.states() == {"deleted": 3, "restored": 24}
    (Path(extra["uri"]) / "new").unlink()
    assert world.restore("--entry", extra["id"])["restored"] == 1


@on_sqlite
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [
        (RestoreJournal, "begin_restore", 3),
        (LocalStore, "undelete", 3),
        (ZenmlCatalog, "reinsert", 30),
        (RestoreJournal, "restored", 3),
    ],
    ids=["intent", "bytes", "rows", "outcome"],
)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # what the end of a process leaves behind
def test_a_restore_that_was_killed_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, call: int, after: bool
) -> None:
    """Cut before and after each step: no row is there without its bytes, a sweep refuses, and the next restore ends it."""
    world.mark()
    world.sweep("--trash", world.trash)
    shown = {e["id"]: e for e in world.cli.json("show", world.plan, "--entries", 100)["entries"]}
    with monkeypatch.context() as patch:
        kill_at(patch, kind, name, call, after=after)
        with pytest.raises((Killed, BaseExceptionGroup)):
            world.cli("restore", world.plan, "--yes", "--catalog", world.catalog.url)
    for id_ in world.catalog.existing_ids() & world.orphans:
        place = Path(shown[id_]["uri"])
        found = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
        if shown[id_].get("objects"):
            assert len(found) == shown[id_]["objects"], "a row without its bytes"
    if world.states().get("restoring"):
        ended = world.cli("sweep", world.plan, "--yes", "--catalog", world.catalog.url)
        assert ended.status == 26
        assert "was begun and has not ended" in ended.flat
    world.restore()
    assert world.untouched()
    assert world.states() == {"restored": 27}
    assert world.trashed() == []


@on_sqlite
def test_bytes_without_their_rows_are_deleted_again_by_the_next_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog refused at the last moment: the journal says failed, the books too, and sweep or restore may go on."""
    from marksweep.catalog.port import Reinserted

    world.mark()
    world.sweep("--trash", world.trash)
    real = ZenmlCatalog.reinsert

    def refusing(self: Any, unit: Any, *arguments: Any, write: bool) -> Any:
        return (Reinserted.REFUSED, "too late") if write else real(self, unit, *arguments, write=write)

    with monkeypatch.context() as patch:
        patch.setattr(ZenmlCatalog, "reinsert", refusing)
        done = world.restore(status=12)
    assert (done["restored"], done["refused"]) == (0, 27)
    assert files_of(world.catalog) == world.files
    assert not world.catalog.existing_ids() & world.orphans
    failed = world.states()["failed"]
    assert failed > 20
    swept = world.sweep()
    assert (swept["books"]["failed"], swept["books"]["deleted"]) == (0, 27)
    assert len(files_of(world.catalog)) < len(world.files)
    assert world.restore()["restored"] == 27
    assert world.untouched()


@on_sqlite
def test_a_sweep_that_stopped_half_way_can_be_undone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between claim and delete: rows are gone and bytes are not; the restore brings the rows back."""
    world.mark()
    with monkeypatch.context() as patch:
        kill_at(patch, LocalStore, "delete", 1, after=False)
        with pytest.raises((Killed, BaseExceptionGroup)):
            world.cli("sweep", world.plan, "--yes", "--catalog", world.catalog.url, "--trash", world.trash)
    assert not world.catalog.existing_ids() & world.orphans
    assert world.states() == {"claimed": 27}
    assert world.restore()["restored"] == 27
    assert world.untouched()


@on_sqlite
def test_the_plan_may_be_expired_and_signed_by_whomever(world: World) -> None:
    """What was swept can be undone when nobody may sweep it any more; but it must be the plan that was swept."""
    world.mark("--expires", "3s")
    world.sweep("--trash", world.trash)
    stranger = Cli(world.folder / "stranger", world.cli.environ)
    stranger.home.mkdir()
    other = world.folder / "other.json"
    stranger.done("mark", "--catalog", world.catalog.url, "--no-grace", "--quiet", "--out", other)
    (world.folder / "other.json.journal").write_bytes(Path(f"{world.plan}.journal").read_bytes())
    stranger("restore", other, "--yes", "--catalog", world.catalog.url).refused(26, "belongs to another sweep")
    stranger("restore", world.folder / "nosuch.json", "--yes").refused(2, "there is no journal")
    (stranger.config / "signing_key").unlink()
    before = Path(f"{world.plan}.receipt.json").read_bytes()
    ended = stranger.done("restore", world.plan, "--yes", "--catalog", world.catalog.url, "--json")
    assert (ended.json["restored"], ended.json["receipt"]) == (27, None)
    assert "The receipt is still the one of the sweep" in ended.err
    assert Path(f"{world.plan}.receipt.json").read_bytes() == before
    assert not (stranger.config / "signing_key").exists()
    assert world.untouched()


@on_sqlite
def test_what_a_trash_cannot_promise_is_refused_before_anything_is_claimed(
    world: World, snapshot: Callable[[], dict[str, str]]
) -> None:
    """Inside a store, beside another trash of the same sweep, for a mode without bytes: nothing is swept."""
    world.mark()
    before = snapshot()

    def sweep(*options: object) -> Ended:
        return world.cli("sweep", world.plan, "--yes", "--catalog", world.catalog.url, *options)

    for store in world.catalog.store_roots[:-1]:  # the third was deleted from the catalog
        (store / "deep").mkdir()
        sweep("--trash", store / "deep" / "trash").refused(27, "deep inside of the artifact store")
        (store / "deep").rmdir()
    world.trash.mkdir(mode=0o777)
    world.trash.chmod(0o777)
    sweep("--trash", world.trash).refused(27, "others may write")
    world.trash.rmdir()
    assert snapshot() == before
    assert sweep("--trash", world.trash, "--batch-size", 1).status == 0
    assert sweep("--trash", world.folder / "another").status == 2
    metadata = world.folder / "metadata.json"
    world.cli.done(
        "mark", "--catalog", world.catalog.url, "--no-grace", "--only-metadata", "--quiet", "--out", metadata
    )
    ended = world.cli("sweep", metadata, "--yes", "--catalog", world.catalog.url, "--trash", world.trash)
    ended.refused(2, "--trash is for bytes")


@on_sqlite
def test_a_sweep_that_began_with_a_trash_goes_on_with_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who forgets the option when they resume loses nothing by it; a trash that was moved is given by hand."""
    world.mark()
    with monkeypatch.context() as patch:
        kill_at(patch, LocalStore, "delete", 1, after=False)
        with pytest.raises((Killed, BaseExceptionGroup)):
            world.cli("sweep", world.plan, "--yes", "--catalog", world.catalog.url, "--trash", world.trash)
    world.sweep()
    assert len(world.trashed()) > 20
    moved = world.folder / "moved"
    world.trash.rename(moved)
    assert world.restore(status=12)["refused"] > 20
    assert world.restore("--trash", moved)["refused"] == 0
    assert world.untouched()


def test_prune_takes_a_trash_too(world: World) -> None:
    """And its plan, kept in the state folder, can be restored."""
    plan = world.plan
    world.cli.done(
        "prune", "--catalog", world.catalog.url, "--no-grace", "--yes", "--out", plan, "--trash", world.trash
    )
    assert world.restore()["restored"] == 27
    assert world.untouched()


@on_sqlite
def test_a_versioned_bucket_brings_back_what_lay_in_it(cloud: Cloud, tmp_path: Path) -> None:
    """Delete markers come off, every key has its ETag again; the other store is a folder, with a trash."""
    client, bucket = cloud.bucket.client, cloud.bucket.bucket
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    objects, rows, files = cloud.objects(), everything(cloud.catalog.database), files_of(cloud.catalog)
    assert cloud.mark().status == 0
    assert cloud.sweep("--trash", tmp_path / "trash").status == 0
    assert len(cloud.objects()) < len(objects)
    done = cloud.cli.json("restore", cloud.plan, "--yes", "--catalog", cloud.catalog.url)
    assert (done["restored"], done["refused"]) == (len(cloud.orphans), 0)
    assert cloud.objects() == objects
    assert everything(cloud.catalog.database) == rows
    assert files_of(cloud.catalog) == files


@on_sqlite
def test_a_bucket_without_versions_brings_nothing_back(cloud: Cloud, tmp_path: Path) -> None:
    """A trash for the rest would be half a promise: refused. Without one, each entry says why it cannot come back."""
    assert cloud.mark().status == 0
    cloud.sweep("--trash", tmp_path / "trash").refused(2, "where a delete cannot be undone")
    assert cloud.sweep().status == 0
    done = cloud.cli.json("restore", cloud.plan, "--yes", "--catalog", cloud.catalog.url, status=12)
    assert any("keeps no versions" in line["detail"] for line in done["lines"])


@on_sqlite
def test_zenml_loads_again_what_was_restored(world: World) -> None:
    """A real ZenML lists and loads every restored version as before the sweep."""
    script = """
loaded = {}
for identifier in given:
    try:
        loaded[identifier] = repr(Client().zen_store.get_artifact_version(identifier).load())
    except Exception as error:
        loaded[identifier] = type(error).__name__
result['loaded'] = {k: v for k, v in loaded.items() if ' at 0x' not in v and '/tmp' not in v}
"""
    look = "from zenml.client import Client\n" + zenml_runner.LIST + script
    before = zenml_runner.run("0.98.0", world.catalog.config, look, sorted(world.orphans))
    world.mark()
    world.sweep("--trash", world.trash)
    world.restore()
    after = zenml_runner.run("0.98.0", world.catalog.config, look, sorted(world.orphans))
    assert after["loaded"] == before["loaded"]
    assert len(after["loaded"]) > 10
    assert sorted(after["versions"]) == sorted(before["versions"])
