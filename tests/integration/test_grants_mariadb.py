"""The grants that ``marksweep grants`` prints are enough on a real MariaDB, and each of them is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.catalogs import expected_orphans
from tests.support.cli import Cli, Ended
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog

USER, PASSWORD = "least", "least-s3cret"
_GRANT = re.compile(r"GRANT (?P<actions>.+) ON (?P<on>.+) TO (?P<to>.+);")


@dataclass
class Least:
    """A catalog on MariaDB, a plan of its orphans, and a user who may do nothing until something is granted."""

    server: MariaDbServer
    catalog: MariaDbCatalog
    cli: Cli
    plan: Path
    orphans: set[str]

    @property
    def url(self) -> str:
        return self.server.url(self.catalog.db.name, user=USER, password=PASSWORD)

    def required(self, *options: str) -> list[str]:
        """What ``grants`` says without the optional lines."""
        lines = self.cli.json("grants", self.plan, "--user", USER, "--database", self.catalog.db.name, *options)[
            "database"
        ]
        return [line["statement"] for line in lines if not line["optional"]]

    def grant(self, statements: list[str]) -> None:
        """Make the user anew, with these rights alone."""
        self.server.execute(f"CREATE OR REPLACE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        for statement in statements:
            self.server.execute(statement)

    @contextmanager
    def without(self, action: str, on: str) -> Iterator[None]:
        """Everything but one action on one table (or database)."""
        self.server.execute(f"REVOKE {action} ON {on} FROM '{USER}'@'%'")
        yield
        self.server.execute(f"GRANT {action} ON {on} TO '{USER}'@'%'")

    def mark(self, *options: object) -> None:
        """A plan, made by somebody who may do everything."""
        self.cli.done("mark", "--catalog", self.catalog.url, "--no-grace", "--quiet", "--out", self.plan, *options)

    def sweep(self, *options: object) -> Ended:
        return self.cli("sweep", self.plan, "--yes", "--quiet", "--catalog", self.url, *options)

    def restore(self) -> Ended:
        return self.cli("restore", self.plan, "--yes", "--catalog", self.url)


@pytest.fixture
def least(
    mariadb: MariaDbServer, mariadb_catalog: Callable[..., MariaDbCatalog], cli: Cli, tmp_path: Path
) -> Iterator[Least]:
    catalog = mariadb_catalog("0.98.0-mariadb")
    orphans = expected_orphans(catalog)
    user = cli.with_environ(ZENML_CONFIG_PATH=str(catalog.config))
    yield Least(mariadb, catalog, user, tmp_path / "plan.json", orphans)
    mariadb.execute(f"DROP USER IF EXISTS '{USER}'@'%'")


def test_each_grant_is_needed_and_together_they_are_enough(least: Least, tmp_path: Path) -> None:
    """Without any one of them the sweep is refused and deletes nothing; with all of them it deletes everything.

    Who may sweep may not restore; with its own grants a restore brings every row back.
    """
    least.mark("--ignore-model-links")
    required = least.required()
    least.grant(required)
    before = least.catalog.existing_ids()
    actions = 0
    for statement in required:
        parts = _GRANT.fullmatch(statement)
        assert parts is not None
        for action in parts["actions"].split(", "):
            with least.without(action, parts["on"]):
                least.sweep().refused(25, "error[catalog-not-understood]")
            actions += 1
    assert actions == 14
    assert least.catalog.existing_ids() == before

    least.server.execute(
        "CREATE TABLE of_our_own (v CHAR(32) CHARACTER SET latin1, FOREIGN KEY (v) REFERENCES artifact_version (id))",
        database=least.catalog.db.name,
    )
    least.sweep().refused(25, "of_our_own.v, a foreign key to artifact_version")  # SELECT on known tables would hide it
    least.server.execute("DROP TABLE of_our_own", database=least.catalog.db.name)

    assert least.sweep("--trash", tmp_path / "trash").status == 0
    assert not least.catalog.existing_ids() & least.orphans
    least.restore().refused(25, "INSERT command denied")
    least.grant(least.required("--for", "restore"))
    ended = least.restore()
    assert ended.status == 0, ended
    assert least.catalog.existing_ids() == before


def test_a_mark_only_selects_and_an_only_artifact_sweep_deletes_no_row(least: Least) -> None:
    """With SELECT alone a mark finds the same entries; no DELETE is granted for a plan that marks rows, and none is needed."""
    least.mark("--only-artifact")
    required = least.required("--for", "mark")
    assert [_GRANT.fullmatch(statement)["actions"] for statement in required] == ["SELECT"]  # type: ignore[index]
    least.grant(required)
    again = least.plan.with_name("again.json")
    marked = least.cli.json("mark", "--catalog", least.url, "--no-grace", "--only-artifact", "--quiet", "--out", again)
    assert marked["plan"]["entries"] == len(least.orphans)

    required = least.required()
    assert not any("DELETE" in statement for statement in required)
    least.grant(required)
    ended = least.sweep("--drain", "0")
    assert ended.status == 0, ended
    assert least.orphans <= least.catalog.existing_ids()
