"""Answer ``explain``: which versions a needle means, in the catalog or only in a plan, and why each is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec

from marksweep.catalog.port import Catalog
from marksweep.cli.screen import Screen
from marksweep.errors import OtherCatalog, UsageError
from marksweep.mark.examine import Examined, examine
from marksweep.mark.explain import Explanation, explain
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import Entry
from marksweep.model.instant import to_text
from marksweep.model.policy import Policy
from marksweep.model.uri import claims, contains
from marksweep.model.verdict import KeptReason
from marksweep.model.version import Reference, Version
from marksweep.plan.rules import Rules
from marksweep.plan.verify import SignedPlan
from marksweep.report.explain_documents import (
    AnswerFacts,
    ExplainedVersion,
    ExplainResult,
    GoneVersion,
    KeptGroup,
    KeptVersion,
    Place,
    PlanPlace,
    ReferenceFacts,
)
from marksweep.report.progress import MarkProgress
from marksweep.store.port import Stores
from marksweep.sweep.journal_reader import JournalReader, journal_path, read_journal

VERSIONS, EXAMPLES = 20, 5
"""Versions that are explained, and kept versions that are named for each reason, unless ``--limit`` says more."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a *needle* or None for ``--why-kept``; under which policy, and how many answers at most."""

    needle: str | None
    policy: Policy
    limit: int | None = None
    reason: KeptReason | None = None

    def in_repository(self, rules: Rules) -> Question:
        """The same question with the pins and the minimum age that a mark in a repository with *rules* would add."""
        pins = tuple(dict.fromkeys((*self.policy.pins, *rules.pins)))
        age = max(self.policy.min_age, rules.min_age or timedelta(0))
        return replace(self, policy=msgspec.structs.replace(self.policy, pins=pins, min_age=age))

    def under(self, plan: SignedPlan | None) -> Question:
        """The same question under the policy of *plan*, unless filters were given."""
        if plan is None or self.policy != Policy():
            return self
        return replace(self, policy=msgspec.structs.replace(plan.header.policy, seen_in=None))


@dataclass(frozen=True, slots=True)
class Meant:
    """The versions that a needle means: how it was found, how many in all, and the first of them."""

    place: Place
    found: int
    versions: Sequence[Version]


@contextmanager
def examined(
    screen: Screen, catalog: Catalog, stores: Stores, policy: Policy, *, lists_kept: bool = False
) -> Iterator[tuple[Examined, Worksheet]]:
    """The whole catalog, judged under *policy*; no store is asked."""
    with Worksheet(lists_kept=lists_kept) as worksheet, MarkProgress(screen.err, quiet=screen.still) as progress:
        yield examine(catalog, stores, policy, catalog.now(), worksheet, progress), worksheet


def explain_needle(
    screen: Screen, catalog: Catalog, stores: Stores, question: Question, plan: SignedPlan | None
) -> ExplainResult:
    """Every version that the needle means, explained; UsageError when nobody knows it, OtherCatalog for a foreign plan."""
    assert question.needle is not None
    check_catalog(catalog, plan)
    limit = VERSIONS if question.limit is None else question.limit
    meant = _meant(catalog, question.needle, limit)
    known = PlanLook(plan) if plan is not None else None
    gone = known.gone(catalog, question.needle, limit) if known is not None else ()
    if not meant.found and not gone:
        raise _unknown(question.needle, plan)
    explanations: Sequence[Explanation] = ()
    if meant.versions:
        with examined(screen, catalog, stores, question.under(plan).policy) as (found, worksheet):
            explanations = explain(catalog, found, worksheet, meant.versions)
    places = known.places([v.id for v in meant.versions]) if known is not None else {}
    versions = tuple(_explained(e, places.get(e.version.id)) for e in explanations)
    return ExplainResult(versions=versions, place=meant.place, found=meant.found, gone=tuple(gone))


def explain_kept(
    screen: Screen, catalog: Catalog, stores: Stores, question: Question, plan: SignedPlan | None
) -> ExplainResult:
    """The kept versions by reason: all of them counted, the oldest of each named."""
    check_catalog(catalog, plan)
    limit = EXAMPLES if question.limit is None else question.limit
    with examined(screen, catalog, stores, question.under(plan).policy, lists_kept=True) as (_, worksheet):
        counts = worksheet.kept
        reasons = [r for r in KeptReason if counts[r] and question.reason in (None, r)]
        groups = tuple(_kept_group(catalog, worksheet, reason, limit) for reason in reasons)
        return ExplainResult(versions=(), kept=groups, versions_in_catalog=worksheet.versions)


def check_catalog(catalog: Catalog, plan: SignedPlan | None) -> None:
    """Raise OtherCatalog when *plan* was made for another catalog: its ids would all seem to be gone."""
    if plan is None:
        return
    here, there = catalog.identity().server_id, plan.header.catalog.server_id
    if here != there:
        raise OtherCatalog(
            f"{plan.path} was made for another catalog: its server id is {there!r}, and this one's is {here!r}",
            "give the catalog that the plan was made for with --catalog URL",
        )


