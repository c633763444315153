"""What an earlier run left behind, settled before anything new is begun. The catalog decides, never a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from marksweep.catalog.port import Catalog
from marksweep.model.outcome import AlreadyGone, Mode, Outcome
from marksweep.model.verdict import TOMBSTONE
from marksweep.sweep.journal import Journal, Pending
from marksweep.sweep.turns import Turns


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
    journal.settle(
        outcomes
    )  # first: were only the lost ones left in doubt, they would look like a claim that was committed
    journal.abort([e.id for e in rolled_back])
    return outcomes
