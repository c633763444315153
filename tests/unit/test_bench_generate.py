"""The generated catalogs are what they say they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.bench.generate import generate, small
from tests.bench.rows import DENSE

_REFERENCED = """
SELECT artifact_id FROM step_run_input_artifact UNION SELECT artifact_id FROM step_run_output_artifact
UNION SELECT artifact_version_id FROM model_versions_artifacts
"""


def test_references_are_as_the_generator_says(tmp_path: Path) -> None:
    """Orphans are the versions that no link row and no JSON text names; the shares are about what was asked for."""
    made = generate(tmp_path / "catalog", 5000, seed=7)
    database = sqlite3.connect(made.database)
    versions = {row[0] for row in database.execute("SELECT id FROM artifact_version")}
    referenced = {row[0] for row in database.execute(_REFERENCED)}
    outputs = database.execute("SELECT count(DISTINCT artifact_id) FROM step_run_output_artifact").fetchone()[0]
    text = "".join(row[0] for row in database.execute("SELECT config FROM step_configuration")).replace("-", "")
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("0.98.0",)]
    (newest,) = database.execute("SELECT max(created) FROM artifact_version").fetchone()
    database.close()
    assert newest == "2026-01-01 00:00:00.000000"
    assert versions == set(made.versions)
    mentioned = {version for version in versions if version in text}
    assert mentioned
    assert made.orphans == versions - referenced - mentioned
    assert 0.37 < outputs / 5000 < 0.43


def test_the_same_seed_gives_the_same_rows(tmp_path: Path) -> None:
    """The ids and the orphans depend on the seed and the number alone."""
    first, second, other = (generate(tmp_path / name, 200, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first.versions == second.versions
    assert first.orphans == second.orphans
    assert first.versions != other.versions


def test_the_dense_mix_has_the_links_of_a_busy_platform(tmp_path: Path) -> None:
    """Per version three input links, one output link and a fifth of a model link; 19.4 % are orphans."""
    made = generate(tmp_path / "catalog", 5000, seed=7, mix=DENSE)
    database = sqlite3.connect(made.database)
    counts = [
        database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] / 5000
        for table in ("step_run_input_artifact", "step_run_output_artifact", "model_versions_artifacts")
    ]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    referenced = {row[0] for row in database.execute(_REFERENCED)}
    database.close()
    assert counts == pytest.approx([3.0, 1.0, 0.2], rel=0.1)
    assert not made.orphans & referenced
    assert len(made.orphans) / 5000 == pytest.approx(0.194, rel=0.1)


def test_small_catalogs_have_files_for_every_version(tmp_path: Path) -> None:
    """Each version's URI is a folder of its own below the default store, with at least one file in it."""
    made = small(tmp_path / "catalog", 50)
    for uri in made.uris.values():
        assert any(path.is_file() for path in Path(uri).rglob("*"))
        assert Path(uri).is_relative_to(made.root / "cfg" / "local_stores")
    assert len(set(made.uris.values())) == 50
