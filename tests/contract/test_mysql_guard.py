"""Each refusal of a server on which a claim would not be safe: what was found, and what to do. Real servers, real settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer
from marksweep.catalog.zenml import mysql_guard
from marksweep.catalog.zenml.mysql_guard import Server
from marksweep.errors import CatalogNotUnderstood, MarksweepError
from tests.contract.mysql_worlds import NEWEST, opened, quiet, requests, rules, setting
from tests.support.catalogs import expected_orphans
from tests.support.cli import Cli
from tests.support.databases import everything
from tests.support.mariadb import PASSWORD, USER, MariaDbServer, free_port
from tests.support.mariadb_catalogs import MARIADB_RELEASES, MariaDbCatalog, in_mariadb


@pytest.fixture(scope="module")
def server(mariadb_base: Path) -> Iterator[MariaDbServer]:
    """One whose settings may be changed."""
    with MariaDbServer(mariadb_base) as server:
        yield server


@pytest.fixture(scope="module")
def kept(server: MariaDbServer, tmp_path_factory: pytest.TempPathFactory) -> MariaDbCatalog:
    """Not to be changed but for what is changed back."""
    return in_mariadb(NEWEST, server, tmp_path_factory.mktemp("kept"))


@pytest.fixture
def real(server: MariaDbServer, tmp_path: Path) -> Iterator[MariaDbCatalog]:
    """To be changed."""
    real = in_mariadb(NEWEST, server, tmp_path)
    yield real
    server.drop_database(real.database.name)


def refused(url: str, *words: str, writes: bool = True, lagging: bool = False) -> MarksweepError:
    """It is not opened; fact and remedy say each of *words*, and no password."""
    with pytest.raises(CatalogNotUnderstood) as raised, opened(url, writes=writes, lagging=lagging):
        pass
    said = f"{raised.value.fact} | {raised.value.remedy}"
    for word in words:
        assert word in said, said
    assert PASSWORD not in said
    assert raised.value.__cause__ is None
    return raised.value


# What the server is


@pytest.mark.parametrize("writes", [True, False], ids=["sweep", "mark"])
def test_a_read_only_server_is_a_replica(server: MariaDbServer, kept: MariaDbCatalog, writes: bool) -> None:
    """For a mark too: it may not know the newest links."""
    with setting(server, "read_only", 1):
        refused(kept.url, "read-only", "read_only is ON", "give the primary", writes=writes)


def test_a_server_that_replicates_from_another_is_refused(server: MariaDbServer, kept: MariaDbCatalog) -> None:
    """Though it may be written to: its thread runs, even while its source is away."""
    server.execute(f"CHANGE MASTER TO master_host='127.0.0.1', master_port={free_port()}, master_user='x'")
    server.execute("SET GLOBAL server_id = 7")
    server.execute("START SLAVE")
    server.execute(f"GRANT REPLICATION SLAVE ADMIN, SLAVE MONITOR ON *.* TO '{USER}'@'%'")
    try:
        refused(kept.url, "replicates from another server", "give the primary")
        server.execute("STOP SLAVE")
        with opened(kept.url):
            pass
    finally:
        server.execute("STOP SLAVE")
        server.execute("RESET SLAVE ALL")
        server.execute(f"REVOKE REPLICATION SLAVE ADMIN, SLAVE MONITOR ON *.* FROM '{USER}'@'%'")


def test_a_server_that_may_forget_commits_needs_a_lag(server: MariaDbServer, kept: MariaDbCatalog, cli: Cli) -> None:
    """Of ten seconds or more; a mark does not mind."""
    with setting(server, "innodb_flush_log_at_trx_commit", 2):
        refused(kept.url, "innodb_flush_log_at_trx_commit is 2, not 1", "SET GLOBAL", "--lag")
        with opened(kept.url, writes=False), opened(kept.url, lagging=True):
            pass
        plan = cli.home / "plan.json"
        cli.done("mark", "--catalog", kept.url, "--no-grace", "--quiet", "--out", plan)
        sweep = ("sweep", plan, "--yes", "--quiet", "--catalog", kept.url)
        cli(*sweep).refused(25, "innodb_flush_log_at_trx_commit is 2")
        cli(*sweep, "--lag", "9s").refused(25, "innodb_flush_log_at_trx_commit is 2")
        assert cli(*sweep, "--lag", "10s", "--accept-instance", "x", "--dry-run").status == 0
        with setting(server, "innodb_flush_log_at_trx_commit", 1):
            assert cli(*sweep, "--dry-run").status == 0


@pytest.fixture
def cli(tmp_path: Path, kept: MariaDbCatalog) -> Cli:
    (tmp_path / "home").mkdir()
    return Cli(tmp_path / "home", {"ZENML_CONFIG_PATH": str(kept.config)})


def test_a_server_that_logs_by_statement_is_refused(server: MariaDbServer, mariadb_base: Path, tmp_path: Path) -> None:
    """It cannot log READ COMMITTED: it says so at the first write, which is the probe."""
    with MariaDbServer(mariadb_base, log_bin="bin", binlog_format="STATEMENT", server_id=1) as logging:
        real = in_mariadb(NEWEST, logging, tmp_path)
        before = everything(real.database)
        refused(real.url, "1665", "binlog_format to ROW or MIXED")
        with opened(real.url, writes=False):
            pass
        assert everything(real.database) == before
        with setting(logging, "binlog_format", "MIXED"), opened(real.url):
            pass


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("wsrep_on", "on", "part of a cluster (wsrep_on is set)"),
        ("group_replication_group_name", "8a94f357", "part of a cluster (group_replication_group_name is set)"),
        ("super_read_only", "on", "super_read_only is ON"),
        ("innodb_read_only", "on", "innodb_read_only is ON"),
    ],
)
def test_a_server_with_such_a_setting_is_refused(
    server: MariaDbServer, kept: MariaDbCatalog, name: str, value: str, says: str
) -> None:
    """Settings that this server does not have: as if it had said so."""
    with closing(sa.create_engine(kept.url.replace("mysql:", "mysql+pymysql:")).connect()) as connection:
        facts = Server.ask(connection)
        mysql_guard.refuse_replicas(connection, facts, "x on y")
        with pytest.raises(CatalogNotUnderstood) as raised:
            mysql_guard.refuse_replicas(
                connection, Server(facts.dialect, facts.version, {**facts.variables, name: value}), "x on y"
            )
        connection.engine.dispose()
    assert says in raised.value.fact
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("said", "dialect", "version"),
    [
        ("10.11.11-MariaDB-0+deb12u1", "mariadb", (10, 11, 11)),
        ("5.5.5-10.6.14-MariaDB-log", "mariadb", (10, 6, 14)),
        ("8.0.35", "mysql", (8, 0, 35)),
        ("8.4.3-27", "mysql", (8, 4, 3)),
        ("5.7.44-log", "mysql", (5, 7, 44)),
        ("9.7.4-0+deb", "mysql", (9, 7, 4)),
    ],
)
def test_what_servers_call_themselves(said: str, dialect: str, version: tuple[int, ...]) -> None:
    """Whether one knows SKIP LOCKED hangs on it."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        dbapi = connection.connection.dbapi_connection
        assert dbapi is not None
        dbapi.create_function("VERSION", 0, lambda: said)
        asked: list[str] = []

        def answer(_: object, __: object, statement: str, parameters: object, *___: object) -> tuple[str, object]:
            asked.append(statement)
            return ("SELECT 'READ_ONLY', 'OFF'" if statement.startswith("SHOW") else statement), parameters

        sa.event.listen(engine, "before_cursor_execute", answer, retval=True)
        found = Server.ask(connection)
    engine.dispose()
    assert (found.dialect, found.version, found.variables) == (dialect, version, {"read_only": "off"})
    assert len(asked) == 2


