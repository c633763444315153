"""From catalog to orphans: survey, judge, rank, compare URIs. No store is asked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from marksweep.catalog.port import Catalog
from marksweep.errors import PlanMalformed
from marksweep.mark.observer import MarkObserver
from marksweep.mark.overlap import components
from marksweep.mark.vicinity import Vicinity
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import MAX_INTEGER, Entry, fingerprint
from marksweep.model.instant import to_text
from marksweep.model.policy import UNFINISHED_RUN_HORIZON, Policy
from marksweep.model.uri import key_of
from marksweep.model.verdict import TOMBSTONE, Answer, Circumstances, Judge, KeptReason
from marksweep.model.version import ReferenceKind, Surveyed, Version
from marksweep.plan.document import encode_entry
from marksweep.store.port import Stores


@dataclass(frozen=True, slots=True)
class Examined:
    """What an examination found out besides the worksheet: who claims the place of each component that is kept."""

    judge: Judge
    claimed_by: dict[str, str]
    """Version id -> who claims its place, for (at most ``REMEMBERED``) versions that were kept for that."""


TOO_LONG = Answer(KeptReason.UNSAFE_URI, True, "its names or its URI are too long for a plan")
REMEMBERED = 10_000
PLAINLY_FITS = 1_000
"""ASCII characters that fit into an entry's line however they are escaped (at most six bytes each)."""


def circumstances(catalog: Catalog, stores: Stores, now: datetime) -> Circumstances:
    """Everything that the rules about single versions need."""
    known = dict(catalog.stores())
    return Circumstances(
        now=now,
        oldest_unfinished_run=catalog.oldest_unfinished_run(now - UNFINISHED_RUN_HORIZON),
        stores=known,
        roots={id_: stores.root_keys(store) for id_, store in known.items()},
        flavors=stores.flavors,
    )


def examine(
    catalog: Catalog, stores: Stores, policy: Policy, now: datetime, worksheet: Worksheet, observer: MarkObserver
) -> Examined:
    """Fill *worksheet* with the orphans of the catalog under *policy*; every version is counted exactly once."""
    judge = Judge(policy, circumstances(catalog, stores, now))
    vicinity = Vicinity()
    settled = _settled(policy) if worksheet.record is None else frozenset[ReferenceKind]()
    for page in catalog.survey(tags=bool(policy.tags or policy.exclude_tags), without=settled):
        _enter(page, judge, policy, stores, worksheet, vicinity)
        observer.surveyed(len(page))
    _enter_places(catalog, stores, worksheet, vicinity, observer)
    observer.comparing()
    worksheet.index()
    if policy.keep_latest:
        worksheet.keep_newest(policy.keep_latest)
    if policy.seen_in is not None:
        worksheet.keep_others()
    claimed_by = _compare(worksheet)
    for name in judge.unmatched():
        observer.warn(f"{name!r} is to be kept out of the plan, but matches no version: check its spelling")
    for message in judge.unmet():
        observer.warn(f"{message}: check its spelling")
    return Examined(judge, claimed_by)


def _settled(policy: Policy) -> frozenset[ReferenceKind]:
    """The kinds of reference that settle the matter, so that no other fact about a version is needed.

    Empty if the policy counts or names versions whether they are referenced or not.
    """
    if policy.keep_latest or policy.pins or policy.projects or policy.exclude_artifacts or policy.exclude_tags:
        return frozenset()
    return frozenset(ReferenceKind) - ({ReferenceKind.MODEL_VERSION} if policy.ignore_model_links else set())


def _enter(
    page: Sequence[Surveyed], judge: Judge, policy: Policy, stores: Stores, worksheet: Worksheet, vicinity: Vicinity
) -> None:
    worksheet.versions += len(page)
    left: list[Surveyed] = []
    for surveyed in page:
        if policy.keep_latest:
            worksheet.add_seen(surveyed.version)
        verdict = judge.verdict(surveyed)
        if verdict is not None:
            _keep(worksheet, surveyed.version, verdict)
        elif not fits(surveyed.version):
            _keep(worksheet, surveyed.version, TOO_LONG)
        else:
            left.append(surveyed)
    for surveyed, sole in zip(left, stores.sole_keys([s.version.uri for s in left]), strict=True):
        version = surveyed.version
        key = sole if sole is not None else key_of(version.uri)
        worksheet.add_orphan(version, key, "model_links_ignored" if surveyed.references else "unreferenced")
        vicinity.add((key,))
        if sole is None:
            others = [s for s in stores.spellings(version.uri) if s != key]
            worksheet.add_spellings(others, version.id, own=True)
            vicinity.add(others)


