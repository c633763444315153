"""What the tests of the MySQL adapter share: a real catalog in a real server, its plan, and somebody else who links.

Whatever is expected is found out with plain SQL and from the file system, never by asking the adapter.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest

from marksweep.catalog.port import Claimed, ClaimRequest, ClaimRules
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import discover
from marksweep.model.outcome import Mode
from marksweep.model.verdict import TOMBSTONE
from tests.support.catalogs import expected_orphans
from tests.support.cli import Cli, Ended
from tests.support.databases import Connection, Database, editing, rows
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog

NEWEST = "0.98.0-mariadb"
NO_PARENT = 1452
"""What a server answers to a link to a version that is not there."""
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


@contextmanager
def opened(url: str, *, writes: bool = True, lagging: bool = False) -> Iterator[ZenmlCatalog]:
    """The catalog at *url*, with nothing in the environment."""
    with closing(ZenmlCatalog(discover({}, url), writes=writes, lagging=lagging)) as catalog:
        yield catalog


@contextmanager
def setting(server: MariaDbServer, name: str, value: object) -> Iterator[None]:
    """A global variable of *server* has another value."""
    ((before,),) = server.execute(f"SELECT @@GLOBAL.{name}")
    server.execute(f"SET GLOBAL {name} = %s", value)
    try:
        yield
    finally:
        server.execute(f"SET GLOBAL {name} = %s", before)


def status(server: MariaDbServer, name: str) -> int:
    """A counter of *server*."""
    ((_, value),) = server.execute("SHOW GLOBAL STATUS LIKE %s", name)
    return int(value)


def hexed(id_: str) -> str:
    return id_.replace("-", "")


def rules(mode: Mode = Mode.BOTH, *, artifacts: bool = False) -> ClaimRules:
    """Nothing counts as newer than the plan; emptied artifacts stay unless told."""
    return ClaimRules(mode, None, FAR_AHEAD, FAR_AHEAD if artifacts else None)


def quiet(_: Sequence[Claimed]) -> None: ...


def requests(
    database: Database, ids: Sequence[str], unit: str | None = None, marked: bool = False
) -> list[ClaimRequest]:
    """As a plan that was made just now has them; or as they are once an only-artifact claim *marked* them."""
    found = {row["id"]: row for row in rows(database, "artifact_version")}
    made = []
    for id_ in ids:
        row = found[hexed(id_)]
        assert row["uri"].startswith(TOMBSTONE) == marked
        updated = datetime.fromisoformat(row["updated"]).replace(tzinfo=UTC)
        made.append(ClaimRequest(id_, row["uri"], updated, unit or id_))
    return made


def uris(database: Database) -> dict[str, str]:
    """Row id -> URI of every version."""
    return {row["id"]: row["uri"] for row in rows(database, "artifact_version")}


def linked(database: Database) -> set[str]:
    """Row ids of all versions that are inputs of steps."""
    return {row["artifact_id"] for row in rows(database, "step_run_input_artifact")}


def link(connection: Connection, id_: str, name: str = "again") -> None:
    """As a step that starts does: the link of a version as its input, not committed yet."""
    (step,) = connection.execute("SELECT id FROM step_run ORDER BY id LIMIT 1").fetchone()
    connection.execute(
        "INSERT INTO step_run_input_artifact (name, type, input_index, step_id, artifact_id) VALUES (?, 'manual', 0, ?, ?)",
        (f"{name}-{hexed(id_)[:8]}", step, hexed(id_)),
    )


def link_now(database: Database, id_: str) -> None:
    """The same, committed."""
    with editing(database) as connection:
        link(connection, id_)


@dataclass
class Meanwhile:
    """Something that another session does in a thread of its own; ``error`` is what the server refused it with."""

    work: Callable[[], object]
    error: Exception | None = None
    seconds: float = 0.0
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self.work()
        except Exception as error:
            self.error = error
        finally:
            self.seconds = time.monotonic() - began

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, patience: float = 30) -> Meanwhile:
        self._thread.join(patience)
        assert self.is_over, "it did not end"
        return self

    @property
    def number(self) -> int:
        """Of the server's error."""
        assert isinstance(self.error, pymysql.err.MySQLError), self.error
        return int(self.error.args[0])


