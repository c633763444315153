"""Fixtures of the crash tests: worlds on either engine, and what makes hundreds of sweeps quick."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from marksweep.catalog.zenml import catalog as catalog_module
from marksweep.catalog.zenml import mysql, sqlite
from marksweep.catalog.zenml.schema import Schema
from tests.crash.carried import InMariaDb
from tests.crash.world import World, make_world
from tests.support.mariadb import MariaDbServer

_MEMORY = Path("/dev/shm")
MakeWorld = Callable[..., World]


@pytest.fixture(params=["sqlite", "mariadb"])
def engine(request: pytest.FixtureRequest) -> MariaDbServer | None:
    """A server, or none for SQLite."""
    server: MariaDbServer | None = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
    return server


@pytest.fixture
def new_world(engine: MariaDbServer | None) -> Iterator[MakeWorld]:
    """``new_world(folder, mode)``: see :func:`make_world`; on each engine."""
    made: list[World] = []

    def make(*args: Any, **options: Any) -> World:
        made.append(partial(make_world, server=engine)(*args, **options))
        return made[-1]

    yield make
    for world in made:
        if engine and isinstance(world.catalog, InMariaDb):
            engine.drop_database(world.catalog.db.name)


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
    """Read the schema once per database, prove the server once, do not rest between claims: most of a small sweep's time.

    Nobody migrates the database here, changes the server's settings, or waits.
    """
    understand = mysql.MysqlDatabase.understand
    understood: dict[str, str | None] = {}

    def understand_once(self: mysql.MysqlDatabase, schema: Schema) -> None:
        if self.shown not in understood or not self._writes:
            understand(self, schema)
            understood[self.shown] = self._met
        self._met = understood[self.shown]

    monkeypatch.setattr(mysql.MysqlDatabase, "understand", understand_once)
    monkeypatch.setattr(mysql.MysqlDatabase, "keeps_empty_artifacts", lambda self, schema: None)
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
