"""What only folders can do: symbolic links, races with them, odd files, empty folders, real paths."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyFailed, KeyGone, Undo
from marksweep.model.uri import locate
from marksweep.store import local_links
from tests.contract.store_worlds import LocalWorld, place, relative

pytestmark = pytest.mark.anyio


def swap_for_link(folder: Path, target: Path) -> None:
    """Move *folder* away and put a link to *target* in its place."""
    folder.rename(folder.with_name(folder.name + "-moved"))
    folder.symlink_to(target)


async def test_links_inside_are_objects_and_their_targets_stay(local_world: LocalWorld) -> None:
    """Links to a file, to a folder and to nothing are unlinked themselves; what they point at is untouched."""
    (local_world.outside / "precious").write_bytes(b"p")
    local_world.put("v/a", "live/x")
    for name, target in (("file", "precious"), ("folder", "."), ("dangling", "nothing")):
        (local_world.folder / "v" / name).symlink_to(local_world.outside / target)
    (local_world.folder / "v" / "inner").symlink_to(local_world.folder / "live")
    async with local_world.open() as store:
        found = await store.list(place(local_world, "v"))
        assert {listed.key for listed in found} == {"v/a", "v/file", "v/folder", "v/dangling", "v/inner"}
        assert {type(outcome) for outcome in await store.delete(found)} == {KeyDeleted}
        await store.tidy([place(local_world, "v")])
    assert (local_world.outside / "precious").read_bytes() == b"p"
    assert local_world.paths() == {"live/x"}
    assert local_world.folders() == {"live"}


@pytest.mark.parametrize("path", ["link", "link/v", "link/v/deeper", "sound/link", "sound/link/v"])
async def test_a_link_at_or_above_the_location_is_an_objection(local_world: LocalWorld, path: str) -> None:
    """A location that is a link, or lies behind one, is neither listed nor tidied nor deleted from."""
    local_world.put("sound/x")
    (local_world.outside / "v" / "deeper").mkdir(parents=True)
    for link in ("link", "sound/link"):
        (local_world.folder / link).symlink_to(local_world.outside)
    async with local_world.open() as store:
        assert "symbolic link: " in (store.objection(place(local_world, path)) or "")
        with pytest.raises(StoreRefused, match="symbolic link"):
            await store.list(place(local_world, path))
        await store.tidy([place(local_world, path)])
        assert store.objection(place(local_world, "sound/other/v")) is None
    assert (local_world.outside / "v" / "deeper").is_dir()


async def test_a_link_that_comes_later_is_an_objection_a_moment_later(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a folder was is remembered for a second, for its neighbours' sake; what is absent is, too."""
    now = 100.0
    monkeypatch.setattr(local_links.time, "monotonic", lambda: now)
    local_world.put("sound/x/file")
    async with local_world.open() as store:
        for path in ("sound/x", "sound/y", "later/x"):
            assert store.objection(place(local_world, path)) is None
        (local_world.folder / "sound").rename(local_world.folder / "moved")
        for link in ("sound", "later"):
            (local_world.folder / link).symlink_to(local_world.outside)
        now += 1.1
        for path in ("sound/x", "sound/y", "later/x"):
            assert "symbolic link: " in (store.objection(place(local_world, path)) or "")


async def test_a_folder_swapped_for_a_link_does_not_lead_a_delete_outside(local_world: LocalWorld) -> None:
    """Between listing and delete a folder becomes a link to one with the same names, sizes and mtimes: nothing goes."""
    local_world.put("v/deep/a")
    (local_world.outside / "deep").mkdir()
    (local_world.outside / "deep" / "a").write_bytes(b"x")
    stamp = os.stat(local_world.folder / "v/deep/a").st_mtime_ns
    os.utime(local_world.outside / "deep" / "a", ns=(stamp, stamp))
    async with local_world.open() as store:
        found = await store.list(place(local_world, "v"))
        swap_for_link(local_world.folder / "v", local_world.outside)
        (outcome,) = await store.delete(found)
        await store.tidy([place(local_world, "v")])
    assert isinstance(outcome, KeyFailed)
    assert (outcome.code, outcome.message) == ("ELOOP", "a symbolic link")
    assert (local_world.outside / "deep" / "a").read_bytes() == b"x"
    assert (local_world.folder / "v").is_symlink()


