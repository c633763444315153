"""Orphan or kept: every rule over values alone, the order of the rules, and the clock passed in."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest

from marksweep.model.policy import Policy
from marksweep.model.uri import claims
from marksweep.model.verdict import TOMBSTONE, Circumstances, Judge, KeptReason
from marksweep.model.version import ArtifactStore, ReferenceKind, Surveyed, Version
from tests.support.fakes import NOW, OLD, version

STORES = {
    "store": ArtifactStore("store", "main", "s3", "s3://bucket/root"),
    "other": ArtifactStore("other", "second", "s3", "s3://bucket/root/deep/other/"),
    "odd": ArtifactStore("odd", "third", "custom", "s3://odd/root"),
    "rootless": ArtifactStore("rootless", "fourth", "local", ""),
}
GOOD = "s3://bucket/root/a/b/c"
MODEL = frozenset({ReferenceKind.MODEL_VERSION})


def judge(now: datetime = NOW, unfinished: datetime | None = None, **policy: object) -> Judge:
    roots = {id_: claims(store.root) if store.root else () for id_, store in STORES.items()}
    return Judge(
        Policy(**policy),  # type: ignore[arg-type]
        Circumstances(now, unfinished, STORES, roots, frozenset({"s3", "local"})),
    )


def reason(one: Version, by: Judge | None = None, references: frozenset[ReferenceKind] = frozenset()) -> str | None:
    answer = (by or judge()).verdict(Surveyed(one, references))
    return answer.rule.value if answer else None


def test_an_old_unreferenced_version_well_inside_its_store_is_an_orphan() -> None:
    """The base that each other test here changes in one point."""
    assert reason(version("v", GOOD)) is None


@pytest.mark.parametrize("kind", list(ReferenceKind))
def test_any_reference_keeps(kind: ReferenceKind) -> None:
    """Whatever its kind."""
    answer = judge().verdict(Surveyed(version("v", GOOD), frozenset({kind})))
    assert answer is not None
    assert (answer.rule, kind.value in answer.detail) == (KeptReason.REFERENCED, True)


@pytest.mark.parametrize("kind", list(ReferenceKind))
def test_ignoring_model_links_ignores_nothing_else(kind: ReferenceKind) -> None:
    """Only the link to a model version, and only when it stands alone."""
    by = judge(ignore_model_links=True)
    assert reason(version("v", GOOD), by, frozenset({kind})) == (None if {kind} == MODEL else "referenced")
    assert reason(version("v", GOOD), by, frozenset({kind}) | MODEL) == (None if {kind} == MODEL else "referenced")


@pytest.mark.parametrize(
    ("uri", "store_id", "expected"),
    [
        (TOMBSTONE + GOOD, "store", "bytes_deleted"),
        ("memory://x/y", "store", "in_memory"),
        ("memory://x/y", None, "in_memory"),
        (GOOD, None, "store_deleted"),
        (GOOD, "nobody", "store_deleted"),
        ("s3://odd/root/a/b", "odd", "unknown_flavor"),
        ("s3://bucket/root/a/../../x/y", "store", "unsafe_uri"),
        ("s3://bucket/root/a//b/c", "store", "unsafe_uri"),
        ("s3://u:p@bucket/root/a/b", "store", "unsafe_uri"),
        ("a/b/c", "store", "unsafe_uri"),
        ("s3://bucket/root-evil/a/b", "store", "outside_store"),
        ("s3://bucket/elsewhere/a/b", "store", "outside_store"),
        ("s3://other-bucket/root/a/b", "store", "outside_store"),
        ("gs://bucket/root/a/b", "store", "outside_store"),
        ("s3://bucket", "store", "outside_store"),
        ("/anything/a/b", "rootless", "outside_store"),
        ("s3://bucket/root", "store", "near_root"),
        ("s3://bucket/root/", "store", "near_root"),
        ("s3://bucket/root/a", "store", "near_root"),
        ("s3://bucket/root/a/", "store", "near_root"),
        ("s3://bucket/root/a/b", "store", None),
        ("s3a://bucket/root/a/b", "store", None),
        # Another store's root lies in, at, or just above these.
        ("s3://bucket/root/deep", "store", "near_root"),
        ("s3://bucket/root/deep/other", "store", "near_root"),
        ("s3://bucket/root/deep/other/x", "store", "near_root"),
        ("s3://bucket/root/deep/other/x/y", "store", None),
        ("s3://bucket/root/deep/other-evil", "store", None),
    ],
)
def test_where_it_lies(uri: str, store_id: str | None, expected: str | None) -> None:
    """Outside a store, at or near a root, above another store's root, nowhere, or in a place with two meanings."""
    assert reason(version("v", uri, store_id=store_id)) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(hours=23, minutes=59, seconds=59, microseconds=999999), "too_young"),
        (timedelta(days=1), None),
        (timedelta(seconds=-5), "too_young"),
    ],
)
def test_the_minimum_age_is_one_day_by_the_clock_passed_in(age: timedelta, expected: str | None) -> None:
    """A version from the future is young too: somebody's clock is wrong."""
    assert reason(version("v", GOOD, created=NOW - age)) == expected


