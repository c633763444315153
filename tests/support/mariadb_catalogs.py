"""The real catalogs on MariaDB: the one that ZenML 0.98.0 wrote there, and those of older releases carried over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from marksweep.cli.demo.unpack import unpack
from tests.support.catalogs import RELEASES, RealCatalog, unpacked
from tests.support.databases import Connection, MariaDbDatabase, everything
from tests.support.mariadb import PASSWORD, USER, MariaDbServer
from tests.support.mariadb_load import DUMP_ARCHIVE, load_dump, load_sqlite

MARIADB = "-mariadb"
MARIADB_RELEASES = tuple(release + MARIADB for release in RELEASES)
"""What a parametrised fixture calls them."""
_DUMPED = "0.98.0"


@dataclass(frozen=True)
class MariaDbCatalog(RealCatalog):
    """One catalog with its rows in MariaDB. ``release`` is ZenML's, without the engine; the files lie below ``root``."""

    db: MariaDbDatabase

    @property
    def database(self) -> MariaDbDatabase:  # type: ignore[override]
        return self.db

    @property
    def url(self) -> str:
        return self.db.url

    def connect(self) -> Connection:
        """A connection that sees what is committed, with every statement."""
        return self.db.connect(autocommit=True)

    def file_digests(self) -> dict[str, str]:
        """SHA-256 of every file below the root, and of all rows, which go by the name of SQLite's file."""
        rows = hashlib.sha256(repr(everything(self.db)).encode()).hexdigest()
        return super().file_digests() | {"zenml.db": rows}


def in_mariadb(release: str, server: MariaDbServer, folder: Path, charset: str = "latin1") -> MariaDbCatalog:
    """The catalog of *release* (``-mariadb`` behind it is ignored) with its files below *folder*, and a database of its own.

    ``cfg/config.yaml`` names the database as a ZenML client's does, its password in a key of its own.
    """
    release = release.removesuffix(MARIADB)
    if release == _DUMPED:
        root = unpack(DUMP_ARCHIVE, folder / f"zenml-{release}{MARIADB}")
        dump = root / "catalog.sql"
        database = load_dump(server, dump.read_text(), charset)
        dump.unlink()
    else:
        sqlite = unpacked(release, folder)
        root = sqlite.root
        database = load_sqlite(server, sqlite.database, charset)
        sqlite.database.unlink()
        sqlite.database.parent.rmdir()
    _configure(root / "cfg" / "config.yaml", database)
    return MariaDbCatalog(release, root, database)


def _configure(config: Path, database: MariaDbDatabase) -> None:
    parts = urlsplit(database.url)
    written = yaml.safe_load(config.read_text())
    written["store"] = {
        "type": "sql",
        "driver": "mysql",
        "url": f"mysql://{parts.hostname}:{parts.port}",
        "username": USER,
        "password": PASSWORD,
        "database": database.name,
    }
    config.write_text(yaml.safe_dump(written))
