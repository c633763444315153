"""The expectations that other tests rest on agree with the ground truth that they were derived from."""

from __future__ import annotations

from tests.support.catalogs import CLAIMED, REFERENCED, RealCatalog, expected_kept_reason, expected_orphans
from tests.support.differences import differences, expected_differences

ORPHANS = {"0.70.0": 23, "0.85.0": 26, "0.98.0": 27}


def test_the_orphans_of_each_release_are_as_counted_by_hand(real_catalog: RealCatalog) -> None:
    """Unreferenced by foreign keys, less: soft references, registered data, and the deleted store's version."""
    orphans = expected_orphans(real_catalog)
    assert len(orphans) == ORPHANS[real_catalog.release]
    assert all(real_catalog.by_id[identifier]["orphan"] for identifier in orphans)


def test_json_of_dead_snapshots_keeps_nothing(real_catalog: RealCatalog) -> None:
    """Only the JSON of a live snapshot keeps a version: a deleted run's external input is an orphan."""
    kept = expected_kept_reason(real_catalog)
    assert not real_catalog.ids("external_run_deleted") & set(kept)
    live = real_catalog.ids(
        "named_snapshot_external_only", "inflight_run_killed_mid_pipeline", "curated_visualization_only"
    )
    assert live
    assert {kept[identifier] for identifier in live} == {REFERENCED}


def test_registered_data_may_be_included_but_not_what_others_claim(real_catalog: RealCatalog) -> None:
    """``--include-registered`` adds the two that nobody shares; those that overlap a linked version stay."""
    added = expected_orphans(real_catalog, include_registered=True) - expected_orphans(real_catalog)
    assert added == real_catalog.ids("preexisting_dir_unlinked", "preexisting_file_unlinked")
    kept = expected_kept_reason(real_catalog, include_registered=True)
    shared = real_catalog.ids(
        "overlap_parent_unlinked", "same_uri_trailing_slash_unlinked", "same_uri_other_project_unlinked"
    )
    assert {kept[identifier] for identifier in shared} == {CLAIMED}


def test_the_table_of_differences_is_complete(real_catalog: RealCatalog) -> None:
    """What ZenML calls unused and the expectations keep is what the table says, and nothing else."""
    assert differences(real_catalog, expected_orphans(real_catalog)) == expected_differences(real_catalog.release)
