"""What an earlier run left behind, settled before anything new is begun. The catalog decides, never a guess."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from marksweep.catalog.port import Catalog
from marksweep.errors import GuardRefused
from marksweep.model.outcome import AlreadyGone, Mode, Outcome
from marksweep.model.verdict import TOMBSTONE
from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.journal import Journal, Pending
from marksweep.sweep.turns import Turns

PAGE = 500
"""Units of the plan that are compared with the journal at a time."""


def vouch(plan: VerifiedPlan, journal: Journal) -> None:
    """Raise GuardRefused unless all that *journal* holds as begun is the plan's: it may skip work, never authorise it."""
    if restoring := journal.restoring():
        raise GuardRefused(
            f"a restore of {restoring} entries of this plan was begun and has not ended",
            "run `marksweep restore` on the plan again: it goes on from there; then sweep",
        )
    begun, units = journal.begun(), plan.units()
    while begun and (page := list(itertools.islice(units, PAGE))):
        planned = {(e.id, unit[0].id, e.uri, e.updated) for unit in page for e in unit}
        begun -= len(planned & journal.begun_among([id_ for id_, *_ in planned]))
    if begun:
        raise GuardRefused(
            f"the journal {journal.path} holds {begun} entries as begun that are not the plan's, or in no state that there is",
            "restore it from a backup; or move it away and run again: rows that are gone from the catalog will then "
            "be reported as gone and their bytes left alone",
        )


async def resolve_doubt(
    catalog: Catalog, turns: Turns, journal: Journal, mode: Mode
) -> tuple[int, list[tuple[Pending, str, Outcome]]]:
    """Find out for each intent whether its claim was committed. Return how many there were, and those found gone.

    A claim is one transaction, so its rows went together. All gone: it was committed. Some there: it was rolled back, and
    what is missing was removed by somebody else, so its bytes are none of ours.
    """
    gone: list[tuple[Pending, str, Outcome]] = []
    doubtful = 0
    while batch := journal.in_doubt():
        doubtful += len(batch)
        present = await turns(catalog.presence, [e.id for e in batch])
        gone += _decide(batch, present, journal, mode)
    return doubtful, gone


def _decide(
    batch: Sequence[Pending], present: Mapping[str, str], journal: Journal, mode: Mode
) -> list[tuple[Pending, str, Outcome]]:
    if mode is Mode.ONLY_ARTIFACT:
        committed = [e for e in batch if present.get(e.id) == TOMBSTONE + e.uri]
        lost = [e for e in batch if e.id not in present]
        rolled_back = [e for e in batch if e.id in present and e not in committed]
        journal.advance([e.id for e in committed], "marked")
    elif present:
        rolled_back = [e for e in batch if e.id in present]
        lost = [e for e in batch if e.id not in present]
    else:
        journal.advance([e.id for e in batch], "claimed")
        return []
    outcomes: list[tuple[Pending, str, Outcome]] = [(e, e.unit, AlreadyGone()) for e in lost]
    # Settled before the others are forgotten: were the lost ones alone in doubt, they would look like a committed claim.
    journal.settle(outcomes)
    journal.abort([e.id for e in rolled_back])
    return outcomes
