"""Unpacking an archived catalog: whole or not at all, and with every path rewritten."""

from __future__ import annotations

import base64
import io
import sqlite3
import tarfile
from pathlib import Path

import pytest

from marksweep.cli.demo import DEMO_ARCHIVE
from marksweep.cli.demo.unpack import unpack
from marksweep.errors import UsageError

OLD = "/zenml-fixture/0.98.0"


def test_every_path_is_rewritten(tmp_path: Path) -> None:
    """No file and no base64 configuration names the place that the catalog was made in."""
    root = unpack(DEMO_ARCHIVE, tmp_path / "a catalog")
    for path in root.rglob("*"):
        if path.is_file():
            assert OLD.encode() not in path.read_bytes(), path
    database = sqlite3.connect(root / "cfg/local_stores/default_zen_store/zenml.db")
    configurations = [row[0] for row in database.execute("SELECT configuration FROM stack_component")]
    uris = [row[0] for row in database.execute("SELECT uri FROM artifact_version")]
    database.close()
    decoded = [base64.b64decode(configuration) for configuration in configurations]
    assert any(f"{root}/store2".encode() in configuration for configuration in decoded)
    assert not any(OLD.encode() in configuration for configuration in decoded)
    assert len(uris) == 70
    assert all(uri.startswith(f"{root}/") for uri in uris)


def test_the_database_stays_sound(tmp_path: Path) -> None:
    """SQLite finds nothing wrong with the rewritten database, nor with its foreign keys."""
    root = unpack(DEMO_ARCHIVE, tmp_path / "copy")
    database = sqlite3.connect(root / "cfg/local_stores/default_zen_store/zenml.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    """A folder that exists, even an empty one, is left as it is."""
    with pytest.raises(UsageError, match="exists"):
        unpack(DEMO_ARCHIVE, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a%20b", "a?b", "a#b", "a\nb", "a'b", "a: b"])
def test_a_path_that_needs_escaping_is_refused(tmp_path: Path, name: str) -> None:
    """A path that JSON, YAML or a database URL would have to escape is refused before anything is written."""
    with pytest.raises(UsageError, match="characters"):
        unpack(DEMO_ARCHIVE, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    """A missing file, a text file and an empty archive are refused, and nothing stays behind."""
    text, empty = tmp_path / "text.tar.gz", tmp_path / "empty.tar.gz"
    text.write_text("not an archive")
    with tarfile.open(empty, "w:gz"):
        pass
    for archive in (tmp_path / "missing.tar.gz", text, empty):
        with pytest.raises(UsageError, match="not an archived catalog"):
            unpack(archive, tmp_path / "new")
    assert sorted(tmp_path.iterdir()) == [empty, text]


def test_a_member_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    """An archive with a path upwards writes nothing at all."""
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"), io.BytesIO())
    with pytest.raises(UsageError, match="not an archived catalog"):
        unpack(archive, tmp_path / "new")
    assert list(tmp_path.iterdir()) == [archive]
