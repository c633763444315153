"""What a plan says, held against the catalog before its sweep claims anything."""

from __future__ import annotations

from marksweep.catalog.port import Catalog
from marksweep.cli.screen import Screen
from marksweep.model.outcome import Mode
from marksweep.plan.verify import VerifiedPlan
from marksweep.store.port import Stores
from marksweep.sweep.neighbours import check_neighbours
from marksweep.sweep.told import check_told

MANY = 20_000
"""Entries from which on the comparison takes so long that it is said."""


def compare(screen: Screen, plan: VerifiedPlan, catalog: Catalog, stores: Stores) -> None:
    """Hold *plan* against *catalog* before anything is claimed: whoever signed it may have lied to those who approved it.

    Raises GuardRefused for an entry that is not what the plan says of it, or whose place is somebody else's, too.
    """
    entries = plan.header.totals.entries
    if entries >= MANY:
        screen.tell(f"Comparing {entries:,} entries with the catalog before anything is claimed …")
    check_told(plan, catalog)
    if plan.header.plan.mode is not Mode.ONLY_METADATA:
        check_neighbours(plan, catalog, stores)