# What the database holds


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["ALTER TABLE alembic_version ENGINE = Aria"], ("alembic_version", "kept by Aria", "ENGINE = InnoDB")),
        (
            ["CREATE TRIGGER mine BEFORE DELETE ON artifact_version FOR EACH ROW SET @x = 1"],
            ("trigger 'mine' on artifact_version", "drop it"),
        ),
        (
            ["CREATE TABLE mine (v CHAR(32), FOREIGN KEY (v) REFERENCES artifact_version (id))"],
            ("mine.v, a foreign key to artifact_version", "upgrade marksweep"),
        ),
        (
            ["CREATE TABLE mine (artifact_version_id CHAR(32))"],
            ("mine.artifact_version_id, a column named after artifact versions",),
        ),
        (
            ["CREATE TABLE mine (resource_id CHAR(32), resource_type VARCHAR(9))"],
            ("mine, a table of resources",),
        ),
        (["UPDATE alembic_version SET version_num = '0.99.0'"], ("0.99.0", "upgrade marksweep")),
    ],
    ids=["engine", "trigger", "key", "column", "resources", "release"],
)
@pytest.mark.parametrize("writes", [True, False], ids=["sweep", "mark"])
def test_what_is_not_zenmls_is_refused(
    server: MariaDbServer, real: MariaDbCatalog, statements: list[str], words: tuple[str, ...], writes: bool
) -> None:
    """By a mark too: the plan would rest on it."""
    with opened(real.url, writes=writes):
        pass
    for statement in statements:
        server.execute(statement, database=real.database.name)
    refused(real.url, *words, writes=writes)


