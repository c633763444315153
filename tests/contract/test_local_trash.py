"""The trash of a local store: a rename that overwrites nothing, loses nothing, and can be undone."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyFailed, KeyGone, StoredObject
from marksweep.model.version import ArtifactStore
from marksweep.store import local, local_fs, local_move, local_trash
from marksweep.store.local_folders import Folders
from marksweep.store.local_trash_place import folder_name, misplaced, open_trash
from marksweep.store.port import Store
from marksweep.store.tuning import Tuning
from tests.contract.store_worlds import LocalWorld, place

pytestmark = pytest.mark.anyio
SHARED = Path("/dev/shm")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def trash(tmp_path: Path) -> Path:
    """The folder of one plan; nothing of it is there yet."""
    return tmp_path / "trash" / "PLAN"


@pytest.fixture(params=["rename", "link"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system's rename that replaces nothing, and as if it had none."""
    if request.param == "link":
        monkeypatch.setattr(local_move, "_rename", lambda *_: False)
    return str(request.param)


def opened(world: LocalWorld, trash: Path, root: str | None = None) -> AbstractAsyncContextManager[Store]:
    return local.open_store(ArtifactStore("id", "name", "local", root or world.root), tuning=Tuning(trash=trash))


@asynccontextmanager
async def refused(world: LocalWorld, trash: Path, words: str) -> AsyncIterator[None]:
    with pytest.raises(StoreRefused, match=words) as caught:
        async with opened(world, trash):
            pass
    assert caught.value.remedy
    yield


