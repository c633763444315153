"""Who links a version at which moment of a claim: never is a committed link lost, and nobody waits for long.

The interleavings are those of the race analysis, on a real server with its own isolation level for the linker. Two mutants
lose links: so these tests can fail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRules
from marksweep.catalog.zenml import mysql, mysql_session
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.claim import Claimer
from marksweep.catalog.zenml.database import Contended
from marksweep.catalog.zenml.mysql import MysqlDatabase
from marksweep.errors import Incomplete
from marksweep.model.outcome import Mode
from tests.contract.mysql_worlds import (
    NEWEST,
    NO_PARENT,
    Meanwhile,
    around_lock,
    hexed,
    link,
    link_now,
    linked,
    lock_waits,
    opened,
    quiet,
    requests,
    rules,
    status,
    uris,
    wait_until,
)
from tests.support.catalogs import expected_orphans
from tests.support.databases import Connection, MariaDbDatabase, editing, rows
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog

CLAIMED, REFERENCED, BUSY, PROTECTED = (
    ClaimAnswer.CLAIMED,
    ClaimAnswer.REFERENCED,
    ClaimAnswer.BUSY,
    ClaimAnswer.PROTECTED,
)


@pytest.fixture
def real(mariadb_catalog: Callable[..., MariaDbCatalog]) -> MariaDbCatalog:
    return mariadb_catalog(NEWEST)


@pytest.fixture
def database(real: MariaDbCatalog) -> MariaDbDatabase:
    return real.database


@pytest.fixture
def orphans(real: MariaDbCatalog) -> list[str]:
    """Those with visualizations first: they have children."""
    return sorted(expected_orphans(real), key=lambda i: (not real.by_id[i]["visualizations"], i))


@pytest.fixture
def catalog(real: MariaDbCatalog) -> Iterator[ZenmlCatalog]:
    with opened(real.url) as catalog:
        yield catalog


def answer(catalog: ZenmlCatalog, database: MariaDbDatabase, id_: str) -> ClaimAnswer:
    (claimed,) = catalog.claim(requests(database, [id_]), rules(), quiet)
    return claimed.answer


# A link and a claim of the same version


def test_a_link_committed_just_before_the_lock_is_seen(
    monkeypatch: pytest.MonkeyPatch, catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """After the claim's transaction began, and had read something: what it reads next is not of that moment."""
    around_lock(monkeypatch, catalog, before=lambda: link_now(database, orphans[0]))
    assert answer(catalog, database, orphans[0]) is REFERENCED
    assert hexed(orphans[0]) in linked(database) & uris(database).keys()


def test_a_link_between_the_lock_and_the_check_waits_and_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    mariadb: MariaDbServer,
    catalog: ZenmlCatalog,
    database: MariaDbDatabase,
    orphans: list[str],
) -> None:
    """It waits for the claim's end, and then its foreign key has no parent: ZenML fails that step, and nothing is lost."""
    links: list[Meanwhile] = []

    def start() -> None:
        links.append(Meanwhile(lambda: link_now(database, orphans[0])))
        wait_until(lambda: lock_waits(mariadb))

    around_lock(monkeypatch, catalog, after=start)
    assert answer(catalog, database, orphans[0]) is CLAIMED
    assert links[0].wait().number == NO_PARENT
    assert hexed(orphans[0]) not in linked(database) | uris(database).keys()