def test_a_foreign_key_from_another_schema_is_refused(server: MariaDbServer, real: MariaDbCatalog) -> None:
    """As far as this user may see that schema."""
    other = server.create_database()
    server.execute(
        f"CREATE TABLE mine (v CHAR(32), FOREIGN KEY (v) REFERENCES `{real.database.name}`.artifact_version (id))",
        database=other,
    )
    try:
        refused(real.url, f"referred to by {other}.mine.v", "artifact_version", "drop the foreign key")
    finally:
        server.drop_database(other)
    with opened(real.url):
        pass


def test_an_empty_database_is_refused(server: MariaDbServer) -> None:
    """And stays empty."""
    name = server.create_database()
    try:
        refused(server.url(name), "is empty: it holds no tables", "check the URL")
        assert server.execute("SHOW TABLES", database=name) == []
    finally:
        server.drop_database(name)


# The probe


@pytest.mark.parametrize("release", MARIADB_RELEASES)
def test_the_probe_passes_on_what_zenml_made_and_leaves_nothing(
    server: MariaDbServer, tmp_path: Path, release: str
) -> None:
    """Of each release: every key is tried with a row that the table would take otherwise."""
    real = in_mariadb(release, server, tmp_path)
    before = everything(real.database)
    with opened(real.url) as catalog:
        assert catalog.capabilities().empty_artifacts is None
    assert everything(real.database) == before
    with setting(server, "foreign_key_checks", 0):
        refused(real.url, "does not enforce the foreign key", "rolled it back", "foreign_key_checks")
    assert everything(real.database) == before
    server.drop_database(real.database.name)


TRIED = [
    ("step_run_input_artifact", "artifact_id"),
    ("step_run_output_artifact", "artifact_id"),
    ("model_versions_artifacts", "artifact_version_id"),
    ("pipeline_run_output", "artifact_id"),
    ("hook_invocation_output_artifact", "artifact_version_id"),
    ("artifact_visualization", "artifact_version_id"),
]


@pytest.mark.parametrize(("table", "column"), TRIED)
def test_each_key_that_a_claim_rests_on_is_tried(
    server: MariaDbServer, real: MariaDbCatalog, table: str, column: str
) -> None:
    """Without it a link to a removed version would be taken, and lead nowhere."""
    drop_key(server, real, table, column)
    before = everything(real.database)
    refused(real.url, f"foreign key {table}.{column}", "it took a link to a version that does not exist")
    assert everything(real.database) == before


def drop_key(server: MariaDbServer, real: MariaDbCatalog, table: str, column: str) -> None:
    ((name,),) = server.execute(
        "SELECT CONSTRAINT_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        " AND COLUMN_NAME = %s AND REFERENCED_TABLE_NAME IS NOT NULL",
        real.database.name, table, column,
    )  # fmt: skip
    server.execute(f"ALTER TABLE `{table}` DROP FOREIGN KEY `{name}`", database=real.database.name)