async def test_a_folder_swapped_during_the_walk_ends_it(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap happens between two steps of the listing: it is refused, never silently short, never outside."""
    local_world.put("v/deep/a")
    (local_world.outside / "a").write_bytes(b"x")
    scandir = os.scandir

    def swap_after_reading(descriptor: int) -> Any:
        entries = list(scandir(descriptor))
        if any(entry.name == "deep" for entry in entries):
            swap_for_link(local_world.folder / "v" / "deep", local_world.outside)
        return _Entries(entries)

    monkeypatch.setattr(os, "scandir", swap_after_reading)
    async with local_world.open() as store:
        with pytest.raises(StoreRefused, match="symbolic link"):
            await store.list(place(local_world, "v"))


class _Entries(list[Any]):
    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@pytest.mark.parametrize("change", ["size", "mtime", "link", "folder", "same bytes written again"])
async def test_what_changed_after_the_listing_is_left_alone(local_world: LocalWorld, change: str) -> None:
    """Another size, another mtime, a link or a folder under the listed name: KeyChanged, and it is still there."""
    local_world.put("v/a", "v/b")
    target = local_world.folder / "v" / "a"
    async with local_world.open() as store:
        found = await store.list(place(local_world, "v"))
        stamp = target.stat().st_mtime_ns
        target.unlink()
        if change == "folder":
            target.mkdir()
        elif change == "link":
            target.symlink_to(local_world.outside)
        else:
            target.write_bytes(b"longer" if change == "size" else b"x")
            new = stamp if change == "size" else stamp + (1 if change == "mtime" else 1_000_000)
            os.utime(target, ns=(new, new))
        outcomes = await store.delete(found)
    assert set(outcomes) == {KeyChanged("v/a"), KeyDeleted("v/b")}
    assert target.is_symlink() or target.exists()


@pytest.mark.parametrize("vanished", ["the file", "its folder", "its folder, now a file"])
async def test_what_vanished_after_the_listing_is_gone(local_world: LocalWorld, vanished: str) -> None:
    """A key that is not there any more is KeyGone, whatever took its folder's place."""
    local_world.put("v/a")
    async with local_world.open() as store:
        found = await store.list(place(local_world, "v"))
        (local_world.folder / "v/a").unlink()
        if vanished != "the file":
            (local_world.folder / "v").rmdir()
        if vanished.endswith("now a file"):
            local_world.put("v")
        assert await store.delete(found) == [KeyGone("v/a")]


async def test_names_that_are_not_utf8_work(local_world: LocalWorld) -> None:
    """Bytes that are no UTF-8 come as surrogate escapes and find their way back."""
    local_world.put(os.fsdecode(b"v\xff/\xe9t\xe9"))
    uri = os.fsdecode(os.fsencode(local_world.folder) + b"/v\xff")
    async with local_world.open() as store:
        assert store.objection(locate(uri)) is None
        assert f"file://{uri}/" in store.spellings(uri)
        found = await store.list(locate(uri))
        assert [listed.key for listed in found] == ["v\udcff/\udce9t\udce9"]
        assert await store.delete(found) == [KeyDeleted("v\udcff/\udce9t\udce9")]
        impossible = locate(f"{local_world.root}/\ud800")
        assert store.objection(impossible)
        with pytest.raises(StoreRefused, match="no file can have this name"):
            await store.list(impossible)


async def test_files_that_are_neither_files_nor_folders_are_objects(local_world: LocalWorld) -> None:
    """A named pipe is listed and unlinked, and nobody opens it."""
    local_world.put("v/a")
    os.mkfifo(local_world.folder / "v" / "pipe")
    async with local_world.open() as store:
        found = await store.list(place(local_world, "v"))
        assert relative(local_world, found) == {"v/a", "v/pipe"}
        await store.delete(found)
    assert local_world.paths() == set()


async def test_tidy_removes_empty_folders_and_only_those(local_world: LocalWorld) -> None:
    """Emptied folders at and below the location go, deepest first; the parent and folders with files stay."""
    for name in ("p/v/a/b/c", "p/v/d", "p/w/e", "p/v-2"):
        (local_world.folder / name).mkdir(parents=True)
    local_world.put("p/w/kept")
    (local_world.folder / "p/w/e/link").symlink_to(local_world.outside)
    async with local_world.open() as store:
        assert await store.list(place(local_world, "p/v")) == []
        await store.tidy([place(local_world, path) for path in ("p/v", "p/w", "p/w/kept", "p/missing")])
    assert local_world.folders() == {"p", "p/w", "p/w/e", "p/v-2"}
    assert local_world.paths() == {"p/w/kept", "p/w/e/link"}
    assert local_world.outside.is_dir()


async def test_a_deep_folder_is_listed_without_a_descriptor_per_level(local_world: LocalWorld) -> None:
    """300 levels need no recursion and a few descriptors."""
    deep = "/".join(["d"] * 300)
    local_world.put(f"{deep}/a")
    async with local_world.open() as store:
        before = len(os.listdir("/proc/self/fd"))
        found = await store.list(place(local_world, "d"))
        assert await store.delete(found) == [KeyDeleted(f"{deep}/a")]
        await store.tidy([place(local_world, "d")])
        assert len(os.listdir("/proc/self/fd")) == before
    assert local_world.folders() == set()


async def test_an_unreadable_folder_is_refused_by_name(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read stops the listing, with its name, the system's reason and a remedy."""
    local_world.put("v/a")

    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    async with local_world.open() as store:
        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(StoreRefused, match="EACCES") as refused:
            await store.list(place(local_world, "v"))
    assert f"{local_world.root}/v" in refused.value.fact
    assert "readable" in refused.value.remedy


@pytest.mark.parametrize("root", ["missing", "a file", "a loop", "relative/path", "s3://bucket/x", "a\0b", ""])
async def test_a_root_that_is_no_folder_is_refused_and_not_made(local_world: LocalWorld, root: str) -> None:
    """A root that does not exist, or is no folder, is a wrong mount, and never created."""
    local_world.put("a file")
    (local_world.folder / "a loop").symlink_to(local_world.folder / "a loop")
    before = local_world.paths()
    path = root if "/" in root or not root else f"{local_world.root}/{root}"
    with pytest.raises(StoreRefused) as refused:
        async with local_world.open(path):
            pass
    assert refused.value.remedy
    assert (local_world.paths(), local_world.folders()) == (before, set())


async def test_a_root_behind_a_link_is_met_under_both_names(local_world: LocalWorld, tmp_path: Path) -> None:
    """Links in the root's own path are the administrator's: URIs under either name lie in the store."""
    local_world.put("v/a")
    alias = tmp_path / "alias"
    alias.symlink_to(local_world.folder)
    for root in (str(alias), f"file://{alias}/", f"{alias}/../store"):
        async with local_world.open(root) as store:
            for uri in {f"{local_world.root}/v", f"{alias}/v" if ".." not in root else f"{local_world.root}/v"}:
                assert store.objection(locate(uri)) is None
                assert [found.key for found in await store.list(locate(uri))] == ["v/a"]
            assert store.objection(locate(str(local_world.folder)))
            assert store.objection(locate(str(tmp_path / "alias-2" / "v")))


async def test_a_deleted_file_cannot_be_undone(local_world: LocalWorld) -> None:
    """There is no trash."""
    async with local_world.open() as store:
        assert await store.undo() is Undo.NONE
