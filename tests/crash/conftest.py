"""Fixtures of the crash tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from marksweep.catalog.zenml import catalog as catalog_module
from marksweep.catalog.zenml import sqlite

_MEMORY = Path("/dev/shm")


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A new folder in memory where there is such a place: these tests sweep hundreds of times, and each sweep syncs."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="marksweep-", dir=_MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def quick_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the schema once per database, and do not rest between claims: that is most of a small sweep's time.

    Nobody migrates the database here, and nobody waits for it.
    """
    monkeypatch.setattr(sqlite.Rest, "SHORTEST", 0.0)
    monkeypatch.setattr(sqlite.Rest, "LONGEST", 0.0)
    reflect = catalog_module.reflect
    known = cache(lambda where: {})

    def once(connection: Any, where: str) -> Any:
        met = known(where)
        if "schema" not in met:
            met["schema"] = reflect(connection, where)
        return met["schema"]

    monkeypatch.setattr(catalog_module, "reflect", once)
