"""The connection dies in the middle of a sweep: the catalog decides what happened, and nothing is done on a guess.

Whole sweeps at the command line, through a proxy that breaks connections at a statement, and servers that are killed.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from marksweep.catalog.port import ClaimAnswer, InDoubt
from marksweep.catalog.zenml import mysql, mysql_session, mysql_url
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.mysql import MysqlDatabase
from marksweep.model.outcome import Mode
from tests.contract.mysql_worlds import (
    NEWEST,
    Meanwhile,
    Swept,
    before_claim,
    hexed,
    opened,
    quiet,
    requests,
    rules,
    setting,
    uris,
    wait_until,
)
from tests.support.catalogs import expected_orphans
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog, in_mariadb
from tests.support.proxy import Break, Fault, Proxy

BEGIN = re.compile("START TRANSACTION")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for minutes: not for an answer, nor the server for a transaction that says nothing."""
    monkeypatch.setattr(mysql_url, "ANSWER_SECONDS", 3)
    monkeypatch.setattr(mysql_session, "IDLE_IN_TRANSACTION", 5)


@pytest.fixture
def world(mariadb_catalog: Callable[..., MariaDbCatalog], tmp_path: Path) -> Swept:
    return Swept.marked(mariadb_catalog(NEWEST), tmp_path / "home")


@pytest.fixture
def proxy(mariadb: MariaDbServer) -> Iterator[Proxy]:
    with Proxy(mariadb.port) as proxy:
        yield proxy


def through(proxy: Proxy, world: Swept) -> str:
    return re.sub(r":\d+/", f":{proxy.port}/", world.catalog.url)


FAULTS = [(mode, how) for mode in Mode for how in (Break.BEFORE, Break.AFTER)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("mode", "how"), [*FAULTS, (Mode.BOTH, Break.LATE), (Mode.BOTH, Break.HOLE)])
def test_a_lost_commit_is_found_out_by_the_next_run(
    mariadb_catalog: Callable[..., MariaDbCatalog], tmp_path: Path, proxy: Proxy, mode: Mode, how: Break
) -> None:
    """Whatever became of it, this run ends with 3 and deletes nothing of the claim in doubt; the next ends with all done."""
    world = Swept.marked(mariadb_catalog(NEWEST), tmp_path / "home", mode)
    with pytest.MonkeyPatch.context() as patch:
        before_claim(patch, 2, lambda _: proxy.plan(Fault(how, seconds=3)))
        ended = world.sweep(through(proxy, world))
    assert ended.status == 3, ended
    assert "answer to a claim was lost" in ended.flat
    assert "asks the catalog what happened" in ended.flat
    world.check_nothing_lost()
    touched = sum(world.catalog.files_of(id_) != files for id_, files in world.bytes_of.items())
    assert touched <= 3, "bytes went of more than the one claim that was answered"
    assert world.resume().status == 0
    assert proxy.counts[how] == 1
    world.check_done()
    assert world.sweep().status == 0
    world.check_done()


