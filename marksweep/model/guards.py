"""Guards that compare two looks at the same thing: clocks, tables, shares. Pure rules; each refuses with the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from marksweep.errors import GuardRefused
from marksweep.model.instant import to_text
from marksweep.model.policy import CLOCK_SKEW, COLLAPSE_APPLIES_FROM, COLLAPSE_KEEPS, JUMP_FACTOR, JUMP_POINTS

VERSIONS, LINKS = "artifact_version", "model_versions_artifacts"
"""Tables of a census that a sweep itself makes smaller: versions, and model links if its plan ignores them."""


def check_clocks(before: datetime, catalog: datetime, after: datetime) -> None:
    """Raise GuardRefused if the database's clock said *catalog*, asked when this machine's said *before* to *after*.

    A slow answer is no difference: only what lies outside of the time that the question took counts.
    """
    apart = max(before - catalog, catalog - after)
    if apart > CLOCK_SKEW:
        apart = timedelta(seconds=math.ceil(apart.total_seconds()))
        here, there = (to_text(moment.replace(microsecond=0)) for moment in (after, catalog))
        raise GuardRefused(
            f"this machine's clock says {here} and the database's {there}: they are {apart} apart"
            f" (h:mm:ss), and at most {CLOCK_SKEW} is allowed",
            "set the clock that is wrong (NTP does): what is old enough, and whether a plan has expired, rest on it",
        )


def collapsed(before: Mapping[str, int], now: Mapping[str, int], removed: Mapping[str, int]) -> str:
    """What of the rows (by table) of *before* is missing *now*, in words; empty if nothing has collapsed.

    *removed* are rows that are known to have gone rightly: the rest is what a table is expected to hold still. It has
    collapsed when it is empty, or holds less than ``COLLAPSE_KEEPS`` per cent of that (but for small tables of references).
    """
    found = []
    for table, was in sorted(before.items()):
        expected, holds = was - removed.get(table, 0), now.get(table, 0)
        small = table != VERSIONS and expected < COLLAPSE_APPLIES_FROM
        if expected > 0 and (holds == 0 or (not small and holds * 100 < expected * COLLAPSE_KEEPS)):
            found.append(f"{table} held {was} rows, should hold about {expected}, and holds {holds}")
    return "; ".join(found)


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a catalog a plan holds: entries of versions."""

    entries: int
    versions: int

    @property
    def percent(self) -> Fraction:
        """0 for an empty catalog."""
        return Fraction(100 * self.entries, max(1, self.versions))

    def __str__(self) -> str:
        return f"{self.entries} of {self.versions} versions ({float(self.percent):.1f} %)"


def check_jump(before: Share, now: Share, allowed: int | None, hint: str) -> None:
    """Raise GuardRefused if the share of orphans jumped: by more than *allowed* percentage points, if that is given.

    *hint* is added to the fact: what else differs between the two plans.
    """
    more = now.percent - before.percent
    doubled = now.percent > JUMP_FACTOR * before.percent and more >= JUMP_POINTS
    if doubled if allowed is None else more > allowed:
        raise GuardRefused(
            f"the share of orphans jumped: {before} in the plan before, {now} now{hint}",
            "look at what orphaned them (`marksweep explain`): models, runs or pipelines that were deleted, or a restore"
            f" that lost links. If they are meant to go, allow it with --max-jump {math.ceil(more)}",
        )