def test_a_version_of_the_future_is_young_even_without_a_minimum_age() -> None:
    """Zero is an age that it has not reached."""
    assert reason(version("v", GOOD, created=NOW + timedelta(seconds=1)), judge(min_age=timedelta(0))) == "too_young"


@pytest.mark.parametrize(("days", "expected"), [(29, "too_young"), (30, "too_young"), (31, None)])
def test_older_than_means_older(days: int, expected: str | None) -> None:
    """Exactly thirty days is not older than thirty days."""
    by = judge(older_than=timedelta(days=30))
    assert reason(version("v", GOOD, created=NOW - timedelta(days=days)), by) == expected


def test_whatever_an_unfinished_run_may_still_link_is_kept() -> None:
    """What was made since it began; what is older is not its own."""
    began = NOW - timedelta(days=5)
    by = judge(unfinished=began)
    assert reason(version("v", GOOD, created=began), by) == "unfinished_run"
    assert reason(version("v", GOOD, created=began + timedelta(hours=1)), by) == "unfinished_run"
    assert reason(version("v", GOOD, created=began - timedelta(microseconds=1)), by) is None


def test_no_grace_switches_off_the_minimum_age_and_the_unfinished_run_and_nothing_else() -> None:
    """``--older-than`` and every other rule still hold."""
    young = NOW - timedelta(minutes=1)
    by = judge(grace=False, unfinished=OLD)
    assert reason(version("v", GOOD, created=young), by) is None
    assert reason(version("v", GOOD, created=young), judge(grace=False, older_than=timedelta(days=1))) == "too_young"
    still = {
        "registered": version("v", GOOD, registered=True),
        "store_deleted": version("v", GOOD, store_id=None),
        "near_root": version("v", "s3://bucket/root"),
        "outside_store": version("v", "s3://bucket/root-evil/a/b"),
        "in_memory": version("v", "memory://x"),
        "bytes_deleted": version("v", TOMBSTONE + GOOD),
        "unknown_flavor": version("v", "s3://odd/root/a/b", store_id="odd"),
        "unsafe_uri": version("v", "s3://bucket/root/../a"),
    }
    assert {expected: reason(one, by) for expected, one in still.items()} == {expected: expected for expected in still}
    assert reason(version("v", GOOD), by, frozenset({ReferenceKind.LAZY_LOADER})) == "referenced"
    assert reason(version("v", GOOD), judge(grace=False, pins=("name-v",))) == "pinned"
    assert reason(version("v", GOOD), judge(grace=False, projects=("x",))) == "filtered"


def test_registered_data_is_the_users_own() -> None:
    """Unless asked for."""
    assert reason(version("v", GOOD, registered=True)) == "registered"
    assert reason(version("v", GOOD, registered=True), judge(include_registered=True)) is None


ID = uuid.UUID("0fd7f7bb-b250-4544-89d9-5b553af942d9")


@pytest.mark.parametrize(
    ("pin", "kept"),
    [
        (str(ID), True), (ID.hex, True), (str(ID).upper(), True), (str(ID)[:-1], False), (str(ID)[:8], False),
        ("model", True), ("mod", False), ("model2", False), ("Model", False), ("mode?", False),
        (GOOD, True), (GOOD + "/", True), ("s3://bucket/root/a", True), ("s3://bucket/root/a/", True),
        ("s3a://bucket/root/a", True), ("s3://bucket", True), ("s3://bucket/root/x/../a", True),
        ("s3://bucket/root/a/b/cd", False), ("s3://bucket/root/a/b/", True), ("s3://bucket/root/a/bb", False),
        ("s3://bucket/ro", False), ("s3://buck", False), ("gs://bucket/root/a", False), ("root/a", False),
        (GOOD + "/weights/model.bin", True), ("", False), ("/", False),
    ],
)  # fmt: skip
def test_pins(pin: str, kept: bool) -> None:
    """An id with or without dashes, a whole name, or a place: by segment, in any spelling, at, above or inside it."""
    assert reason(version(str(ID), GOOD, artifact="model"), judge(pins=(pin,))) == ("pinned" if kept else None)


def _filtered(one: Version, **policy: object) -> bool:
    found = reason(one, judge(**policy))
    assert found in ("filtered", None)
    return found == "filtered"