def _keep(worksheet: Worksheet, version: Version, answer: Answer) -> None:
    worksheet.kept[answer.rule] += 1
    if worksheet.record is not None:
        worksheet.record.add(version, answer)


def _enter_places(
    catalog: Catalog, stores: Stores, worksheet: Worksheet, vicinity: Vicinity, observer: MarkObserver
) -> None:
    """Enter what could overlap an orphan's place, of everything that anybody lays claim to.

    Versions that the survey left out are referenced, or came since: either way they count as kept for that.
    """

    def sift(uris: Sequence[str]) -> list[int]:
        keys = stores.sole_keys(uris)
        near = vicinity.near([key if key is not None else "" for key in keys])
        odd = [at for at, key in enumerate(keys) if key is None]
        near.update(at for at in odd if vicinity.meets(stores.spellings(_place(uris[at]))))
        return sorted(near)

    worksheet.close_orphans()
    read = 0
    for page in catalog.places(sift):
        read += page.read
        for id_, uri in worksheet.living(page.picked):
            worksheet.add_spellings(stores.spellings(_place(uri)), id_, own=True)
        more = max(0, read - worksheet.versions)
        worksheet.kept[KeptReason.REFERENCED] += more
        worksheet.versions += more
        observer.surveyed(more)
    for claims in catalog.claims(sift):
        for claim in claims:
            worksheet.add_spellings(stores.spellings(claim.uri), claim.version_id, own=False, holder=claim.holder)
        observer.surveyed(0)


def _place(uri: str) -> str:
    """A row that an only-artifact sweep marked may yet get its URI back."""
    return uri.removeprefix(TOMBSTONE)


def fits(version: Version) -> bool:
    """Whether a plan can hold the version, whatever its sizes turn out to be: names and URIs have a limit there."""
    text = version.uri + version.artifact + version.version + version.project
    if len(text) < PLAINLY_FITS and text.isascii():
        return True
    created, updated = to_text(version.created), to_text(version.updated)
    try:
        encode_entry(
            Entry(
                id=version.id,
                artifact=version.artifact,
                version=version.version,
                project=version.project,
                uri=version.uri,
                objects=MAX_INTEGER,
                bytes=MAX_INTEGER,
                fingerprint=fingerprint(()),
                created=created,
                updated=updated,
                reason="model_links_ignored",
                shares=version.id,
            )
        )
    except PlanMalformed:
        return False
    return True


def _compare(worksheet: Worksheet) -> dict[str, str]:
    """Keep what anything alive claims, until nothing changes; then tie what shares a place into units.

    A place can be reached by two keys (a symbolic link in a local path). Orphans that meet only by such a second key are
    kept: their bytes cannot be told apart by the plan's own keys.
    """
    claimed_by: dict[str, str] = {}
    while True:
        contested: list[tuple[bytes, str]] = []
        units: list[list[str]] = []
        for component in components(worksheet.spellings()):
            if component.alive is not None:
                contested.append((component.root, component.alive))
            elif len(component.orphans) > 1:
                units.append(list(component.orphans))
        for orphans in units:
            if not worksheet.nested(orphans):
                worksheet.keep(orphans, KeptReason.CLAIMED)
                claimed_by.update(
                    dict.fromkeys(orphans[:REMEMBERED], "another orphan, by another path to the same place")
                )
                contested.append((b"", ""))
        if not contested:
            break
        for root, holder in contested:
            if not root:
                continue
            ids = worksheet.orphans_below(root)
            for id_ in ids[: max(0, REMEMBERED - len(claimed_by))]:
                claimed_by[id_] = holder
            worksheet.keep(ids, KeptReason.CLAIMED)
    for orphans in units:
        worksheet.share(orphans[0], orphans[1:])
    return claimed_by
