"""What a person should know before they approve a plan or sweep it: which catalog, how much goes, what does not come back."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from typing import assert_never

from rich.text import Text

from marksweep.model.outcome import LIMITS, Mode
from marksweep.model.store import Undo
from marksweep.report.documents import PlanSummary
from marksweep.report.overview_documents import Branch, Overview, Severity
from marksweep.report.parts import BAD, CAUTION, QUIET, STRONG, joined, listed, words
from marksweep.report.text import counted, plain, size, when
from marksweep.report.words import catalog_words, dangers

_ROWS = "Removed rows come back only by `marksweep restore`, as far as the bytes do."


def confirmation(plan: PlanSummary) -> Text:
    """What stands above the question whether to sweep *plan*; several lines, the question itself is not among them."""
    return Text("\n").join([_headline("sweep", plan), *_facts(plan)])


def approval(plan: PlanSummary, whole: Overview, fingerprint: str, name: str) -> Text:
    """What stands above the question whether to approve *plan*, by the key *fingerprint* in the file called *name*.

    What is biggest and unusual is from *whole*, added up from the entries: the header is what its signer chose to say.
    """
    needed = f" ({plan.approvals_needed} needed)" if plan.approvals_needed else ""
    lines = [
        _headline("approve", plan),
        *_facts(plan),
        *_unusual(plan, whole),
        *(joined(Text("  biggest  ", style=QUIET), _branch(branch)) for branch in whole.branches[:3]),
        joined(Text("  made by  ", style=QUIET), plan.signer.principal, f", with {plan.tool}"),
        joined(Text("  approved ", style=QUIET), f"by {listed(plan.approvals) or 'nobody yet'}{needed}"),
        joined(Text("  sign as  ", style=QUIET), name),
        joined(Text("  with key ", style=QUIET), fingerprint),
        joined(Text("  in full  ", style=QUIET), words(shlex.join(["marksweep", "show", plan.path]))),
    ]
    return Text("\n").join(lines)


def _branch(branch: Branch) -> str:
    held = f"{counted(branch.entries, 'version')}, {size(branch.bytes)}"
    return f"{plain(branch.artifact, 36)} in {plain(branch.project, 20)}: {held}"


def _unusual(plan: PlanSummary, whole: Overview) -> Iterator[Text]:
    """What makes one look twice, but for what stands among the facts already."""
    said = {*dangers(plan.policy), LIMITS[plan.mode]}
    for risk in whole.risks:
        if risk.severity is not Severity.NOTE and risk.text not in said:
            sentence = textwrap.fill(f"! {plain(risk.text)}", 80, subsequent_indent="  ", break_long_words=False)
            yield Text(sentence, style=BAD if risk.severity is Severity.DANGER else CAUTION)


def _headline(what: str, plan: PlanSummary) -> Text:
    title = Text(f"About to {what} ", style=STRONG)
    return joined(title, words(plan.path, STRONG), f" (made {when(plan.created)})")


def _facts(plan: PlanSummary) -> list[Text]:
    lines = [
        joined(Text("  catalog  ", style=QUIET), catalog_words(plan.catalog)),
        joined(Text("  deletes  ", style=QUIET), words(_extent(plan), STRONG)),
        Text(f"  {_promise(plan.mode)}"),
    ]
    if LIMITS[plan.mode]:
        lines.append(Text(textwrap.fill(f"! {LIMITS[plan.mode]}", 80, subsequent_indent="  "), style=CAUTION))
    lines += [Text(f"! {danger}", style=BAD) for danger in dangers(plan.policy)]
    if plan.mode is not Mode.ONLY_METADATA:
        lines += [joined(Text("  store    ", style=QUIET), store.root) for store in plan.stores]
        lines += [_undo(undo, flavor) for flavor, undo in dict.fromkeys((s.flavor, s.undo) for s in plan.stores)]
    if plan.mode is not Mode.ONLY_ARTIFACT:
        lines.append(Text(f"! {_ROWS}", style=BAD))
    return lines


def _extent(plan: PlanSummary) -> str:
    versions = counted(plan.entries, "version")
    held = f"{counted(plan.objects, 'object')}, {size(plan.bytes)}"
    match plan.mode:
        case Mode.BOTH:
            return f"{versions}: bytes and rows, {held}"
        case Mode.ONLY_ARTIFACT:
            return f"the bytes of {versions}: {held}"
        case Mode.ONLY_METADATA:
            return f"the rows of {versions}"
        case _:
            assert_never(plan.mode)


def _promise(mode: Mode) -> str:
    match mode:
        case Mode.BOTH:
            return "Each version is looked at again first, and kept if anything refers to it."
        case Mode.ONLY_ARTIFACT:
            return "The rows stay: these versions are still listed, and can no longer be loaded."
        case Mode.ONLY_METADATA:
            return "The bytes stay, and the catalog no longer knows where they are."
        case _:
            assert_never(mode)


def _undo(undo: Undo, flavor: str) -> Text:
    match undo:
        case Undo.NONE:
            return words(f"! The {flavor} store has no undo: deleted bytes cannot be brought back.", BAD)
        case Undo.VERSIONED:
            return words(f"  The {flavor} store keeps versions: deleted bytes can be brought back from them.")
        case Undo.SOFT_DELETE:
            return words(f"  The {flavor} store keeps deleted bytes for a while: they can be brought back until then.")
        case Undo.UNKNOWN:
            return words(f"! Whether the {flavor} store has an undo is unknown: take it that it has none.", CAUTION)
        case _:
            assert_never(undo)