def contents(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of every file below *folder*."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}


@pytest.mark.usefixtures("each_way")
async def test_a_delete_moves_and_an_undelete_moves_back(local_world: LocalWorld, trash: Path) -> None:
    """Same content, size, mtime and tag; links are moved themselves; emptied folders go and come back."""
    local_world.put("v/a", "v/deep/er/b", "other/x", body=b"content")
    os.symlink("nowhere", local_world.folder / "v" / "link")
    async with opened(local_world, trash) as store:
        here = place(local_world, "v")
        found = await store.list(here)
        assert {type(o) for o in await store.delete(found)} == {KeyDeleted}
        await store.tidy([here])
        assert local_world.paths() == {"other/x"}
        assert local_world.folders() == {"other"}
        assert contents(trash) == {"id/v/a": b"content", "id/v/deep/er/b": b"content"}
        assert os.readlink(trash / "id" / "v" / "link") == "nowhere"
        back = await store.undeletable(here, LONG_AGO)
        assert {(o.key, o.size, o.tag) for o in back} == {(o.key, o.size, o.tag) for o in found}
        assert list(await store.undelete(back)) == []
        assert set(await store.list(here)) == set(found)
        assert await store.undeletable(here, LONG_AGO) == []
    assert os.listdir(trash) == [], "nothing is left of it, not even folders"


async def test_only_what_was_deleted_since_and_lies_there_comes_back(local_world: LocalWorld, trash: Path) -> None:
    """``undeletable`` keeps to its place (no sibling with the same prefix) and to its time."""
    local_world.put("abc/x", "abcd/x")
    async with opened(local_world, trash) as store:
        for name in ("abc", "abcd"):
            await store.delete(await store.list(place(local_world, name)))
        assert [o.key for o in await store.undeletable(place(local_world, "abc"), LONG_AGO)] == ["abc/x"]
        later = datetime.now(UTC) + timedelta(hours=1)
        assert await store.undeletable(place(local_world, "abc"), later) == []


async def test_the_preconditions_are_those_of_a_delete(local_world: LocalWorld, trash: Path) -> None:
    """Another size or mtime: changed and left alone; not there: gone; nothing of either is in the trash."""
    local_world.put("v/a", "v/b", "v/c")
    async with opened(local_world, trash) as store:
        found = {o.key: o for o in await store.list(place(local_world, "v"))}
        (local_world.folder / "v/a").write_bytes(b"longer")
        os.utime(local_world.folder / "v/b", ns=(1, 1))
        (local_world.folder / "v/c").unlink()
        outcomes = {o.key: type(o) for o in await store.delete(list(found.values()))}
    assert outcomes == {"v/a": KeyChanged, "v/b": KeyChanged, "v/c": KeyGone}
    assert contents(trash) == {}


@pytest.mark.usefixtures("each_way")
async def test_nothing_in_the_trash_is_ever_overwritten(local_world: LocalWorld, trash: Path) -> None:
    """A name that is taken goes to a numbered folder, also where a file has the name of a folder; the last comes back."""
    async with opened(local_world, trash) as store:
        for body in (b"1", b"22", b"333"):
            local_world.put("v/a", body=body)
            assert {type(o) for o in await store.delete(await store.list(place(local_world, "v")))} == {KeyDeleted}
        (local_world.folder / "v").rmdir()
        local_world.put("v", body=b"4444")
        assert {type(o) for o in await store.delete(await store.list(place(local_world, "v")))} == {KeyDeleted}
        assert contents(trash) == {"id/v/a": b"1", "id.2/v/a": b"22", "id.3/v/a": b"333", "id.4/v": b"4444"}
        local_world.put("w/v/a", body=b"5")
        (back,) = await store.undeletable(place(local_world, "v/a"), LONG_AGO)
        assert (back.size, back.version) == (3, "id.3/v/a")


@pytest.mark.usefixtures("each_way")
async def test_an_occupied_path_stays_as_it_is(local_world: LocalWorld, trash: Path) -> None:
    """Somebody wrote there since: ``Occupied``, both contents stay where they are; so does what the trash does not hold."""
    local_world.put("v/a", body=b"old")
    async with opened(local_world, trash) as store:
        await store.delete(await store.list(place(local_world, "v")))
        local_world.put("v/a", body=b"new")
        (held,) = await store.undeletable(place(local_world, "v"), LONG_AGO)
        (failed,) = await store.undelete([held])
        assert (failed.key, failed.code) == ("v/a", "Occupied")
        for version in ("id/v/b", "../PLAN/id/v/a", "id.7/v/a", ""):
            key = version.rpartition("id/")[2] if version.startswith("id/") else "v/a"
            (failed,) = await store.undelete([StoredObject(key, 3, held.tag, version)])
            assert failed.code == "NotFound"
        for key in ("v/../a", "/v/a", "v//a", ""):
            (failed,) = await store.undelete([StoredObject(key, 3, held.tag, f"id/{key}")])
            assert failed.code == "InvalidKey"
    assert local_world.paths() == {"v/a"}
    assert contents(trash) == {"id/v/a": b"old"}


async def test_a_store_without_a_trash_says_that_it_cannot_undo(local_world: LocalWorld) -> None:
    """The fact says why, the remedy what to do."""
    async with local_world.open() as store:
        with pytest.raises(StoreRefused, match="without a trash is gone") as caught:
            await store.undeletable(place(local_world, "v"), LONG_AGO)
        assert "--trash" in caught.value.remedy
        (failed,) = await store.undelete([StoredObject("v/a", 1, "1", "id/v/a")])
        assert failed.code == "NoTrash"


async def test_a_link_in_the_trash_or_above_leads_nowhere(local_world: LocalWorld, trash: Path) -> None:
    """The trash itself, the plan's folder, or a folder in it swapped for a link: refused, or failed, and nothing moves out."""
    trash.parent.parent.joinpath("elsewhere").mkdir(mode=0o700)
    trash.parent.symlink_to(local_world.outside)
    async with refused(local_world, trash, "cannot be used"):
        trash.parent.unlink()
    trash.parent.mkdir(mode=0o700)
    os.symlink(local_world.outside, trash)
    async with refused(local_world, trash, "cannot be used"):
        os.unlink(trash)
    local_world.put("v/a")
    async with opened(local_world, trash) as store:
        (trash / "id").symlink_to(local_world.outside)
        (outcome,) = await store.delete(await store.list(place(local_world, "v")))
        assert isinstance(outcome, KeyFailed | KeyDeleted)
    assert list(local_world.outside.iterdir()) == []
    assert "v/a" in local_world.paths() or (trash / "id.2" / "v" / "a").exists()


async def test_where_a_trash_may_not_be(local_world: LocalWorld, trash: Path) -> None:
    """Deep inside the store, the store itself, on another file system, or where others may write: refused on opening."""
    (local_world.folder / "load").mkdir()
    async with refused(local_world, local_world.folder / "load" / "trash" / "PLAN", "deep inside"):
        pass
    async with refused(local_world, local_world.folder / "PLAN", "is the artifact store"):
        pass
    trash.parent.mkdir(mode=0o777)
    trash.parent.chmod(0o777)
    async with refused(local_world, trash, "others may write"):
        pass
    async with refused(local_world, trash.parent.parent / "missing" / "trash" / "PLAN", "No such file"):
        pass
    assert local_world.paths() == set()


async def test_another_file_system_is_refused_and_nothing_is_made_there(local_world: LocalWorld) -> None:
    """A rename cannot reach it, and a copy is no rename."""
    assert _is_elsewhere(SHARED, local_world.folder), f"this test needs a second file system: {SHARED}"
    with tempfile.TemporaryDirectory(dir=SHARED) as other:
        async with refused(local_world, Path(other) / "trash" / "PLAN", "another file system"):
            assert os.listdir(other) == []
        for made in (f"{other}/trash", f"{other}/trash/PLAN"):
            os.mkdir(made, 0o700)
            async with refused(local_world, Path(other) / "trash" / "PLAN", "another file system"):
                assert os.listdir(made) == []


async def test_a_trash_directly_below_the_root_is_no_place_of_a_version(local_world: LocalWorld) -> None:
    """Allowed, made for its owner alone, and an objection to every location in it."""
    trash = local_world.folder / ".trash" / "PLAN"
    local_world.put("v/a")
    async with opened(local_world, trash) as store:
        assert store.objection(place(local_world, "v")) is None
        for path in (".trash", ".trash/PLAN", ".trash/PLAN/id/v"):
            assert store.objection(place(local_world, path)) == "it lies in the trash"
        await store.delete(await store.list(place(local_world, "v")))
    assert contents(trash) == {"id/v/a": b"x"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (trash.parent, *trash.parent.rglob("*")) if p.is_dir()} == {0o700}


def test_a_trash_must_be_outside_of_every_store() -> None:
    """By whole segments: a sibling with the same prefix is outside."""
    assert misplaced("/data/trash", "/data/store") is None
    assert misplaced("/data/store/trash", "/data/store") is None
    assert misplaced("/data/store-trash/deep/er", "/data/store") is None
    assert "itself" in (misplaced("/data/store", "/data/store") or "")
    assert "deep inside" in (misplaced("/data/store/load/trash", "/data/store") or "")


def test_a_name_becomes_one_folder() -> None:
    """Whatever a plan or a store is called."""
    assert folder_name("01KAJ9Q6T0V3F7W4M2N8B5C1XZ") == "01KAJ9Q6T0V3F7W4M2N8B5C1XZ"
    for name in ("..", ".", "a/b", "../../etc", ".hidden", "", "x" * 200, "a\0b"):
        assert len(folder_name(name)) == 64, name
        assert folder_name(name).isalnum()


async def test_a_file_written_between_the_look_and_the_rename_is_put_back(
    local_world: LocalWorld, trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is somebody's newer file: it stays theirs, also where it can only stay in the trash, which is said."""
    local_world.put("v/a")
    rewrite = True
    move = local_trash.move

    def racing(source: int, target: int, name: str) -> None:
        nonlocal rewrite
        if rewrite:
            rewrite = False
            local_world.put("v/a", body=b"newer")
        move(source, target, name)

    monkeypatch.setattr(local_trash, "move", racing)
    async with opened(local_world, trash) as store:
        found = await store.list(place(local_world, "v"))
        (outcome,) = await store.delete(found)
        assert isinstance(outcome, KeyChanged)
        assert (local_world.folder / "v/a").read_bytes() == b"newer"
        assert contents(trash) == {}


async def test_a_trash_that_vanishes_is_a_failure_and_not_a_file_that_is_gone(
    local_world: LocalWorld, trash: Path
) -> None:
    """The file is where it was, and the outcome says so."""
    local_world.put("v/a")
    async with opened(local_world, trash) as store:
        found = await store.list(place(local_world, "v"))
        os.rmdir(trash)
        (outcome,) = await store.delete(found)
    assert isinstance(outcome, KeyFailed)
    assert local_world.paths() == {"v/a"}


def _is_elsewhere(path: Path, than: Path) -> bool:
    return path.is_dir() and path.stat().st_dev != than.stat().st_dev


class PowerCut(BaseException):
    """Everything ends here."""


STEPS = ((os, "mkdir"), (os, "fsync"), (os, "link"), (os, "unlink"), (os, "open"), (local_trash, "move"))


@contextmanager
def fuse(monkeypatch: pytest.MonkeyPatch, steps: int, *, after: bool) -> Iterator[Callable[[], bool]]:
    """Cut the power at the step with that number, before or after it is done; yields whether it was cut."""
    left, blown = steps, False

    def wired(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            nonlocal left, blown
            if blown:
                return real(*arguments, **more)
            left -= 1
            if left:
                return real(*arguments, **more)
            blown = True
            if after:
                done = real(*arguments, **more)
                if real.__name__ == "open":
                    os.close(done)
            raise PowerCut

        return step

    with monkeypatch.context() as patched:
        for module, name in STEPS:
            patched.setattr(module, name, wired(getattr(module, name)))
        yield lambda: blown


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_between_anything_loses_nothing(
    each_way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Cut at every step of a delete, and of the undelete: each content is in the store or in the trash; again, and it ends."""
    cuts, step = 0, 0
    while True:
        step += 1
        world, trash = tmp_path / f"{step}", tmp_path / f"{step}-trash"
        before = {f"v/{name}": name.encode() for name in ("a", "b", "deep/c")}
        for path, body in before.items():
            (world / path).parent.mkdir(parents=True, exist_ok=True)
            (world / path).write_bytes(body)
        real, root = local_fs.open_root(str(world))
        with Folders(root) as folders:
            found = local_fs.list_objects(folders, ("v",))
        blown = [False, False]
        for number, deletes in enumerate((True, False)):
            for cutting in (True, False):
                with open_trash(trash / "P", "s", root, real) as opened_trash:
                    with fuse(monkeypatch, step if cutting else 10**9, after=after) as cut:
                        with suppress(PowerCut):
                            _work(opened_trash, root, found, deletes=deletes)
                        blown[number] |= cut()
                    known = {**contents(trash), **contents(world)}
                    assert sorted(known.values()) == sorted(set(known.values())) or each_way == "link"
                    assert set(known.values()) == set(before.values()), f"step {step}: lost"
                    seen = contents(world)
                    if not cutting:
                        assert seen == ({} if deletes else before), f"step {step}: not ended"
        os.close(root)
        cuts += sum(blown)
        if not any(blown):
            break
    assert cuts > 20


def _work(trash: local_trash.Trash, root: int, found: list[StoredObject], *, deletes: bool) -> None:
    if deletes:
        assert not [o for o in trash.take(root, found) if not isinstance(o, KeyDeleted | KeyGone)]
    else:
        failures = trash.give_back(root, trash.held(("v",), LONG_AGO))
        assert failures == []


async def test_a_move_that_the_system_refuses_leaves_the_file(
    local_world: LocalWorld, trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the system's own reason."""

    def refuse(source: int, target: int, name: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    local_world.put("v/a")
    monkeypatch.setattr(local_trash, "move", refuse)
    async with opened(local_world, trash) as store:
        (outcome,) = await store.delete(await store.list(place(local_world, "v")))
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "EXDEV"
    assert local_world.paths() == {"v/a"}


async def test_what_is_called_deleted_is_durable_first(
    local_world: LocalWorld, trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the trash that cannot be synced: its files did not go, as far as anybody may say."""
    real = os.fsync

    def failing(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/id/v"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    local_world.put("v/a")
    monkeypatch.setattr(os, "fsync", failing)
    async with opened(local_world, trash) as store:
        (outcome,) = await store.delete(await store.list(place(local_world, "v")))
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "EIO"
