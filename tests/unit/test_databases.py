"""Tests change a catalog by the same statements on either engine, and these do the same on both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.catalogs import unpacked
from tests.support.databases import (
    INTEGRITY,
    OPERATIONAL,
    Connection,
    Database,
    MariaDbDatabase,
    SqliteDatabase,
    database_at,
    described,
    editing,
    everything,
    rows,
    tables,
    violations,
)
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_connection import Parameters, translated
from tests.support.mariadb_load import load_sqlite


@pytest.fixture(params=["sqlite", "mariadb"])
def database(
    request: pytest.FixtureRequest, mariadb: MariaDbServer, tmp_path: Path
) -> Iterator[SqliteDatabase | MariaDbDatabase]:
    """A real database of 0.98.0 on either engine, for one test."""
    file = unpacked("0.98.0", tmp_path).database
    if request.param == "sqlite":
        yield SqliteDatabase(file)
    else:
        loaded = load_sqlite(mariadb, file)
        yield loaded
        mariadb.drop_database(loaded.name)


def test_the_same_statements_do_the_same_on_both_engines(database: Database) -> None:
    """Marks, names, texts, joins of texts, counts of rows that were met, times as text."""
    with editing(database) as connection:
        query = (
            'SELECT "name", uri || ? FROM artifact_version v JOIN artifact a ON a.id = v.artifact_id'
            " WHERE uri LIKE '%/custom_artifacts/%' AND v.version = ?"
        )
        before = connection.execute(query, ("?%", "1")).fetchall()
        assert before
        assert all(uri.endswith("?%") for _, uri in before)
        met = connection.execute("UPDATE artifact_version SET version = version WHERE version = :v", {"v": "1"})
        assert met.rowcount > len(before)
        connection.execute("UPDATE artifact_version SET updated = '2026-02-03 04:05:06'")
        (number,) = connection.execute("SELECT sum(version_number) FROM artifact_version").fetchone()
        assert isinstance(number, int)
        text = "quote ' and \\ and % and ? and :x"
        assert connection.execute("SELECT ?, 'it''s \\ 100% ?'", (text,)).fetchall() == [(text, "it's \\ 100% ?")]
        connection.execute("UPDATE artifact_version SET content_hash = ? WHERE version = ?", (text, "1"))
    found = rows(database, "artifact_version")
    assert {r["updated"] for r in found} == {"2026-02-03 04:05:06"}
    assert {r["content_hash"] for r in found if r["version"] == "1"} == {text}
    assert isinstance(rows(database, "stack_component")[0]["configuration"], bytes)


def _delete_and_fail(connection: Connection) -> None:
    connection.execute("DELETE FROM artifact_visualization")
    raise ZeroDivisionError


def test_a_transaction_begins_with_the_first_change(database: Database) -> None:
    """Reads before it see what others commit; a rollback undoes, a failed block too."""
    with closing(database.connect()) as connection:
        connection.execute("SELECT count(*) FROM tag").fetchone()
        assert not connection.in_transaction
        connection.execute("DELETE FROM artifact_visualization")
        assert connection.in_transaction
        connection.rollback()
        assert not connection.in_transaction
        with pytest.raises(ZeroDivisionError), connection:
            _delete_and_fail(connection)
        assert connection.execute("SELECT count(*) FROM artifact_visualization").fetchone()[0] > 0
    with closing(database.connect(autocommit=True)) as connection:
        connection.execute("DELETE FROM artifact_visualization")
        assert not connection.in_transaction
        connection.execute("BEGIN")
        connection.execute("DELETE FROM tag")
        connection.execute("ROLLBACK")
    assert rows(database, "artifact_visualization") == []
    assert rows(database, "tag")


def test_foreign_keys_hold_unless_switched_off(database: Database) -> None:
    """As for ZenML's own connections; what was broken on purpose is found."""
    insert = (
        "INSERT INTO tag_resource (id, tag_id, resource_id, resource_type, created, updated) VALUES (?, ?, ?, ?, ?, ?)"
    )
    nobody = "0" * 32
    row = ("f" * 32, nobody, nobody, "artifact_version", "2026-01-01 00:00:00", "2026-01-01 00:00:00")
    with pytest.raises(INTEGRITY, match="FOREIGN KEY"), editing(database) as connection:
        connection.execute(insert, row)
    with editing(database, foreign_keys=False) as connection:
        connection.execute(insert, row)
        found = violations(connection)
    assert [v[:3] for v in found] == [("tag_resource", ("tag_id",), "tag")]


def test_whoever_does_not_wait_is_told_of_a_lock(database: Database) -> None:
    """With a timeout of 0 seconds at once."""
    with closing(database.connect()) as holder:
        holder.execute("UPDATE artifact SET name = 'other' || id")
        began = time.monotonic()
        with pytest.raises(OPERATIONAL), editing(database, timeout=0) as other:
            other.execute("UPDATE artifact SET name = 'third' || id")
        assert time.monotonic() - began < 5
        holder.rollback()


def test_tables_and_columns_are_described(database: Database) -> None:
    """Enough to insert a row into a table that one knows nothing about."""
    with closing(database.connect()) as connection:
        assert {"artifact_version", "pipeline_run_output"} <= set(tables(connection))
        assert tables(connection) == sorted(tables(connection))
        columns = {c.name: c for c in described(connection, "artifact_version")}
        assert described(connection, "no_such_table") == []
    assert columns["uri"].required
    assert not columns["content_hash"].required
    assert columns["created"].something == "2026-01-01 00:00:00.000000"
    assert (columns["version_number"].something, columns["uri"].something) == (0, "x")


def test_what_was_kept_is_restored(database: Database) -> None:
    """Row for row, however keys are in the way."""
    before, kept = everything(database), database.keep()
    with editing(database, foreign_keys=False) as connection:
        for table in ("artifact", "step_run", "tag_resource"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("UPDATE artifact_version SET uri = 'elsewhere'")
    assert everything(database) != before
    database.restore(kept)
    after = everything(database)
    assert {t: sorted(r, key=repr) for t, r in after.items()} == {t: sorted(r, key=repr) for t, r in before.items()}


def test_a_url_is_all_that_another_process_needs(database: Database) -> None:
    """The writers of the crash tests get nothing else."""
    assert everything(database_at(database.url)) == everything(database)


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("SELECT '?' , ?", (1,), "SELECT '?' , %s"),
        ("SELECT \"a%b\" LIKE '%x' AND y = ?", (1,), "SELECT \"a%%b\" LIKE '%%x' AND y = %s"),
        ("SELECT 'a''?' || :v, ':w'", {"v": 1}, "SELECT 'a''?' || %(v)s, ':w'"),
        ("SELECT a % ?", (2,), "SELECT a %% %s"),
        ("SELECT a % 2 LIKE '%'", (), "SELECT a % 2 LIKE '%'"),
    ],
)
def test_marks_are_rewritten_only_where_they_are_marks(sql: str, parameters: Parameters, expected: str) -> None:
    """Not in texts, not in names."""
    assert translated(sql, parameters) == expected