def wait_until(condition: Callable[[], object], patience: float = 20) -> None:
    """Ask until it is true; not too often, as InnoDB shows its transactions anew only to who has not asked for 0.1 s."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.15)


def lock_waits(server: MariaDbServer) -> int:
    """How many transactions wait for a lock of another."""
    ((count,),) = server.execute("SELECT count(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")
    return int(count)


def around_lock(
    monkeypatch: pytest.MonkeyPatch,
    catalog: ZenmlCatalog,
    *,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Do something right before and right after the first lock that *catalog* takes."""
    original, calls = catalog._database.lock, [0]

    def lock(connection: Any, query: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            before()
        found = original(connection, query)
        if calls[0] == 1:
            after()
        return found

    monkeypatch.setattr(catalog._database, "lock", lock)


def before_claim(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[ZenmlCatalog], None]) -> None:
    """Do *action* before claim *number* (from 1) of whatever sweeps in this process."""
    original, calls = ZenmlCatalog.claim, [0]

    def claim(catalog: ZenmlCatalog, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            action(catalog)
        return original(catalog, *arguments)

    monkeypatch.setattr(ZenmlCatalog, "claim", claim)


@dataclass
class Swept:
    """A catalog with a plan of all its orphans, at the command line. ``bytes_of`` are the files that each version had."""

    catalog: MariaDbCatalog
    cli: Cli
    plan: Path
    mode: Mode
    orphans: set[str]
    bytes_of: dict[str, set[str]]

    @classmethod
    def marked(cls, catalog: MariaDbCatalog, home: Path, mode: Mode = Mode.BOTH) -> Swept:
        home.mkdir()
        cli, plan = Cli(home, {"ZENML_CONFIG_PATH": str(catalog.config)}), home / "plan.json"
        orphans = expected_orphans(catalog)
        option = [] if mode is Mode.BOTH else ["--" + mode.value.replace("_", "-")]
        cli.done("mark", "--catalog", catalog.url, "--no-grace", "--quiet", "--out", plan, *option)
        return cls(catalog, cli, plan, mode, orphans, {id_: catalog.files_of(id_) for id_ in catalog.by_id})

    def sweep(self, url: str | None = None, *options: object) -> Ended:
        return self.cli(
            "sweep", self.plan, "--yes", "--quiet", "--catalog", url or self.catalog.url, "--batch-size", 3,
            "--drain", "0", *options,
        )  # fmt: skip

    def resume(self) -> Ended:
        """Sweep until it is not refused because the session of an earlier run still lives on the server."""
        until = time.monotonic() + 40
        while (ended := self.sweep()).status == 30:
            assert time.monotonic() < until, ended
            time.sleep(0.2)
        return ended

    def check_nothing_lost(self) -> None:
        """At any time: a row that is there as it was has all its bytes, and so has whatever is no entry."""
        there = uris(self.catalog.database)
        for id_, files in self.bytes_of.items():
            as_it_was = not there.get(hexed(id_), TOMBSTONE).startswith(TOMBSTONE)
            assert as_it_was or id_ in self.orphans, f"{id_} is no entry and its row is gone"
            assert self.catalog.files_of(id_) == files or not as_it_was, f"{id_} has a row and not all its bytes"

    def check_done(self, *kept: str) -> None:
        """All entries but *kept* are swept, as the mode has it; nothing else is touched."""
        self.check_nothing_lost()
        there = uris(self.catalog.database)
        for id_ in self.orphans.difference(kept):
            row = there.get(hexed(id_), "")
            assert row.startswith(TOMBSTONE) if self.mode is Mode.ONLY_ARTIFACT else not row, id_
            left = self.bytes_of[id_] if self.mode is Mode.ONLY_METADATA else set()
            assert self.catalog.files_of(id_) == left, id_
        for id_ in kept:
            assert there[hexed(id_)]
