"""A sweep without the sweep: recheck every entry and say what would happen. Nothing is claimed, journaled or deleted."""

from __future__ import annotations

import itertools
from collections import Counter

import anyio.to_thread

from marksweep.catalog.port import Catalog
from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, Outcome
from marksweep.plan.verify import VerifiedPlan
from marksweep.sweep.answers import refusal
from marksweep.sweep.books import Books
from marksweep.sweep.observer import SweepObserver
from marksweep.sweep.places import OpenStores
from marksweep.sweep.prepare import Unit, changed, claim_rules, or_gone, prepare

Line = tuple[str, str, str, str, str]
"""(id, URI, state, code, detail)."""


async def rehearse(
    plan: VerifiedPlan, catalog: Catalog, stores: OpenStores | None, observer: SweepObserver, most: int
) -> tuple[Books, list[Line]]:
    """The books that a sweep would have now, and the first *most* entries that it would keep or fail."""
    header = plan.header
    rules = claim_rules(header, None)
    counted: Counter[str] = Counter()
    lines: list[Line] = []
    objects = bytes_ = 0
    observer.planned(header.totals.entries, header.totals.bytes, 0)
    units = plan.units()
    while batch := list(itertools.islice(units, catalog.capabilities().claim_batch)):
        prepared = await prepare(map(Unit, batch), stores)
        if ids := changed(prepared.settled):
            prepared.settled = or_gone(prepared.settled, await anyio.to_thread.run_sync(catalog.references, ids))
        results: list[tuple[str, str, Outcome]] = [(e.id, e.uri, outcome) for e, _, outcome in prepared.settled]
        found = {e.id: (u.objects if e is u.entries[0] else (), e.uri) for u in prepared.ready for e in u.entries}
        requests = [r for unit in prepared.ready for r in unit.requests()]
        for answer in await anyio.to_thread.run_sync(catalog.recheck, requests, rules):
            would_go, uri = found[answer.id]
            outcome = refusal(answer) or Deleted(len(would_go), sum(o.size for o in would_go))
            results.append((answer.id, uri, outcome))
        for id_, uri, outcome in results:
            state, code, detail = _words(outcome)
            counted[code if isinstance(outcome, Kept) else state] += 1
            if isinstance(outcome, Deleted):
                objects, bytes_ = objects + outcome.objects, bytes_ + outcome.bytes
            elif not isinstance(outcome, AlreadyGone) and len(lines) < most:
                lines.append((id_, uri, state, code, detail))
            observer.outcome(id_, uri, outcome)
    return (
        Books(
            planned=header.totals.entries,
            deleted=counted["deleted"],
            gone=counted["gone"],
            referenced=counted["referenced"],
            changed=counted["changed"],
            protected=counted["protected"],
            failed=counted["failed"],
            in_doubt=0,
            objects=objects,
            bytes=bytes_,
            left=0,
        ),
        lines,
    )


def _words(outcome: Outcome) -> tuple[str, str, str]:
    match outcome:
        case Deleted():
            return "deleted", "", ""
        case AlreadyGone():
            return "gone", "", ""
        case Kept(because, detail):
            return "kept", because.value, detail
        case Failed(code, message):
            return "failed", code, message
