"""What is loaded into MariaDB for the tests is what ZenML would have written there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench.generate import small
from tests.support.catalogs import RELEASES, dashed, expected_kept_reason, expected_orphans, unpacked
from tests.support.databases import (
    SqliteDatabase,
    described,
    editing,
    everything,
    rows,
    violations,
)
from tests.support.differences import differences, expected_differences
from tests.support.mariadb import PASSWORD, USER, MariaDbServer
from tests.support.mariadb_catalogs import MARIADB_RELEASES, MariaDbCatalog
from tests.support.mariadb_connection import MariaDbConnection
from tests.support.mariadb_load import clone, derived_schema, dumped_schema, load_sqlite

Catalogs = Callable[..., MariaDbCatalog]


def _shape(mariadb: MariaDbServer, schema: list[str]) -> dict[str, set[tuple[object, ...]]]:
    """What the server makes of *schema*: columns, keys, and the columns of each index, without their names."""
    name = mariadb.create_database()
    with closing(MariaDbConnection(mariadb.url(name), foreign_keys=False)) as connection:
        connection.execute("SET SESSION sql_mode = ''")
        for statement in schema:
            connection.execute(statement)
        columns = {
            tuple(row)
            for row in connection.execute(
                "SELECT table_name, column_name, column_type, is_nullable, column_default, character_set_name"
                " FROM information_schema.columns WHERE table_schema = database()"
            )
        }
        indexes = {
            tuple(row)
            for row in connection.execute(
                "SELECT table_name, group_concat(column_name ORDER BY seq_in_index), non_unique"
                " FROM information_schema.statistics WHERE table_schema = database()"
                " GROUP BY table_name, index_name, non_unique"
            )
        }
        keys = {tuple(key) for key in connection.foreign_keys()}
    mariadb.drop_database(name)
    return {"columns": columns, "indexes": indexes, "keys": keys}


def test_derived_tables_are_those_that_zenml_makes(mariadb: MariaDbServer, tmp_path: Path) -> None:
    """By the rules that older releases are carried over with, 0.98.0's SQLite schema becomes the one of its real dump."""
    derived = _shape(mariadb, derived_schema(unpacked("0.98.0", tmp_path).database))
    dumped = _shape(mariadb, dumped_schema())
    assert derived["keys"] == dumped["keys"]
    assert len(dumped["keys"]) > 100
    assert derived["indexes"] == dumped["indexes"]
    unlike = {(row[0], row[1]) for row in derived["columns"] ^ dumped["columns"]}
    # SQLite knows one BLOB
    assert unlike == {("api_transaction_result", "result"), ("webhook_event_payload", "payload")}


@pytest.mark.parametrize("charset", ["latin1", "utf8mb4"])
@pytest.mark.parametrize("release", RELEASES)
def test_every_row_arrives(mariadb: MariaDbServer, tmp_path: Path, release: str, charset: str) -> None:
    """With the same values, but for what MariaDB cannot keep (parts of seconds) and what broken keys had to become."""
    source = SqliteDatabase(unpacked(release, tmp_path).database)
    loaded = load_sqlite(mariadb, source.path, charset)
    before, after = everything(source), everything(loaded)
    assert before.keys() == after.keys()
    mended = {(v.table, v.columns[0], v.row[0]) for v in loaded.mended}
    with closing(source.connect()) as connection:
        assert {(v.table, v.columns[0], v.row[0]) for v in violations(connection)} == mended
        times = {(t, c.name) for t in before for c in described(connection, t) if c.kind == "DATETIME"}
    for table, wanted in before.items():
        for row in wanted:
            for name, value in row.items():
                if (table, name) in times and value is not None:
                    row[name] = value[:19]
                if (table, name, row.get("id")) in mended:
                    row[name] = None
        assert sorted(after[table], key=repr) == sorted(wanted, key=repr), table
    with closing(loaded.connect()) as connection:
        assert violations(connection) == set()
        (used,) = connection.execute(
            "SELECT group_concat(DISTINCT table_collation ORDER BY 1) FROM information_schema.tables"
            " WHERE table_schema = database()"
        ).fetchone()
        engines = connection.execute(
            "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = database()"
        ).fetchall()
    assert used == {"latin1": "latin1_swedish_ci", "utf8mb4": "utf8mb4_general_ci"}[charset]
    assert engines == [("InnoDB",)]
    mariadb.drop_database(loaded.name)


