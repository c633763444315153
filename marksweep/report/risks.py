"""What a reviewer should know before approving a plan: the rules, asked in order, each with a code and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from marksweep.model.instant import from_text
from marksweep.model.outcome import LIMITS, Mode
from marksweep.model.policy import FORGE_SHOWS
from marksweep.model.store import Undo
from marksweep.plan.document import Header
from marksweep.report.overview_documents import Branch, Risk, Severity, StoreShare
from marksweep.report.text import count, counted, duration, extent, plain, share, size, when
from marksweep.report.words import policy_dangers

LARGE_SHARE: Final = 30
"""Per cent of the catalog's versions from which on a plan is unusual ..."""
HUGE_SHARE: Final = 50
"""... and above which it is dangerous."""
EXPIRES_SOON: Final = timedelta(hours=48)
"""Time left below which reviewers should hurry, or ask for a new plan."""
_NAME = 60
"""Columns of a name from the catalog in a sentence."""
_PLACES = 3
"""Stores that one sentence names."""
_ORDER: Final = tuple(Severity)
_LASTING: Final[tuple[tuple[Undo, Severity, str, str], ...]] = (
    (Undo.NONE, Severity.DANGER, "no_undo", "cannot be undone"),
    (Undo.UNKNOWN, Severity.CAUTION, "undo_unknown", "nobody knows whether it can be undone"),
)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the rules look at: the header, the sums over its entries, when it is looked at, and who approved it so far
    (None if nobody is to approve it). ``broken``: a sentence for each rule of the reviewers' own policy that it breaks.

    Entries: ``fresh`` younger than a day, ``young`` younger than a week (those too), ``unsized`` of unknown size,
    ``bare`` without any object, ``shared`` in another one's place, ``linked`` that a model version refers to, ``hidden``
    with characters that nobody sees. ``biggest``: the artifact with the most bytes; null if a size is unknown.
    """

    header: Header
    now: datetime
    approvals: Sequence[str] | None
    broken: Sequence[str]
    artifacts: int
    stores: Sequence[StoreShare]
    biggest: Branch | None
    fresh: int
    young: int
    unsized: int
    bare: int
    shared: int
    linked: int
    hidden: int


def risks(plan: Reviewed) -> tuple[Risk, ...]:
    """Every risk of *plan*, most severe first; those of one severity in the order of the rules."""
    found = [risk for rule in _RULES for risk in rule(plan)]
    return tuple(sorted(found, key=lambda risk: _ORDER.index(risk.severity)))


def _entries(number: int) -> str:
    return counted(number, "entry", "entries")


def _about(severity: Severity, code: str, fact: str, names: Sequence[str]) -> Risk:
    shown = tuple(plain(name, _NAME) for name in names)
    return Risk(severity=severity, code=code, text=f"{fact}: {', '.join(shown)}", names=shown)


def _expiry(plan: Reviewed) -> Iterator[Risk]:
    expires = plan.header.plan.expires
    left = from_text(expires) - plan.now
    if left <= timedelta(0):
        text = f"expired on {when(expires)}: no sweep takes it; make a new plan"
        yield Risk(severity=Severity.DANGER, code="expired", text=text)
    elif left < EXPIRES_SOON:
        rest = duration(timedelta(minutes=left // timedelta(minutes=1)))
        yield Risk(severity=Severity.CAUTION, code="expires_soon", text=f"expires in {rest}, on {when(expires)}")


def _broken(plan: Reviewed) -> Iterator[Risk]:
    for sentence in plan.broken:
        text = plain(sentence)
        yield Risk(severity=Severity.DANGER, code="breaks_policy", text=f"it breaks the policy: {text}", names=(text,))


def _policy(plan: Reviewed) -> Iterator[Risk]:
    for code, text in policy_dangers(plan.header.policy).items():
        yield Risk(severity=Severity.DANGER, code=code, text=text)


def _model_links(plan: Reviewed) -> Iterator[Risk]:
    if plan.linked:
        text = f"{_entries(plan.linked)} a model version still refers to: such links were ignored"
        yield Risk(severity=Severity.DANGER, code="model_links", text=text)


def _undo(plan: Reviewed) -> Iterator[Risk]:
    if plan.header.plan.mode is Mode.ONLY_METADATA:
        return
    for undo, severity, code, fact in _LASTING:
        stores = [store for store in plan.stores if store.undo is undo and store.entries]
        if stores:
            total = None if any(s.bytes is None for s in stores) else sum(s.bytes or 0 for s in stores)
            text = f"{extent(sum(s.entries for s in stores), total)}, {fact}"
            if undo is Undo.NONE and all(store.flavor == "local" for store in stores):
                text += ", unless the sweep has a --trash"
            if len(stores) > _PLACES:
                text += f", in {len(stores):,} stores, such as"
            yield _about(severity, code, text, [store.root or "outside of all roots" for store in stores[:_PLACES]])


def _share(plan: Reviewed) -> Iterator[Risk]:
    entries, versions = plan.header.totals.entries, plan.header.totals.versions_in_catalog
    if 100 * entries >= LARGE_SHARE * versions and entries:
        severity = Severity.DANGER if 100 * entries > HUGE_SHARE * versions else Severity.CAUTION
        text = f"{share(entries, versions)} of the catalog would go: {count(entries)} of {counted(versions, 'version')}"
        yield Risk(severity=severity, code="large_share", text=text)


def _nothing_referenced(plan: Reviewed) -> Iterator[Risk]:
    if plan.header.totals.entries and not plan.header.totals.kept.get("referenced"):
        text = "nothing in the catalog is kept because something refers to it: is it the right database, and whole?"
        yield Risk(severity=Severity.DANGER, code="nothing_referenced", text=text)


def _hidden(plan: Reviewed) -> Iterator[Risk]:
    if plan.hidden:
        text = f"{_entries(plan.hidden)} with hidden or misleading characters in a name or URI: they are shown escaped"
        yield Risk(severity=Severity.CAUTION, code="hidden_characters", text=text)


def _limits(plan: Reviewed) -> Iterator[Risk]:
    if limits := LIMITS[plan.header.plan.mode]:
        yield Risk(severity=Severity.CAUTION, code="mode_limits", text=limits)


def _sizes(plan: Reviewed) -> Iterator[Risk]:
    if plan.unsized and not plan.header.policy.sizes:
        text = "--no-size: the objects were not looked at, so a sweep cannot tell if they changed"
        yield Risk(severity=Severity.CAUTION, code="no_size", text=text)
    elif plan.unsized:
        yield Risk(severity=Severity.CAUTION, code="sizes_unknown", text=f"{_entries(plan.unsized)} of unknown size")


def _young(plan: Reviewed) -> Iterator[Risk]:
    if plan.young:
        fresh = f", {count(plan.fresh)} of them less than a day" if plan.fresh else ""
        every = plan.fresh == plan.young
        text = f"{_entries(plan.young)} less than {'a day old' if every else f'7 days old{fresh}'}"
        yield Risk(severity=Severity.CAUTION, code="young", text=text)


def _dominant(plan: Reviewed) -> Iterator[Risk]:
    total, biggest = plan.header.totals.bytes, plan.biggest
    if total and biggest is not None and plan.artifacts > 1 and 2 * (biggest.bytes or 0) > total:
        part = share(biggest.bytes or 0, total)
        text = f"one artifact alone has {part} of the bytes, {size(biggest.bytes)}"
        yield _about(Severity.CAUTION, "one_artifact", text, [biggest.artifact])


def _bare(plan: Reviewed) -> Iterator[Risk]:
    if plan.bare:
        text = f"{_entries(plan.bare)} without any object: of those only the rows go"
        yield Risk(severity=Severity.NOTE, code="no_objects", text=text)


def _shared(plan: Reviewed) -> Iterator[Risk]:
    if plan.shared:
        text = f"{_entries(plan.shared)} in the place of another entry, where objects and bytes are counted once"
        yield Risk(severity=Severity.NOTE, code="shared_places", text=text)


def _long(plan: Reviewed) -> Iterator[Risk]:
    entries = plan.header.totals.entries
    if entries > FORGE_SHOWS:
        text = f"{_entries(entries)} are more than a forge's diff shows: read this summary, not the diff"
        yield Risk(severity=Severity.NOTE, code="long_diff", text=text)


def _approvals(plan: Reviewed) -> Iterator[Risk]:
    if plan.header.totals.entries and plan.approvals is not None and not plan.approvals:
        yield Risk(severity=Severity.NOTE, code="no_approvals", text="nobody has approved it yet")


_RULES: Final[tuple[Callable[[Reviewed], Iterator[Risk]], ...]] = (
    _expiry, _broken, _policy, _model_links, _undo, _nothing_referenced, _share, _hidden, _limits, _sizes, _young, _dominant,
    _bare, _shared, _long, _approvals,
)  # fmt: skip
