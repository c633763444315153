"""A database that is not understood in every part is refused by name, and left as it was; marking never writes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import Place
from marksweep.errors import CatalogNotUnderstood, ExitStatus
from tests.support.catalogs import RealCatalog, unpacked
from tests.support.zenml_database import beside, copy_row, digest, editing, opened


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of 0.98.0, not to be changed."""
    return unpacked("0.98.0", tmp_path_factory.mktemp("whole")).database


@pytest.fixture
def database(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(whole, tmp_path / "zenml.db"))


def refused(database: Path) -> CatalogNotUnderstood:
    """Open and be refused: both for reading and for writing, without a trace in the file or beside it."""
    before, names = digest(database), beside(database)
    for writes in (False, True):
        with pytest.raises(CatalogNotUnderstood) as raised, opened(database, writes=writes):
            pass
    assert (digest(database), beside(database)) == (before, names)
    assert raised.value.status is ExitStatus.CATALOG_NOT_UNDERSTOOD
    assert raised.value.remedy
    assert raised.value.deleted == "nothing was deleted"
    return raised.value


@pytest.mark.parametrize(
    ("statements", "names"),
    [
        (["CREATE TABLE news (id INTEGER, v CHAR(32) REFERENCES artifact_version(id))"], "news.v, a foreign key"),
        (["CREATE TABLE news (id INTEGER, v CHAR(32) REFERENCES Artifact_VERSION(id))"], "news.v, a foreign key"),
        (["CREATE TABLE news (id INTEGER, v CHAR(32) REFERENCES artifact(id))"], "news.v, a foreign key to artifact"),
        (["CREATE TABLE news (v CHAR(32) REFERENCES artifact_visualization(id))"], "a foreign key to artifact_visual"),
        (["CREATE TABLE news (v CHAR(32) REFERENCES tag_resource(id))"], "news.v, a foreign key to tag_resource"),
        (["CREATE TABLE news (v CHAR(32) REFERENCES run_metadata_resource(id))"], "news.v, a foreign key to run_meta"),
        (["CREATE TABLE news (v CHAR(32) REFERENCES model_versions_artifacts(id))"], "a foreign key to model_versions"),
        (["ALTER TABLE service ADD COLUMN av CHAR(32) REFERENCES artifact_version(id)"], "service.av, a foreign key"),
        (["CREATE TABLE news (a INT, b INT, FOREIGN KEY (a, b) REFERENCES artifact_version(id, version))"], "news.a"),
        (["CREATE TABLE news (best_artifact_version_id CHAR(32))"], "news.best_artifact_version_id, a column"),
        (["ALTER TABLE model ADD COLUMN artifact_version CHAR(32)"], "model.artifact_version, a column"),
        (["ALTER TABLE model ADD COLUMN Artifact_Version_Id CHAR(32)"], "model.Artifact_Version_Id, a column"),
        (["CREATE TABLE note (id INT, resource_id CHAR(32), resource_type TEXT)"], "note, a table of resources"),
        (["ALTER TABLE model_versions_artifacts RENAME TO mva"], "lacks model_versions_artifacts.artifact_version_id"),
        (["DROP TABLE step_run_input_artifact"], "step_run_input_artifact.artifact_id"),
        (["DROP TABLE tag_resource"], "tag_resource."),
        (["ALTER TABLE artifact_version RENAME COLUMN uri TO url"], "artifact_version.uri"),
        (["ALTER TABLE artifact_version DROP COLUMN materializer"], "artifact_version.materializer"),
        (["ALTER TABLE pipeline_run RENAME COLUMN status TO state"], "pipeline_run.status"),
        (["INSERT INTO alembic_version VALUES ('0.97.0')"], "exactly one schema revision"),
        (["DELETE FROM alembic_version"], "exactly one schema revision"),
        (["UPDATE alembic_version SET version_num = '8ad841ad9bfe'"], "'8ad841ad9bfe'"),
        (["UPDATE alembic_version SET version_num = '0.99.0'"], "ZenML 0.99.0"),
        (["UPDATE alembic_version SET version_num = '1.0.0'"], "ZenML 1.0.0"),
        (["UPDATE alembic_version SET version_num = '0.54.1'"], "ZenML 0.54.1"),
        (["UPDATE alembic_version SET version_num = '0.98'"], "'0.98'"),
        (["UPDATE alembic_version SET version_num = '0.98.0; DROP'"], "'0.98.0; DROP'"),
        (["ALTER TABLE alembic_version RENAME TO a"], "no table alembic_version"),
        (["PRAGMA foreign_keys = OFF", "DROP TABLE artifact_version"], "no table artifact_version"),
    ],
)  # fmt: skip
def test_what_could_be_an_unknown_reference_is_refused_by_name(
    database: Path, statements: Sequence[str], names: str
) -> None:
    """A newer release, a migration half-way, somebody's own table: refused before anything is read."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    assert names in refused(database).fact


@pytest.mark.parametrize("revision", ["0.55.0", "0.98.7", "0.90.0rc0", "0.57.0.rc1"])
def test_releases_in_range_are_accepted_by_their_schema(database: Path, revision: str) -> None:
    """Patch releases and candidates have ids of their own; the guard looks at the tables either way."""
    with editing(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with opened(database) as catalog:
        assert catalog.identity().schema == revision


def test_a_table_of_somebodys_own_that_refers_to_nothing_here_is_no_obstacle(database: Path) -> None:
    """Only what could keep a version alive is refused."""
    with editing(database) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER, run CHAR(32) REFERENCES pipeline_run(id), text TEXT)")
    with opened(database) as catalog:
        assert len(list(catalog.survey(tags=False))) == 1


@contextmanager
def made(path: Path) -> Iterator[sqlite3.Connection]:
    """A new file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def test_files_that_are_no_zenml_database(tmp_path: Path) -> None:
    """Empty, foreign, damaged, a folder, a text."""
    empty = tmp_path / "empty.db"
    empty.touch()
    assert "empty" in refused(empty).fact
    assert empty.read_bytes() == b""
    tableless = tmp_path / "tableless.db"
    with made(tableless) as connection:
        connection.execute("CREATE TABLE x (y)")
        connection.execute("DROP TABLE x")
    assert "holds no tables" in refused(tableless).fact
    foreign = tmp_path / "foreign.db"
    with made(foreign) as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    assert "not ZenML's" in refused(foreign).fact
    mlflow = tmp_path / "mlflow.db"
    with made(mlflow) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    assert "not ZenML's" in refused(mlflow).fact
    old = tmp_path / "old.db"
    with made(old) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE artifact (id TEXT)")
    assert "older than 0.55" in refused(old).fact
    text = tmp_path / "zenml.txt"
    text.write_text("not a database at all")
    assert "not a SQLite database" in refused(text).fact
    with pytest.raises(CatalogNotUnderstood, match="is not a file"), opened(tmp_path):
        pass


