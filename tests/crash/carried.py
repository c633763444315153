"""Generated catalogs with their rows in MariaDB, their files where they were."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.generate import Generated
from tests.support.databases import MariaDbDatabase
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_load import load_sqlite


def local_stores(root: Path) -> Path:
    """Where a catalog's local stores lie, if its database is no file beside which they are."""
    return root / "cfg" / "local_stores"


@dataclass(frozen=True)
class InMariaDb(Generated):
    """A generated catalog with its rows in MariaDB."""

    db: MariaDbDatabase

    @property
    def database(self) -> MariaDbDatabase:  # type: ignore[override]
        return self.db

    @property
    def url(self) -> str:
        return self.db.url


def carried(made: Generated, server: MariaDbServer) -> InMariaDb:
    """Carry the rows over to a database of *server*; the SQLite file goes."""
    database = load_sqlite(server, made.database)
    shutil.rmtree(made.database.parent)
    return InMariaDb(made.root, made.versions, made.orphans, made.steps, made.uris, database)
