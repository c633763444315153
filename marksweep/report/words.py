"""What modes, reasons and stores mean, in plain English: one place for the sentences that several views share."""

from __future__ import annotations

from typing import assert_never

from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.model.verdict import KeptReason
from marksweep.plan.document import CatalogFacts
from marksweep.report.parts import listed
from marksweep.report.text import counted, duration, size

NOTHING = "Nothing to do: under this policy, no version in the catalog is an orphan."
"""What an empty plan means."""
KEPT = {
    KeptReason.REFERENCED: "a step, run, model or config refers to it",
    KeptReason.PINNED: "pinned with --pin",
    KeptReason.FILTERED: "outside the filters of this plan",
    KeptReason.REGISTERED: "only registered: the data is the user's own",
    KeptReason.BYTES_DELETED: "an only-artifact sweep has deleted its bytes",
    KeptReason.IN_MEMORY: "nothing of it is stored",
    KeptReason.STORE_DELETED: "the catalog no longer has its artifact store",
    KeptReason.UNKNOWN_FLAVOR: "marksweep cannot delete from this kind of store",
    KeptReason.UNSAFE_URI: "its URI is not safe to delete",
    KeptReason.OUTSIDE_STORE: "its URI lies outside its store's root",
    KeptReason.NEAR_ROOT: "its URI is a store's root, or too close to it",
    KeptReason.TOO_YOUNG: "younger than the minimum age or --older-than",
    KeptReason.UNFINISHED_RUN: "a run that has not finished may still link it",
    KeptReason.NEWEST: "one of its artifact's newest (--keep-latest)",
    KeptReason.FIRST_SEEN: "no entry of the earlier plan (--seen-in)",
    KeptReason.CLAIMED: "something alive uses the same place",
    KeptReason.STORE_UNREACHABLE: "its place could not be looked at",
}
"""Why a version is no orphan: at most 47 characters, so that the table fits into 80 columns."""


def kept_meaning(reason: str) -> str:
    """What a kept reason, as it stands in a plan, means; empty for one that this release does not know."""
    try:
        return KEPT[KeptReason(reason)]
    except ValueError:
        return ""


def mode_words(mode: Mode) -> str:
    """What a plan's mode deletes, for a headline."""
    match mode:
        case Mode.BOTH:
            return "both artifact and metadata"
        case Mode.ONLY_ARTIFACT:
            return "only artifact: the rows stay"
        case Mode.ONLY_METADATA:
            return "only metadata: the bytes stay"
        case _:
            assert_never(mode)


def undo_words(undo: Undo) -> str:
    """Whether a delete can be undone, for the line of a store."""
    match undo:
        case Undo.VERSIONED:
            return "versioned: can be undone"
        case Undo.SOFT_DELETE:
            return "deleted bytes are kept for a while: can be undone until then"
        case Undo.NONE:
            return "cannot be undone"
        case Undo.UNKNOWN:
            return "nobody knows whether it can be undone"
        case _:
            assert_never(undo)


def catalog_words(catalog: CatalogFacts) -> str:
    """Which catalog: kind, release, dialect and server."""
    return f"{catalog.kind} {catalog.release} on {catalog.dialect}, server {catalog.server_id}"


def policy_dangers(policy: Policy) -> dict[str, str]:
    """What makes a plan more dangerous than usual: a stable code -> a sentence, shown in red wherever the plan is shown."""
    found = {
        "no_grace": "--no-grace: no minimum age and no unfinished-run rule",
        "ignore_model_links": "--ignore-model-links: versions that only model versions refer to are planned",
        "include_registered": "--include-registered: data that ZenML did not write is planned",
        "all_versions": "--all-versions: every version of an object goes, and nothing can bring it back",
    }
    chosen = {
        "no_grace": not policy.grace,
        "ignore_model_links": policy.ignore_model_links,
        "include_registered": policy.include_registered,
        "all_versions": policy.all_versions,
    }
    return {code: text for code, text in found.items() if chosen[code]}


def dangers(policy: Policy) -> list[str]:
    """The sentences of :func:`policy_dangers`."""
    return list(policy_dangers(policy).values())


def filters(policy: Policy) -> list[str]:
    """The choices of a policy that narrow or cap its plan."""
    found = [f"minimum age {duration(policy.min_age)}"] if policy.grace else []
    if policy.older_than is not None:
        found.append(f"only older than {duration(policy.older_than)}")
    if policy.keep_latest:
        found.append(f"keep the newest {policy.keep_latest:,} of each artifact")
    for label, names in (
        ("only projects", policy.projects),
        ("only artifacts", policy.artifacts),
        ("not artifacts", policy.exclude_artifacts),
        ("only tags", policy.tags),
        ("not tags", policy.exclude_tags),
        ("only stores", policy.stores),
        ("pinned", policy.pins),
    ):
        if names:
            found.append(f"{label} {listed(names)}")
    if policy.seen_in is not None:
        found.append(f"only what plan {policy.seen_in} holds, too")
    if policy.keep_artifacts:
        found.append("empty artifacts stay")
    return found + _caps(policy)


def _caps(policy: Policy) -> list[str]:
    found = []
    if policy.max_entries is not None:
        found.append(f"at most {counted(policy.max_entries, 'entry', 'entries')}")
    if policy.max_bytes is not None:
        found.append(f"at most {size(policy.max_bytes)}")
    if policy.max_share is not None:
        found.append(f"at most {policy.max_share} % of the catalog")
    if policy.max_jump is not None:
        found.append(f"at most {counted(policy.max_jump, 'percentage point')} more than in the plan before")
    return found