def test_a_damaged_database_is_refused_in_words(database: Path) -> None:
    """SQLite's own complaint becomes a fact with a remedy, not a traceback."""
    with database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    assert "cannot be read" in refused(database).fact


@pytest.mark.parametrize("name", ["absent.db", "no/such/folder.db", ":memory:", ""])
def test_an_absent_database_is_refused_and_not_created(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is to be read or written."""
    monkeypatch.chdir(tmp_path)
    for writes in (False, True):
        with pytest.raises(CatalogNotUnderstood):
            ZenmlCatalog(Place(f"sqlite:///{name}", None), writes=writes)
    assert list(tmp_path.iterdir()) == []


def test_odd_names_in_the_path_are_taken_literally(whole: Path, tmp_path: Path) -> None:
    """``%``, ``#``, a space: the file named is the file opened."""
    folder = tmp_path / "a b%20c#d"
    folder.mkdir()
    shutil.copy(whole, folder / "zenml.db")
    with opened(folder / "zenml.db") as catalog:
        assert catalog._database.path == folder / "zenml.db"


def test_the_identity_tells_a_copy_from_the_database(whole: Path, database: Path, tmp_path: Path) -> None:
    """The server's id is the same, the instance is not; a link to the file is the file."""
    (tmp_path / "link.db").symlink_to(database)
    with opened(whole) as one, opened(database) as other, opened(tmp_path / "link.db") as link:
        identities = [c.identity() for c in (one, other, link)]
    assert len({i.server_id for i in identities}) == 1
    assert identities[0].instance != identities[1].instance
    assert identities[1] == identities[2]
    assert (identities[0].kind, identities[0].release, identities[0].dialect) == ("zenml", "0.98.0", "sqlite")


def test_a_database_without_a_server_id_is_refused(database: Path) -> None:
    """Plans are bound to it."""
    with editing(database) as connection:
        connection.execute("DELETE FROM server_settings")
    with opened(database) as catalog, pytest.raises(CatalogNotUnderstood, match="0 rows in server_settings"):
        catalog.identity()


def test_reading_never_writes(real_catalog: RealCatalog) -> None:
    """Every question of the port, and the database is the same bytes, with nothing beside it; SQLite's cannot be written to."""
    before, names = digest(real_catalog.database), beside(real_catalog.database)
    on_sqlite = isinstance(real_catalog.database, Path)
    mtime = on_sqlite and real_catalog.database.stat().st_mtime_ns
    with opened(real_catalog) as catalog:
        ids = [s.version.id for page in catalog.survey(tags=True) for s in page]
        assert len(ids) == len(set(ids)) == len(real_catalog.truth)
        assert list(catalog.claims())
        catalog.references(ids)
        catalog.find(ids[0])
        catalog.stores()
        catalog.oldest_unfinished_run(catalog.now())
        catalog.overlapping({}, catalog.now())
        if on_sqlite:
            with catalog._database.reading() as connection, pytest.raises(Exception, match="readonly"):
                connection.exec_driver_sql("DELETE FROM artifact_version")
        assert beside(real_catalog.database) == names
    assert (digest(real_catalog.database), beside(real_catalog.database)) == (before, names)
    assert not on_sqlite or real_catalog.database.stat().st_mtime_ns == mtime


def test_a_database_in_a_folder_that_cannot_be_written_is_readable_but_not_sweepable(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before anything is claimed (tests may run as root, whom no mode stops)."""
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite_file.os.access", lambda *_: False)
    with opened(database):
        pass
    with pytest.raises(CatalogNotUnderstood, match="cannot be written to"), opened(database, writes=True):
        pass


@pytest.mark.parametrize("part", ["survey", "claims"])
def test_a_vacuum_while_pages_are_read_is_noticed(database: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It renumbers rows: a page by row number would skip some, and a live version not seen protects nothing."""
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite.SMALLEST_PAGE", 5)
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite.LARGEST_PAGE", 5)
    monkeypatch.setattr("marksweep.catalog.zenml.referenced._FETCHED", 5)
    with editing(database) as connection:
        table = "artifact_version" if part == "survey" else "artifact_visualization"
        connection.execute(f"DELETE FROM {table} WHERE rowid BETWEEN 6 AND 12")
    with opened(database) as catalog:
        pages = iter(catalog.survey(tags=False) if part == "survey" else catalog.claims())
        next(pages)
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("VACUUM")
        with pytest.raises(CatalogNotUnderstood, match="vacuumed while it was read"):
            list(pages)


def test_every_page_is_seen_however_small(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes in the row numbers, pages of one."""
    with opened(database) as catalog:
        expected = {s.version.id: s for page in catalog.survey(tags=True) for s in page}
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite.SMALLEST_PAGE", 1)
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite.LARGEST_PAGE", 1)
    monkeypatch.setattr("marksweep.catalog.zenml.referenced._FETCHED", 1)
    with opened(database) as catalog:
        pages = list(catalog.survey(tags=True))
    assert len(pages) == len(expected)
    assert {s.version.id: s for page in pages for s in page} == expected


def test_an_unknown_status_counts_as_unfinished(real_catalog: RealCatalog) -> None:
    """Every status that ZenML 0.98.0 itself calls finished does not (``ExecutionStatus.is_finished``)."""
    with editing(real_catalog.database) as connection:
        only = connection.execute("SELECT id FROM pipeline_run LIMIT 1").fetchone()
        connection.execute("DELETE FROM pipeline_run WHERE id <> ?", only)
        finished = ("failed", "completed", "cached", "skipped", "retried", "stopped", "cancelled")
        running = ("initializing", "provisioning", "running", "retrying", "stopping", "paused", "pondering", "")
        for status, unfinished in [*((s, False) for s in finished), *((s, True) for s in running)]:
            connection.execute("UPDATE pipeline_run SET status = ?", (status,))
            connection.commit()
            with opened(real_catalog) as catalog:
                began = catalog.oldest_unfinished_run(catalog.now().replace(year=2020))
                assert (began is not None) is unfinished, status


def test_a_store_whose_configuration_cannot_be_read_stops_the_mark(database: Path) -> None:
    """Where the store lies decides what may be deleted."""
    for blob in (b"not base64!", b"bm90IGpzb24=", b"WzFd"):
        with editing(database) as connection:
            connection.execute("UPDATE stack_component SET configuration = ? WHERE name = 'as2'", (blob,))
        with opened(database) as catalog, pytest.raises(CatalogNotUnderstood, match="'as2'"):
            catalog.stores()


def test_a_stores_options_hold_no_secrets(database: Path) -> None:
    """Endpoints pass; keys, tokens and passwords at any depth do not."""
    import base64
    import json

    configuration = {
        "path": "s3://b/x/", "key": "canary-1", "secret": "canary-2", "token": "canary-3",
        "client_kwargs": {"endpoint_url": "http://e:9", "aws_secret_access_key": "canary-4", "x": {"password": "canary-5"}},
        "config_kwargs": {"region_name": "r"},
    }  # fmt: skip
    with editing(database) as connection:
        blob = base64.b64encode(json.dumps(configuration).encode())
        copy_row(connection, "stack_component", "name = 'as2'", name="s3", flavor="s3", configuration=blob)
    with opened(database) as catalog:
        (store,) = (s for s in catalog.stores().values() if s.name == "s3")
    assert "canary" not in repr(store)
    assert store.root == "s3://b/x/"
    assert store.options["client_kwargs"] == {"endpoint_url": "http://e:9", "x": {}}


def test_a_trigger_on_a_table_that_a_claim_touches_is_refused(database: Path) -> None:
    """Nobody has looked at what it would set off; a trigger elsewhere is the user's own business."""
    with editing(database) as connection:
        connection.execute("CREATE TRIGGER theirs AFTER DELETE ON api_key BEGIN SELECT 1; END")
    with opened(database):
        pass
    with editing(database) as connection:
        connection.execute("CREATE TRIGGER audit AFTER DELETE ON artifact_version BEGIN SELECT 1; END")
    assert "'audit' on artifact_version" in refused(database).fact


@pytest.mark.parametrize("value", ["rubbish", None, ""])
def test_a_row_without_a_time_stops_the_mark(database: Path, value: str | None) -> None:
    """Not with a traceback: its age cannot be known, and the message says what to look for."""
    with editing(database) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE OR IGNORE artifact_version SET created = ? WHERE rowid = 1", (value or "",))
    with opened(database) as catalog, pytest.raises(CatalogNotUnderstood):
        list(catalog.survey(tags=False))
