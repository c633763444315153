"""What must be true after a sweep, however often it was cut: asked of the files and of the database, never of marksweep.

``observe`` takes a catalog's folder as it is; ``check`` compares what was there before with what is there now. The rules
about owned rows are written down here a second time, so that a bug in marksweep's own cannot hide itself.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marksweep.model.entry import Entry
from marksweep.model.outcome import Mode
from marksweep.sweep.books import Books
from tests.support import databases
from tests.support.zenml_database import Where, database_of, violations

TOMBSTONE = "marksweep-deleted:"
Row = Mapping[str, Any]


class InvariantBroken(AssertionError):
    """The sweep did something that it must never do, or left something undone."""


@dataclass(frozen=True)
class Observed:
    """A catalog as it is: all rows of all tables, all files with their sizes and digests, broken foreign keys."""

    tables: Mapping[str, Sequence[Row]]
    files: Mapping[str, tuple[int, str]]
    broken: frozenset[databases.Violation]

    def below(self, uri: str) -> dict[str, tuple[int, str]]:
        """The files at or below *uri*."""
        return {
            path: what for path, what in self.files.items() if path == uri or path.startswith(uri.rstrip("/") + "/")
        }

    def version(self, id_: str) -> Row | None:
        """The row of one version."""
        wanted = id_.replace("-", "")
        return next((row for row in self.tables["artifact_version"] if row["id"] == wanted), None)


def observe(root: Path, database: Where) -> Observed:
    """Read the whole of a small catalog. A hot journal, if there is one, is rolled back by this as by any reader."""
    tables, broken = databases.everything(database_of(database)), frozenset(violations(database))
    files = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.name.startswith("zenml.db"):
            content = path.read_bytes()
            files[str(path)] = (len(content), hashlib.sha256(content).hexdigest())
    return Observed(tables, files, broken)


@dataclass(frozen=True)
class Expected:
    """What should become of a plan's entries; ids not in ``kept`` or ``gone`` are swept.

    Artifacts that a sweep emptied go too, unless ``artifacts_stay`` (releases that do not enforce keys on SQLite).
    """

    plan: Sequence[Entry]
    mode: Mode
    kept: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    artifacts_stay: bool = False

    @property
    def swept(self) -> list[Entry]:
        return [e for e in self.plan if e.id not in self.kept and e.id not in self.gone]


def check(before: Observed, after: Observed, expected: Expected) -> None:
    """Raise :class:`InvariantBroken` with everything that is wrong with the catalog and its files."""
    wrong = [*_wrong_rows(before, after, expected), *_wrong_files(before, after, expected)]
    wrong += [f"a foreign key is broken that was not: {key}" for key in after.broken - before.broken]
    _raise(wrong)


def _wrong_rows(before: Observed, after: Observed, expected: Expected) -> Iterable[str]:
    should = _rows_to_be(before, expected)
    for table in sorted({*should, *after.tables}):
        wanted = Counter(_frozen(row) for row in should.get(table, ()))
        found = Counter(_frozen(row) for row in after.tables.get(table, ()))
        for row, count in (wanted - found).items():
            yield f"{table}: {count} row(s) missing: {_short(row)}"
        for row, count in (found - wanted).items():
            yield f"{table}: {count} row(s) that should not be: {_short(row)}"


def _rows_to_be(before: Observed, expected: Expected) -> dict[str, list[Row]]:
    swept = {e.id.replace("-", "") for e in expected.swept}
    tables = {name: list(rows) for name, rows in before.tables.items()}
    if expected.mode is Mode.ONLY_ARTIFACT:
        tables["artifact_version"] = [
            {**row, "uri": TOMBSTONE + row["uri"]} if row["id"] in swept else row for row in tables["artifact_version"]
        ]
        return tables
    touched = {row["artifact_id"] for row in tables["artifact_version"] if row["id"] in swept}
    tables["artifact_version"] = [row for row in tables["artifact_version"] if row["id"] not in swept]
    emptied = set() if expected.artifacts_stay else touched - {r["artifact_id"] for r in tables["artifact_version"]}
    tables["artifact"] = [row for row in tables["artifact"] if row["id"] not in emptied]
    tables["artifact_visualization"] = [
        row for row in tables["artifact_visualization"] if row["artifact_version_id"] not in swept
    ]
    owners = {("artifact_version", id_) for id_ in swept} | {("artifact", id_) for id_ in emptied}
    for table in ("tag_resource", "run_metadata_resource", "run_metadata"):
        if tables.get(table) and "resource_id" in tables[table][0]:
            tables[table] = [r for r in tables[table] if (r["resource_type"], r["resource_id"]) not in owners]
    return tables


def _wrong_files(before: Observed, after: Observed, expected: Expected) -> Iterable[str]:
    going: set[str] = set()
    if expected.mode is not Mode.ONLY_METADATA:
        for entry in expected.swept:
            going.update(before.below(entry.uri))
            if Path(entry.uri).exists():
                yield f"the place of the swept {entry.id} is still there: {entry.uri}"
    for path, what in before.files.items():
        if path in going and path in after.files:
            yield f"a planned file is left: {path}"
        elif path not in going and path not in after.files:
            yield f"a file is lost that was not to go: {path}"
        elif path not in going and after.files[path] != what:
            yield f"a file was changed: {path}"
    for path in set(after.files) - set(before.files):
        yield f"a file appeared: {path}"


def check_journal(
    journal: Path, before: Observed, after: Observed, expected: Expected, books: Books, *, cut: bool = True
) -> None:
    """The books balance, every entry has its last word, and the journal claims nothing that did not happen.

    A run that was cut may have deleted more than it wrote down; one that was not must have counted every object.
    """
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    entries = connection.execute("SELECT id, uri, state, keys FROM entry").fetchall()
    connection.close()
    wrong = _wrong_books(books, expected)
    states = {id_: state for id_, _, state, _ in entries}
    wrong += [f"the journal has {id_}, which is not in the plan" for id_ in set(states) - {e.id for e in expected.plan}]
    for entry in expected.plan:
        wanted = "gone" if entry.id in expected.gone else "kept" if entry.id in expected.kept else "deleted"
        if states.get(entry.id) != wanted:
            wrong.append(f"the journal says {states.get(entry.id)!r} of {entry.id}, which is {wanted}")
    for id_, uri, state, keys in entries:
        if state == "deleted":
            wrong += _untrue(id_, uri, after, expected.mode)
        if keys is not None and keys != b"[]" and state in ("deleted", "kept", "gone"):
            wrong.append(f"the journal still holds the keys of {id_}, which is {state}")
    lost = {p: w for p, w in before.files.items() if p not in after.files}
    removed, removed_bytes = len(lost), sum(size for size, _ in lost.values())
    counts = (books.objects, books.bytes)
    if books.objects > removed or books.bytes > removed_bytes or (not cut and counts != (removed, removed_bytes)):
        wrong.append(f"the books say {counts} objects and bytes, and {removed, removed_bytes} are gone")
    _raise(wrong)


def _wrong_books(books: Books, expected: Expected) -> list[str]:
    wrong = []
    facts = (books.planned, books.deleted, books.gone, books.kept, books.failed, books.not_attempted, books.in_doubt)
    wanted = (len(expected.plan), len(expected.swept), len(expected.gone), len(expected.kept), 0, 0, 0)
    if facts != wanted:
        wrong.append(
            f"the books say (planned, deleted, gone, kept, failed, not attempted, in doubt) {facts}, not {wanted}"
        )
    return wrong


def _untrue(id_: str, uri: str, after: Observed, mode: Mode) -> list[str]:
    row = after.version(id_)
    wrong = []
    if mode is Mode.ONLY_ARTIFACT:
        if row is None or row["uri"] != TOMBSTONE + uri:
            wrong.append(f"the journal says that {id_} is deleted, and its row is {row}")
    elif row is not None:
        wrong.append(f"the journal says that {id_} is deleted, and its row is there")
    if mode is not Mode.ONLY_METADATA and after.below(uri):
        wrong.append(f"the journal says that {id_} is deleted, and {len(after.below(uri))} of its files are there")
    return wrong


def never_half(before: Observed, after: Observed, expected: Expected) -> None:
    """True at any moment, even right after a cut: what is to be kept is whole, and no row has lost bytes but its own.

    A row of the plan that is still there as it was has all its bytes; files outside the plan are all there, unchanged.
    """
    wrong = []
    planned: set[str] = set()
    for entry in expected.plan:
        files = before.below(entry.uri)
        row, now = before.version(entry.id), after.version(entry.id)
        whole = all(after.files.get(path) == what for path, what in files.items())
        planned.update(files)
        if entry.id in expected.kept and (row != now or not whole):
            marked = expected.mode is Mode.ONLY_ARTIFACT and now is not None and now["uri"] == TOMBSTONE + entry.uri
            if not (marked and whole):
                wrong.append(f"{entry.id} is to be kept: row {'kept' if row == now else now}, bytes whole: {whole}")
        elif row is not None and row == now and not whole:
            wrong.append(f"the row of {entry.id} is there and its bytes are not whole")
    for path, what in before.files.items():
        if path not in planned and after.files.get(path) != what:
            wrong.append(f"a file outside the plan was touched: {path}")
    wrong += _wrong_rows(before, after, _so_far(after, expected))
    _raise(wrong)


def _so_far(after: Observed, expected: Expected) -> Expected:
    """What was swept up to now: a claim takes all rows of its versions or none."""
    rows = {row["id"]: row["uri"] for row in after.tables["artifact_version"]}
    left = (e.id for e in expected.plan if rows.get(e.id.replace("-", "")) == e.uri)
    return replace(expected, kept=frozenset(left))


def _frozen(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(row.items()))


def _short(row: tuple[tuple[str, Any], ...]) -> str:
    return ", ".join(f"{k}={v}" for k, v in row if k in ("id", "uri", "resource_id", "artifact_id", "name", "updated"))


def _raise(wrong: Sequence[str]) -> None:
    if wrong:
        raise InvariantBroken("\n".join(wrong[:40]))
