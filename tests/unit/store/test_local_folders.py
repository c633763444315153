"""Walks below a root that go on from the folders they hold open: never through a link, never with many descriptors."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from marksweep.store.local_folders import HELD, Folders, LinkInTheWay


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """A descriptor of the folder ``root``; ``outside`` lies beside it."""
    for name in ("root/a/b", "root/a/c", "outside/b", "outside/c"):
        (tmp_path / name).mkdir(parents=True)
    descriptor = os.open(tmp_path / "root", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether *descriptor* is the folder *path*."""
    return os.path.samestat(os.fstat(descriptor), os.stat(path))


def test_a_folder_swapped_for_a_link_between_neighbours_leads_nowhere_else(tmp_path: Path, root: int) -> None:
    """A held folder stays the one that it was; a walk that begins anew ends at the link."""
    with Folders(root) as folders:
        folders.at(("a", "b"))
        (tmp_path / "root/a").rename(tmp_path / "root/moved")
        (tmp_path / "root/a").symlink_to(tmp_path / "outside")
        assert is_at(folders.at(("a", "c")), tmp_path / "root/moved/c")
        folders.at(())
        with pytest.raises(LinkInTheWay) as met:
            folders.at(("a", "c"))
    assert met.value.filename == "a"


def test_a_link_among_neighbours_is_refused_and_the_walk_goes_on(tmp_path: Path, root: int) -> None:
    """What failed leaves the walk where it was: the next path is met as if it were the first."""
    (tmp_path / "root/a/link").symlink_to(tmp_path / "outside")
    (tmp_path / "root/a/file").write_bytes(b"x")
    with Folders(root) as folders:
        for path in (("a", "link"), ("a", "link", "b")):
            with pytest.raises(LinkInTheWay):
                folders.at(path)
        with pytest.raises(NotADirectoryError):
            folders.at(("a", "file", "b"))
        with pytest.raises(FileNotFoundError):
            folders.at(("a", "none", "b"))
        assert is_at(folders.at(("a", "b")), tmp_path / "root/a/b")


def test_any_order_of_paths_meets_the_right_folders_with_few_descriptors(tmp_path: Path, root: int) -> None:
    """Random walks in a deep tree, each step compared with the plain path."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    paths: list[tuple[str, ...]] = [()]
    for number in range(60):
        path = (*rng.choice(paths[-5:]), f"{number % 3}")
        (tmp_path / "root").joinpath(*path).mkdir(exist_ok=True)
        paths.append(path)
    before = len(os.listdir("/proc/self/fd"))
    with Folders(root) as folders:
        for _ in range(300):
            path = rng.choice(paths)
            assert is_at(folders.at(path), (tmp_path / "root").joinpath(*path))
            assert len(os.listdir("/proc/self/fd")) <= before + HELD
    assert len(os.listdir("/proc/self/fd")) == before
