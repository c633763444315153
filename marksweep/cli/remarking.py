"""Would the same plan come out today? A mark under a plan's own policy, into a folder that is removed again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519

from marksweep.catalog.port import Catalog
from marksweep.cli.explaining import check_catalog
from marksweep.cli.identity import Signing
from marksweep.cli.marking import MarkOrder, mark_plan
from marksweep.cli.screen import Screen
from marksweep.errors import UsageError
from marksweep.mark.previous import Earlier
from marksweep.model.policy import EXPIRES_AFTER, Policy
from marksweep.plan.keys import SigningKey
from marksweep.plan.verify import SignedPlan
from marksweep.report.diff_documents import DiffResult
from marksweep.store.port import Stores


@contextmanager
def remarked(
    screen: Screen, catalog: Catalog, stores: Stores, plan: SignedPlan, seen_in: SignedPlan | None, now: datetime,
    *, sizes: bool,
) -> Iterator[tuple[SignedPlan, tuple[str, ...]]]:  # fmt: skip
    """The plan that a mark with *plan*'s policy and mode makes today, and its warnings; signed by a key that nobody has.

    It has no caps, since it is only compared, and no sizes without *sizes*. Raises OtherCatalog for a plan of another
    catalog, UsageError unless *seen_in* is the plan that *plan* was made with.
    """
    check_catalog(catalog, plan)
    _check_seen_in(plan, seen_in)
    policy = msgspec.structs.replace(uncapped(plan.header.policy), sizes=sizes and plan.header.policy.sizes)
    with tempfile.TemporaryDirectory(prefix="marksweep-") as folder:
        order = MarkOrder(
            policy, plan.header.plan.mode, Path(folder) / "plan.json", EXPIRES_AFTER, now, Earlier(seen_in=seen_in)
        )
        signing = Signing(SigningKey(ed25519.Ed25519PrivateKey.generate()), "a key for this comparison")
        marked = mark_plan(screen, catalog, stores, order, signing)
        with marked.plan as today:
            yield today, marked.warnings


def uncapped(policy: Policy) -> Policy:
    """*policy* without its caps, and without the default one."""
    return msgspec.structs.replace(policy, max_entries=None, max_bytes=None, max_share=100, max_jump=None)


def drift(result: DiffResult) -> DiffResult:
    """*result* without what always differs between a plan and one that is only made to be compared: its key, its life, its
    caps.
    """
    difference = result.difference
    facts = tuple(fact for fact in difference.facts if fact.part not in ("plan", "policy") or fact.name == "tool")
    return msgspec.structs.replace(result, difference=msgspec.structs.replace(difference, facts=facts))


def _check_seen_in(plan: SignedPlan, seen_in: SignedPlan | None) -> None:
    wanted = plan.header.policy.seen_in
    found = seen_in.digest if seen_in is not None else None
    if wanted == found:
        return
    if wanted is None:
        raise UsageError(f"{plan.path} was made without --seen-in", "leave --seen-in out")
    raise UsageError(
        f"{plan.path} holds only what the plan {wanted} holds, too, and --seen-in gives {found or 'none'}",
        "give --seen-in the plan that it was made with",
    )
