"""A list of what a mark keeps, and why, for whoever asks (``explain --why-kept``); a mark itself only counts them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from marksweep.model.instant import to_text
from marksweep.model.verdict import Answer, KeptReason
from marksweep.model.version import Version

_ROWS = 1_000
"""Rows that are written at a time."""
_INSERT = "INSERT INTO kept VALUES (?,?,?,?,?,?,?,?)"

LATE = {
    KeptReason.NEWEST: "among the newest of its artifact (--keep-latest)",
    KeptReason.FIRST_SEEN: "no entry of the earlier plan",
    KeptReason.CLAIMED: "its place overlaps that of something that is kept",
}
"""What the rules that look at more than one version say of each version that they keep."""


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """One version that a rule keeps; *detail* is the rule's answer. ``created`` is a time as files have it."""

    reason: KeptReason
    id: str
    artifact: str
    version: str
    project: str
    uri: str
    created: str
    detail: str


class KeptRecord:
    """The kept versions, in a table of the worksheet's database, so that memory stays flat."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows: list[tuple[str, ...]] = []
        db.execute("CREATE TABLE kept (reason TEXT, id TEXT, artifact TEXT, version TEXT, project TEXT, uri TEXT,"
                   " created TEXT, detail TEXT)")  # fmt: skip

    def add(self, version: Version, answer: Answer) -> None:
        """A version that a rule about single versions keeps."""
        self._rows.append((
            answer.rule.value, version.id, version.artifact, version.version, version.project, version.uri,
            to_text(version.created), answer.detail,
        ))  # fmt: skip
        if len(self._rows) >= _ROWS:
            self._flush()

    def add_orphans(self, which: str, parameters: tuple[object, ...], reason: KeptReason) -> None:
        """The orphans that fulfil *which*, a condition of SQL, before they leave the worksheet's orphans."""
        self._db.execute(
            f"INSERT INTO kept SELECT ?, id, artifact, version, project, uri, created, ? FROM orphan WHERE {which}",
            (reason.value, LATE.get(reason, ""), *parameters),
        )

    def first(self, reason: KeptReason, most: int) -> Iterator[KeptVersion]:
        """The *most* oldest versions that are kept for *reason*."""
        self._flush()
        rows = self._db.execute(
            "SELECT id, artifact, version, project, uri, created, detail FROM kept WHERE reason = ?"
            " ORDER BY created, id LIMIT ?",
            (reason.value, most),
        )
        return (KeptVersion(reason, *row) for row in rows)

    def _flush(self) -> None:
        self._db.executemany(_INSERT, self._rows)
        self._rows.clear()
