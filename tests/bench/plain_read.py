"""Run one query and fetch every row in a stream, with the driver alone: what any reader of these rows has to pay.

python tests/bench/plain_read.py URL FILE_WITH_THE_QUERY
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_PAGE = 2_000
"""Rows that are taken at a time."""


def main() -> None:
    """Read the command line, read the rows, and print how many there were."""
    url, file = sys.argv[1:]
    cursor = _cursor(url)
    cursor.execute(Path(file).read_text())
    rows = 0
    while page := cursor.fetchmany(_PAGE):
        rows += len(page)
    print(rows)


def _cursor(url: str) -> Any:
    if url.startswith("sqlite"):
        return sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True).cursor()
    import pymysql.cursors

    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "", port=parts.port or 3306, user=unquote(parts.username or ""),
        password=unquote(parts.password or ""), database=parts.path.lstrip("/"), charset="utf8mb4",
    )  # fmt: skip
    return pymysql.cursors.SSCursor(connection)


if __name__ == "__main__":
    main()
