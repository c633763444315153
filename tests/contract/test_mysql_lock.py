"""One sweep of a catalog at a time, from whatever plan and host: ``GET_LOCK`` on the server, a lock file beside SQLite."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from marksweep.errors import Locked
from marksweep.flock import flocked
from tests.contract.mysql_worlds import NEWEST, opened, wait_until
from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli
from tests.support.mariadb import USER, MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog
from tests.support.mariadb_load import clone

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["mariadb", "sqlite"])
def real(request: pytest.FixtureRequest, mariadb_catalog: Callable[..., MariaDbCatalog], tmp_path: Path) -> RealCatalog:
    return mariadb_catalog(NEWEST) if request.param == "mariadb" else unpacked("0.98.0", tmp_path)


@pytest.fixture
def cli(tmp_path: Path, real: RealCatalog) -> Cli:
    (tmp_path / "home").mkdir()
    return Cli(tmp_path / "home", {"ZENML_CONFIG_PATH": str(real.config)})


def marked(cli: Cli, real: RealCatalog, name: str) -> Path:
    """A plan of its own beside nothing else."""
    plan = cli.home / name / "plan.json"
    plan.parent.mkdir()
    cli.done("mark", "--catalog", real.url, "--no-grace", "--quiet", "--out", plan)
    return plan


def lock_file(real: RealCatalog) -> Path:
    return real.database.with_name("zenml.db.marksweep-lock")


@contextmanager
def sweeping(cli: Cli, real: RealCatalog, plan: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep in a process of its own that has claimed something and waits long before it deletes bytes."""
    command = [
        sys.executable, "-m", "marksweep", "sweep", str(plan), "--yes", "--quiet", "--catalog", real.url,
        "--batch-size", "2", "--lag", "10m",
    ]  # fmt: skip
    environment = cli.environment() | {"PYTHONPATH": str(REPOSITORY)}
    with (cli.home / "sweep.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        before = len(real.by_id)
        wait_until(lambda: process.poll() is not None or len(real.existing_ids()) < before, 60)
        assert process.poll() is None, (cli.home / "sweep.log").read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_a_second_sweep_of_the_catalog_is_refused_and_told_who_sweeps(cli: Cli, real: RealCatalog) -> None:
    """By another plan, which its own lock file does not keep out. Two marks do not mind."""
    first, second = marked(cli, real, "first"), marked(cli, real, "second")
    with sweeping(cli, real, first) as process:
        ended = cli("sweep", second, "--yes", "--quiet", "--catalog", real.url)
        if isinstance(real, MariaDbCatalog):
            ended.refused(30, "another sweep of the catalog", f"of '{USER}' from 127.0.0.1:", "KILL")
            assert real.database.name in ended.flat
        else:
            ended.refused(30, "another sweep of the catalog", f"process {process.pid} on {socket.gethostname()}")
        assert real.url not in ended.flat
        for name in ("third", "fourth"):
            assert marked(cli, real, name).exists()
        assert process.poll() is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_lock_of_a_sweep_that_died_is_free(cli: Cli, real: RealCatalog, how: signal.Signals) -> None:
    """Killed, or interrupted: the next sweep begins at once; and a lock file goes with the sweep that ends."""
    first, second = marked(cli, real, "first"), marked(cli, real, "second")
    with sweeping(cli, real, first) as process:
        process.send_signal(how)
        assert process.wait(30) == (-how if how is signal.SIGKILL else 130)
    ended = cli("sweep", second, "--yes", "--quiet", "--catalog", real.url)
    if how is signal.SIGKILL and ended.status == 30:  # the server may take a moment to notice
        wait_until(lambda: cli("sweep", second, "--yes", "--quiet", "--catalog", real.url).status != 30)
    else:
        assert ended.status in (0, 11), ended
    if not isinstance(real, MariaDbCatalog):
        assert not lock_file(real).exists()
    assert cli("sweep", first, "--yes", "--quiet", "--catalog", real.url).status == 0


def test_the_lock_is_free_after_the_end_and_after_an_error(real: RealCatalog) -> None:
    """And taken between: the same catalog opened twice in one process is two sweeps."""
    with opened(real.url) as catalog, opened(real.url) as other:
        for wrong in (False, True):
            try:
                with catalog.sole_sweeper():
                    with pytest.raises(Locked, match="another sweep of the catalog"), other.sole_sweeper():
                        pytest.fail("both hold it")
                    if wrong:
                        raise RuntimeError
            except RuntimeError:
                assert wrong
            with other.sole_sweeper():
                pass


def test_the_lock_is_of_one_database(mariadb: MariaDbServer, mariadb_catalog: Callable[..., MariaDbCatalog]) -> None:
    """Two catalogs on one server do not keep each other out, not even copies that have one server id."""
    real = mariadb_catalog(NEWEST)
    copy = clone(mariadb, real.database)
    try:
        with opened(real.url) as one, opened(copy.url) as two, one.sole_sweeper(), two.sole_sweeper():
            assert one.identity().server_id == two.identity().server_id
            assert one.identity().instance != two.identity().instance
    finally:
        mariadb.drop_database(copy.name)


def test_a_lock_whose_holder_cannot_be_seen_is_said_to_be_anothers(
    mariadb: MariaDbServer, mariadb_catalog: Callable[..., MariaDbCatalog]
) -> None:
    """A user sees only sessions of their own."""
    real = mariadb_catalog(NEWEST)
    with opened(real.url) as catalog, catalog.sole_sweeper():
        name = catalog._database._locks  # type: ignore[attr-defined]
    with closing(mariadb.admin()) as root, opened(real.url) as catalog, root.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
        with pytest.raises(Locked, match="a connection of another user holds its lock"), catalog.sole_sweeper():
            pytest.fail("both hold it")


# The lock file


def test_a_lock_file_is_removed_only_by_its_holder(tmp_path: Path) -> None:
    """Who is refused leaves it; afterwards it is gone, and the next one makes it again."""
    path = tmp_path / "lock"
    for _ in range(2):
        with flocked(path, "another", "wait", remove=True):
            with (
                pytest.raises(Locked, match=f"process {os.getpid()} on"),
                flocked(path, "another", "wait", remove=True),
            ):
                pytest.fail("both hold it")
            assert path.read_text().startswith(f"process {os.getpid()} on")
        assert not path.exists()


def test_a_lock_file_that_was_removed_while_somebody_waited_to_lock_it_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, then removed by its last holder, then locked: that lock would keep nobody out, so it is made anew."""
    path = tmp_path / "lock"
    path.touch()
    open_, opens = os.open, [0]

    def opening(name: Path, *arguments: int) -> int:
        descriptor = open_(name, *arguments)
        opens[0] += 1
        if opens[0] == 1:
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", opening)
    with flocked(path, "another", "wait", remove=True):
        assert path.read_text().startswith("process ")
    assert opens[0] == 2


def test_a_lock_file_is_not_followed_elsewhere(tmp_path: Path) -> None:
    """A symbolic link in its place could make marksweep truncate a file of somebody else."""
    target = tmp_path / "precious"
    target.write_text("content")
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"), flocked(tmp_path / "lock", "another", "wait"):
        pytest.fail("it was followed")
    assert target.read_text() == "content"


@pytest.mark.parametrize("real", ["sqlite"], indirect=True)
def test_marking_makes_no_lock(cli: Cli, real: RealCatalog) -> None:
    """A reader leaves nothing beside the database, and is not kept out by a lock."""
    before = sorted(p.name for p in real.database.parent.iterdir())
    with opened(real.url) as catalog, catalog.sole_sweeper():
        marked(cli, real, "beside")
    assert sorted(p.name for p in real.database.parent.iterdir()) == before
