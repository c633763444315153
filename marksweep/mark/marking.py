"""The whole first phase, from an open catalog to a header and its entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio.to_thread

from marksweep import __version__
from marksweep.catalog.port import Catalog
from marksweep.mark.draft import check_caps, plan_draft
from marksweep.mark.examine import examine
from marksweep.mark.measure import measure
from marksweep.mark.observer import MarkObserver
from marksweep.mark.worksheet import Worksheet
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.model.version import ArtifactStore
from marksweep.plan.document import Draft
from marksweep.store.port import Stores


@dataclass(frozen=True, slots=True)
class Request:
    """What to mark: the policy, the mode, the time by the database's clock, and how long the plan may wait."""

    policy: Policy
    mode: Mode
    now: datetime
    expires_after: timedelta


async def draft(
    request: Request, catalog: Catalog, stores: Stores, worksheet: Worksheet, observer: MarkObserver
) -> Draft:
    """Examine and measure; return the plan's header. The entries are ``worksheet.entries()``.

    Raises GuardRefused when a cap is exceeded, and CatalogNotUnderstood on any doubt about what is alive.
    """
    known: Mapping[str, ArtifactStore] = catalog.stores()
    await anyio.to_thread.run_sync(examine, catalog, stores, request.policy, request.now, worksheet, observer)
    undo: dict[str, Undo] = {}
    if request.mode is not Mode.ONLY_METADATA:
        undo = await measure(worksheet, known, stores, observer, sizes=request.policy.sizes)
    check_caps(worksheet, request.policy)
    identity = catalog.identity()
    tool = f"marksweep {__version__}"
    return plan_draft(
        worksheet, request.policy, request.mode, identity, known, undo, request.now, request.expires_after, tool
    )