def test_what_had_to_be_mended_is_the_known_history(mariadb: MariaDbServer, tmp_path: Path) -> None:
    """Stores, pipelines and steps that were deleted while ZenML did not enforce keys; all of them by SET NULL."""
    found = {}
    for release in RELEASES:
        loaded = load_sqlite(mariadb, unpacked(release, tmp_path).database)
        found[release] = [(v.table, v.columns[0]) for v in loaded.mended]
        mariadb.drop_database(loaded.name)
    store, step, run = (
        ("artifact_version", "artifact_store_id"), ("step_run", "original_step_run_id"), ("pipeline_run", "pipeline_id"),
    )  # fmt: skip
    assert found == {"0.70.0": [store, step, step, step], "0.85.0": [store, run, step, step, step], "0.98.0": []}


def test_rows_without_a_parent_that_keys_would_have_deleted_go(mariadb: MariaDbServer, tmp_path: Path) -> None:
    """A link of a version that is gone is what ON DELETE CASCADE never leaves; so do the rows below it."""
    file = unpacked("0.85.0", tmp_path).database
    with editing(SqliteDatabase(file), foreign_keys=False) as connection:
        (version,) = connection.execute("SELECT artifact_version_id FROM artifact_visualization").fetchone()
        (run,) = connection.execute("SELECT id FROM pipeline_run LIMIT 1").fetchone()
        connection.execute("DELETE FROM artifact_version WHERE id = ?", (version,))
        connection.execute("DELETE FROM pipeline_run WHERE id = ?", (run,))
    loaded = load_sqlite(mariadb, file)
    assert not [r for r in rows(loaded, "artifact_visualization") if r["artifact_version_id"] == version]
    steps = {r["id"] for r in rows(loaded, "step_run")}
    assert not [r for r in rows(loaded, "step_run") if r["pipeline_run_id"] == run]
    assert {r["step_id"] for r in rows(loaded, "step_run_output_artifact")} <= steps
    assert {"artifact_visualization", "step_run", "step_run_output_artifact"} <= {v.table for v in loaded.mended}
    mariadb.drop_database(loaded.name)


def test_generated_catalogs_can_be_loaded_and_cloned(mariadb: MariaDbServer, tmp_path: Path) -> None:
    """Those of the crash tests and benches; a clone is a database of its own."""
    generated = small(tmp_path / "small", 40, 3, with_files=False)
    loaded = load_sqlite(mariadb, generated.database)
    assert {r["id"] for r in rows(loaded, "artifact_version")} == set(generated.versions)
    assert loaded.mended == ()
    copy = clone(mariadb, loaded)
    assert everything(copy) == everything(loaded)
    with editing(copy) as connection:
        connection.execute("DELETE FROM artifact_version")
    assert len(rows(loaded, "artifact_version")) == 40
    for database in (loaded, copy):
        mariadb.drop_database(database.name)


@pytest.mark.parametrize("release", MARIADB_RELEASES)
def test_a_real_catalog_on_mariadb_has_the_truth_of_its_release(mariadb_catalog: Catalogs, release: str) -> None:
    """The same versions exist, the same are orphans, ZenML is wrong about the same, and the files are there."""
    catalog = mariadb_catalog(release)
    assert catalog.existing_ids() == set(catalog.by_id)
    assert len(expected_orphans(catalog)) == {"0.70.0": 23, "0.85.0": 26, "0.98.0": 27}[catalog.release]
    assert differences(catalog, expected_orphans(catalog)) == expected_differences(catalog.release)
    assert not catalog.ids("external_run_deleted") & set(expected_kept_reason(catalog))
    present = [v for v in catalog.by_id if catalog.files_of(v)]
    assert len(present) > 40
    stored = {dashed(r["id"]): r["uri"] for r in rows(catalog.database, "artifact_version")}
    assert stored == {identifier: version["uri"] for identifier, version in catalog.by_id.items()}
    assert all(str(root).startswith(str(catalog.root)) for root in catalog.store_roots)
    with closing(catalog.connect()) as connection:
        assert violations(connection) == set()
    config = (catalog.config / "config.yaml").read_text()
    for said in ("url: mysql://127.0.0.1:", f"username: {USER}", f"password: {PASSWORD}", catalog.database.name):
        assert said in config


def test_no_path_of_the_archive_is_left_in_the_rows(mariadb_catalog: Catalogs) -> None:
    """A sweep would look for files where there are none, and the test would pass for the wrong reason."""
    catalog = mariadb_catalog("0.98.0-mariadb")
    assert "/zenml-fixture" not in repr(everything(catalog.database))
    assert str(catalog.root) in repr(rows(catalog.database, "artifact_version"))
