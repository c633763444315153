"""Why a version is an orphan or kept: every rule asked, its answer, and the references found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marksweep.catalog.port import Catalog
from marksweep.mark.examine import TOO_LONG, Examined, fits
from marksweep.mark.worksheet import Worksheet
from marksweep.model.verdict import Answer, KeptReason
from marksweep.model.version import Reference, Surveyed, Version


@dataclass(frozen=True, slots=True)
class Explanation:
    """One version, the answers of all rules in order, and its references. ``keeps`` is the verdict, None for an orphan."""

    version: Version
    answers: tuple[Answer, ...]
    references: tuple[Reference, ...]
    keeps: Answer | None


def explain(
    catalog: Catalog, examined: Examined, worksheet: Worksheet, versions: Sequence[Version]
) -> list[Explanation]:
    """Explain *versions*, which the examination behind *worksheet* has seen."""
    found = catalog.references([v.id for v in versions])
    return [_explain(v, tuple(found[v.id] or ()), examined, worksheet) for v in versions]


def _explain(
    version: Version, references: tuple[Reference, ...], examined: Examined, worksheet: Worksheet
) -> Explanation:
    surveyed = Surveyed(version, frozenset(r.kind for r in references))
    answers = list(examined.judge.answers(surveyed))
    if not (any(a.keeps for a in answers) or fits(version)):
        answers = [TOO_LONG if a.rule is TOO_LONG.rule else a for a in answers]
    single = next((a for a in answers if a.keeps), None)
    orphan = worksheet.orphan(version.id)
    holder = examined.claimed_by.get(version.id)
    keep_latest = examined.judge.policy.keep_latest
    newest = single is None and not orphan and holder is None and keep_latest > 0
    claimed = holder is not None or (single is None and not orphan and not newest)
    answers.append(
        Answer(
            KeptReason.NEWEST,
            newest,
            f"among the newest {keep_latest} of its artifact" if newest else _not_newest(keep_latest),
        )
    )
    answers.append(Answer(KeptReason.FIRST_SEEN, False, "no earlier plan is looked at: only mark has --seen-in"))
    answers.append(
        Answer(
            KeptReason.CLAIMED,
            claimed,
            f"its place overlaps that of {holder or 'something that is kept'}"
            if claimed
            else "nothing alive claims its place",
        )
    )
    return Explanation(version, tuple(answers), references, next((a for a in answers if a.keeps), None))


def _not_newest(keep_latest: int) -> str:
    return f"not among the newest {keep_latest} of its artifact" if keep_latest else "--keep-latest was not asked for"
