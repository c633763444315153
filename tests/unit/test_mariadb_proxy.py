"""The proxy breaks connections where it is told to, and nowhere else; the server itself says what it got."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection

from tests.support.databases import MariaDbDatabase, rows
from tests.support.mariadb import PASSWORD, USER, MariaDbServer
from tests.support.proxy import COMMIT, Break, Fault, Proxy

LOST = pymysql.err.OperationalError


@pytest.fixture(scope="module")
def database(mariadb: MariaDbServer) -> Iterator[MariaDbDatabase]:
    name = mariadb.create_database()
    mariadb.execute("CREATE TABLE t (n int PRIMARY KEY) ENGINE=InnoDB", database=name)
    yield MariaDbDatabase(mariadb.url(name))
    mariadb.drop_database(name)


@pytest.fixture
def proxy(mariadb: MariaDbServer, database: MariaDbDatabase) -> Iterator[Proxy]:
    mariadb.execute("DELETE FROM t", database=database.name)
    with Proxy(mariadb.port) as proxy:
        yield proxy


def connected(proxy: Proxy, database: MariaDbDatabase, patience: float = 20) -> Connection[Any]:
    return pymysql.connect(
        host="127.0.0.1", port=proxy.port, user=USER, password=PASSWORD, database=database.name, read_timeout=patience,
        connect_timeout=patience,
    )  # fmt: skip


def insert(connection: Connection[Any], number: int) -> None:
    """One row, committed."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (%s)", (number,))
    connection.commit()


def stored(database: MariaDbDatabase) -> list[int]:
    return sorted(row["n"] for row in rows(database, "t"))


def unlocked(database: MariaDbDatabase) -> list[int]:
    """What is stored once no transaction is open any more: a locking read waits for it."""
    with closing(database.connect()) as connection:
        return sorted(n for (n,) in connection.execute("SELECT n FROM t FOR UPDATE"))


def test_without_a_plan_everything_passes(proxy: Proxy, database: MariaDbDatabase) -> None:
    """Big statements and big answers too."""
    with closing(connected(proxy, database)) as connection, connection.cursor() as cursor:
        insert(connection, 1)
        big = "x" * 3_000_000
        cursor.execute("SELECT concat(%s, n) FROM t", (big,))
        assert cursor.fetchall() == ((big + "1",),)
    assert stored(database) == [1]
    assert proxy.counts["connections"] == 1
    assert proxy.counts["commits"] == 1
    assert proxy.counts["queries"] >= 3
    assert not set(proxy.counts) & {"cut", "refused", "random", *Break}


def test_a_commit_cut_before_the_server_hears_of_it_is_rolled_back(proxy: Proxy, database: MariaDbDatabase) -> None:
    """At the n-th COMMIT of all connections; the next ones pass."""
    proxy.plan(Fault(Break.BEFORE, nth=2))
    with closing(connected(proxy, database)) as first, closing(connected(proxy, database)) as second:
        insert(first, 1)
        with pytest.raises(LOST, match="2013"):
            insert(second, 2)
        insert(first, 3)
        insert(first, 4)
    assert unlocked(database) == [1, 3, 4]
    assert (proxy.counts[Break.BEFORE], proxy.counts["commits"]) == (1, 4)


def test_a_commit_cut_before_its_answer_is_committed(proxy: Proxy, database: MariaDbDatabase) -> None:
    """The client cannot tell it from one that never arrived."""
    proxy.plan(Fault(Break.AFTER))
    with closing(connected(proxy, database)) as connection, pytest.raises(LOST, match="2013"):
        insert(connection, 1)
    assert proxy.counts[Break.AFTER] == 1
    assert stored(database) == [1]


def test_a_late_commit_arrives_after_the_client_was_cut(proxy: Proxy, database: MariaDbDatabase) -> None:
    """Until then a plain read sees nothing, and the rows are locked; a locking read waits for the truth."""
    proxy.plan(Fault(Break.LATE, seconds=2))
    began = time.monotonic()
    with closing(connected(proxy, database)) as connection, pytest.raises(LOST, match="2013"):
        insert(connection, 1)
    assert time.monotonic() - began < 1.5
    assert stored(database) == []
    assert unlocked(database) == [1]
    assert time.monotonic() - began >= 2
    proxy.wait_for(Break.LATE)


def test_a_hole_swallows_the_commit_and_keeps_the_locks(proxy: Proxy, database: MariaDbDatabase) -> None:
    """As a network that parts the two: neither side hears of the other until somebody cuts the connections."""
    proxy.plan(Fault(Break.HOLE))
    with closing(connected(proxy, database, patience=1)) as connection, pytest.raises(LOST, match="timed out"):
        insert(connection, 1)
    assert proxy.counts[Break.HOLE] == 1
    with closing(database.connect(timeout=0)) as other, pytest.raises(LOST, match="1205"):
        other.execute("SELECT n FROM t FOR UPDATE")
    assert proxy.cut() == 1
    assert unlocked(database) == []
    assert proxy.counts["cut"] == 1


