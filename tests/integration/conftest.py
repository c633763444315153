"""Fixtures of the integration tests: a user at the command line, real catalogs, and S3 as moto's server speaks it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import anew
from tests.contract.conftest import azure_server, azure_world, s3_server
from tests.support.catalogs import RealCatalog
from tests.support.cli import Cli

__all__ = ["azure_server", "azure_world", "s3_server"]


_MEMORY = Path("/dev/shm")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A new folder in memory where there is such a place: these tests sweep often, and each sweep syncs."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="marksweep-", dir=_MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def cli(tmp_path: Path, environ: dict[str, str]) -> Cli:
    """A user in a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return Cli(home, environ)


NEWEST = ("0.98.0", "0.98.0-mariadb")


@pytest.fixture(params=NEWEST)
def newest(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """The catalog of the newest release, on each engine; ``@on_sqlite`` leaves MariaDB out."""
    return anew(request, tmp_path)


on_sqlite = pytest.mark.parametrize("newest", ["0.98.0"], indirect=True)
"""For tests in which the database does not matter, or that are about a SQLite file."""


@pytest.fixture
def plan(cli: Cli, newest: RealCatalog, tmp_path: Path) -> Path:
    """A plan of everything that is orphaned in the newest catalog."""
    path = tmp_path / "plan.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--quiet", "--out", path)
    return path


@pytest.fixture
def snapshot(newest: RealCatalog) -> Callable[[], dict[str, str]]:
    """The digests of all files of the newest catalog, its database included, each time it is called."""
    return newest.file_digests
