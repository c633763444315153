"""What is asked of the whole catalog before a sweep claims anything: does it still hold what the plan rests on?"""

from __future__ import annotations

from collections.abc import Mapping

from marksweep.catalog.port import Catalog
from marksweep.errors import GuardRefused
from marksweep.model.guards import collapsed
from marksweep.model.outcome import Mode
from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.journal_reader import journal_path, read_journal


def check_census(plan: VerifiedPlan, catalog: Catalog, removed: Mapping[str, int]) -> None:
    """Raise GuardRefused if tables of *catalog* collapsed since *plan* was made, but for what its sweep *removed* (by table).

    A restore that is half done, or that lost links, makes versions look like orphans: no recheck of single entries can tell.
    """
    if plan.header.plan.mode is Mode.ONLY_ARTIFACT:
        removed = {}  # the journal has images of rows that stay
    lost = collapsed(plan.header.catalog.rows, catalog.census(), removed)
    if lost:
        raise GuardRefused(
            f"the catalog lost rows since the plan was made: {lost}",
            "find out whether a backup was restored, or is still being restored, and mark again when it is complete; if the"
            " rows were deleted on purpose, make a new plan: it counts what is there now",
        )


def removed_before(plan: VerifiedPlan) -> Mapping[str, int]:
    """Rows, by table, that earlier runs of the sweep of *plan* took out; GuardRefused if its journal cannot be read."""
    path = journal_path(plan.path)
    if not path.exists():
        return {}
    with read_journal(path, plan.digest) as journal:
        return journal.removed()
