"""The rights that ZenML's database must give for a mark, for a sweep in one mode, and for a restore.

Each follows from a statement of this package: ``schema.reflect`` and ``mysql_guard`` (what is looked at before anything is
claimed), ``claim.Claimer`` (what a claim locks, deletes or marks), ``reinsert.Reinserter``. The test that proves them logs in
with exactly these: ``tests/integration/test_grants_mariadb.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from marksweep.catalog.rights import Purpose, Right
from marksweep.catalog.zenml import known
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy

VERSION, ARTIFACT, VISUALIZATION = "artifact_version", "artifact", known.VISUALIZATION[0]
_SPLIT_METADATA = (0, 71)
"""From this release on the rows that tie metadata to a version are in a table of their own (its migration cc269488e5a9)."""


def rights(
    purpose: Purpose, mode: Mode, policy: Policy, release: str, dialect: str, rows: Mapping[str, int]
) -> tuple[Right, ...]:
    """What *purpose* needs on MySQL or MariaDB; *rows* names the tables that the plan's mark counted. Nothing for SQLite."""
    if dialect not in ("mysql", "mariadb"):
        return ()
    found = [*_reading(dialect)]
    if purpose is not Purpose.MARK:
        changing = _sweeping if purpose is Purpose.SWEEP else _restoring
        found += [*_probing(rows), *changing(mode, policy, release)]
    merged: dict[tuple[str, str | None, bool], Right] = {}
    for right in found:
        merged.setdefault((right.action, right.table, right.server), right)
    return tuple(merged.values())


def _reading(dialect: str) -> Iterator[Right]:
    yield Right("SELECT", None, "all tables: one that is hidden could hold references that nobody would see")
    yield Right(
        "TRIGGER", None, "to see triggers, which are refused: the server shows them to nobody else", optional=True
    )
    action = "REPLICATION CLIENT" if dialect == "mysql" else "REPLICA MONITOR"
    yield Right(action, None, "to see that the server replicates from no other", server=True, optional=True)


def _probing(rows: Mapping[str, int]) -> Iterator[Right]:
    tables = [*(table for table, _ in known.REFERENCES if table in rows), VISUALIZATION, VERSION]
    for table in tables:
        yield Right("INSERT", table, "to try that its foreign key is enforced, and rolled back")


def _sweeping(mode: Mode, policy: Policy, release: str) -> Iterator[Right]:
    if mode is Mode.ONLY_ARTIFACT:
        yield Right("UPDATE", VERSION, "to mark the URI of a claimed version, and to lock its row")
        yield Right("UPDATE", VISUALIZATION, "to lock rows, so that nobody pins one meanwhile; none is changed")
        return
    yield Right("DELETE", VERSION, "the claimed versions")
    yield Right("DELETE", VISUALIZATION, "the visualizations of a claimed version")
    for table in resource_tables(release):
        yield Right("DELETE", table, "the rows about a claimed version")
    if policy.ignore_model_links:
        yield Right("DELETE", known.MODEL_LINKS, "the model links that this plan was told to ignore")
    if not policy.keep_artifacts:
        yield Right("DELETE", ARTIFACT, "artifacts that the sweep leaves without a version")


def _restoring(mode: Mode, policy: Policy, release: str) -> Iterator[Right]:
    yield Right("UPDATE", VERSION, "to lock its rows, and to take the mark of an only-artifact sweep away")
    if mode is Mode.ONLY_ARTIFACT:
        return
    for table in (VERSION, VISUALIZATION, *resource_tables(release)):
        yield Right("INSERT", table, "the rows that the sweep removed")
    if policy.ignore_model_links:
        yield Right("INSERT", known.MODEL_LINKS, "the model links that the sweep removed")
    if not policy.keep_artifacts:
        yield Right("INSERT", ARTIFACT, "artifacts that the sweep left without a version")


def resource_tables(release: str) -> tuple[str, ...]:
    """The generic tables whose rows about a version are its own, in *release* (``0.98.0``)."""
    numbers = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    return ("tag_resource", "run_metadata_resource" if numbers >= _SPLIT_METADATA else "run_metadata")
