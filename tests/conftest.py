"""Fixtures that tests of several kinds share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.catalogs import RELEASES, RealCatalog, unpacked
from tests.support.mariadb import MariaDbServer, initialised
from tests.support.mariadb_catalogs import MARIADB_RELEASES, MariaDbCatalog, in_mariadb
from tests.support.mariadb_load import clone
from tests.support.seaweed import SeaweedServer
from tests.support.zenml_database import database_copy

EVERYWHERE = (*RELEASES, *MARIADB_RELEASES)
"""Each release on SQLite and on MariaDB."""


@pytest.fixture(params=EVERYWHERE)
def real_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """A real catalog of each release on each engine, unpacked afresh: a test may sweep it for real."""
    return anew(request, tmp_path)


def anew(request: pytest.FixtureRequest, folder: Path, charset: str = "latin1") -> RealCatalog:
    """The real catalog that the parameter of *request* names. Only a test on MariaDB waits for a server."""
    if request.param in RELEASES:
        return unpacked(request.param, folder)
    made: RealCatalog = request.getfixturevalue("mariadb_catalog")(request.param, charset)
    request.getfixturevalue("environ")["ZENML_CONFIG_PATH"] = str(made.config)
    return made


@pytest.fixture
def environ() -> dict[str, str]:
    """What is set for whoever runs marksweep. Beside a database that is no file there are no local stores to be found."""
    return {}


@pytest.fixture(scope="session")
def originals() -> dict[str, RealCatalog]:
    """What :func:`original` has unpacked."""
    return {}


@pytest.fixture
def original(
    request: pytest.FixtureRequest, originals: dict[str, RealCatalog], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], RealCatalog]:
    """``original("0.85.0-mariadb")``: a real catalog that no test may change, one for all tests of this worker."""

    def get(name: str) -> RealCatalog:
        if name not in originals:
            folder = tmp_path_factory.mktemp("original")
            if name in RELEASES:
                originals[name] = unpacked(name, folder)
            else:
                originals[name] = in_mariadb(name, request.getfixturevalue("mariadb"), folder)
        return originals[name]

    return get


@pytest.fixture
def database_only(
    request: pytest.FixtureRequest, original: Callable[[str], RealCatalog], tmp_path: Path
) -> Iterator[Callable[[str], RealCatalog]]:
    """``database_only("0.98.0")``: the original with a database of this test's own. Its files are not to be changed."""
    made: list[MariaDbCatalog] = []

    def get(name: str) -> RealCatalog:
        whole = original(name)
        if not isinstance(whole, MariaDbCatalog):
            return database_copy(whole, tmp_path / "copy")
        database = clone(request.getfixturevalue("mariadb"), whole.db)
        made.append(MariaDbCatalog(whole.release, whole.root, database))
        return made[-1]

    yield get
    for catalog in made:
        request.getfixturevalue("mariadb").drop_database(catalog.db.name)


@pytest.fixture(scope="session")
def mariadb_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty data directory for ``MariaDbServer``, made once for all workers of a test run."""
    folder = tmp_path_factory.getbasetemp()
    return initialised((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "mariadb-base")


@pytest.fixture(scope="session")
def mariadb(mariadb_base: Path) -> Iterator[MariaDbServer]:
    """A server for all tests of this worker. Who kills it or changes its settings starts one of his own instead."""
    with MariaDbServer(mariadb_base) as server:
        yield server


@pytest.fixture
def mariadb_catalog(mariadb: MariaDbServer, tmp_path: Path) -> Iterator[Callable[..., MariaDbCatalog]]:
    """``mariadb_catalog("0.98.0-mariadb")`` puts a real catalog into the server: a test may sweep it for real.

    Its database is dropped after the test.
    """
    made: list[MariaDbCatalog] = []

    def make(release: str, charset: str = "latin1") -> MariaDbCatalog:
        made.append(in_mariadb(release, mariadb, tmp_path, charset))
        return made[-1]

    yield make
    for catalog in made:
        mariadb.drop_database(catalog.database.name)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """An S3 server for all tests that run on SeaweedFS; each makes a bucket of its own."""
    with SeaweedServer(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one worker runs together (``--dist loadgroup``): the tests of a file, those on MariaDB apart from the others.

    Those on SeaweedFS are together whichever file they are in, so that one worker starts it.
    In the order in which they are collected (``--no-loadscope-reorder``): the long ones come first.
    """
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        on_mariadb = any("mariadb" in str(value) for value in parameters)
        fixtures = getattr(item, "fixturenames", ())
        on_seaweed = "seaweed" in fixtures or any("seaweed" in str(value) for value in parameters)
        group = f"{item.nodeid.partition('::')[0]}{' on MariaDB' if on_mariadb else ''}"
        item.add_marker(pytest.mark.xdist_group("on SeaweedFS" if on_seaweed else group))
