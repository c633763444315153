"""The caps, and the header of the plan."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from marksweep.catalog.port import Identity
from marksweep.errors import GuardRefused
from marksweep.mark.worksheet import Worksheet
from marksweep.model.policy import DEFAULT_MAX_SHARE, SHARE_APPLIES_ABOVE, Policy
from marksweep.model.store import Undo
from marksweep.model.version import ArtifactStore
from marksweep.plan.document import CatalogFacts, Draft, Group, PlanFacts, StoreFacts, Totals

GROUPS = 20
"""Artifacts shown at the top of a plan: those with the most bytes."""


def check_caps(worksheet: Worksheet, policy: Policy) -> None:
    """Raise GuardRefused when the plan would hold more than the policy allows. A cap of 0 allows nothing."""
    entries, _, bytes_ = worksheet.totals()
    if policy.max_entries is not None and entries > policy.max_entries:
        raise GuardRefused(
            f"the plan would hold {entries} entries, more than --max-entries {policy.max_entries}",
            "narrow the filters, or raise --max-entries if this many are meant to go",
        )
    if policy.max_bytes is not None and (bytes_ is None or bytes_ > policy.max_bytes):
        held = "an unknown number of" if bytes_ is None else str(bytes_)
        raise GuardRefused(
            f"the plan would hold {held} bytes, and --max-bytes allows {policy.max_bytes}",
            "narrow the filters, raise --max-bytes, or leave out --no-size (and --only-metadata, which counts no bytes)",
        )
    share = policy.max_share
    if share is None and worksheet.versions > SHARE_APPLIES_ABOVE:
        share = DEFAULT_MAX_SHARE
    if share is not None and entries * 100 > share * worksheet.versions:
        raise GuardRefused(
            f"the plan would hold {entries} of the catalog's {worksheet.versions} versions"
            f" ({entries * 100 / max(1, worksheet.versions):.1f} %), more than --max-share {share} %",
            "look at why so much is orphaned (`marksweep explain`), or raise --max-share if it is meant to go",
        )


def plan_draft(
    worksheet: Worksheet,
    policy: Policy,
    facts: PlanFacts,
    identity: Identity,
    rows: Mapping[str, int],
    known: Mapping[str, ArtifactStore],
    undo: Mapping[str, Undo],
) -> Draft:
    """The header of a plan made from *worksheet*; *rows* is the census of the catalog with *identity*."""
    entries, objects, bytes_ = worksheet.totals()
    used = [known[i] for i in worksheet.store_ids()]
    return Draft(
        plan=facts,
        catalog=CatalogFacts(
            kind=identity.kind, server_id=identity.server_id, schema=identity.schema, release=identity.release,
            dialect=identity.dialect, instance=identity.instance, rows=dict(rows),
        ),
        policy=policy,
        stores=tuple(
            sorted(
                (StoreFacts(root=s.root, flavor=s.flavor, undo=undo.get(s.id, Undo.UNKNOWN)) for s in used),
                key=lambda s: s.root,
            )
        ),
        totals=Totals(
            entries=entries, objects=objects, bytes=bytes_, versions_in_catalog=worksheet.versions,
            kept={reason.value: worksheet.kept[reason] for reason in sorted(worksheet.kept) if worksheet.kept[reason]},
        ),
        groups=tuple(
            Group(project=project, artifact=artifact, entries=count, bytes=size)
            for project, artifact, count, size in worksheet.groups(GROUPS)
        ),
    )  # fmt: skip


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def plan_id() -> str:
    """A ULID: 48 bits of milliseconds, 80 random bits, in Crockford's base 32, so that ids sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
