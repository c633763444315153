"""A plan as a comment on a pull request: Markdown for GitHub and GitLab, cut to the length that the forge takes.

What is always there: the marker by which a bot finds its comment, the verdict, the totals, the digest, and how many
entries are not shown. The rest gives way: rows from the ends of the tables first, then whole sections. Whatever somebody
else wrote stands inside ``<code>``, each character that Markdown, HTML or a forge could read as a character reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from marksweep.report.documents import EntryLine, PlanSummary, ShowResult
from marksweep.report.markdown_parts import Section, code, fixed, header, listing, pre, row
from marksweep.report.overview_documents import Overview, Risk, Severity, Slice
from marksweep.report.overview_words import verdict
from marksweep.report.text import count, counted, size, when
from marksweep.report.trust_documents import TrustFacts
from marksweep.report.words import catalog_words, filters, kept_meaning, mode_words, undo_words

MAX_CHARS: Final = 65_536
"""Characters that GitHub takes in a comment (GitLab takes a million)."""
LEAST_CHARS: Final = 2_000
"""Below that not even the totals are sure to fit."""
LEAST_ROW: Final = 120
"""Characters of the shortest row of an entry, whose place is at least ten characters long."""
ARTIFACTS: Final = 20
"""Artifacts that the table of the biggest shows."""
FOLDED: Final = 20
"""Entries above which one has to unfold their table."""
_FOLDED = "One row each, in the order of their places"
_NAME, _URI, _FACT = 48, 96, 200
"""Columns of a name, of a URI and of a long fact, before their characters are escaped."""
_SLACK = 80
"""Characters for the empty lines between the parts, and for a size of what is left that is longer than that of all."""
_READ = ("risks", "plan", "undo", "biggest", "ages", "sizes", "kept", "approve", "entries")
"""The sections in the order in which one reads them."""
_ABOUT: Final = (
    "marksweep found these artifact versions: nothing in the catalog refers to them. Nothing was deleted so far. After the"
    " approvals, its sweep asks the catalog again about each one, and keeps what is in use by then."
)
"""For a reviewer who has never heard of it."""
_SIGNS: Final = {
    Severity.DANGER: "🔴 **danger**",
    Severity.CAUTION: "🟠 **caution**",
    Severity.NOTE: "⚪ **note**",
}


def markdown(result: ShowResult, max_chars: int = MAX_CHARS) -> str:
    """*result* as Markdown of at most *max_chars* characters (code points, as GitHub counts them; at least 2,000)."""
    if max_chars < LEAST_CHARS:
        raise ValueError(f"a plan does not fit into {max_chars} characters")
    plan = result.plan
    sections = _sections(result)
    head = _head(plan, result.overview)
    room = max_chars - len(head) - len(_rest(plan, ())) - _SLACK - len(_left_out(sections.values()))
    texts: dict[str, str] = {}
    entries = 0
    for name, section in sections.items():
        texts[name], entries = section.fitted(room)
        room -= len(texts[name])
    left_out = [section for name, section in sections.items() if not texts[name] and name != "entries"]
    shown = [texts[name] for name in _READ if texts[name]]
    return "\n".join(filter(None, [head, *shown, _rest(plan, result.entries[:entries]), _left_out(left_out)]))


def _sections(result: ShowResult) -> dict[str, Section]:
    """Most important first: the earlier one takes its room before the later. The entries take what is left."""
    plan, overview = result.plan, result.overview
    return {
        "risks": _risks(overview.risks),
        "approve": _approve(result.approve),
        "plan": _facts(plan, result.trusted),
        "undo": _stores(overview),
        "biggest": _biggest(overview),
        "kept": _kept(plan),
        "ages": _distribution("Age when marked", overview.ages),
        "sizes": _distribution("Size", overview.sizes),
        "entries": _entries(result.entries),
    }


def most_entries(max_chars: int) -> int:
    """How many entries a comment of *max_chars* characters can show at most, so that no more are read."""
    return max_chars // LEAST_ROW


def marker(plan_id: str) -> str:
    """The first line of the comment: a bot edits the comment that begins with it."""
    return f"<!-- marksweep:{re.sub('[^0-9A-Za-z]', '', plan_id)[:64]} -->"


def _head(plan: PlanSummary, overview: Overview) -> str:
    totals = [
        f"**{counted(plan.entries, 'entry', 'entries')}**, {counted(plan.objects, 'object')}, **{size(plan.bytes)}**"
        f" of {counted(plan.versions_in_catalog, 'version')} in the catalog",
        f"digest <code>{fixed(plan.digest)}</code>",
    ]
    title = f"## Plan {code(plan.id, 64)}"
    return f"{marker(plan.id)}\n{title}\n\n**{fixed(verdict(plan, overview))}**\n\n{_ABOUT}\n\n{listing(totals)}\n"


def _risks(risks: Sequence[Risk]) -> Section:
    return Section("What to look at", [f"- {_SIGNS[risk.severity]}: {_risk(risk)}" for risk in risks])


def _risk(risk: Risk) -> str:
    if not risk.names:
        return fixed(risk.text)
    return fixed(risk.text.removesuffix(", ".join(risk.names))) + ", ".join(code(name) for name in risk.names)


def _facts(plan: PlanSummary, trusted: TrustFacts | None) -> Section:
    def rows() -> Iterator[tuple[str, str]]:
        yield "deletes", fixed(mode_words(plan.mode))
        yield "made", f"{code(when(plan.created))} by {code(plan.signer.principal, _NAME)}"
        yield "key", code(plan.signer.fingerprint)
        yield "expires", code(when(plan.expires))
        yield "catalog", code(catalog_words(plan.catalog), _FACT)
        yield "filters", ", ".join(code(choice, _FACT) for choice in filters(plan.policy)) or "none"
        needed = f" ({counted(plan.approvals_needed, 'approval')} needed)" if plan.approvals_needed else ""
        yield "approved by", (", ".join(code(name, _NAME) for name in plan.approvals) or "nobody yet") + needed
        yield "file", code(plan.path, _FACT)
        if plan.entries_uri is not None:
            yield "entries", f"not in this card, but at {code(plan.entries_uri, _FACT)}; the digest covers them"
        if trusted is not None and not trusted.own:
            own = " (**the branch's own**: it proves nothing about a protected branch)" if trusted.branch else ""
            yield "trust from", code(trusted.source, _FACT) + own

    return Section("The plan", [f"- {label}: {value}" for label, value in rows()])


def _stores(overview: Overview) -> Section:
    rows = [
        row(
            code(store.root or "outside of all roots", _URI), code(store.flavor, _NAME), fixed(undo_words(store.undo)),
            count(store.entries), size(store.bytes),
        )
        for store in overview.stores
    ]  # fmt: skip
    return Section("Undo", rows, header("store", "kind", "a delete there", numbers=("entries", "size")))


def _biggest(overview: Overview) -> Section:
    shown = overview.branches[:ARTIFACTS]
    rows = [row(code(b.artifact, _NAME), code(b.project, _NAME), count(b.entries), size(b.bytes)) for b in shown]
    heads = header("artifact", "project", numbers=("entries", "size"))
    return Section(f"Biggest of {counted(overview.artifacts, 'artifact')}", rows, heads)


def _distribution(title: str, slices: Iterable[Slice]) -> Section:
    rows = [row(fixed(part.label), count(part.entries), size(part.bytes)) for part in slices if part.entries]
    return Section(title, rows, header("", numbers=("entries", "bytes")))


def _kept(plan: PlanSummary) -> Section:
    reasons = sorted(plan.kept.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [row(code(reason, _NAME), fixed(kept_meaning(reason)), count(number)) for reason, number in reasons]
    title = f"Kept: {counted(sum(plan.kept.values()), 'version')}"
    return Section(title, rows, header("reason", "meaning", numbers=("versions",)))


def _approve(lines: Sequence[str]) -> Section:
    if not lines:
        return Section("To approve it", [])
    ours, *by_hand = lines
    text = "Sign the plan with your own key, and commit the file that this writes:"
    return Section("To approve it", [f"{text}\n\n{pre([ours])}\n\nor with nothing but OpenSSH:\n\n{pre(by_hand)}"])


def _entries(entries: Sequence[EntryLine]) -> Section:
    rows = [
        row(
            code(entry.artifact, _NAME), code(entry.version, _NAME), code(entry.uri, _URI), code(entry.created[:10]),
            "" if entry.reason == "unreferenced" else code(entry.reason), count(entry.objects), size(entry.bytes),
        )
        for entry in entries
    ]  # fmt: skip
    heads = header("artifact", "version", "place", "created", "note", numbers=("objects", "size"))
    return Section("Entries", rows, heads, counts_rest=False, folded=_FOLDED if len(rows) > FOLDED else "")


def _rest(plan: PlanSummary, shown: Sequence[EntryLine]) -> str:
    """How many entries are not in the comment, and how much they hold."""
    left = plan.entries - len(shown)
    if left <= 0:
        return f"**All {counted(plan.entries, 'entry', 'entries')} shown.**\n" if shown else ""
    known = [entry.bytes for entry in shown if entry.bytes is not None]
    octets = plan.bytes - sum(known) if plan.bytes is not None and len(known) == len(shown) else None
    what = f"… and {left:,} more {'entry' if left == 1 else 'entries'}" if shown else counted(left, "entry", "entries")
    return f"**{what}, {size(octets)}, not shown**: see the plan or the HTML report.\n"


def _left_out(sections: Iterable[Section]) -> str:
    titles = [section.title for section in sections if section.rows]
    return f"Left out for want of room: {', '.join(titles)}.\n" if titles else ""
