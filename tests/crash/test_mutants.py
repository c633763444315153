"""Is the harness able to see it? Each rule of the protocol is broken here on purpose, and must show as harm.

Nothing in the product can be switched like this: the breaking is done by these tests. Each test first shows that the same
cuts, or the same writer, do no harm to the product as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest, ClaimRules, Intent
from marksweep.catalog.zenml import catalog as catalog_module
from marksweep.catalog.zenml import sqlite as sqlite_module
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.claim import Claimer
from marksweep.catalog.zenml.mysql import MysqlDatabase
from marksweep.model.outcome import Mode
from marksweep.sweep import engine
from marksweep.sweep.journal import Journal
from tests.crash.carried import InMariaDb
from tests.crash.conftest import MakeWorld
from tests.crash.harm import harm_of_a_sweep, harm_of_cuts
from tests.crash.world import World
from tests.support.databases import OPERATIONAL
from tests.support.zenml_database import editing

pytestmark = pytest.mark.usefixtures("quick_catalog")


@pytest.fixture
def world(new_world: MakeWorld, fast_folder: Path) -> World:
    return new_world(fast_folder / "world")


def named(*names: str) -> Callable[[str], bool]:
    return lambda point: point in names


def test_a_recheck_that_is_left_out_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever claims what the plan says, whatever became of it, takes versions that are in use."""
    assert harm_of_a_sweep(world) == ""
    world.restore()
    answers = Claimer.answers

    def all_present(self: Claimer, requests: Sequence[ClaimRequest], rules: ClaimRules) -> list[Claimed]:
        found = answers(self, requests, rules)
        return [a if a.answer is ClaimAnswer.GONE else Claimed(a.id, ClaimAnswer.CLAIMED) for a in found]

    monkeypatch.setattr(Claimer, "answers", all_present)
    harm = harm_of_a_sweep(world)
    assert "artifact_version: 1 row(s) missing" in harm
    if isinstance(world.catalog, InMariaDb):  # which takes the link along
        assert "step_run_input_artifact: 1 row(s) missing" in harm
    else:
        assert "a foreign key is broken" in harm
    assert "a file is lost that was not to go" in harm


def test_an_intent_after_the_commit_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a commit and an intent that comes late, a crash leaves bytes that nobody knows of."""
    cuts = named("before journal.intend", "before journal.settle")
    assert harm_of_cuts(world, cuts) == []
    world.restore()
    claim = ZenmlCatalog.claim

    def late(
        self: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        answers = claim(self, requests, rules, lambda _: None)
        intent(answers)
        return answers

    monkeypatch.setattr(ZenmlCatalog, "claim", late)
    harm = harm_of_cuts(world, cuts)
    assert harm
    assert all("a planned file is left" in found for found in harm)


def test_claiming_without_a_lock_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Select, then delete: a link that is committed in between loses its version."""
    tried: list[str] = []
    remove = Claimer.remove

    def linked_in_between(self: Claimer, claimed: Sequence[Claimed], rules: ClaimRules) -> list[Claimed]:
        tried.append(link_one(world, claimed[0].id, len(tried)))
        return remove(self, claimed, rules)

    monkeypatch.setattr(Claimer, "remove", linked_in_between)
    assert harm_of_a_sweep(world) == ""
    assert tried
    assert set(tried) == {"locked"}

    world.restore()
    tried.clear()
    lock_nothing(monkeypatch)
    harm = harm_of_a_sweep(world)
    assert "linked" in tried
    if isinstance(world.catalog, InMariaDb):  # which took the links along
        links = world.observe().tables["step_run_input_artifact"]
        assert not [row for row in links if row["name"].startswith("linked_")]
    else:
        assert "a foreign key is broken that was not" in harm