def test_emptied_artifacts_stay_where_their_key_is_not_enforced(server: MariaDbServer, real: MariaDbCatalog) -> None:
    """The versions may go all the same: their own keys are enforced."""
    drop_key(server, real, "artifact_version", "artifact_id")
    with opened(real.url) as catalog:
        assert "emptied artifacts stay" in str(catalog.capabilities().empty_artifacts)


# Who may do what


@pytest.fixture
def user(server: MariaDbServer, real: MariaDbCatalog) -> Iterator[Callable[[str], str]]:
    """The URL of a user that has some rights on the catalog."""
    made = []

    def make(rights: str) -> str:
        server.execute("CREATE USER few@'%' IDENTIFIED BY 'few-rights'")
        server.execute(f"GRANT {rights} ON `{real.database.name}`.* TO few@'%'")
        made.append("few")
        return server.url(real.database.name, user="few", password="few-rights")

    yield make
    for name in made:
        server.execute(f"DROP USER {name}@'%'")


def test_reading_is_enough_to_mark_and_a_sweep_says_what_is_missing(
    real: MariaDbCatalog, user: Callable[[str], str], cli: Cli
) -> None:
    """Before it claims anything."""
    url = user("SELECT")
    cli = cli.with_environ(ZENML_CONFIG_PATH=str(real.config))
    plan = cli.home / "plan.json"
    cli.done("mark", "--catalog", url, "--no-grace", "--quiet", "--out", plan)
    assert cli("sweep", plan, "--dry-run", "--quiet", "--catalog", url).status == 0
    before = everything(real.database)
    ended = cli("sweep", plan, "--yes", "--quiet", "--catalog", url)
    ended.refused(25, "1142 INSERT command denied to user 'few'", "for a sweep also INSERT, UPDATE and DELETE")
    assert "few-rights" not in ended.flat
    assert everything(real.database) == before


def test_a_right_that_only_a_claim_needs_is_named_and_nothing_is_changed(
    real: MariaDbCatalog, user: Callable[[str], str]
) -> None:
    """The transaction is rolled back, and no lock is left."""
    ids = sorted(expected_orphans(real))[:2]
    before = everything(real.database)
    with opened(user("SELECT, INSERT")) as catalog:
        with pytest.raises(CatalogNotUnderstood, match=r"1142 .* command denied") as raised:
            catalog.claim(requests(real.database, ids), rules(), quiet)
        assert "DELETE" in raised.value.remedy
        assert everything(real.database) == before
        with opened(real.url) as other:
            found = other.claim(requests(real.database, ids), rules(), quiet)
            assert [c.answer for c in found] == [ClaimAnswer.CLAIMED] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s, n: s.url(n, password="wr0ng-one"), ("1045", "Access denied", "check host, port, user, password")),
        (lambda s, n: s.url(n, user="nobody", password="wr0ng-one"), ("1045", "check host, port, user")),
        (lambda s, n: s.url(n, port=free_port()), ("2003", "check host, port")),
        (lambda s, _: s.url("zenml_absent"), ("1049", "zenml_absent", "database")),
        (lambda s, _: s.url("mysql"), ("1044", "Access denied", "'mysql'")),
    ],
    ids=["password", "user", "port", "database", "other"],
)
def test_a_door_that_stays_shut_is_told_apart(
    server: MariaDbServer, kept: MariaDbCatalog, change: Callable[[MariaDbServer, str], str], words: tuple[str, ...]
) -> None:
    """At once: what was never open is not waited for."""
    error = refused(change(server, kept.database.name), "cannot be opened", *words)
    assert "wr0ng-one" not in f"{error!r}{error.fact}{error.remedy}"


def test_the_instance_does_not_hang_on_the_servers_time_zone(server: MariaDbServer, kept: MariaDbCatalog) -> None:
    """When the tables were made is part of it: a server whose zone is set anew is still the same one."""
    with opened(kept.url, writes=False) as catalog:
        before = catalog.identity()
    with setting(server, "time_zone", "+05:00"), opened(kept.url, writes=False) as catalog:
        assert catalog.identity() == before
