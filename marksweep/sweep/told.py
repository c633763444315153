"""What a plan tells people of its versions, held against the catalog before anything is claimed.

Names, ages and shares are the planner's word; people approve by them, and a policy's rules about them rest on them. The
recheck of each entry asks only whether its row may go, not whether it was introduced by its own name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from marksweep.catalog.port import Catalog
from marksweep.errors import GuardRefused
from marksweep.model.entry import Entry
from marksweep.model.guards import VERSIONS, Share
from marksweep.model.instant import from_text, to_text
from marksweep.model.version import Version
from marksweep.plan.document import Header, shown
from marksweep.plan.verify import VerifiedPlan

PAGE = 1_000
"""Entries that the catalog is asked about at a time."""
_REMEDY = (
    "if somebody renamed it since, name it as before and run again, or make a new plan with `marksweep mark`; if nobody did,"
    " find out who can use the planner's key"
)


def check_told(plan: VerifiedPlan, catalog: Catalog) -> None:
    """Raise GuardRefused unless the versions of *plan* that still exist are what it says, and ``max_share`` holds for them.

    Compared are id, artifact, version, project and time of creation; that none is younger than the plan's own policy
    allows, or was only registered unless it says so; and that all tables were counted of which a collapse tells of a restore.
    """
    if len({store.root for store in plan.header.stores}) != len(plan.header.stores):
        raise GuardRefused(
            f"{plan.path} names a store twice: what it says of undoing a delete has two answers", _REMEDY
        )
    if strange := set(catalog.census()).symmetric_difference(plan.header.catalog.rows):
        raise GuardRefused(
            f"{plan.path} does not say how many rows the table {shown(min(strange))} held, or names one that is not counted:"
            " whether the catalog lost rows since could not be told",
            "make a new plan with `marksweep mark`, and find out who made this one",
        )
    there = 0
    for page in _pages(plan):
        found = catalog.described([entry.id for entry in page])
        there += len(found)
        for entry in page:
            version = found.get(entry.id)
            if version is not None and (
                why := _half(entry) or _otherwise(entry, version) or _against(plan.header, version)
            ):
                raise GuardRefused(f"{plan.path}: the entry {shown(entry.id)} ({shown(entry.artifact)}) {why}", _REMEDY)
    _check_share(plan, Share(there, catalog.census().get(VERSIONS, 0)))


def _pages(plan: VerifiedPlan) -> Iterator[Sequence[Entry]]:
    entries = plan.entries()
    while page := list(itertools.islice(entries, PAGE)):
        if len({_same(entry.id) for entry in page}) != len(page):
            raise GuardRefused(f"{plan.path} has two entries for one version", _REMEDY)
        yield page


def _same(id_: str) -> str:
    """One spelling for all those of one id."""
    return id_.replace("-", "").lower()


def _half(entry: Entry) -> str:
    """Why the numbers of *entry* bind nothing; empty if its objects were looked at, or nobody says that they were."""
    if entry.shares is None and len({entry.objects is None, entry.bytes is None, entry.fingerprint is None}) > 1:
        return "says how much there is without a fingerprint of it, or the other way round"
    return ""


def _otherwise(entry: Entry, version: Version) -> str:
    """What of *entry* is not as in the catalog; empty if all is."""
    for what, told, is_ in (
        ("id", entry.id, version.id),
        ("artifact", entry.artifact, version.artifact),
        ("version", entry.version, version.version),
        ("project", entry.project, version.project),
        ("time of creation", entry.created, to_text(version.created)),
    ):
        if told != is_:
            return f"is not what the plan says: its {what} is {shown(is_)!r} in the catalog, and {shown(told)!r} in the plan"
    return ""


def _against(header: Header, version: Version) -> str:
    """Which rule that the plan says it was made by would have kept *version*; empty if none."""
    policy = header.policy
    least = max(policy.min_age if policy.grace else timedelta(0), policy.older_than or timedelta(0))
    if version.created > _made(header) - least:
        return f"is younger than the plan's own policy allows ({least}): it was created at {to_text(version.created)}"
    if version.registered and not policy.include_registered:
        return "was only registered, and the plan says that it was made without --include-registered"
    return ""


def _made(header: Header) -> datetime:
    """The end of the second in which the plan was made: its time is cut off there."""
    return from_text(header.plan.created) + timedelta(seconds=1)


def _check_share(plan: VerifiedPlan, share: Share) -> None:
    most = plan.rules.max_share
    if most is not None and share.percent > most:
        raise GuardRefused(
            f"{plan.path} holds {share} by what the catalog holds now, more than max_share of {plan.rules.source}: {most} %",
            "narrow the filters of `marksweep mark`, or have the policy changed where it is protected",
        )
