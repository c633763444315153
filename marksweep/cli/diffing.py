"""Hold two plans against each other: as they are, with the catalog asked why, or one of them with today's catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from marksweep.catalog.port import Catalog
from marksweep.cli.explaining import check_catalog, reference_facts
from marksweep.mark.examine import circumstances
from marksweep.model.entry import Entry
from marksweep.model.policy import Policy
from marksweep.model.verdict import TOMBSTONE, Judge
from marksweep.model.version import Reference, ReferenceKind, Surveyed, Version
from marksweep.plan.diff import Difference, Fate, Tally, merge
from marksweep.plan.verify import SignedPlan
from marksweep.report.diff_documents import DiffReason, DiffResult, DiffWhy, PlanDifference, Reason
from marksweep.report.diff_facts import diff_entries, plan_difference
from marksweep.report.text import when
from marksweep.store.port import Stores
from marksweep.sweep.journal_reader import JournalReader, journal_path, read_journal

_PAGE = 500
"""Versions that the catalog is asked about at a time."""
_REFERENCES = 20
"""References that are named for one version."""


@dataclass(slots=True)
class Inquiry:
    """Asks the catalog and the earlier plan's journal why versions are no longer orphaned. ``found`` is by id, for the first
    *most* of them; ``tallies`` count all.
    """

    catalog: Catalog
    judge: Judge
    journal: JournalReader | None
    most: int
    found: dict[str, DiffWhy] = field(default_factory=dict)
    tallies: dict[Reason, Tally] = field(default_factory=dict)
    _page: list[Entry] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """One entry that the later plan no longer holds."""
        self._page.append(entry)
        if len(self._page) >= _PAGE:
            self.close()

    def close(self) -> None:
        """Answer for what was added last."""
        ids = [entry.id for entry in self._page]
        references = self.catalog.references(ids) if ids else {}
        unreferenced = [i for i, rows in references.items() if rows is not None and not self._counted(rows)]
        versions = self.catalog.described(unreferenced) if unreferenced else {}
        for entry in self._page:
            why = self._why(entry, references.get(entry.id), versions.get(entry.id))
            self.tallies.setdefault(why.reason, Tally()).add(entry)
            if len(self.found) < self.most:
                self.found[entry.id] = why
        self._page.clear()

    def reasons(self) -> tuple[DiffReason, ...]:
        """How many for which reason, the most first."""
        ordered = sorted(self.tallies.items(), key=lambda one: (-one[1].entries, one[0]))
        return tuple(DiffReason(reason=reason, entries=t.entries, bytes=t.bytes) for reason, t in ordered)

    def _why(self, entry: Entry, references: Sequence[Reference] | None, version: Version | None) -> DiffWhy:
        if references is None:
            return self._absent(entry)
        counted = self._counted(references)
        if counted:
            rows = tuple(reference_facts(reference) for reference in counted[:_REFERENCES])
            since = f", since {when(rows[0].since)}" if rows[0].since else ""
            more = f" (and {len(counted) - 1:,} more)" if len(counted) > 1 else ""
            return DiffWhy(reason="referenced", detail=f"{rows[0].holder}{since}{more}", references=rows)
        if version is None:
            return self._absent(entry)
        marked = version.uri == TOMBSTONE + entry.uri  # by an only-artifact sweep, which keeps the row
        if marked and (swept := self._swept(entry)) is not None:
            return swept
        if version.uri != entry.uri and not marked:
            return DiffWhy(reason="moved", detail=f"its URI is now {version.uri}", references=())
        kinds = frozenset(reference.kind for reference in references)
        verdict = self.judge.verdict(Surveyed(version, kinds))
        if verdict is not None:
            return DiffWhy(reason="kept", detail=f"{verdict.rule}: {verdict.detail}", references=())
        return DiffWhy(
            reason="unsettled",
            detail=f"an orphan today, or kept by a rule about several versions: `marksweep explain {entry.id}`",
            references=(),
        )

    def _absent(self, entry: Entry) -> DiffWhy:
        return self._swept(entry) or DiffWhy(
            reason="absent", detail="deleted since by the sweep of another plan, or by somebody", references=()
        )

    def _swept(self, entry: Entry) -> DiffWhy | None:
        line = self.journal.entry(entry.id) if self.journal is not None else None
        if line is None or line.state != "deleted":
            return None
        return DiffWhy(
            reason="swept", detail=f"deleted by the sweep of the earlier plan at {when(line.at)}", references=()
        )

    def _counted(self, references: Sequence[Reference]) -> list[Reference]:
        ignored = {ReferenceKind.MODEL_VERSION} if self.judge.policy.ignore_model_links else set()
        return [reference for reference in references if reference.kind not in ignored]


def difference(before: SignedPlan, now: SignedPlan) -> PlanDifference:
    """The difference of two plans without any entry of it by name."""
    found = Difference(0)
    for pair in merge(before.entries(), now.entries()):
        found.add(pair)
    return plan_difference(before, now, found)


def diff_result(
    before: SignedPlan, now: SignedPlan, most: int, inquiry: Inquiry | None = None, warnings: tuple[str, ...] = (),
    *, kept_file: bool = True,
) -> DiffResult:  # fmt: skip
    """The difference of two plans with the first *most* entries of each fate, and why some are gone if *inquiry* asks.

    *warnings* are those of the mark that made the later plan, if it was made just now (it has no file then).
    """
    found = Difference(most)
    for pair in merge(before.entries(), now.entries()):
        if found.add(pair) is Fate.GONE and inquiry is not None and pair[0] is not None:
            inquiry.add(pair[0])
    if inquiry is not None:
        inquiry.close()
    return DiffResult(
        difference=plan_difference(before, now, found, kept_file=kept_file),
        entries=diff_entries(found, inquiry.found if inquiry is not None else None),
        reasons=inquiry.reasons() if inquiry is not None else None,
        remarks=(*_remarks(before, now), *warnings),
    )


def _remarks(before: SignedPlan, now: SignedPlan) -> tuple[str, ...]:
    found = []
    if before.header.plan.created > now.header.plan.created:
        found.append("the first plan is the younger one: give the earlier plan first")
    if before.header.policy.sizes != now.header.policy.sizes:
        found.append("one of the plans was made with --no-size: sizes and fingerprints were not compared")
    return tuple(found)


@contextmanager
def inquiry(catalog: Catalog, stores: Stores, before: SignedPlan, now: Policy, most: int) -> Iterator[Inquiry]:
    """An inquiry about entries of *before* that a plan under the policy *now* does not hold.

    Raises OtherCatalog when *before* is of another catalog than the one that is asked.
    """
    check_catalog(catalog, before)
    judge = Judge(now, circumstances(catalog, stores, catalog.now()))
    path = journal_path(before.path)
    if not path.exists():
        yield Inquiry(catalog, judge, None, most)
        return
    with read_journal(path, before.digest) as journal:
        yield Inquiry(catalog, judge, journal, most)
