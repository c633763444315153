"""The answer to a COMMIT is lost, before it was carried out or after: the next run asks the catalog, and never guesses."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from marksweep.errors import ExitStatus, Incomplete
from marksweep.model.outcome import Mode
from tests.crash.conftest import MakeWorld
from tests.crash.invariants import check, check_journal, never_half
from tests.crash.world import World

pytestmark = pytest.mark.usefixtures("quick_catalog")


class Line:
    """Loses the answer to COMMIT number *at* of the catalog's connection; *carried_out* says what became of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int | None, *, carried_out: bool) -> None:
        self.at, self.commits, self.lost = at, 0, False
        execute = sa.Connection.exec_driver_sql

        def exec_driver_sql(connection: sa.Connection, statement: str, *args: Any, **kwargs: Any) -> Any:
            if statement != "COMMIT":
                return execute(connection, statement, *args, **kwargs)
            self.commits += 1
            if self.commits - 1 != self.at:
                return execute(connection, statement, *args, **kwargs)
            self.lost = True
            if carried_out:
                execute(connection, statement, *args, **kwargs)
            raise sa.exc.OperationalError(statement, {}, sqlite3.OperationalError("disk I/O error"))

        monkeypatch.setattr(sa.Connection, "exec_driver_sql", exec_driver_sql)


def lose_one(world: World, at: int, *, carried_out: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        line = Line(patch, at, carried_out=carried_out)
        with pytest.raises(Incomplete) as stopped:
            world.sweep(batch=3)
        assert line.lost
    assert stopped.value.status == ExitStatus.INCOMPLETE
    never_half(world.before, world.observe(), world.expected)


@pytest.mark.parametrize("carried_out", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("mode", Mode)
def test_every_commit_may_lose_its_answer(
    new_world: MakeWorld, fast_folder: Path, mode: Mode, carried_out: bool
) -> None:
    """Whichever COMMIT it is: this run ends as incomplete, and the next finds out what happened and finishes."""
    world = new_world(fast_folder / "world", mode)
    with pytest.MonkeyPatch.context() as patch:
        line = Line(patch, None, carried_out=False)
        world.sweep(batch=3)
    assert line.commits >= 5
    for at in range(line.commits):
        world.restore()
        lose_one(world, at, carried_out=carried_out)
        found = world.sweep(batch=3)
        after = world.observe()
        check(world.before, after, world.expected)
        check_journal(world.journal_path, world.before, after, world.expected, found)


def test_a_claim_in_doubt_is_reported_as_such(new_world: MakeWorld, fast_folder: Path) -> None:
    """The books of the interrupted run say that something is in doubt, and how much is left; the lost answer is named."""
    world = new_world(fast_folder / "world", eventful=False)
    with pytest.MonkeyPatch.context() as patch:
        Line(patch, 0, carried_out=True)
        with pytest.raises(Incomplete) as stopped:
            world.sweep(batch=2)
    assert "disk I/O error" in stopped.value.fact
    assert "again" in stopped.value.remedy
    journal = sqlite3.connect(world.journal_path)
    assert journal.execute("SELECT state, count(*) FROM entry GROUP BY 1").fetchall() == [("intended", 2)]
    journal.close()