def test_a_delay_changes_nothing_but_the_time(proxy: Proxy, database: MariaDbDatabase) -> None:
    """Only of what the pattern matches."""
    proxy.plan(Fault(Break.DELAY, on=re.compile(r"INSERT.*"), seconds=0.4, every=True))
    began = time.monotonic()
    with closing(connected(proxy, database)) as connection:
        insert(connection, 1)
        insert(connection, 2)
    assert time.monotonic() - began >= 0.8
    assert stored(database) == [1, 2]
    assert proxy.counts[Break.DELAY] == 2


def test_a_statement_that_matches_a_pattern_is_cut(proxy: Proxy, database: MariaDbDatabase) -> None:
    """Whatever is not matched as a whole passes."""
    pattern = re.compile(r"(?is)insert into t values \(2\)")
    proxy.plan(Fault(Break.BEFORE, on=pattern), Fault(Break.AFTER, on=re.compile(r"(?i)insert.*\(3\)")))
    with closing(connected(proxy, database)) as connection:
        insert(connection, 1)
        insert(connection, 22)
        with pytest.raises(LOST):
            insert(connection, 2)
    with closing(connected(proxy, database)) as connection, pytest.raises(LOST):
        insert(connection, 3)
    assert unlocked(database) == [1, 22]
    assert (proxy.counts[Break.BEFORE], proxy.counts[Break.AFTER]) == (1, 1)


def test_a_fault_may_come_back_and_a_new_plan_ends_it(proxy: Proxy, database: MariaDbDatabase) -> None:
    """Every second COMMIT, counted from the plan on."""
    proxy.plan(Fault(Break.AFTER, nth=2, every=True))
    lost = []
    for number in range(6):
        with closing(connected(proxy, database)) as connection:
            try:
                insert(connection, number)
            except LOST:
                lost.append(number)
    assert lost == [1, 3, 5]
    proxy.plan()
    for number in range(6, 9):
        with closing(connected(proxy, database)) as connection:
            insert(connection, number)
    assert stored(database) == list(range(9))


def test_a_silent_proxy_accepts_and_never_answers(proxy: Proxy, database: MariaDbDatabase) -> None:
    """A client without a time-out would wait for ever; others are served as soon as it speaks again."""
    with closing(connected(proxy, database)) as before:
        proxy.be_silent()
        began = time.monotonic()
        with pytest.raises(LOST):
            connected(proxy, database, patience=0.3)
        assert time.monotonic() - began >= 0.25
        insert(before, 1)
        proxy.be_silent(False)
        with closing(connected(proxy, database)) as after:
            insert(after, 2)
    assert stored(database) == [1, 2]
    assert proxy.counts["silent"] == 1


def test_connections_are_cut_at_random_times(proxy: Proxy, database: MariaDbDatabase) -> None:
    """Whatever the client was told is committed is there; of what it lost, all or nothing is."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    proxy.cut_at_random(0.05, seed)
    told, tried = set(), 0
    until = time.monotonic() + 60
    while proxy.counts["random"] < 25:
        assert time.monotonic() < until, dict(proxy.counts)
        try:
            with closing(connected(proxy, database)) as connection:
                while True:
                    tried += 1
                    insert(connection, tried)
                    told.add(tried)
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError):
            pass
    proxy.cut_at_random(0, seed)
    there = set(unlocked(database))
    assert told <= there <= set(range(1, tried + 1))
    with closing(connected(proxy, database)) as connection:
        time.sleep(0.1)
        insert(connection, tried + 1)


def test_a_server_that_is_down_refuses_and_comes_back(mariadb_base: Any) -> None:
    """The proxy stays where it is; connections that were open are cut with the server."""
    with MariaDbServer(mariadb_base) as server, Proxy(server.port) as proxy:
        database = MariaDbDatabase(server.url(server.create_database(), port=proxy.port))
        with closing(database.connect()) as connection:
            server.kill()
            with pytest.raises(LOST):
                connection.execute("SELECT 1")
        with pytest.raises(LOST):
            connected(proxy, database)
        assert proxy.counts["refused"] == 1
        server.start()
        with closing(database.connect()) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_clients_that_hang_up_leave_nothing_behind(
    proxy: Proxy, mariadb: MariaDbServer, database: MariaDbDatabase
) -> None:
    """Their connections to the server end too: a session would hold its locks."""
    clients = [connected(proxy, database) for _ in range(5)]
    threads = [threading.Thread(target=client.close) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until = time.monotonic() + 10
    query = "SELECT count(*) FROM information_schema.processlist WHERE user = %s"
    while mariadb.execute(query, USER) != [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert proxy.cut() == 0


def test_only_a_commit_alone_is_a_commit() -> None:
    """However it is written."""
    assert all(COMMIT.fullmatch(text) for text in ("COMMIT", "commit", " Commit ; "))
    assert not any(COMMIT.fullmatch(text) for text in ("COMMIT WORK AND CHAIN", "SELECT 'COMMIT'", "COMMITS"))
