"""What a claim spares those who wait for it: locks that it does not need, and reading that was done right before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed
from marksweep.catalog.zenml.mysql import MysqlDatabase
from marksweep.catalog.zenml.newcomers import Newcomers
from tests.contract.mysql_worlds import NEWEST, hexed, opened, quiet, requests, rules, uris
from tests.support.catalogs import expected_orphans
from tests.support.databases import editing, rows
from tests.support.mariadb_catalogs import MariaDbCatalog


@pytest.fixture
def real(mariadb_catalog: Callable[..., MariaDbCatalog]) -> MariaDbCatalog:
    return mariadb_catalog(NEWEST)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is said to any database meanwhile."""
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def claim_one(real: MariaDbCatalog) -> list[str]:
    """The statements of one claim of one orphan, the first ones of this catalog aside."""
    first, second, *_ = sorted(expected_orphans(real))
    with opened(real.url) as catalog:
        catalog.claim(requests(real.database, [first]), rules(), quiet)
        with statements() as said:
            (claimed,) = catalog.claim(requests(real.database, [second]), rules(), quiet)
    assert claimed.answer is ClaimAnswer.CLAIMED
    return said


def test_a_new_version_of_an_artifact_that_keeps_others_does_not_wait(real: MariaDbCatalog) -> None:
    """Only artifacts that look empty are locked. A foreign key makes whoever saves a version of a locked one wait."""
    of = {row["id"]: row["artifact_id"] for row in rows(real.database, "artifact_version")}
    orphan = next(i for i in sorted(expected_orphans(real)) if list(of.values()).count(of[hexed(i)]) > 1)
    (like, *_) = (row for row in rows(real.database, "artifact_version") if row["id"] == hexed(orphan))
    row = like | {"id": "f" * 32, "version": "new", "version_number": None, "uri": "/new/one"}
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))

    def save(_: Sequence[Claimed]) -> None:
        with editing(real.database, timeout=1) as connection:
            connection.execute(f"INSERT INTO artifact_version ({names}) VALUES ({marks})", tuple(row.values()))

    with opened(real.url) as catalog:
        (claimed,) = catalog.claim(requests(real.database, [orphan]), rules(artifacts=True), save)
    assert claimed.answer is ClaimAnswer.CLAIMED
    assert uris(real.database)["f" * 32] == "/new/one"


@pytest.mark.parametrize(("took", "again"), [("little", True), ("long", False)])
def test_what_takes_long_is_read_before_the_locks_and_not_once_more_under_them(
    real: MariaDbCatalog, monkeypatch: pytest.MonkeyPatch, took: str, again: bool
) -> None:
    """Newcomers and mentions have no index: on a big catalog others would wait for a scan of whole tables."""
    monkeypatch.setattr(MysqlDatabase, "look_within", 3600.0 if took == "little" else -1.0)
    said = claim_one(real)
    begin = said.index("START TRANSACTION")
    scans = [number for number, statement in enumerate(said) if ".created >=" in statement]
    assert any(number < begin for number in scans)
    assert any(number > begin for number in scans) is again


def test_a_claim_of_one_version_says_little(real: MariaDbCatalog) -> None:
    """Each statement is a round trip during which the locks are held: no more of them than the protocol has."""
    said = claim_one(real)
    held = said[next(i for i, s in enumerate(said) if "FOR UPDATE" in s) : said.index("COMMIT")]
    assert len(held) <= 24, "\n".join(held)
    assert not [s for s in held if "1 != 1" in s], "a question about no rows"


def test_places_below_a_place_are_found_without_looking_at_all_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand newcomers cost no more than the few that lie there."""
    places = [f"file:///a/{number:06}/" for number in range(1_000)]
    looked_at: list[str] = []

    class Counting(list[str]):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("looked at from the beginning")

        def __getitem__(self, at: int) -> str:  # type: ignore[override]
            looked_at.append(found := super().__getitem__(at))
            return found

    known = object.__new__(Newcomers)
    monkeypatch.setattr(
        known, "_ordered", Counting([*places[:999], "file:///a/000999/x/", "file:///b/"]), raising=False
    )
    monkeypatch.setattr(known, "_places", {}, raising=False)
    assert list(known._touching("file:///a/000999/")) == ["file:///a/000999/x/"]
    assert len(looked_at) <= 20