def test_a_look_up_whose_commit_is_lost_ends_the_run_and_no_bytes_go(
    world: Swept, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks once more whether the claimed rows are gone, right before their bytes go: no answer, no deletion."""
    presence = ZenmlCatalog.presence

    def lost(catalog: ZenmlCatalog, ids: list[str]) -> object:
        proxy.plan(Fault(Break.AFTER))
        return presence(catalog, ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZenmlCatalog, "presence", lost)
        ended = world.sweep(through(proxy, world))
    assert ended.status == 3, ended
    assert f"0 of {len(world.orphans)} entries were deleted" in ended.flat
    assert all(world.catalog.files_of(id_) == files for id_, files in world.bytes_of.items())
    assert world.resume().status == 0
    world.check_done()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", [Break.BEFORE, Break.AFTER])
def test_a_lost_commit_of_the_second_look_is_found_out_too(
    mariadb_catalog: Callable[..., MariaDbCatalog], tmp_path: Path, proxy: Proxy, how: Break
) -> None:
    """Only-artifact, after the drain: by then every row is marked, and bytes go only after that COMMIT was answered."""
    world = Swept.marked(mariadb_catalog(NEWEST), tmp_path / "home", Mode.ONLY_ARTIFACT)
    settles = [0]
    settle = ZenmlCatalog.settle

    def first(catalog: ZenmlCatalog, *arguments: object) -> object:
        if not settles[0]:
            proxy.plan(Fault(how))
        settles[0] += 1
        return settle(catalog, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZenmlCatalog, "settle", first)
        assert world.sweep(through(proxy, world)).status == 3
    assert proxy.counts[how] == 1
    assert {id_ for id_ in world.orphans if world.catalog.files_of(id_) != world.bytes_of[id_]} == set()
    assert world.resume().status == 0
    world.check_done()


@pytest.mark.parametrize("final", [True, False], ids=["waiting", "plain"])
def test_presence_waits_for_a_commit_that_is_still_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
    mariadb_catalog: Callable[..., MariaDbCatalog],
    proxy: Proxy,
    final: bool,
) -> None:
    """It comes two seconds after its sender died. A plain read would say that the rows are there, and be wrong."""
    real = mariadb_catalog(NEWEST)
    ids = sorted(expected_orphans(real))[:3]
    url = re.sub(r":\d+/", f":{proxy.port}/", real.url)
    if not final:
        plain = MysqlDatabase.await_lock
        monkeypatch.setattr(MysqlDatabase, "await_lock", lambda _, c, query: c.execute(query).fetchall())
        assert MysqlDatabase.await_lock is not plain
    with opened(real.url) as next_run:
        with opened(url) as catalog:
            proxy.plan(Fault(Break.LATE, seconds=2))
            with pytest.raises(InDoubt):
                catalog.claim(requests(real.database, ids), rules(), quiet)
        found = next_run.presence(ids)
        wait_until(lambda: proxy.counts[Break.LATE])
    assert not uris(real.database).keys() & set(map(hexed, ids))
    assert found.keys() == (set() if final else set(ids))


def test_presence_says_what_became_of_it(
    mariadb_catalog: Callable[..., MariaDbCatalog], mariadb: MariaDbServer, proxy: Proxy
) -> None:
    """There when the server never heard of the COMMIT, gone when it did; the same connection goes on."""
    real = mariadb_catalog(NEWEST)
    ids = sorted(expected_orphans(real))[:3]
    url = re.sub(r":\d+/", f":{proxy.port}/", real.url)
    with opened(url) as catalog:
        for how, there in ((Break.BEFORE, set(ids)), (Break.AFTER, set())):
            asked = requests(real.database, ids)
            proxy.plan(Fault(how))
            with pytest.raises(InDoubt):
                catalog.claim(asked, rules(), quiet)
            assert catalog.presence(ids).keys() == there


def test_a_claim_that_loses_its_connection_before_the_commit_is_done_again(
    world: Swept, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any statement of it: there is no doubt, as nothing was committed. The sweep goes on by itself."""
    for number, pattern in enumerate(("SELECT artifact_version.id.*", "DELETE FROM artifact_version.*"), start=2):
        before_claim(
            monkeypatch,
            number - 1,
            lambda _, p=pattern: proxy.plan(Fault(Break.BEFORE, on=re.compile(p, re.DOTALL))),  # type: ignore[misc]
        )
    ended = world.sweep(through(proxy, world))
    assert ended.status == 0, ended
    assert proxy.counts[Break.BEFORE] == 2
    world.check_done()


def holder(server: MariaDbServer, catalog: ZenmlCatalog) -> int | None:
    """The connection that holds the advisory lock."""
    ((found,),) = server.execute("SELECT IS_USED_LOCK(%s)", catalog._database._locks)  # type: ignore[attr-defined]
    return int(found) if found is not None else None


def test_a_session_that_was_cut_between_claims_is_opened_again_with_its_lock(
    mariadb: MariaDbServer, world: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``wait_timeout``, a firewall, an administrator: the sweep goes on by itself and is still the only one."""
    holders: list[int | None] = []

    def kill(catalog: ZenmlCatalog) -> None:
        holders.append(holder(mariadb, catalog))
        mariadb.execute(f"KILL {holders[0]}")
        wait_until(lambda: holder(mariadb, catalog) is None)

    before_claim(monkeypatch, 2, kill)
    before_claim(monkeypatch, 4, lambda catalog: holders.append(holder(mariadb, catalog)))
    assert world.sweep().status == 0
    world.check_done()
    assert None not in holders
    assert holders[0] != holders[1]


def test_a_short_wait_timeout_of_the_server_is_not_ours(
    mariadb: MariaDbServer, world: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session sets its own: a slow store between two claims costs neither connection nor lock."""
    holders: list[int | None] = []

    def pause(catalog: ZenmlCatalog) -> None:
        holders.append(holder(mariadb, catalog))
        time.sleep(2.5)
        holders.append(holder(mariadb, catalog))

    before_claim(monkeypatch, 2, pause)
    with setting(mariadb, "wait_timeout", 1):
        assert world.sweep().status == 0
    assert holders[0] is not None
    assert holders[0] == holders[1]
    world.check_done()


def test_a_lock_that_somebody_else_took_meanwhile_ends_the_sweep(
    mariadb: MariaDbServer, world: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is cut, and another sweep is quicker: this one ends with 30 and says what it has done so far."""
    monkeypatch.setattr(mysql, "TAKE_BACK", 1)
    sessions = []

    def overtake(catalog: ZenmlCatalog) -> None:
        name = catalog._database._locks  # type: ignore[attr-defined]
        held, other = holder(mariadb, catalog), mariadb.admin()
        sessions.append(other)
        waiting = Meanwhile(lambda: other.query(f"SELECT GET_LOCK('{name}', 30)"))
        wait_until(lambda: mariadb.execute("SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'"))
        mariadb.execute(f"KILL {held}")
        waiting.wait()

    before_claim(monkeypatch, 2, overtake)
    ended = world.sweep()
    assert ended.status == 30, ended
    assert "another sweep of the catalog" in ended.flat
    assert f"of {len(world.orphans)} entries were deleted" in ended.flat
    world.check_nothing_lost()
    for session in sessions:
        session.close()
    monkeypatch.undo()
    assert world.resume().status == 0
    world.check_done()


# Servers that go, come back, and are not the same


@pytest.fixture
def own(mariadb_base: Path) -> Iterator[MariaDbServer]:
    with MariaDbServer(mariadb_base) as server:
        yield server


def test_a_server_that_is_killed_and_comes_back_is_waited_for(
    own: MariaDbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between claims and inside of one: a sweep goes on by itself, and what was rolled back is claimed again."""
    world = Swept.marked(in_mariadb(NEWEST, own, tmp_path), tmp_path / "home")

    def crash(_: ZenmlCatalog) -> None:
        own.kill()
        threading.Timer(1, own.start).start()

    before_claim(monkeypatch, 2, crash)
    with Proxy(own.port) as proxy:

        def crash_inside(catalog: ZenmlCatalog) -> None:
            proxy.plan(Fault(Break.DELAY, on=re.compile("DELETE FROM artifact_version.*", re.DOTALL), seconds=1))
            threading.Timer(0.7, crash, (catalog,)).start()

        before_claim(monkeypatch, 4, crash_inside)
        ended = world.sweep(through(proxy, world))
    assert ended.status == 0, ended
    world.check_done()


def test_a_server_killed_before_it_heard_of_the_commit_has_forgotten_the_claim(
    own: MariaDbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This run ends with 3; when the server is back the rows are there, and the next run claims them anew."""
    monkeypatch.setattr(mysql, "PATIENCE", 1.0)
    world = Swept.marked(in_mariadb(NEWEST, own, tmp_path), tmp_path / "home")
    with Proxy(own.port) as proxy, pytest.MonkeyPatch.context() as patch:

        def kill_in_time(_: ZenmlCatalog) -> None:
            proxy.plan(Fault(Break.DELAY, seconds=1.5))
            commits = proxy.counts["commits"]

            def kill() -> None:
                wait_until(lambda: proxy.counts["commits"] > commits)
                own.kill()

            Meanwhile(kill)

        before_claim(patch, 2, kill_in_time)
        ended = world.sweep(through(proxy, world))
        assert ended.status == 3, ended
    own.start()
    world.check_nothing_lost()
    assert len(uris(world.catalog.database)) == len(world.catalog.by_id) - 3
    assert world.resume().status == 0
    world.check_done()


def test_a_server_that_stays_away_ends_the_sweep_as_incomplete(
    own: MariaDbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a minute (here a second); it resumes when the server is back."""
    monkeypatch.setattr(mysql, "PATIENCE", 1.0)
    world = Swept.marked(in_mariadb(NEWEST, own, tmp_path), tmp_path / "home")
    with pytest.MonkeyPatch.context() as patch:
        before_claim(patch, 2, lambda _: own.kill())
        ended = world.sweep()
    assert ended.status == 3, ended
    assert "went away and did not come back" in ended.flat
    assert "a sweep resumes" in ended.flat
    own.start()
    world.check_nothing_lost()
    assert world.sweep().status == 0
    world.check_done()


def test_another_server_in_its_place_ends_the_sweep(
    mariadb: MariaDbServer, own: MariaDbServer, world: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fail-over, a restored copy: the same name and port, and another instance. Nothing is claimed on it."""
    own.execute(f"CREATE DATABASE `{world.catalog.database.name}`")
    with Proxy(mariadb.port) as proxy:

        def fail_over(_: ZenmlCatalog) -> None:
            proxy.target = own.port
            proxy.cut()

        before_claim(monkeypatch, 2, fail_over)
        ended = world.sweep(through(proxy, world))
        assert ended.status == 23, ended
        assert "another server answers" in ended.flat
        assert f"of {len(world.orphans)} entries were deleted" in ended.flat
    world.check_nothing_lost()


def test_a_claim_that_ends_in_doubt_leaves_no_row_locked(
    mariadb_catalog: Callable[..., MariaDbCatalog], proxy: Proxy
) -> None:
    """The server notices that its client is gone: the next claim of the same rows does not find them busy for long."""
    real = mariadb_catalog(NEWEST)
    (id_, *_) = sorted(expected_orphans(real))
    url = re.sub(r":\d+/", f":{proxy.port}/", real.url)
    with opened(url) as catalog:
        proxy.plan(Fault(Break.BEFORE))
        with pytest.raises(InDoubt):
            catalog.claim(requests(real.database, [id_]), rules(), quiet)

        def answer() -> ClaimAnswer:
            (claimed,) = catalog.claim(requests(real.database, [id_]), rules(), quiet)
            return claimed.answer

        wait_until(lambda: answer() is not ClaimAnswer.BUSY, 10)
    with closing(real.database.connect()) as other:
        assert other.execute("SELECT count(*) FROM artifact_version WHERE id = ?", (hexed(id_),)).fetchone() == (0,)
