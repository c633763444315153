"""The MariaDB servers of the tests are what production has, and end with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from tests.support import mariadb as mariadb_module
from tests.support.databases import (
    OPERATIONAL,
    MariaDbDatabase,
    editing,
    rows,
)
from tests.support.mariadb import MariaDbMissing, MariaDbServer, initialised, program

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def own(mariadb_base: Path) -> Iterator[MariaDbServer]:
    """A server to be killed."""
    with MariaDbServer(mariadb_base, wait_timeout=1234) as server:
        yield server


def test_a_server_is_as_production_has_it(mariadb: MariaDbServer) -> None:
    """Durable commits, the isolation that ZenML meets, only this machine, and no rights beyond the databases."""
    (settings,) = mariadb.execute(
        "SELECT @@innodb_flush_log_at_trx_commit, @@tx_isolation, @@bind_address, @@read_only, @@character_set_server"
    )
    assert settings == (1, "REPEATABLE-READ", "127.0.0.1", 0, "latin1")
    database = MariaDbDatabase(mariadb.url(mariadb.create_database()))
    with closing(database.connect()) as connection, pytest.raises(pymysql.err.OperationalError, match="denied"):
        connection.execute("SET GLOBAL read_only = 1")
    mariadb.drop_database(database.name)


def test_a_killed_server_keeps_what_was_committed_and_comes_back_on_its_port(own: MariaDbServer) -> None:
    """An open transaction dies with it; a restart may change settings."""
    database = MariaDbDatabase(own.url(own.create_database()))
    own.execute("CREATE TABLE t (n int) ENGINE=InnoDB", database=database.name)
    with editing(database) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    with closing(database.connect()) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        port, pid = own.port, own.pid
        own.kill()
        with pytest.raises(OPERATIONAL):
            connection.execute("SELECT 1")
    assert own.pid is None
    own.start()
    assert (own.port, own.pid != pid) == (port, True)
    assert rows(database, "t") == [{"n": 1}]
    own.restart(innodb_flush_log_at_trx_commit=0)
    assert own.execute("SELECT @@innodb_flush_log_at_trx_commit, @@wait_timeout") == [(0, 1234)]
    assert rows(database, "t") == [{"n": 1}]


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(mariadb_base: Path) -> None:
    """The end of its log is in the error."""
    server = MariaDbServer(mariadb_base, no_such_setting=1)
    with pytest.raises(RuntimeError, match="no-such-setting"), server:
        pass
    assert not server.folder.exists()


def test_a_server_ends_with_whoever_started_it(mariadb_base: Path, tmp_path: Path) -> None:
    """Even if that is killed: neither a process nor data in memory is left behind."""
    script = (
        "import pathlib, sys, time\nfrom tests.support.mariadb import MariaDbServer\n"
        "server = MariaDbServer(pathlib.Path(sys.argv[1])).__enter__()\n"
        "print(server.pid, server.folder, flush=True)\ntime.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, mariadb_base], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert owner.stdout is not None
    with owner.stdout as said:
        pid, folder = said.readline().split()
        assert Path(f"/proc/{pid}").exists()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    until = time.monotonic() + 20
    try:
        while (_runs(pid) or Path(folder).exists()) and time.monotonic() < until:
            time.sleep(0.02)
        assert not _runs(pid)
        assert not Path(folder).exists()
    finally:
        if _runs(pid):
            os.kill(int(pid), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_missing_mariadb_is_an_error_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a skip: the promises on MariaDB would go untested."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(MariaDbMissing, match="apt-get install mariadb-server"):
        program("mariadbd")


def test_the_empty_data_directory_is_made_once(mariadb_base: Path) -> None:
    """A server gets a copy."""
    before = mariadb_base.stat()
    assert initialised(mariadb_base) == mariadb_base
    assert mariadb_base.stat() == before


def test_the_memory_is_used_only_if_there_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A full /dev/shm would fail the tests for nothing."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    assert mariadb_module._roomiest() == tmp_path
