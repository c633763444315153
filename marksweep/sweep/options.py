"""How to run a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Options:
    """What a sweep may decide for itself: nothing that widens what is deleted.

    ``lag``: the least time between a claim's commit and its deletes, for a database that may forget a commit in a crash.
    ``canary``: take so many entries first, and look whether what lives beside them is unharmed. ``canary_cleared``: a
    person says that what halted an earlier canary was not the sweep.
    """

    ignore_errors: bool = False
    batch: int | None = None
    drain: timedelta = timedelta(0)
    lag: timedelta = timedelta(0)
    canary: int | None = None
    canary_cleared: bool = False
