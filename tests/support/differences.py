"""Every difference between what marksweep plans and what ZenML's own client lists as unused, by scenario, and why.

Compared on the three real catalogs, over all projects, with ``mark --min-age 0 --no-grace`` and nothing else. All
differences go one way: ZenML calls unused what marksweep keeps. There is nothing that only marksweep would delete.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.catalogs import REFERENCED, REGISTERED, RELEASES, STORE_DELETED, RealCatalog, expected_kept_reason


@dataclass(frozen=True)
class Difference:
    """Versions of one scenario that ZenML lists as unused and marksweep keeps: how many, where, and for what reason."""

    scenario: str
    reason: str
    why: str
    versions: int = 1
    releases: tuple[str, ...] = RELEASES


_MODEL = "only_unused asks step inputs and outputs alone; a model version still links to it"

DIFFERENCES: tuple[Difference, ...] = (
    Difference("model_pipeline_run_deleted_model_kept", REFERENCED, _MODEL, versions=2),
    Difference("model_only_manual", REFERENCED, _MODEL),
    Difference("preexisting_dir_model_only", REFERENCED, _MODEL),
    Difference("overlap_child_model_only", REFERENCED, _MODEL),
    Difference("overlap_sibling_model_only", REFERENCED, _MODEL),
    Difference("same_uri_model_only", REFERENCED, _MODEL),
    Difference("second_store_model_only", REFERENCED, _MODEL),
    Difference(
        "hook_pipeline",
        REFERENCED,
        "the output of a hook: only_unused does not ask hook invocations",
        releases=("0.98.0",),
    ),
    Difference(
        "curated_visualization_only",
        REFERENCED,
        "somebody pinned its visualization to a pipeline; ZenML's prune drops the pin without a word",
        releases=("0.98.0",),
    ),
    Difference(
        "named_snapshot_external_only",
        REFERENCED,
        "a named snapshot passes it to a step; its id stands in JSON, behind no foreign key",
        releases=("0.98.0",),
    ),
    Difference(
        "inflight_run_killed_mid_pipeline",
        REFERENCED,
        "an unfinished run passes it to a step that has not begun; its id stands in JSON of that run's snapshot",
    ),
    Difference("preexisting_dir_unlinked", REGISTERED, "a folder that ZenML only registered: the user's own data"),
    Difference("preexisting_file_unlinked", REGISTERED, "a file that ZenML only registered: the user's own data"),
    Difference(
        "overlap_parent_unlinked",
        REGISTERED,
        "the user's own data, and its folder holds that of a model's version",
    ),
    Difference(
        "same_uri_trailing_slash_unlinked",
        REGISTERED,
        "the user's own data, and another spelling of a linked version's URI",
    ),
    Difference(
        "same_uri_other_project_unlinked",
        REGISTERED,
        "the user's own data, and equal to the URI of a linked version in another project",
        releases=("0.85.0", "0.98.0"),
    ),
    Difference(
        "deleted_store_unlinked",
        STORE_DELETED,
        "its artifact store is no longer in the catalog: ZenML's prune drops the row and leaves the files for ever",
    ),
)


def expected_differences(release: str) -> dict[tuple[str, str], int]:
    """The table for one release: (scenario, reason) -> versions."""
    return {(d.scenario, d.reason): d.versions for d in DIFFERENCES if release in d.releases}


def differences(catalog: RealCatalog, planned: set[str]) -> dict[tuple[str, str], int]:
    """What really differs between *planned* and ZenML's list, as :func:`expected_differences` has it.

    A version that only marksweep would delete counts under the reason ``only marksweep``.
    """
    reasons = expected_kept_reason(catalog)
    found: dict[tuple[str, str], int] = {}
    for version in catalog.truth:
        if version["api_only_unused"] == (version["id"] in planned):
            continue
        reason = reasons.get(version["id"], "no reason") if version["api_only_unused"] else "only marksweep"
        found[version["scenario"], reason] = found.get((version["scenario"], reason), 0) + 1
    return found
