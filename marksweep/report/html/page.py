"""Write the report: the template, its styles and scripts, and what the browser may do with them.

The page's own policy allows the scripts and styles of this package, by their digests, and nothing else: no network, no
other script, no markup made from text. Names reach the page through :func:`plain` and autoescaping, or as JSON that the
scripts put in as text.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import shlex
from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final, TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from marksweep.model.entry import Entry
from marksweep.model.outcome import LIMITS, Mode
from marksweep.model.store import Undo
from marksweep.report.authority_view import trust_option
from marksweep.report.documents import PlanSummary, ShowResult
from marksweep.report.html.columns import blocks, script_json
from marksweep.report.overview import AGES, LARGER, SHARED, SIZES, UNKNOWN
from marksweep.report.text import count, counted, duration, plain, share, size, when
from marksweep.report.words import catalog_words, filters, kept_meaning, mode_words, undo_words

PRINTED: Final = 200
"""Entries that are printed: a page of paper holds about thirty."""
STYLES: Final = ("assets/page.css", "assets/parts.css")
SCRIPTS: Final = (
    "vendor/d3-hierarchy.min.js",
    "vendor/tanstack-virtual-core.min.js",
    "assets/entries.js",
    "assets/grid.js",
    "assets/treemap.js",
    "assets/page.js",
)
"""In the order in which they run."""
_FATES: Final = {
    Mode.BOTH: "be deleted",
    Mode.ONLY_ARTIFACT: "lose their bytes",
    Mode.ONLY_METADATA: "lose their rows",
}


def write_html(result: ShowResult, entries: Iterable[Entry], out: TextIO) -> None:
    """Write the report of the plan in *result*, with all of its *entries* (in plan order), to *out* (UTF-8).

    The entries are read once and written as they come, in the same memory for every plan. ``result.entries`` is not used.
    """
    left = iter(entries)
    first = list(itertools.islice(left, PRINTED))
    plan = result.plan
    styles, scripts = ([_asset(name) for name in names] for names in (STYLES, SCRIPTS))
    page = _environment().get_template("report.html.jinja")
    pieces = page.generate(
        plan=plan,
        overview=result.overview,
        policy=_content_policy(styles, scripts),
        styles=styles,
        scripts=scripts,
        facts=Markup(script_json(_facts())),  # noqa: S704
        blocks=(Markup(block) for block in blocks(itertools.chain(first, left), plan.created)),  # noqa: S704
        first=first,
        undo=_undo(plan),
        fate=_FATES[plan.mode],
        newline=Markup("\n"),
        approve=result.approve,
        trusted=result.trusted,
        verify=shlex.join(["marksweep", "verify", plan.path, *trust_option(result.trusted)]),
    )
    for piece in pieces:
        out.write(piece)


def _environment() -> Environment:
    """Templates that escape everything, and show every string through :func:`plain`."""
    environment = Environment(
        loader=PackageLoader("marksweep.report.html"),
        autoescape=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count, "share": share, "size": size, "when": when, "kept_meaning": kept_meaning,
        "mode_words": mode_words, "undo_words": undo_words, "catalog_words": catalog_words, "policy_filters": filters,
        "day": _day, "life": _life, "per_mille": _per_mille,
    }  # fmt: skip
    environment.globals |= {"counted": counted, "limits": LIMITS}
    return environment


def _asset(name: str) -> Markup:
    return Markup(files("marksweep.report.html").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704


def _content_policy(styles: Iterable[Markup], scripts: Iterable[Markup]) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digests(scripts)}",
            f"style-src {_digests(styles)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _digests(assets: Iterable[Markup]) -> str:
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(a.encode()).digest()).decode()}'" for a in assets)


def _facts() -> dict[str, Any]:
    """What the scripts know beside the entries: where the bars of the distributions begin and end."""
    return {
        "ages": [{"label": label, "from": days * 86_400} for label, days in sorted(AGES, key=lambda age: age[1])],
        "sizes": [{"label": label, "to": limit} for label, limit in SIZES],
        "larger": LARGER,
        "unknown": UNKNOWN,
        "shared": SHARED,
        "printed": PRINTED,
    }


def _undo(plan: PlanSummary) -> tuple[str, str]:
    """Whether the whole plan can be undone, in a word, and how good that is (``good``, ``caution``, ``danger``)."""
    if plan.mode is Mode.ONLY_METADATA:
        return "Bytes stay", "good"
    found = {store.undo for store in plan.stores}
    if plan.policy.all_versions or found == {Undo.NONE}:
        return "No", "danger"
    if found <= {Undo.VERSIONED, Undo.SOFT_DELETE}:
        return "Yes", "good"
    return ("Partly", "danger") if Undo.NONE in found else ("Unknown", "caution")


def _day(moment: str) -> str:
    return when(moment)[:10]


def _life(plan: PlanSummary) -> str:
    try:
        span = datetime.fromisoformat(plan.expires) - datetime.fromisoformat(plan.created)
    except (ValueError, TypeError):
        return ""
    return duration(span - timedelta(microseconds=span.microseconds))


def _per_mille(part: int | None, whole: int | None) -> int:
    """The width of a bar in thousandths: at least 4 for what is not nothing, so that it can be seen."""
    return max(4, round(1000 * part / whole)) if part and whole else 0
