"""Ranks, totals, horizons and explanations: every version gets exactly one verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marksweep.catalog.port import Places, Sift
from marksweep.mark.explain import explain
from marksweep.model.policy import UNFINISHED_RUN_HORIZON, Policy
from marksweep.model.verdict import TOMBSTONE, KeptReason
from marksweep.model.version import ReferenceKind, Surveyed, Version
from tests.support.fakes import NOW, OLD, FakeCatalog, version
from tests.unit.mark.support import examined, worksheet_of

ROOT = "s3://bucket/root/k"


def ranked(*facts: tuple[str, timedelta, int | None]) -> list[Version]:
    """Versions of one artifact: id, how long after OLD, number."""
    return [
        version(id_, f"{ROOT}/{id_}", artifact_id="A", created=OLD + after, number=number)
        for id_, after, number in facts
    ]


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("count", "versions", "planned"),
    [
        (0, ranked(("a", SECOND, 1), ("b", 2 * SECOND, 2)), {"a", "b"}),
        (1, ranked(("a", SECOND, 1), ("b", 2 * SECOND, 2)), {"a"}),
        (2, ranked(("a", SECOND, 1), ("b", 2 * SECOND, 2)), set()),
        (9, ranked(("a", SECOND, 1), ("b", 2 * SECOND, 2)), set()),
        (1, ranked(("a", 2 * SECOND, 1), ("b", SECOND, 2)), {"b"}),  # created goes before the number
        (1, ranked(("a", SECOND, 10), ("b", SECOND, 9)), {"b"}),  # a tie: the number, as a number
        (1, ranked(("a", SECOND, 1), ("b", SECOND, None)), {"b"}),  # a custom version has no number
        (1, ranked(("a", SECOND, None), ("b", SECOND, None)), {"a"}),  # then the id
        (1, ranked(("a", SECOND, 1), ("b", SECOND + timedelta(microseconds=1), 1)), {"a"}),
        (1, ranked(("a", SECOND + timedelta(microseconds=1), 1), ("b", SECOND, 1)), {"b"}),
    ],
)
def test_keep_latest_ranks_by_created_then_number_then_id(
    count: int, versions: list[Version], planned: set[str]
) -> None:
    """Within one artifact; zero keeps none."""
    found = examined(versions, keep_latest=count)
    assert found.ids == planned
    assert found.kept.get("newest", 0) == len(versions) - len(planned)


def test_keep_latest_counts_versions_that_are_kept_anyway() -> None:
    """The newest two of three are kept, whoever else keeps one of them; each artifact by itself."""
    versions = ranked(("a", SECOND, 1), ("b", 2 * SECOND, 2), ("c", 3 * SECOND, 3))
    assert examined(versions, live=["c"], keep_latest=2).kept == {"referenced": 1, "newest": 1}
    other = version("z", f"{ROOT}/z", artifact_id="B")
    assert examined([*versions, other], keep_latest=1).ids == {"a", "b"}


def test_the_unfinished_run_horizon_is_asked_of_the_catalog() -> None:
    """A run that began more than seven days ago was killed, and protects nothing any more."""
    catalog = FakeCatalog([version("a", f"{ROOT}/a", created=NOW - timedelta(days=2))])
    for began, ids in (
        (NOW - timedelta(days=7), set()),
        (NOW - timedelta(days=7, seconds=1), {"a"}),
        (NOW - timedelta(days=1), {"a"}),
    ):
        catalog.unfinished = began
        assert examined([], catalog=catalog).ids == ids
    assert catalog.asked_not_before == NOW - UNFINISHED_RUN_HORIZON


def test_tags_are_asked_for_only_when_a_filter_needs_them() -> None:
    """They cost a query per page."""
    catalog = FakeCatalog([version("a", f"{ROOT}/a")])
    for policy, asked in (({}, False), ({"tags": ("x",)}, True), ({"exclude_tags": ("x",)}, True)):
        examined([], catalog=catalog, **policy)
        assert catalog.asked_for_tags is asked


def test_the_reason_says_when_model_links_were_ignored() -> None:
    """A reviewer must see which entries only that option brought in."""
    versions = [version("a", f"{ROOT}/a"), version("b", f"{ROOT}/b")]
    catalog = FakeCatalog(versions, {"b": {ReferenceKind.MODEL_VERSION}})
    assert [(e.id, e.reason) for e in examined([], catalog=catalog, ignore_model_links=True).entries] == [
        ("a", "unreferenced"), ("b", "model_links_ignored"),
    ]  # fmt: skip
    assert examined([], catalog=catalog).ids == {"a"}


def test_a_pin_that_matches_nothing_is_a_warning() -> None:
    """And one that matches is none."""
    watcher = examined([version("a", f"{ROOT}/a")], pins=("name-a", "nmae-b")).watcher
    assert watcher.warnings == ["'nmae-b' is to be kept out of the plan, but matches no version: check its spelling"]
    assert watcher.versions == 1
    assert watcher.compared


def test_an_entry_holds_the_catalogs_own_spelling() -> None:
    """Order and prefix come from the key, what is compared with the row is the URI as written."""
    (entry,) = examined([version("a", "s3a://bucket/root/k/a/", created=OLD, version="gold-1.0b")]).entries
    assert (entry.uri, entry.key, entry.version) == ("s3a://bucket/root/k/a/", "s3://bucket/root/k/a/", "gold-1.0b")
    assert (entry.objects, entry.bytes, entry.fingerprint) == (None, None, None)


VERSION = st.builds(
    lambda n, path, after, number, artifact, store, registered, kinds: (
        version(
            f"v{n}", path, created=NOW - timedelta(hours=after), number=number, artifact_id=artifact, artifact=artifact,
            store_id=store, registered=registered,
        ),
        kinds,
    ),
    st.integers(0, 10**6),
    st.one_of(
        st.sampled_from(["memory://x", TOMBSTONE + ROOT, "s3://bucket/root", "/tmp/a/b", f"{ROOT}/a/../b", "x"]),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda p: "/".join([ROOT, *p])),
    ),
    st.integers(0, 60),
    st.one_of(st.none(), st.integers(1, 3)),
    st.sampled_from(["A", "B", "C"]),
    st.sampled_from(["store", "store", "store", None, "gone"]),
    st.booleans(),
    st.sets(st.sampled_from(list(ReferenceKind)), max_size=1),
)  # fmt: skip
POLICY = st.fixed_dictionaries(
    {
        "grace": st.booleans(),
        "keep_latest": st.integers(0, 2),
        "include_registered": st.booleans(),
        "ignore_model_links": st.booleans(),
        "artifacts": st.sampled_from([(), ("A",), ("[AB]",)]),
        "pins": st.sampled_from([(), ("B",), (f"{ROOT}/a",)]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(VERSION, max_size=10, unique_by=lambda v: v[0].id), POLICY)
def test_every_version_has_exactly_one_verdict(
    cast: list[tuple[Version, set[ReferenceKind]]], policy: dict[str, object]
) -> None:
    """Entries and kept counts add up to the catalog, reason by reason (``examined`` asserts the sum)."""
    catalog = FakeCatalog([v for v, _ in cast], {v.id: kinds for v, kinds in cast}, unfinished=NOW - timedelta(days=2))
    found = examined([], catalog=catalog, **policy)
    alone = Counter(
        answer.rule.value
        for v, kinds in cast
        if (answer := found.examined.judge.verdict(Surveyed(v, frozenset(kinds)))) is not None
    )
    together = {r: n for r, n in found.kept.items() if r in ("newest", "claimed")}
    assert found.kept == {**alone, **together}


def test_explain_asks_every_rule_and_agrees_with_the_plan() -> None:
    """The verdict of each version, with the two rules that see more than one version."""
    versions = [
        *ranked(("old", SECOND, 1), ("new", 2 * SECOND, 2)),
        version("linked", f"{ROOT}/x/y"),
        version("inside", f"{ROOT}/x/y/z"),
        version("young", f"{ROOT}/w", created=NOW),
    ]
    catalog = FakeCatalog(versions, {"linked": {ReferenceKind.HOOK_OUTPUT}})
    with worksheet_of(catalog, Policy(keep_latest=1)) as (worksheet, found, _):
        explained = {e.version.id: e for e in explain(catalog, found, worksheet, versions)}
    verdicts = {id_: e.keeps.rule if e.keeps else None for id_, e in explained.items()}
    assert verdicts == {
        "old": None, "new": KeptReason.NEWEST, "linked": KeptReason.REFERENCED, "inside": KeptReason.NEWEST,
        "young": KeptReason.TOO_YOUNG,
    }  # fmt: skip
    assert all(len(e.answers) == len(KeptReason) - 1 for e in explained.values()), "all but the store's own answer"
    assert [r.kind for r in explained["linked"].references] == [ReferenceKind.HOOK_OUTPUT]


def test_explain_names_whose_place_it_is() -> None:
    """The holder in words; without keep-latest nothing is said to be newest."""
    versions = [version("linked", f"{ROOT}/x/y"), version("inside", f"{ROOT}/x/y/z")]
    catalog = FakeCatalog(versions, {"linked": {ReferenceKind.HOOK_OUTPUT}})
    with worksheet_of(catalog, Policy()) as (worksheet, found, _):
        explained = {e.version.id: e for e in explain(catalog, found, worksheet, versions)}
        found.claimed_by.clear()  # as if more than REMEMBERED others were kept before it
        (forgotten,) = explain(catalog, found, worksheet, versions[1:])
    keeps = explained["inside"].keeps
    assert keeps is not None
    assert (keeps.rule, keeps.detail) == (KeptReason.CLAIMED, "its place overlaps that of version linked")
    assert forgotten.keeps is not None
    assert forgotten.keeps.rule is KeptReason.CLAIMED


@pytest.mark.parametrize(
    ("policy", "all_of_them"),
    [
        ({}, False), ({"tags": ("x",)}, False), ({"artifacts": ("x",)}, False), ({"grace": False}, False),
        ({"keep_latest": 1}, True), ({"pins": ("x",)}, True), ({"projects": ("x",)}, True),
        ({"exclude_artifacts": ("x",)}, True), ({"exclude_tags": ("x",)}, True),
    ],
)  # fmt: skip
def test_referenced_versions_are_looked_at_only_if_the_policy_counts_or_names_them(
    policy: dict[str, object], all_of_them: bool
) -> None:
    """Most versions are referenced, and of those nothing but the place matters; they are counted all the same."""
    catalog = FakeCatalog([version("a", f"{ROOT}/a"), version("b", f"{ROOT}/b")], {"b": {ReferenceKind.STEP_INPUT}})
    found = examined([], catalog=catalog, **policy)
    assert (catalog.left_out == frozenset()) is all_of_them
    assert (found.versions, found.kept["referenced"], found.watcher.versions) == (2, 1, 2)


def test_a_model_link_that_is_ignored_leaves_nothing_out() -> None:
    """Every other kind does."""
    catalog = FakeCatalog([version("a", f"{ROOT}/a")])
    examined([], catalog=catalog, ignore_model_links=True)
    assert catalog.left_out == frozenset(ReferenceKind) - {ReferenceKind.MODEL_VERSION}


def test_a_version_that_came_after_the_survey_protects_its_place() -> None:
    """It was not judged, so it counts as referenced, and keeps what overlaps it."""

    class Growing(FakeCatalog):
        def places(self, sift: Sift) -> Iterator[Places]:
            self.versions.append(version("late", f"{ROOT}/k/a/b"))
            return super().places(sift)

    found = examined([], catalog=Growing([version("a", f"{ROOT}/k/a"), version("b", f"{ROOT}/k/b")]))
    assert (found.ids, found.kept) == ({"b"}, {"claimed": 1, "referenced": 1})


def test_an_orphan_whose_uri_changes_meanwhile_protects_its_new_place() -> None:
    """It was read twice; neither place is planned if another orphan has a claim to it."""

    class Moving(FakeCatalog):
        def places(self, sift: Sift) -> Iterator[Places]:
            self.versions[0] = version("a", f"{ROOT}/k/b/inside")
            return super().places(sift)

    found = examined([], catalog=Moving([version("a", f"{ROOT}/k/a"), version("b", f"{ROOT}/k/b")]))
    assert (found.ids, found.kept) == (set(), {"claimed": 2})
