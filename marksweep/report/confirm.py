"""What a person should know before a sweep begins: it names the catalog, how much goes, and what does not come back."""

from __future__ import annotations

import textwrap
from typing import assert_never

from rich.text import Text

from marksweep.model.outcome import LIMITS, Mode
from marksweep.model.store import Undo
from marksweep.report.documents import PlanSummary
from marksweep.report.parts import BAD, CAUTION, QUIET, STRONG, joined, words
from marksweep.report.text import counted, size, when
from marksweep.report.words import catalog_words, dangers


def confirmation(plan: PlanSummary) -> Text:
    """What stands above the question whether to sweep *plan*; several lines, the question itself is not among them."""
    lines = [
        joined(Text("About to sweep ", style=STRONG), words(plan.path, STRONG), f" (made {when(plan.created)})"),
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
        lines.append(Text("! The catalog has no undo: removed rows do not come back, unless from a backup.", style=BAD))
    return Text("\n").join(lines)


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
