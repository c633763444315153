"""ZenML over SQL as the catalog port: opens the database, proves that it is understood, and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from marksweep.catalog.port import (
    Around,
    Capabilities,
    ClaimAnswer,
    Claimed,
    ClaimRequest,
    ClaimRules,
    Holder,
    Identity,
    InDoubt,
    Intent,
    Lost,
    Places,
    Reinserted,
    Sift,
)
from marksweep.catalog.zenml import known, survey
from marksweep.catalog.zenml.census import census
from marksweep.catalog.zenml.claim import Claimer, Lock
from marksweep.catalog.zenml.database import Database, Row
from marksweep.catalog.zenml.discover import Place
from marksweep.catalog.zenml.find import around, described, find
from marksweep.catalog.zenml.newcomers import Newcomers
from marksweep.catalog.zenml.references import references
from marksweep.catalog.zenml.reinsert import Reinserter
from marksweep.catalog.zenml.schema import Schema, current_revision, reflect
from marksweep.catalog.zenml.soft import Mentions
from marksweep.catalog.zenml.stores import artifact_stores
from marksweep.errors import CatalogNotUnderstood, Incomplete, UsageError
from marksweep.model.outcome import Mode
from marksweep.model.version import ArtifactStore, Claim, Reference, ReferenceKind, Surveyed, Version

T = TypeVar("T")


class ZenmlCatalog:
    """A ZenML database that was proved to be understood; opened read-only unless it *writes*.

    *lagging*: the sweep waits between a claim and the deletes, which lets it use a server that may lose commits.
    """

    def __init__(self, place: Place, *, writes: bool, lagging: bool = False) -> None:
        self._place = place
        self._database = open_database(place.url, writes=writes, lagging=lagging)
        try:
            self._schema = self._database.again(self._reflect)
            self._database.again(lambda: self._database.understand(self._schema))
            self._keeps_empty = self._database.keeps_empty_artifacts(self._schema)
        except BaseException:
            self._database.close()
            raise
        self._mentions = Mentions(self._schema, self._database)
        self._newcomers = Newcomers(self._schema, self._database)

    def _reflect(self) -> Schema:
        with self._database.reading() as connection:
            return reflect(connection, self._database.shown)

    def identity(self) -> Identity:
        query = sa.select(self._schema.table("server_settings").c.id)
        servers = self._read(lambda connection: connection.execute(query).scalars().all())
        if len(servers) != 1:
            raise CatalogNotUnderstood(
                f"the database {self._database.shown} has {len(servers)} rows in server_settings"
                " where ZenML writes exactly one",
                "start ZenML once on it, which initialises a new database, then mark again",
            )
        server_id = known.dashed(str(servers[0]))
        release = ".".join(map(str, self._schema.release))
        instance = self._database.instance(server_id)
        return Identity("zenml", server_id, self._schema.revision, release, self._database.dialect, instance)

    def capabilities(self) -> Capabilities:
        return Capabilities(self._database.batch, self._keeps_empty)

    def now(self) -> datetime:
        return self._database.now()

    def stores(self) -> Mapping[str, ArtifactStore]:
        return self._read(lambda connection: artifact_stores(connection, self._schema, self._place.local_stores))

    def oldest_unfinished_run(self, not_before: datetime) -> datetime | None:
        run = self._schema.table("pipeline_run")
        query = sa.select(sa.func.min(run.c.created)).where(
            sa.or_(run.c.status.is_(None), run.c.status.not_in(known.FINISHED)),
            run.c.created >= not_before.replace(tzinfo=None),
        )
        oldest = self._read(lambda connection: connection.execute(query).scalar())
        return survey.utc(oldest) if oldest is not None else None

    def census(self) -> Mapping[str, int]:
        return self._read(lambda connection: census(connection, self._schema))

    def sole_sweeper(self) -> AbstractContextManager[None]:
        return self._database.sole(self.identity().server_id)

    def survey(self, *, tags: bool, without: frozenset[ReferenceKind] = frozenset()) -> Iterator[Sequence[Surveyed]]:
        yield from survey.survey(self._database, self._schema, self._mentions, self.now(), tags=tags, without=without)
        self._unmoved()

    def places(self, sift: Sift) -> Iterator[Places]:
        yield from survey.places(self._database, self._schema, sift)
        self._unmoved()

    def claims(self, sift: Sift | None = None) -> Iterator[Sequence[Claim]]:
        yield from survey.claims(self._database, self._schema, sift)
        self._unmoved()

    def _unmoved(self) -> None:
        if not self._read(self._database.unmoved):
            raise CatalogNotUnderstood(
                f"the database {self._database.shown} was migrated or vacuumed while it was read",
                "mark again when that is over",
            )

    def find(self, needle: str) -> Sequence[Version]:
        return self._read(lambda connection: find(connection, self._schema, needle))

    def described(self, ids: Sequence[str]) -> Mapping[str, Version]:
        return self._read(lambda connection: described(connection, self._schema, ids))

    def around(self, uri: str, most: int) -> Around:
        return self._read(lambda connection: around(connection, self._schema, uri, most))

    def references(self, ids: Sequence[str]) -> Mapping[str, Sequence[Reference] | None]:
        version = self._schema.table("artifact_version")
        row_ids = {known.row_id(i): i for i in ids}
        now = self.now()

        def work(connection: sa.Connection) -> dict[str, list[Reference] | None]:
            found: dict[str, list[Reference] | None] = dict.fromkeys(ids)
            self._mentions.refresh(connection, now)
            ordered = list(row_ids)
            for start in range(0, len(ordered), 500):
                page = ordered[start : start + 500]
                there = connection.execute(sa.select(version.c.id).where(version.c.id.in_(page))).scalars().all()
                has: dict[str, list[Reference]] = {row_id: [] for row_id in there}
                for row_id, reference in references(connection, self._schema, self._mentions, page):
                    has.get(row_id, []).append(reference)
                found.update((row_ids[row_id], rows) for row_id, rows in has.items())
            return found

        return self._read(work)

    def recheck(self, requests: Sequence[ClaimRequest], rules: ClaimRules) -> Sequence[Claimed]:
        now = self.now()

        def work(connection: sa.Connection) -> Sequence[Claimed]:
            self._mentions.refresh(connection, now)
            self._newcomers.look(connection, rules.since)
            return self._claimer(connection, _unlocked).answers(requests, rules)

        return self._read(work)

    def claim(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        def work() -> Sequence[Claimed]:
            with self._claiming(self._database.lock, rules) as claimer:
                answers = claimer.answers(requests, rules)
                claimed = [a for a in answers if a.answer is ClaimAnswer.CLAIMED]
                if claimed:
                    images = {c.id: c for c in claimer.remove(claimed, rules)}
                    answers = [images.get(a.id, a) for a in answers]
                intent(answers)
                return answers

        return self._repeated(work)

    def settle(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        def work() -> Sequence[Claimed]:
            with self._claiming(self._database.await_lock, rules) as claimer:  # a marked row is not left behind
                answers = claimer.answers(requests, rules)
                kept = (ClaimAnswer.CLAIMED, ClaimAnswer.GONE)
                claimer.restore([known.row_id(a.id) for a in answers if a.answer not in kept])
                intent(answers)
                return answers

        return self._repeated(work)

    def presence(self, ids: Sequence[str]) -> Mapping[str, str]:
        version = self._schema.table("artifact_version")
        row_ids = {known.row_id(i): i for i in ids}
        query = sa.select(version.c.id, version.c.uri).order_by(version.c.id)

        def work() -> Mapping[str, str]:
            found: dict[str, str] = {}
            ordered = sorted(row_ids)
            with self._database.writing() as connection:
                for start in range(0, len(ordered), 500):
                    page = query.where(version.c.id.in_(ordered[start : start + 500]))
                    for row_id, uri in self._database.await_lock(connection, page):
                        found[row_ids[row_id]] = str(uri)
            return found

        try:
            return self._repeated(work)
        except InDoubt as doubt:  # nothing was written: there is no doubt about the catalog, but the run ends
            raise Incomplete(
                f"the catalog failed while rows were looked up ({doubt})", "run the same sweep again: it resumes"
            ) from None

    def overlapping(self, uris: Mapping[str, str], since: datetime) -> Mapping[str, str]:
        return self._read(lambda connection: self._newcomers.overlapping(connection, uris, since))

    def reinsert(
        self, unit: Sequence[Lost], mode: Mode, since: datetime, holder: Holder, *, write: bool
    ) -> tuple[Reinserted, str]:
        reinserter = Reinserter(self._database, self._schema, self._newcomers, self._check_schema)
        return self._repeated(lambda: reinserter.answer(unit, mode, since, holder, write=write))

    def close(self) -> None:
        self._mentions.close()
        self._database.close()

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        """*work* outside of any transaction, again if its connection was lost."""

        def attempt() -> T:
            with self._database.reading() as connection:
                return work(connection)

        return self._repeated(attempt)

    def _repeated(self, work: Callable[[], T]) -> T:
        """*work* is a transaction that leaves nothing behind when it is rolled back."""
        done: T = self._database.again(work)
        return done

    def _claimer(self, connection: sa.Connection, lock: Lock) -> Claimer:
        return Claimer(connection, self._schema, self._mentions, self._newcomers, lock)

    @contextmanager
    def _claiming(self, lock: Lock, rules: ClaimRules) -> Iterator[Claimer]:
        """A transaction in which what is locked is final and the schema is the one that was understood."""
        now = self.now()
        with self._database.reading() as connection:
            self._mentions.refresh(connection, now)  # the long part of both outside of the transaction
            self._newcomers.look(connection, rules.since)
        with self._database.writing() as connection:
            self._check_schema(connection)
            self._mentions.refresh(connection, now, held=True)
            yield self._claimer(connection, lock)

    def _check_schema(self, connection: sa.Connection) -> None:
        revision = current_revision(connection)
        if revision != self._schema.revision or not self._database.unmoved(connection):
            raise CatalogNotUnderstood(
                "the catalog's schema changed while the sweep was running: somebody migrated it",
                "make a new plan with a marksweep that knows the new release",
            )


def _unlocked(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Row]:
    return connection.execute(query).fetchall()


def open_database(url: str, *, writes: bool, lagging: bool) -> Database:
    """The database that a checked URL names; raise CatalogNotUnderstood when it cannot be opened."""
    if url.startswith("sqlite"):
        from marksweep.catalog.zenml.sqlite import SqliteDatabase

        return SqliteDatabase(url, writes=writes)
    try:
        from marksweep.catalog.zenml.mysql import MysqlDatabase
        from marksweep.catalog.zenml.mysql_url import address
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"the catalog is on MySQL or MariaDB, and {missing.name} is not installed",
            "install it: pip install 'marksweep[mysql]'",
        ) from None
    return MysqlDatabase(address(url), writes=writes, lagging=lagging)