def test_a_version_that_is_being_linked_is_busy_until_the_link_is_decided(
    catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Never waited for: BUSY at once; then REFERENCED if it was committed, CLAIMED if it was rolled back."""
    for id_, commits, later in ((orphans[0], True, REFERENCED), (orphans[1], False, CLAIMED)):
        with closing(database.connect()) as linker:
            link(linker, id_)
            began = time.monotonic()
            assert answer(catalog, database, id_) is BUSY
            assert time.monotonic() - began < 5
            if commits:
                linker.commit()
            else:
                linker.rollback()
            assert answer(catalog, database, id_) is later
    assert linked(database) <= uris(database).keys()


def test_after_the_claim_the_foreign_key_refuses_a_link(
    catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Of a linker that had read the row before the claim."""
    with closing(database.connect()) as linker:
        linker.execute("START TRANSACTION")
        assert linker.execute("SELECT uri FROM artifact_version WHERE id = ?", (hexed(orphans[0]),)).fetchone()
        assert answer(catalog, database, orphans[0]) is CLAIMED
        late = Meanwhile(lambda: link(linker, orphans[0])).wait()
    assert late.number == NO_PARENT


def test_a_linker_waits_no_longer_than_the_claim_and_others_not_at_all(
    catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """While the intent is made durable, which is the longest part of it."""
    links: list[Meanwhile] = []

    def intent(_: Sequence[Claimed]) -> None:
        links.append(Meanwhile(lambda: link_now(database, orphans[0])))
        assert Meanwhile(lambda: link_now(database, orphans[1])).wait().error is None
        time.sleep(0.5)

    began = time.monotonic()
    catalog.claim(requests(database, orphans[:1]), rules(), intent)
    took = time.monotonic() - began
    assert links[0].wait().number == NO_PARENT
    assert links[0].seconds < took + 1


@pytest.mark.parametrize("mutant", ["one snapshot", "no lock"])
def test_without_the_isolation_or_without_the_lock_links_are_lost(
    monkeypatch: pytest.MonkeyPatch, real: MariaDbCatalog, database: MariaDbDatabase, orphans: list[str], mutant: str
) -> None:
    """ON DELETE CASCADE removes them in silence: this is what the tests above would see."""
    if mutant == "one snapshot":
        level = mysql_session.SETTINGS[0].replace("READ COMMITTED", "REPEATABLE READ")
        monkeypatch.setattr(mysql_session, "SETTINGS", (level, *mysql_session.SETTINGS[1:]))
    else:
        monkeypatch.setattr(MysqlDatabase, "lock", lambda _, connection, query: connection.execute(query).fetchall())
    with opened(real.url) as catalog:
        if mutant == "one snapshot":
            around_lock(monkeypatch, catalog, before=lambda: link_now(database, orphans[0]))
        else:
            remove = Claimer.remove

            def late(claimer: Claimer, claimed: Sequence[Claimed], rules_: ClaimRules) -> list[Claimed]:
                link_now(database, orphans[0])
                return remove(claimer, claimed, rules_)

            monkeypatch.setattr(Claimer, "remove", late)
        assert answer(catalog, database, orphans[0]) is CLAIMED
    assert hexed(orphans[0]) not in uris(database)
    assert hexed(orphans[0]) not in linked(database), "the link was committed, and it is gone"


def test_locks_are_taken_in_the_order_of_ids(
    catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Of versions and of artifacts, however they are asked for: two who lock in one order wait in no circle."""
    asked: dict[str, list[str]] = {}

    def note(_: object, __: object, statement: str, parameters: dict[str, str], *___: object) -> None:
        if "FOR UPDATE" in statement:
            assert "ORDER BY" in statement
            assert "SKIP LOCKED" in statement
            table = statement.partition("FROM ")[2].split()[0]
            asked[table] = [value for value in parameters.values() if len(str(value)) == 32]

    sa.event.listen(catalog._database._engine, "before_cursor_execute", note)  # type: ignore[attr-defined]
    catalog.claim(requests(database, sorted(orphans, reverse=True)), rules(artifacts=True), quiet)
    assert asked["artifact_version"] == sorted(map(hexed, orphans))
    assert asked["artifact"]
    assert all(ids == sorted(ids) for ids in asked.values())


# Deadlocks and lock waits inside a claim


@pytest.fixture
def tagged(real: MariaDbCatalog, orphans: list[str]) -> str:
    """An orphan with rows that go with it, and that no claim locks before it deletes them."""
    return next(id_ for id_ in orphans if real.by_id[id_]["tags"])


def change_tags(session: Connection, id_: str) -> None:
    found = session.execute(
        "UPDATE tag_resource SET updated = '2026-01-01 00:00:00' WHERE resource_type = 'artifact_version' AND resource_id = ?",
        (hexed(id_),),
    )
    assert found.rowcount


def test_a_deadlock_in_a_claim_is_repeated_and_ends_well(
    monkeypatch: pytest.MonkeyPatch,
    mariadb: MariaDbServer,
    catalog: ZenmlCatalog,
    database: MariaDbDatabase,
    tagged: str,
) -> None:
    """1213: the claim is the victim, is rolled back whole, and done again; what it intended it intends once."""
    before = status(mariadb, "Innodb_deadlocks")
    intents: list[Sequence[Claimed]] = []
    with closing(database.connect()) as session:
        for table in ("pipeline_run", "step_run"):  # InnoDB gives up whoever has changed less
            session.execute(f"UPDATE {table} SET updated = '2026-01-01 00:00:00'")
        change_tags(session, tagged)

        def want_the_version() -> None:
            wait_until(lambda: lock_waits(mariadb))  # the claim waits for the tags
            session.execute("SELECT id FROM artifact_version WHERE id = ? FOR UPDATE", (hexed(tagged),))
            session.rollback()

        wants: list[Meanwhile] = []
        around_lock(monkeypatch, catalog, after=lambda: wants.append(Meanwhile(want_the_version)))
        (claimed,) = catalog.claim(requests(database, [tagged]), rules(), intents.append)
        assert claimed.answer is CLAIMED
        assert wants[0].wait().error is None
    assert status(mariadb, "Innodb_deadlocks") == before + 1
    assert len(intents) == 1
    assert hexed(tagged) not in uris(database)


def test_a_lock_wait_in_a_claim_is_repeated_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, real: MariaDbCatalog, database: MariaDbDatabase, tagged: str
) -> None:
    """1205 ends the statement alone: the whole transaction is rolled back all the same, and done again."""
    shorter = tuple(s.replace("lock_wait_timeout = 20", "lock_wait_timeout = 1") for s in mysql_session.SETTINGS)
    monkeypatch.setattr(mysql_session, "SETTINGS", shorter)
    refused: list[str] = []
    again = Contended.__init__

    def note(contended: Contended, words: str) -> None:
        refused.append(words)
        again(contended, words)

    monkeypatch.setattr(Contended, "__init__", note)
    with opened(real.url) as catalog, closing(database.connect()) as holder:
        change_tags(holder, tagged)
        asked = requests(database, [tagged])
        claim = Meanwhile(lambda: catalog.claim(asked, rules(), quiet))
        wait_until(lambda: refused)
        with closing(database.connect()) as linker:  # nothing of the claim is held between two tries
            linker.execute("SET SESSION innodb_lock_wait_timeout = 5")
            link(linker, tagged)
            linker.rollback()
        holder.rollback()
        assert claim.wait().error is None
    assert refused[0].startswith("1205")
    assert hexed(tagged) not in uris(database)


# A server without SKIP LOCKED


@pytest.fixture
def old_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the adapter knows, and it waits for locks for a second."""
    monkeypatch.setattr(mysql, "_SKIP_LOCKED_SINCE", {"mariadb": (99,), "mysql": (99,)})
    shorter = tuple(s.replace("lock_wait_timeout = 20", "lock_wait_timeout = 1") for s in mysql_session.SETTINGS)
    monkeypatch.setattr(mysql_session, "SETTINGS", shorter)


@pytest.mark.usefixtures("old_server")
def test_without_skip_locked_a_claim_waits_for_the_link_and_sees_it(
    real: MariaDbCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Correct all the same, in small batches."""
    with opened(real.url) as catalog, closing(database.connect()) as linker:
        assert catalog.capabilities().claim_batch <= 50
        link(linker, orphans[0])
        threading.Timer(1.5, linker.commit).start()
        found = catalog.claim(requests(database, orphans[:3]), rules(), quiet)
        assert [c.answer for c in found] == [REFERENCED, CLAIMED, CLAIMED]
        assert answer(catalog, database, orphans[0]) is REFERENCED
    assert linked(database) <= uris(database).keys()


@pytest.mark.usefixtures("old_server")
def test_without_skip_locked_a_claim_waits_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch, real: MariaDbCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Then the sweep ends as incomplete, with nothing changed and no lock left."""
    monkeypatch.setattr(mysql, "PATIENCE", 1.5)
    with opened(real.url) as catalog, closing(database.connect()) as linker:
        link(linker, orphans[0])
        before, began = uris(database), time.monotonic()
        with pytest.raises(Incomplete, match="did not let a transaction through") as ended:
            catalog.claim(requests(database, orphans[:3]), rules(), quiet)
        assert time.monotonic() - began < 10
        assert "1205" in ended.value.fact
        assert "again" in ended.value.remedy
        assert uris(database) == before
        with editing(database, timeout=1) as other:
            link(other, orphans[1])


# Units, artifacts, rows that are only marked


def test_a_unit_with_one_busy_member_waits_whole(
    catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Its versions share bytes. When the link is decided, so is the unit."""
    pair = requests(database, orphans[:2], unit="one")

    def answers() -> list[ClaimAnswer]:
        return [c.answer for c in catalog.claim(pair, rules(), quiet)]

    with closing(database.connect()) as linker:
        link(linker, orphans[1])
        assert answers() == [BUSY, BUSY]
        linker.rollback()
        link(linker, orphans[1])
        linker.commit()
    assert answers() == [PROTECTED, REFERENCED]
    with editing(database) as connection:
        connection.execute("DELETE FROM step_run_input_artifact WHERE artifact_id = ?", (hexed(orphans[1]),))
    assert answers() == [CLAIMED, CLAIMED]


def new_version(database: MariaDbDatabase, artifact: str) -> Callable[[object], None]:
    """What saves a copy of some version as a new one of *artifact*, on a connection that is given."""
    (like, *_) = rows(database, "artifact_version")
    row = like | {"id": "f" * 32, "artifact_id": artifact, "version": "new", "version_number": None, "uri": "/new/one"}
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))

    def save(connection: object) -> None:
        connection.execute(f"INSERT INTO artifact_version ({names}) VALUES ({marks})", tuple(row.values()))  # type: ignore[attr-defined]

    return save


@pytest.mark.parametrize("moment", ["open", "committed before", "after"])
def test_an_artifact_that_gets_a_version_while_it_is_emptied_stays(
    monkeypatch: pytest.MonkeyPatch,
    mariadb: MariaDbServer,
    catalog: ZenmlCatalog,
    database: MariaDbDatabase,
    orphans: list[str],
    moment: str,
) -> None:
    """Or, if the artifact's row is locked already, the new version waits and is refused: none is lost."""
    of = {row["id"]: row["artifact_id"] for row in rows(database, "artifact_version")}
    alone = next(id_ for id_ in orphans if list(of.values()).count(of[hexed(id_)]) == 1)
    artifact = of[hexed(alone)]
    save = new_version(database, artifact)
    saving: list[Meanwhile] = []

    def now() -> None:
        with editing(database) as connection:
            save(connection)

    locks, lock = [0], catalog._database.lock

    def locking(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Any]:
        emptying = query.get_final_froms()[0] is catalog._schema.table("artifact")
        locks[0] += emptying
        if emptying and moment == "committed before":
            now()
        found = lock(connection, query)
        if emptying and moment == "after":
            saving.append(Meanwhile(now))
            wait_until(lambda: lock_waits(mariadb))
        return found

    monkeypatch.setattr(catalog._database, "lock", locking)
    with closing(database.connect()) as saver:
        if moment == "open":
            save(saver)
        (claimed,) = catalog.claim(requests(database, [alone]), rules(artifacts=True), quiet)
        saver.commit()
    assert claimed.answer is CLAIMED
    assert locks[0] == 1
    artifacts = {row["id"] for row in rows(database, "artifact")}
    if moment == "after":
        assert saving[0].wait().number == NO_PARENT
        assert artifact not in artifacts
        assert "f" * 32 not in uris(database)
    else:
        assert artifact in artifacts
        assert uris(database)["f" * 32] == "/new/one"


def test_a_link_in_the_drain_gives_the_row_its_uri_back(
    catalog: ZenmlCatalog, database: MariaDbDatabase, orphans: list[str]
) -> None:
    """Only-artifact: the row is marked, then looked at again. Who is linking at that moment is waited for."""
    before = uris(database)
    only = rules(Mode.ONLY_ARTIFACT)
    three = orphans[:3]
    assert {c.answer for c in catalog.claim(requests(database, three), only, quiet)} == {CLAIMED}
    link_now(database, three[0])
    with closing(database.connect()) as linker:
        link(linker, three[1])
        threading.Timer(1, linker.commit).start()
        found = catalog.settle(requests(database, three, marked=True), only, quiet)
    assert [c.answer for c in found] == [REFERENCED, REFERENCED, CLAIMED]
    after = uris(database)
    assert [after[hexed(i)] == before[hexed(i)] for i in three] == [True, True, False]


@pytest.mark.parametrize("moment", ["open", "after the lock"])
def test_a_visualization_that_somebody_pins_meanwhile_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
    mariadb: MariaDbServer,
    catalog: ZenmlCatalog,
    database: MariaDbDatabase,
    orphans: list[str],
    moment: str,
) -> None:
    """Such a row locks the visualization, not the version: so a claim has to lock both before it looks for references."""
    like = rows(database, "curated_visualization")[0]
    shown = next(
        row["id"] for row in rows(database, "artifact_visualization") if row["artifact_version_id"] == hexed(orphans[0])
    )
    row = like | {"id": "e" * 32, "artifact_visualization_id": shown, "resource_id": "d" * 32, "display_order": 999}
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))

    def pin(connection: Connection) -> None:
        connection.execute(f"INSERT INTO curated_visualization ({names}) VALUES ({marks})", tuple(row.values()))

    def pin_now() -> None:
        with editing(database) as connection:
            pin(connection)

    monkeypatch.setattr(mysql, "PATIENCE", 1)
    catalog._database._open().exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")  # type: ignore[attr-defined]
    if moment == "open":
        with closing(database.connect()) as pinner:
            pin(pinner)
            assert answer(catalog, database, orphans[0]) is BUSY
            pinner.commit()
        assert answer(catalog, database, orphans[0]) is REFERENCED
        return
    pinning: list[Meanwhile] = []
    remove = Claimer.remove

    def late(claimer: Claimer, claimed: Sequence[Claimed], rules_: ClaimRules) -> list[Claimed]:
        pinning.append(Meanwhile(pin_now))
        wait_until(lambda: pinning[0].is_over or lock_waits(mariadb))
        return remove(claimer, claimed, rules_)

    monkeypatch.setattr(Claimer, "remove", late)
    assert answer(catalog, database, orphans[0]) is CLAIMED
    assert pinning[0].wait().number == NO_PARENT
