"""Unpack an archived catalog: the paths that its release wrote into it are rewritten to where it now stands."""

from __future__ import annotations

import base64
import re
import sqlite3
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from marksweep.errors import UsageError

_ARCHIVED_UNDER = "/zenml-fixture"
_PLAIN_PATH = re.compile(r"[\w/.,@+=~ -]+")
"""Paths that read the same in JSON, YAML and database URLs, so that replacing text by text is exact."""
_BASE64_IN_DUMP = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


def unpack(archive: Path, destination: Path) -> Path:
    """Unpack *archive* as the new folder *destination* and return its absolute path.

    Every path in database text, base64 configurations, YAML, JSON and SQL dumps is rewritten, so that the copy can be
    swept for real. The folder appears whole or not at all. Raises :class:`UsageError` if *destination* exists or cannot
    be written into such a file as it is, and if *archive* is not an archived catalog.
    """
    target = destination.resolve()
    if target.exists():
        raise UsageError(f"{target} exists", "name a folder that does not exist yet")
    if not _PLAIN_PATH.fullmatch(str(target)):
        raise UsageError(
            f"the path {str(target)!r} holds characters that the catalog's files would have to escape",
            "name a folder with a plain path: letters, digits, and any of / . , @ + = ~ - _",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        inner = _extract(archive, Path(scratch))
        move = _Move(f"{_ARCHIVED_UNDER}/{inner.name}", str(target))
        for path in sorted(inner.rglob("*")):
            if path.is_file() and not path.is_symlink():
                _rewrite(path, move)
        inner.rename(target)
    return target


def _extract(archive: Path, scratch: Path) -> Path:
    """Extract *archive* without letting a member out of *scratch*; return the one folder that it holds."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (inner,) = scratch.iterdir()
    except (OSError, tarfile.TarError, ValueError) as error:
        raise UsageError(
            f"{archive} is not an archived catalog: {error}", "name a .tar.gz with one folder in it"
        ) from error
    return inner


@dataclass(frozen=True, slots=True)
class _Move:
    """One replacement of a path by another, in each of the forms that a path takes in a catalog."""

    old: str
    new: str

    def text(self, value: str) -> str:
        return value.replace(self.old, self.new)

    def plain(self, value: bytes) -> bytes:
        return value.replace(self.old.encode(), self.new.encode())

    def blob(self, value: bytes) -> bytes:
        """Rewrite a base64 configuration, or else plain bytes."""
        try:
            decoded = base64.b64decode(value, validate=True)
        except ValueError:
            return self.plain(value)
        moved = self.plain(decoded)
        return value if moved == decoded else base64.b64encode(moved)


def _rewrite(path: Path, move: _Move) -> None:
    if path.suffix == ".db":
        _rewrite_database(path, move)
        return
    before = path.read_bytes()
    after = move.plain(before)
    if path.suffix == ".sql":
        after = _BASE64_IN_DUMP.sub(lambda match: move.blob(match.group(0)), after)
    if after != before:
        path.write_bytes(after)


def _rewrite_database(path: Path, move: _Move) -> None:
    database = sqlite3.connect(path)
    try:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        for (table,) in names.fetchall():
            _rewrite_table(database, f'"{table}"', move)
        database.commit()
    finally:
        database.close()


def _rewrite_table(database: sqlite3.Connection, table: str, move: _Move) -> None:
    columns = [f'"{row[1]}"' for row in database.execute(f"PRAGMA table_info({table})")]
    for rowid, *values in database.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}").fetchall():
        moved = {
            column: new
            for column, value in zip(columns, values, strict=True)
            if (new := _rewrite_value(value, move)) != value
        }
        if moved:
            setters = ", ".join(f"{column} = ?" for column in moved)
            database.execute(f"UPDATE {table} SET {setters} WHERE rowid = ?", [*moved.values(), rowid])


def _rewrite_value(value: object, move: _Move) -> object:
    match value:
        case str():
            return move.text(value)
        case bytes():
            return move.blob(value)
        case _:
            return value
