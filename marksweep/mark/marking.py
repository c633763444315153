"""The whole first phase, from an open catalog to a header and its entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio.to_thread

from marksweep import __version__
from marksweep.catalog.port import Catalog
from marksweep.mark.draft import check_caps, plan_draft, plan_id
from marksweep.mark.examine import examine
from marksweep.mark.measure import measure
from marksweep.mark.observer import MarkObserver
from marksweep.mark.previous import Earlier
from marksweep.mark.worksheet import Worksheet
from marksweep.model.instant import to_text
from marksweep.model.outcome import LIMITS, Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.model.version import ArtifactStore
from marksweep.plan.document import Draft, PlanFacts
from marksweep.store.port import Stores


@dataclass(frozen=True, slots=True)
class Request:
    """What to mark: policy, mode, the time by the database's clock, how long the plan may wait, and the plans before."""

    policy: Policy
    mode: Mode
    now: datetime
    expires_after: timedelta
    earlier: Earlier = field(default_factory=Earlier)


async def draft(
    request: Request, catalog: Catalog, stores: Stores, worksheet: Worksheet, observer: MarkObserver
) -> Draft:
    """Examine and measure; return the plan's header. The entries are ``worksheet.entries()``.

    Raises GuardRefused when a cap is exceeded or an earlier plan says that something is wrong, what :meth:`Earlier.check`
    raises, and CatalogNotUnderstood on any doubt about what is alive.
    """
    identity, rows = catalog.identity(), catalog.census()
    request.earlier.check(identity, rows, request.now)
    await anyio.to_thread.run_sync(request.earlier.recall, worksheet)
    known: Mapping[str, ArtifactStore] = catalog.stores()
    await anyio.to_thread.run_sync(examine, catalog, stores, request.policy, request.now, worksheet, observer)
    undo: dict[str, Undo] = {}
    if request.mode is not Mode.ONLY_METADATA:
        undo = await measure(worksheet, known, stores, observer, sizes=request.policy.sizes)
    check_caps(worksheet, request.policy)
    request.earlier.check_jump(worksheet, request.policy)
    now, tool = request.now.replace(microsecond=0), f"marksweep {__version__}"
    facts = PlanFacts(
        id=plan_id(), created=to_text(now), expires=to_text(now + request.expires_after), tool=tool, mode=request.mode,
        limits=LIMITS[request.mode],
    )  # fmt: skip
    return plan_draft(worksheet, request.policy, facts, identity, rows, known, undo)