def test_filters() -> None:
    """Empty means all; names are globs, compared with case; projects and stores are names."""
    one = version("v", GOOD, artifact="train::out[1]", project="p", tags=frozenset({"keep-1", "old"}))
    assert not _filtered(one, projects=("q", "p"))
    assert _filtered(one, projects=("q",))
    assert _filtered(one, projects=("P",))
    assert _filtered(one, projects=("*",)), "a project is a name, not a glob"
    assert not _filtered(one, artifacts=("x", "train::*"))
    assert _filtered(one, artifacts=("Train*",))
    assert _filtered(one, artifacts=("train::out[1]",)), "a glob: [1] is one character"
    assert not _filtered(one, artifacts=("train::out[[]1]",))
    assert _filtered(one, exclude_artifacts=("x", "*out*"))
    assert not _filtered(one, exclude_artifacts=("TRAIN*",))
    assert not _filtered(one, tags=("ol?",))
    assert _filtered(one, tags=("new",))
    assert _filtered(version("v", GOOD), tags=("*",)), "without tags nothing matches --tag"
    assert _filtered(one, exclude_tags=("keep-*",))
    assert not _filtered(one, exclude_tags=("new",))
    assert _filtered(one, tags=("old",), exclude_tags=("keep-*",)), "an exclusion wins"
    assert not _filtered(one, stores=("main",))
    assert not _filtered(one, stores=("store",)), "the id of the store"
    assert _filtered(one, stores=("second",))
    assert _filtered(version("v", GOOD, store_id=None), stores=("main",))


def test_pins_and_exclusions_that_match_nothing_are_named() -> None:
    """A typing error there would delete what somebody meant to keep. A match on a version kept anyway is a match."""
    by = judge(
        pins=("name-used", "typo"),
        exclude_artifacts=("name-u*", "typ*"),
        exclude_tags=("gold", "tpyo"),
        artifacts=("no",),
    )
    used = version("used", GOOD, tags=frozenset({"gold"}))
    by.verdict(Surveyed(used, frozenset({ReferenceKind.STEP_INPUT})))
    by.verdict(Surveyed(version("v", GOOD), frozenset()))
    assert by.unmatched() == ("typo", "typ*", "tpyo")


def test_the_rules_are_asked_in_the_order_of_their_names_and_all_answer() -> None:
    """``explain`` shows every rule once, in the order in which a verdict is found."""
    answers = list(judge().answers(Surveyed(version("v", GOOD), frozenset())))
    of_several = (KeptReason.NEWEST, KeptReason.FIRST_SEEN, KeptReason.CLAIMED, KeptReason.STORE_UNREACHABLE)
    assert [a.rule for a in answers] == [r for r in KeptReason if r not in of_several]
    assert not any(a.keeps for a in answers)
    assert all(a.detail for a in answers)


def test_the_first_rule_that_keeps_is_the_verdict() -> None:
    """One version that nearly every rule keeps loses its reasons one by one, in order."""
    worst = version(
        "v", TOMBSTONE + "memory://x", store_id=None, registered=True, created=NOW, project="q", artifact="pinned"
    )
    policy: dict[str, object] = {"pins": ("pinned",), "projects": ("p",)}
    seen = [reason(worst, judge(**policy), MODEL), reason(worst, judge(**policy))]
    del policy["pins"]
    seen.append(reason(worst, judge(**policy)))
    del policy["projects"]
    seen.append(reason(worst, judge(**policy)))
    policy["include_registered"] = True
    seen.append(reason(worst, judge(**policy)))
    for uri, store_id in (
        ("memory://x", None),
        ("s3://odd/../x", None),
        ("s3://odd/../x", "odd"),
        ("s3://x/../x", "store"),
        ("s3://x", "store"),
        ("s3://bucket/root", "store"),
        (GOOD, "store"),
    ):
        seen.append(
            reason(version("v", uri, store_id=store_id, registered=True, created=NOW), judge(unfinished=OLD, **policy))
        )
    policy["min_age"] = timedelta(0)
    seen.append(reason(version("v", GOOD, registered=True, created=NOW), judge(unfinished=OLD, **policy)))
    assert seen == [r.value for r in list(KeptReason)[:13]]


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(hours=3, microseconds=7), "it is 3 hours old,"),
        (timedelta(hours=12, minutes=24, seconds=25), "it is 12 hours 24 minutes old,"),
        (timedelta(minutes=1, seconds=1), "it is 1 minute 1 second old,"),
        (timedelta(0), "it is 0 seconds old,"),
    ],
)
def test_an_answer_shows_the_age_in_words(age: timedelta, said: str) -> None:
    """Its two largest units, without microseconds, and the age that it would have to have."""
    answer = judge().verdict(Surveyed(version("v", GOOD, created=NOW - age), frozenset()))
    assert answer is not None
    assert answer.detail == f"{said} younger than the minimum age of 1 day"


def test_a_project_or_store_that_does_not_exist_is_said() -> None:
    """A filter that names nothing leaves the plan without what it was to hold: a person should know."""
    by = judge(projects=("default", "defualt"), stores=("main", "mian"))
    by.verdict(Surveyed(version("v", GOOD), frozenset()))
    assert [message.split(":")[0] for message in by.unmet()] == ["--project 'defualt'", "--store 'mian'"]
