"""Earlier plans that a mark is held against: how much changed since, and what was an orphan then, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from marksweep.catalog.port import Identity
from marksweep.errors import GuardRefused, OtherCatalog, UsageError
from marksweep.mark.worksheet import Worksheet
from marksweep.model.guards import LINKS, VERSIONS, Share, check_jump, collapsed
from marksweep.model.instant import to_text
from marksweep.model.policy import Policy
from marksweep.plan.document import Header, moment
from marksweep.plan.verify import SignedPlan


@dataclass(frozen=True, slots=True)
class Earlier:
    """The plans given with ``--compare`` and ``--seen-in``, open."""

    compare: SignedPlan | None = None
    seen_in: SignedPlan | None = None

    def check(self, identity: Identity, rows: Mapping[str, int], now: datetime) -> None:
        """Refuse what cannot be held against a mark at *now* of the catalog with *identity* and *rows*.

        Raises OtherCatalog for a plan of another server, UsageError for a ``--seen-in`` that is not older, and
        GuardRefused when tables of references collapsed since the plan to compare with.
        """
        for option, plan in self._given():
            if plan.header.catalog.server_id != identity.server_id:
                raise OtherCatalog(
                    f"the plan given with {option} was made for another catalog: its server id is"
                    f" {plan.header.catalog.server_id!r}, and this one's is {identity.server_id!r}",
                    f"give {option} an earlier plan of this very catalog, or leave it out",
                )
        made = now.replace(microsecond=0)
        if self.seen_in is not None and moment(self.seen_in.header.plan.created) >= made:
            raise UsageError(
                f"the plan given with --seen-in was made at {self.seen_in.header.plan.created}, not before this mark"
                f" ({to_text(made)})",
                "give an older plan: a second look is one that is taken later",
            )
        if self.compare is not None:
            _check_tables(self.compare.header, rows)

    def recall(self, worksheet: Worksheet) -> None:
        """Read the entries of the plan given with ``--seen-in`` into *worksheet*."""
        if self.seen_in is not None:
            worksheet.add_earlier(self.seen_in.entries())

    def check_jump(self, worksheet: Worksheet, policy: Policy) -> None:
        """Raise GuardRefused if the orphans are a much larger share of the catalog than in the plan to compare with."""
        if self.compare is None:
            return
        totals = self.compare.header.totals
        check_jump(
            Share(totals.entries, totals.versions_in_catalog),
            Share(worksheet.totals()[0], worksheet.versions),
            policy.max_jump,
            "" if _choices(self.compare.header.policy) == _choices(policy) else " (they were made with other options)",
        )

    def _given(self) -> Iterator[tuple[str, SignedPlan]]:
        for option, plan in (("--compare", self.compare), ("--seen-in", self.seen_in)):
            if plan is not None:
                yield option, plan


def _check_tables(before: Header, rows: Mapping[str, int]) -> None:
    """The entries may have been swept since, each with a model link of its own if the plan ignored those."""
    swept = {LINKS: before.totals.entries} if before.policy.ignore_model_links else {}
    references = {table: held for table, held in before.catalog.rows.items() if table != VERSIONS}
    lost = collapsed(references, rows, swept)
    if lost:
        raise GuardRefused(
            f"the catalog lost references since the plan to compare with was made: {lost}",
            "find out whether a backup was restored, or is still being restored, and mark when it is complete; if the rows"
            " were deleted on purpose, mark without --compare: that plan is the one to compare with from then on",
        )


def _choices(policy: Policy) -> Policy:
    """What decides which versions are orphans: the policy without its caps."""
    return msgspec.structs.replace(
        policy, sizes=True, max_entries=None, max_bytes=None, max_share=None, max_jump=None, seen_in=None
    )
