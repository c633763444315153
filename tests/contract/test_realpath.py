"""The keys of a URI on this machine, its symbolic links resolved."""

from __future__ import annotations

import os

import pytest

from marksweep.model.uri import plain_key
from marksweep.store.realpath import ALIKE, RealPaths
from tests.contract.store_worlds import LocalWorld


def test_spellings_resolve_links_and_need_nothing_to_exist(local_world: LocalWorld) -> None:
    """The key of the real path is among the spellings: links in folders and at the end, ``..`` behind a link."""
    local_world.put("real/deep/v")
    (local_world.folder / "alias").symlink_to(local_world.folder / "real" / "deep")
    root = f"file://{os.path.realpath(local_world.root)}"
    paths = RealPaths()
    for written, meant in {
        "alias": "real/deep",
        "alias/": "real/deep",
        "alias/v": "real/deep/v",
        "alias/../sibling": "real/sibling",
        "alias/..": "real",
        "alias/not/there": "real/deep/not/there",
        "plain//x": "plain/x",
        "./real/.": "real",
    }.items():
        for uri in (
            f"{local_world.root}/{written}",
            f"file://{local_world.root}/{written}",
            f"FILE://{local_world.root}/{written}",
        ):
            assert f"{root}/{meant}/" in paths.spellings(uri), written
    assert paths.spellings("/") == ("file:///",)
    assert paths.spellings("/nul\0/x") == ("file:///nul\0/x/",)
    assert paths.spellings("file://relative") == ("file:///relative/",)
    assert paths.spellings("s3://b/x") == ("s3://b/x/",)


def test_spellings_resolve_each_folder_once(local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 versions in ten folders that exist cost one look each, besides one at each folder above them."""
    looked: list[str] = []
    lstat = os.lstat

    def counted(path: str) -> os.stat_result:
        looked.append(path)
        return lstat(path)

    for number in range(10):
        os.mkdir(f"{local_world.root}/folder{number}")
    paths = RealPaths()
    monkeypatch.setattr(os, "lstat", counted)
    for number in range(20_000):
        paths.spellings(f"{local_world.root}/folder{number % 10}/v{number}")
    assert len(looked) == 20_000 + 10 + str(local_world.root).count("/")


def test_nothing_is_looked_at_below_what_does_not_exist(
    local_world: LocalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version whose store is not on this machine costs no look at all once that is known."""
    paths = RealPaths()
    paths.spellings(f"{local_world.root}/absent/a/b/c")
    monkeypatch.setattr(os, "lstat", lambda path: pytest.fail(f"looked at {path}"))
    assert paths.spellings(f"{local_world.root}/absent/a/b/d") == (f"file://{local_world.root}/absent/a/b/d/",)


def test_what_is_beside_an_absent_folder_is_looked_at(local_world: LocalWorld) -> None:
    """Only what lies below is known to hold no link: not a name that goes on, and nothing once another pass begins."""
    local_world.put("real/v")
    paths = RealPaths()
    paths.spellings(f"{local_world.root}/absent/a/b")
    (local_world.folder / "absent2").symlink_to(local_world.folder / "real")
    real = f"file://{os.path.realpath(local_world.root)}/real/v/"
    assert real in paths.spellings(f"{local_world.root}/absent2/v")
    (local_world.folder / "absent").symlink_to(local_world.folder / "real")
    assert real in RealPaths().spellings(f"{local_world.root}/absent/v")


def test_a_sole_key_is_the_only_spelling_and_nothing_that_a_link_leads_to_has_one(local_world: LocalWorld) -> None:
    """However many neighbours lie in a folder, which is then read instead of each of them; and in whatever company."""
    for number in range(3 * ALIKE):
        local_world.put(f"real/{number}/file")
    os.symlink(f"{local_world.root}/real/0", f"{local_world.root}/real/{3 * ALIKE}-link")
    os.symlink(f"{local_world.root}/real", f"{local_world.root}/alias")
    names = [f"{number}" for number in range(3 * ALIKE)]
    plain = [f"{local_world.root}/{folder}/{name}" for folder in ("real", "gone", "gone/.x") for name in [*names, "z"]]
    odd = [f"{local_world.root}/real/{3 * ALIKE}-link", *(f"{local_world.root}/alias/{name}" for name in names)]
    strange = [
        "/",
        "/a\n/b",
        "x",
        "s3://b/x",
        "s3://b//x",
        "/x/../y",
        "/a/.",
        "/a/..",
        "marksweep-deleted:/x",
        "/nul\0",
    ]
    for uris in (plain, odd, plain + odd, plain + odd + strange, strange, [f"{uri}/" for uri in plain]):
        paths, other = RealPaths(), RealPaths()
        for uri, key in zip(uris, paths.sole_keys(uris), strict=True):
            assert key is None or (key,) == other.spellings(uri) == (plain_key(uri),), uri
            assert key is not None or uri in odd or uri in strange, uri
    assert RealPaths().sole_keys(odd) == [None] * len(odd)
