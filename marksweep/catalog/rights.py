"""What a database user must be allowed for one phase, as a catalog's adapter tells it: values, no connection."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Purpose(enum.StrEnum):
    """What somebody is to be allowed to do with a plan, or with the catalog that it was made from."""

    MARK = "mark"
    SWEEP = "sweep"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Right:
    """One action (``SELECT``, ``DELETE``, …) on one table, or on every table of the database when *table* is None.

    ``server``: the right is the server's, not the database's. ``optional``: without it something is not looked at, and
    nothing fails.
    """

    action: str
    table: str | None
    why: str
    server: bool = False
    optional: bool = False