def lock_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the locks out of a claim, on both engines."""

    @contextmanager
    def no_lock(connection: sa.Connection) -> Iterator[None]:
        yield

    def unlocked(self: MysqlDatabase, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Any]:
        return connection.execute(query).fetchall()

    monkeypatch.setattr(sqlite_module, "one_writer", no_lock)
    monkeypatch.setattr(MysqlDatabase, "lock", unlocked)


def link_one(world: World, id_: str, number: int) -> str:
    """Link a version as ZenML does; but do not wait for the lock."""
    try:
        with editing(world.catalog.database, foreign_keys=True, timeout=0) as database:
            (step,) = database.execute("SELECT id FROM step_run LIMIT 1").fetchone()
            database.execute(
                "INSERT INTO step_run_input_artifact (name, type, input_index, step_id, artifact_id)"
                " VALUES (?, 'manual', 0, ?, ?)",
                (f"linked_{number}", step, id_.replace("-", "")),
            )
    except OPERATIONAL as error:
        return "locked" if "locked" in str(error) or "Lock wait timeout" in str(error) else str(error)
    return "linked"


def test_bytes_before_rows_show(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever deletes bytes before the commit leaves, after a crash, rows without bytes."""
    cuts = named("before journal.intend")
    assert harm_of_cuts(world, cuts) == []
    world.restore()
    claim = ZenmlCatalog.claim

    def hasty(
        self: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        uris = {r.id: r.uri for r in requests}

        def bytes_first(answers: Sequence[Claimed]) -> None:
            for answer in answers:
                if answer.answer is ClaimAnswer.CLAIMED:
                    shutil.rmtree(uris[answer.id], ignore_errors=True)
            intent(answers)

        return claim(self, requests, rules, bytes_first)

    monkeypatch.setattr(ZenmlCatalog, "claim", hasty)
    harm = harm_of_cuts(world, cuts)
    assert harm
    assert all("is there and its bytes are not whole" in found for found in harm)


def test_a_resume_that_takes_doubt_for_a_rollback_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a commit whose answer was lost, forgetting the intent leaves bytes that nobody knows of."""
    cuts = named("after catalog.claim")
    assert harm_of_cuts(world, cuts) == []
    world.restore()

    async def rollback(catalog: Any, turns: Any, journal: Journal, mode: Mode) -> tuple[int, list[Any]]:
        while batch := journal.in_doubt():
            journal.abort([e.id for e in batch])
        return 0, []

    monkeypatch.setattr(engine, "resolve_doubt", rollback)
    harm = harm_of_cuts(world, cuts)
    assert harm
    assert all("a planned file is left" in found for found in harm)


@pytest.mark.parametrize("mode", [Mode.BOTH, Mode.ONLY_METADATA])
def test_a_resume_that_takes_doubt_for_a_commit_shows(
    new_world: MakeWorld, fast_folder: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Before the commit, believing that it happened deletes bytes of rows that are there, or calls them deleted."""
    cuts = named("after journal.intend")
    world = new_world(fast_folder / "world", mode)
    assert harm_of_cuts(world, cuts) == []
    world.restore()
    monkeypatch.setattr(catalog_module.ZenmlCatalog, "presence", lambda self, ids: {})
    harm = harm_of_cuts(world, cuts)
    assert harm
    assert all("is deleted, and its row is there" in found or "row(s) that should not be" in found for found in harm)


def test_bytes_that_go_before_the_second_look_show(
    new_world: MakeWorld, fast_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only-artifact without the second look: who linked a version meanwhile loses its bytes."""
    world = new_world(fast_folder / "world", Mode.ONLY_ARTIFACT, eventful=False)
    linked = world.expected.plan[0].id
    world.expected = replace(world.expected, kept=frozenset({linked}))
    settle = ZenmlCatalog.settle

    def after_a_link(
        self: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        link_one(world, linked, 0)
        return settle(self, requests, rules, intent)

    def blind(
        self: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        link_one(world, linked, 0)
        answers = [Claimed(r.id, ClaimAnswer.CLAIMED) for r in requests]
        intent(answers)
        return answers

    monkeypatch.setattr(ZenmlCatalog, "settle", after_a_link)
    assert "file" not in harm_of_a_sweep(world)
    world.restore()
    monkeypatch.setattr(ZenmlCatalog, "settle", blind)
    assert "a file is lost that was not to go" in harm_of_a_sweep(world)
