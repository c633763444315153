"""ZenML over SQL as the catalog port: opens the database, proves that it is understood, and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from marksweep.catalog.port import (
    Capabilities,
    ClaimAnswer,
    Claimed,
    ClaimRequest,
    ClaimRules,
    Identity,
    InDoubt,
    Intent,
)
from marksweep.catalog.zenml import known, sqlite, survey
from marksweep.catalog.zenml.claim import Claimer
from marksweep.catalog.zenml.discover import Place
from marksweep.catalog.zenml.references import references
from marksweep.catalog.zenml.schema import current_revision, reflect
from marksweep.catalog.zenml.soft import Mentions
from marksweep.catalog.zenml.stores import artifact_stores
from marksweep.errors import CatalogNotUnderstood, Incomplete
from marksweep.model.verdict import TOMBSTONE
from marksweep.model.version import ArtifactStore, Claim, Reference, Surveyed, Version

CLAIM_BATCH = 500
"""Entries per claim: each costs a scan of the link tables, and holds up ZenML's writers for as long."""


class ZenmlCatalog:
    """A ZenML database that was proved to be understood; opened read-only unless it *writes*."""

    def __init__(self, place: Place, *, writes: bool) -> None:
        self._place = place
        self._path = sqlite.path_of(place.url)
        if writes and not sqlite.writable(self._path):
            raise CatalogNotUnderstood(
                f"the database {self._path} cannot be written to by this user",
                "run the sweep as a user who may write to the file and its folder",
            )
        self._engine = sqlite.engine(self._path, writes=writes)
        self._connection: sa.Connection | None = None
        try:
            with self._reading() as connection:
                self._schema = reflect(connection, str(self._path))
                sqlite.refuse_triggers(connection, self._schema.tables, str(self._path))
                self._cookie = sqlite.schema_cookie(connection)
        except BaseException:
            self._engine.dispose()
            raise
        self._mentions = Mentions(self._schema)
        self._rest = sqlite.Rest()

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def identity(self) -> Identity:
        with self._reading() as connection:
            servers = connection.execute(sa.select(self._schema.table("server_settings").c.id)).scalars().all()
        if len(servers) != 1:
            raise CatalogNotUnderstood(
                f"the database {self._path} has {len(servers)} rows in server_settings where ZenML writes exactly one",
                "start ZenML once on it, which initialises a new database, then mark again",
            )
        server_id = known.dashed(str(servers[0]))
        release = ".".join(map(str, self._schema.release))
        instance = sqlite.instance(self._path, server_id)
        return Identity("zenml", server_id, self._schema.revision, release, "sqlite", instance)

    def capabilities(self) -> Capabilities:
        if self._schema.release < known.ENFORCES_KEYS_ON_SQLITE:
            oldest = ".".join(map(str, known.ENFORCES_KEYS_ON_SQLITE))
            return Capabilities(
                CLAIM_BATCH, f"ZenML before {oldest} does not enforce foreign keys on SQLite: emptied artifacts stay"
            )
        return Capabilities(CLAIM_BATCH)

    def now(self) -> datetime:
        with self._reading() as connection:
            text = connection.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')").scalar_one()
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    def stores(self) -> Mapping[str, ArtifactStore]:
        with self._reading() as connection:
            return artifact_stores(connection, self._schema, self._place.local_stores)

    def oldest_unfinished_run(self, not_before: datetime) -> datetime | None:
        run = self._schema.table("pipeline_run")
        query = sa.select(sa.func.min(run.c.created)).where(
            sa.or_(run.c.status.is_(None), run.c.status.not_in(known.FINISHED)),
            run.c.created >= not_before.replace(tzinfo=None),
        )
        with self._reading() as connection:
            oldest = connection.execute(query).scalar()
        return survey.utc(oldest) if oldest is not None else None

    def survey(self, *, tags: bool) -> Iterator[Sequence[Surveyed]]:
        with self._reading() as connection:
            survey.collect_references(connection, self._schema, self._mentions, self.now())
            yield from survey.survey(connection, self._schema, tags=tags)
            self._unmoved(connection)

    def claims(self) -> Iterator[Sequence[Claim]]:
        with self._reading() as connection:
            yield from survey.claims(connection, self._schema)
            self._unmoved(connection)

    def _unmoved(self, connection: sa.Connection) -> None:
        """Pages follow SQLite's row numbers: a VACUUM gives rows new ones, and some may never have been read."""
        if sqlite.schema_cookie(connection) != self._cookie:
            raise CatalogNotUnderstood(
                f"the database {self._path} was migrated or vacuumed while it was read",
                "mark again when that is over",
            )

    def find(self, needle: str) -> Sequence[Version]:
        version, artifact = self._schema.table("artifact_version"), self._schema.table("artifact")
        columns, source = survey.version_columns(self._schema)
        spellings = {needle, needle.rstrip("/"), needle.rstrip("/") + "/", TOMBSTONE + needle}
        query = (
            sa.select(*columns)
            .select_from(source)
            .where(
                sa.or_(version.c.id == known.row_id(needle), version.c.uri.in_(spellings), artifact.c.name == needle)
            )
            .order_by(version.c.created.desc(), version.c.id)
        )
        with self._reading() as connection:
            rows = connection.execute(query).fetchall()
            named = survey.tags_of(connection, self._schema, [r[0] for r in rows], [r[1] for r in rows])
        return [survey.version_of(row, frozenset(named.get(row[0], set()) | named.get(row[1], set()))) for row in rows]

    def references(self, ids: Sequence[str]) -> Mapping[str, Sequence[Reference] | None]:
        version = self._schema.table("artifact_version")
        row_ids = {known.row_id(i): i for i in ids}
        found: dict[str, list[Reference] | None] = dict.fromkeys(ids)
        with self._reading() as connection:
            self._mentions.refresh(connection, self.now())
            ordered = list(row_ids)
            for start in range(0, len(ordered), 500):
                page = ordered[start : start + 500]
                for row_id in connection.execute(sa.select(version.c.id).where(version.c.id.in_(page))).scalars().all():
                    found[row_ids[row_id]] = []
                for row_id, reference in references(connection, self._schema, self._mentions, page):
                    known_as = found[row_ids[row_id]]
                    if known_as is not None:
                        known_as.append(reference)
        return found

    def recheck(self, requests: Sequence[ClaimRequest], rules: ClaimRules) -> Sequence[Claimed]:
        with self._reading() as connection:
            self._mentions.refresh(connection, self.now())
            return Claimer(connection, self._schema, self._mentions).answers(requests, rules)

    def claim(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        with self._claiming() as claimer:
            return self._commit(claimer, claimer.answers(requests, rules), rules, intent)

    def settle(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        with self._claiming() as claimer:
            answers = claimer.answers(requests, rules)
            back = [a.id for a in answers if a.answer not in (ClaimAnswer.CLAIMED, ClaimAnswer.GONE)]
            claimer.restore([known.row_id(i) for i in back])
            intent(answers)
            return answers

    def _commit(
        self, claimer: Claimer, answers: Sequence[Claimed], rules: ClaimRules, intent: Intent
    ) -> Sequence[Claimed]:
        claimed = [a for a in answers if a.answer is ClaimAnswer.CLAIMED]
        if claimed:
            images = {c.id: c for c in claimer.remove(claimed, rules)}
            answers = [images.get(a.id, a) for a in answers]
        intent(answers)
        return answers

    def presence(self, ids: Sequence[str]) -> Mapping[str, str]:
        version = self._schema.table("artifact_version")
        row_ids = {known.row_id(i): i for i in ids}
        found: dict[str, str] = {}
        with self._locking() as connection:
            ordered = sorted(row_ids)
            for start in range(0, len(ordered), 500):
                page = ordered[start : start + 500]
                for row_id, uri in connection.execute(
                    sa.select(version.c.id, version.c.uri).where(version.c.id.in_(page))
                ).fetchall():
                    found[row_ids[row_id]] = str(uri)
        return found

    def overlapping(self, uris: Mapping[str, str], since: datetime) -> Mapping[str, str]:
        with self._reading() as connection:
            return Claimer(connection, self._schema, self._mentions).overlapping(uris, since)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._mentions = Mentions(self._schema)  # its temporary tables went with the connection
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """The one connection (temporary tables are the connection's own), outside of any transaction."""
        with sqlite.reading():
            if self._connection is None:
                self._connection = self._engine.connect()
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._reading() as connection:
            try:
                with self._rest, sqlite.one_writer(connection):
                    yield connection
            except InDoubt:
                self.close()
                raise

    @contextmanager
    def _locking(self) -> Iterator[sa.Connection]:
        """A transaction that writes nothing: an error at its end leaves no doubt about the catalog, but ends the run."""
        try:
            with self._writing() as connection:
                yield connection
        except InDoubt as doubt:
            raise Incomplete(
                f"the catalog failed while rows were looked up ({doubt})", "run the same sweep again: it resumes"
            ) from None

    @contextmanager
    def _claiming(self) -> Iterator[Claimer]:
        """A transaction in which nobody else writes and the schema is the one that was understood."""
        with self._reading() as connection:
            self._mentions.refresh(connection, self.now())
        try:
            with self._writing() as connection:
                if (
                    sqlite.schema_cookie(connection) != self._cookie
                    or current_revision(connection) != self._schema.revision
                ):
                    raise CatalogNotUnderstood(
                        "the catalog's schema changed while the sweep was running: somebody migrated it",
                        "make a new plan with a marksweep that knows the new release",
                    )
                self._mentions.refresh(connection, self.now())
                yield Claimer(connection, self._schema, self._mentions)
        except BaseException:
            self._mentions = Mentions(self._schema)  # a rollback takes back what was noted inside: read it all again
            raise