class PlanLook:
    """A plan and the journal of its sweep, asked about versions."""

    def __init__(self, plan: SignedPlan) -> None:
        self._plan = plan
        self._path = str(plan.path)

    def places(self, ids: Sequence[str]) -> dict[str, PlanPlace]:
        """Where each of *ids* stands in the plan, and what its sweep did with it."""
        wanted, entries = set(ids), dict[str, Entry]()
        for entry in self._plan.entries():
            if entry.id in wanted:
                entries[entry.id] = entry
        with self._journal() as journal:
            return {id_: self._place(journal, id_, entry=id_ in entries) for id_ in ids}

    def gone(self, catalog: Catalog, needle: str, most: int) -> list[GoneVersion]:
        """The first *most* entries that *needle* means and that the catalog no longer has."""
        entries: list[Entry] = []
        page: list[Entry] = []
        for entry in self._plan.entries():
            if len(entries) >= most:
                break
            if _means(entry, needle):
                page.append(entry)
            if len(page) >= most:
                entries += _absent(catalog, page)
                page.clear()
        entries += _absent(catalog, page)
        with self._journal() as journal:
            return [
                GoneVersion(
                    id=e.id, artifact=e.artifact, version=e.version, project=e.project, uri=e.uri, created=e.created,
                    plan=self._place(journal, e.id, entry=True),
                )
                for e in entries[:most]
            ]  # fmt: skip

    def _place(self, journal: JournalReader | None, id_: str, *, entry: bool) -> PlanPlace:
        line = journal.entry(id_) if journal is not None and entry else None
        place = PlanPlace(path=self._path, digest=self._plan.digest, entry=entry)
        if line is None:
            return place
        return msgspec.structs.replace(place, state=line.state, code=line.code, detail=line.detail, at=line.at)

    @contextmanager
    def _journal(self) -> Iterator[JournalReader | None]:
        path = journal_path(self._plan.path)
        if not path.exists():
            yield None
            return
        with read_journal(path, self._plan.digest) as journal:
            yield journal


def reference_facts(reference: Reference) -> ReferenceFacts:
    """One reference as a document."""
    since = to_text(reference.since.replace(microsecond=0)) if reference.since is not None else None
    return ReferenceFacts(kind=reference.kind.value, holder=reference.holder, since=since)


def _meant(catalog: Catalog, needle: str, limit: int) -> Meant:
    if not _is_text(needle):
        return Meant("named", 0, ())
    named = catalog.find(needle)
    if named or "/" not in needle:
        return Meant("named", len(named), named[:limit])
    around = catalog.around(needle, limit)
    if around.owners:
        return Meant("inside", len(around.owners), around.owners[:limit])
    return Meant("below", around.below, around.first)


def _means(entry: Entry, needle: str) -> bool:
    """Whether *needle* names the version of *entry*, lies in its place, or has its place in it."""
    if needle in (entry.artifact, f"{entry.artifact}@{entry.version}", entry.uri):
        return True
    if needle.replace("-", "").lower() == entry.id.replace("-", "").lower():
        return True
    if "/" not in needle:
        return False
    own = entry.key
    return any(contains(own, key) or contains(key, own) for key in claims(needle))


def _is_text(needle: str) -> bool:
    """Whether a database can be asked for it: bytes of the command line that are no UTF-8 stand in no catalog."""
    try:
        needle.encode()
    except UnicodeEncodeError:
        return False
    return True


def _absent(catalog: Catalog, entries: Sequence[Entry]) -> list[Entry]:
    there = catalog.described([entry.id for entry in entries]) if entries else {}
    return [entry for entry in entries if entry.id not in there]


def _unknown(needle: str, plan: SignedPlan | None) -> UsageError:
    place = " or in a version's place" if "/" in needle else ""
    also = f", and {plan.path} no such entry" if plan is not None else ""
    remedy = "give an id (with or without dashes), an artifact's name, artifact@version, or a URI"
    swept = (
        "" if plan is not None else "; for a version that was swept, add --plan PLAN, the plan that it was swept with"
    )
    return UsageError(
        f"the catalog has no version with the id or URI {needle!r}{place}, and no artifact of that name{also}",
        remedy + swept,
    )


def _explained(found: Explanation, plan: PlanPlace | None) -> ExplainedVersion:
    version = found.version
    return ExplainedVersion(
        id=version.id, artifact=version.artifact, version=version.version, project=version.project, uri=version.uri,
        created=to_text(version.created), verdict=found.keeps.rule.value if found.keeps else "orphan",
        answers=tuple(AnswerFacts(rule=a.rule.value, keeps=a.keeps, detail=a.detail) for a in found.answers),
        references=tuple(reference_facts(r) for r in found.references), plan=plan,
    )  # fmt: skip


def _kept_group(catalog: Catalog, worksheet: Worksheet, reason: KeptReason, limit: int) -> KeptGroup:
    assert worksheet.record is not None
    first = list(worksheet.record.first(reason, limit))
    references = catalog.references([v.id for v in first]) if reason is KeptReason.REFERENCED and first else {}
    return KeptGroup(
        reason=reason.value,
        versions=worksheet.kept[reason],
        first=tuple(
            KeptVersion(
                id=v.id, artifact=v.artifact, version=v.version, project=v.project, uri=v.uri, created=v.created,
                detail=v.detail, reference=next((reference_facts(r) for r in references.get(v.id) or ()), None),
            )
            for v in first
        ),
    )  # fmt: skip
