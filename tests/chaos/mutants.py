"""The flaws that the suite must see: each breaks one rule of the protocol, in the child that sweeps and nowhere else.

A mutant is a function that patches the running process. ``no advisory lock`` is no flaw but takes one of two protections
away, to see that the other holds alone; both have to go before the harm shows.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest, ClaimRules, Intent
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.claim import Claimer
from marksweep.catalog.zenml.mysql import MysqlDatabase
from marksweep.catalog.zenml.newcomers import Newcomers
from marksweep.model.outcome import Mode
from marksweep.sweep import engine
from marksweep.sweep.journal import Journal

UNLOCKED = 0.03
"""Seconds between the check and the delete of a claim without a lock: what a busy server takes."""


def no_recheck() -> None:
    """The plan is believed: whatever is still there is claimed."""
    answers = Claimer.answers

    def believed(self: Claimer, requests: Sequence[ClaimRequest], rules: ClaimRules) -> list[Claimed]:
        found = answers(self, requests, rules)
        return [a if a.answer is ClaimAnswer.GONE else Claimed(a.id, ClaimAnswer.CLAIMED) for a in found]

    Claimer.answers = believed  # type: ignore[method-assign]


def late_intent() -> None:
    """The intent is journaled after the commit."""
    claim = ZenmlCatalog.claim

    def late(
        self: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        answers = claim(self, requests, rules, lambda _: None)
        intent(answers)
        return answers

    ZenmlCatalog.claim = late  # type: ignore[method-assign]


def select_then_delete() -> None:
    """ZenML's own way: look, then delete, in a snapshot (InnoDB) or statement by statement (SQLite), without a lock."""
    execute, remove = sa.Connection.exec_driver_sql, Claimer.remove

    def unlocked(connection: sa.Connection, statement: str, *args: Any, **kwargs: Any) -> Any:
        if statement == "BEGIN IMMEDIATE":
            return None
        if statement == "COMMIT" and connection.dialect.name == "sqlite":
            return None
        if statement == "START TRANSACTION":
            execute(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            statement = "START TRANSACTION WITH CONSISTENT SNAPSHOT"
        return execute(connection, statement, *args, **kwargs)

    def later(self: Claimer, claimed: Sequence[Claimed], rules: ClaimRules) -> list[Claimed]:
        time.sleep(UNLOCKED)
        return remove(self, claimed, rules)

    sa.Connection.exec_driver_sql = unlocked  # type: ignore[method-assign,assignment]
    Claimer.remove = later  # type: ignore[method-assign]
    MysqlDatabase.lock = _plain  # type: ignore[method-assign]


def bytes_before_rows() -> None:
    """The bytes go before the transaction that takes the rows has committed."""
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

    ZenmlCatalog.claim = hasty  # type: ignore[method-assign]


def assume_rollback() -> None:
    """A resume takes every doubt for a rollback."""

    async def rollback(catalog: Any, turns: Any, journal: Journal, mode: Mode) -> tuple[int, list[Any]]:
        while batch := journal.in_doubt():
            journal.abort([e.id for e in batch])
        return 0, []

    setattr(engine, "resolve_doubt", rollback)  # noqa: B010 -- a name that the engine imported


def assume_commit() -> None:
    """A resume takes every doubt for a commit."""

    def nothing(self: ZenmlCatalog, ids: Sequence[str]) -> Mapping[str, str]:
        return {}

    ZenmlCatalog.presence = nothing  # type: ignore[method-assign]


def no_advisory_lock() -> None:
    """Two sweeps of a catalog at once: the lock that outlives a lost connection is not asked for."""

    @contextmanager
    def alone(self: MysqlDatabase, name: str) -> Iterator[None]:
        yield

    MysqlDatabase.sole = alone  # type: ignore[method-assign]


def plain_presence() -> None:
    """A resume reads without waiting for the transaction whose COMMIT is still on its way."""
    no_advisory_lock()
    MysqlDatabase.await_lock = _plain  # type: ignore[method-assign]


def no_second_look() -> None:
    """Only-artifact: after the drain the bytes go without another look at the references."""

    def blind(
        self: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        answers = [Claimed(r.id, ClaimAnswer.CLAIMED) for r in requests]
        intent(answers)
        return answers

    ZenmlCatalog.settle = blind  # type: ignore[method-assign]


def no_look_at_places() -> None:
    """Nobody looks whether the place of a version was registered by somebody, neither at the claim nor before its bytes go."""

    def nobody(self: Newcomers, *asked: Any, **how: Any) -> dict[str, str]:
        return {}

    Newcomers.overlapping = nobody  # type: ignore[method-assign]


def _plain(self: MysqlDatabase, connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Any]:
    return connection.execute(query).fetchall()


MUTANTS: dict[str, Callable[[], None]] = {
    function.__name__.replace("_", " "): function
    for function in (
        no_recheck,
        late_intent,
        select_then_delete,
        bytes_before_rows,
        assume_rollback,
        assume_commit,
        no_advisory_lock,
        plain_presence,
        no_second_look,
        no_look_at_places,
    )
}
