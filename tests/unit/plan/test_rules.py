"""policy.toml: read whole or not at all, and each rule refuses what breaks it and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from marksweep.errors import (
    ApprovalsMissing,
    GuardRefused,
    MarksweepError,
    OtherCatalog,
    PlanExpired,
    SignatureRefused,
    UsageError,
)
from marksweep.model.entry import Entry
from marksweep.model.policy import Policy
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.approvals import approve
from marksweep.plan.rules import NO_RULES, RuleBook, Rules, read_size
from marksweep.plan.rules_checks import EntryCheck
from marksweep.plan.rules_mark import broken, life, tightened
from marksweep.plan.verify import inspect, review, verify
from marksweep.plan.writer import write_plan
from tests.unit.plan.support import ALICE, BOB, NOW, PLANNER, TRUST, draft, entry, six, written

SOURCE = "git:origin/main:.marksweep/policy.toml"
MADE = NOW - timedelta(hours=3)
"""When the plans of support.py were created."""


def book(text: str) -> RuleBook:
    return RuleBook.load(text, SOURCE)


def rules(text: str) -> Rules:
    return book(f"approvals = 0\n{text}").for_catalog("8f0e")


# The file


def test_a_silent_file_asks_for_one_approval_and_nothing_else() -> None:
    """The defaults are those of the documentation."""
    assert book("").for_catalog("any") == Rules(source=SOURCE, approvals=1)
    assert NO_RULES.for_catalog("any") == Rules()


def test_every_key_is_read() -> None:
    """Durations, sizes and URIs become what they mean."""
    found = rules(
        'approver_may_be_planner = true\nrequire_touch = false\nmax_age = "14d"\nmin_age = "12h"\nmax_entries = 5_000\n'
        'max_bytes = "5 TiB"\nmax_share = 20\nroots = ["s3://b/z/", "/srv/z"]\nstores = ["s3://b/z"]\npins = ["m"]\n'
        'forbid = ["no_grace", "all_versions"]\n'
    )
    assert found == Rules(
        source=SOURCE, approvals=0, approver_may_be_planner=True, require_touch=False, max_age=timedelta(days=14),
        min_age=timedelta(hours=12), max_entries=5000, max_bytes=5 * 2**40, max_share=20,
        roots=("s3://b/z/", "file:///srv/z/"), stores=("s3://b/z/",), pins=("m",), forbid=("no_grace", "all_versions"),
    )  # fmt: skip
    assert [read_size(text) for text in ("0 B", "3KiB", "2 GiB")] == [0, 3072, 2**31]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("approvalls = 2", "the key approvalls, which is not known; did you mean approvals?"),
        ("[catalog.x]\nmax_entrys = 2", 'the key catalog."x".max_entrys'),
        ('approvals = "2"', "approvals: Expected `int`, got `str`"),
        ("approvals = true", "approvals: Expected `int`, got `bool`"),
        ("approvals = 1.0", "approvals: Expected `int`, got `float`"),
        ("approvals = -1", "approvals: Expected `int` >= 0"),
        ("max_entries = -5", "max_entries"),
        ("max_share = 101", "max_share: Expected `int` <= 100"),
        ("max_share = -1", "max_share"),
        ("max_bytes = -1", "max_bytes"),
        ('max_bytes = "5 TB"', "max_bytes: '5 TB' is not a size"),
        ('max_bytes = "-5 TiB"', "max_bytes"),
        ('max_age = "14"', "max_age: '14' is not a duration"),
        ("max_age = 14", "max_age: Expected `str`"),
        ('max_age = "0"', "max_age: 0 would refuse every plan"),
        ("max_age = 1979-05-27", "max_age"),
        ("require_touch = 0", "require_touch: Expected `bool`"),
        ('approver_may_be_planner = "no"', "approver_may_be_planner"),
        ("roots = []", "roots: it is empty, which would allow nothing"),
        ("stores = []", "stores: it is empty"),
        ('roots = ["s3://b/../c"]', "roots: one of its URIs cannot be used"),
        ('roots = ["bucket/zenml"]', "roots"),
        ('roots = "s3://b"', "roots: Expected `array`"),
        ("pins = [1]", "pins"),
        ('pins = [""]', "pins"),
        ('forbid = ["no-grace"]', "forbid: Invalid enum value 'no-grace'"),
        ('allow = ["no_grace"]', "allow"),
        ("[catalog]", "catalog without a server id"),
        ("catalog = 3", "catalog without a server id"),
        ("[catalog]\napprovals = 2", 'catalog."approvals"'),
        ("[catalogs.x]", "catalogs, which is not known; did you mean"),
        ("approvals = 1\napprovals = 2", "is not TOML"),
        ("approvals", "is not TOML"),
    ],
)
def test_a_typo_refuses_the_whole_file(text: str, words: str) -> None:
    """A rule that is misspelt must not be a rule that is not there; the message names file and key."""
    with pytest.raises(UsageError) as refused:
        book(text)
    assert words in refused.value.fact
    assert SOURCE in refused.value.fact
    assert refused.value.remedy


def test_a_catalogs_table_replaces_and_adds() -> None:
    """Keys of a table replace those above for that catalog; its pins and forbid are added. Other catalogs are not listed."""
    found = book(
        'approvals = 2\nmax_entries = 10\npins = ["a"]\nforbid = ["no_grace"]\n'
        '[catalog."8f0e"]\nmax_entries = 20\npins = ["b"]\nforbid = ["all_versions"]\n[catalog.other]\napprovals = 0\n'
    )
    own = found.for_catalog("8f0e")
    assert (own.approvals, own.max_entries, own.pins, own.forbid) == (2, 20, ("a", "b"), ("no_grace", "all_versions"))
    assert (found.for_catalog("other").approvals, found.for_catalog("other").max_entries) == (0, 10)
    with pytest.raises(OtherCatalog, match="'9999' is not listed in"):
        found.for_catalog("9999")


# Against a plan


def plan_of(path: Path, entries: list[Entry] | None = None, **changes: object) -> Path:
    chosen = six() if entries is None else entries
    return write_plan(path, draft(chosen, **changes), chosen, PLANNER).path


BROKEN: list[tuple[str, str, str, type[MarksweepError], str]] = [
    ("max_entries", "6", "5", GuardRefused, "holds 6 entries, more than max_entries"),
    ("max_bytes", "14000", "13999", GuardRefused, "holds 14000 bytes"),
    ("max_share", "1", "0", GuardRefused, "more than max_share"),
    ("max_age", '"3h"', '"10799s"', PlanExpired, "longer than max_age"),
    ("min_age", '"1d"', '"25h"', GuardRefused, "less than min_age"),
    ("roots", '["s3://bucket/zenml"]', '["s3://bucket/zen"]', GuardRefused, "under none of roots"),
    ("stores", '["s3://bucket/zenml/"]', '["s3://bucket"]', GuardRefused, "which is none of stores"),
    ("pins", '["train::output", "s3://bucket/zenml/0000000"]', '["train::output_1"]', GuardRefused, "is one of pins"),
]


@pytest.mark.parametrize(("key", "kept", "broke", "kind", "words"), BROKEN, ids=[case[0] for case in BROKEN])
def test_each_rule_refuses_what_breaks_it(
    tmp_path: Path, key: str, kept: str, broke: str, kind: type[MarksweepError], words: str
) -> None:
    """At its limit a plan passes, one beyond it is refused by verify and review, with rule, source, found and allowed."""
    path = plan_of(tmp_path / "p.plan.json")
    verify(path, TRUST, NOW, rules=book(f"approvals = 0\n{key} = {kept}")).close()
    beyond = book(f"approvals = 0\n{key} = {broke}")
    for check in (verify, review):
        with pytest.raises(kind) as refused:
            check(path, TRUST, NOW, rules=beyond)
        assert words in refused.value.fact
        assert SOURCE in refused.value.fact
        assert str(path) in refused.value.fact
        assert refused.value.remedy
        assert refused.value.deleted == "nothing was deleted"
    with inspect(path, TRUST, NOW, rules=beyond) as found:
        assert len(found.broken) == 1
        assert words in found.broken[0]


def test_a_pin_is_an_id_a_name_or_a_place(tmp_path: Path) -> None:
    """With or without dashes, by segments, and also a place inside of an entry's: deleting that would take it, too."""
    path = plan_of(tmp_path / "p.plan.json", [entry(1)])
    one = entry(1)
    for pin in (one.id, one.id.replace("-", "").upper(), one.artifact, one.uri, f"{one.uri}/deep/file", "s3://bucket/"):
        with pytest.raises(GuardRefused, match="pins"):
            verify(path, TRUST, NOW, rules=book(f"approvals = 0\npins = ['{pin}']"))
    for pin in ("train", one.id[:8], f"{one.uri}x", "s3://bucket/zenml/0000000", "s3://bucketz"):
        verify(path, TRUST, NOW, rules=book(f"approvals = 0\npins = ['{pin}']")).close()


@pytest.mark.parametrize(
    ("switch", "policy"),
    [
        ("no_grace", Policy(grace=False)),
        ("ignore_model_links", Policy(ignore_model_links=True)),
        ("include_registered", Policy(include_registered=True)),
        ("all_versions", Policy(all_versions=True)),
    ],
)
def test_a_forbidden_switch_is_refused(tmp_path: Path, switch: str, policy: Policy) -> None:
    """In a plan that was made with it, and in a mark before it begins; another switch is not that one."""
    path = plan_of(tmp_path / "p.plan.json", policy=policy)
    with pytest.raises(GuardRefused, match=f"forbids {switch}"):
        verify(path, TRUST, NOW, rules=book(f'approvals = 0\nforbid = ["{switch}"]'))
    with pytest.raises(GuardRefused, match=f"forbids {switch}"):
        tightened(policy, rules(f'forbid = ["{switch}"]'))
    other = "all_versions" if switch != "all_versions" else "no_grace"
    verify(path, TRUST, NOW, rules=book(f'approvals = 0\nforbid = ["{other}"]')).close()


def test_no_grace_has_no_minimum_age(tmp_path: Path) -> None:
    """A minimum age in the policy is not met by a plan without any, whatever its min_age says."""
    path = plan_of(tmp_path / "p.plan.json", policy=Policy(grace=False, min_age=timedelta(days=9)))
    with pytest.raises(GuardRefused, match="min_age"):
        verify(path, TRUST, NOW, rules=book('approvals = 0\nmin_age = "1h"'))
    with pytest.raises(GuardRefused, match="--no-grace is given"):
        tightened(Policy(grace=False), rules('min_age = "1h"'))


def test_bytes_that_nobody_counted_are_too_many(tmp_path: Path) -> None:
    """--no-size cannot get around max_bytes."""
    unsized = [msgspec.structs.replace(entry(1), objects=None, bytes=None, fingerprint=None)]
    path = plan_of(tmp_path / "p.plan.json", unsized)
    with pytest.raises(GuardRefused, match="an unknown number of bytes"):
        verify(path, TRUST, NOW, rules=book("approvals = 0\nmax_bytes = 999999999"))


def test_a_catalog_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    """Status 23; inspect says so in words."""
    path = written(tmp_path / "p.plan.json").path
    unlisted = book("approvals = 0\n[catalog.other]")
    with pytest.raises(OtherCatalog, match="not listed"):
        verify(path, TRUST, NOW, rules=unlisted)
    with inspect(path, TRUST, NOW, rules=unlisted) as found:
        assert "not listed" in found.broken[0]
    verify(path, TRUST, NOW, rules=book('approvals = 0\n[catalog."8f0e"]')).close()


# Approvals and touch


def test_an_option_only_raises_the_approvals(tmp_path: Path) -> None:
    """The larger of the two numbers counts; the error says who asks for it. review asks for none."""
    path = written(tmp_path / "p.plan.json").path
    two = book("approvals = 2")
    with review(path, TRUST, NOW, rules=two) as plan:
        assert plan.approvals_needed == 2
        approve(plan, ALICE, "alice")
    for asked in (0, 1, 2):
        with pytest.raises(ApprovalsMissing, match=f"1 of 2 approvals .*; {SOURCE} asks for 2"):
            verify(path, TRUST, NOW, approvals=asked, rules=two)
    with pytest.raises(ApprovalsMissing, match="1 of 3 approvals") as refused:
        verify(path, TRUST, NOW, approvals=3, rules=two)
    assert SOURCE not in refused.value.fact
    with review(path, TRUST, NOW, rules=two) as plan:
        approve(plan, BOB, "bob")
    with verify(path, TRUST, NOW, rules=two) as verified:
        assert verified.approvals_needed == 2


def test_the_planner_counts_only_where_a_rule_says_so(tmp_path: Path) -> None:
    """approver_may_be_planner is false unless the policy has it true."""
    path = written(tmp_path / "p.plan.json").path
    trust = Trust.of([f"ci@example.org {PLANNER.public.line}"])
    with review(path, trust, NOW) as plan:
        approve(plan, PLANNER, "ci")
    with pytest.raises(ApprovalsMissing, match="by the planner's own key"):
        verify(path, trust, NOW, rules=book("approvals = 1"))
    verify(path, trust, NOW, rules=book("approvals = 1\napprover_may_be_planner = true")).close()


def test_touch_is_the_catalogs_own_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature is first checked by the loosest rule of the file, and again by the one of the plan's catalog."""
    from marksweep.plan import verify as module

    asked: list[bool] = []
    original: Callable[..., Any] = module.verify_signature

    def noted(*arguments: Any, touch_required: bool) -> Any:
        asked.append(touch_required)
        if touch_required:
            raise SignatureRefused("not touched", "touch it")
        return original(*arguments, touch_required=touch_required)

    monkeypatch.setattr(module, "verify_signature", noted)
    path = written(tmp_path / "p.plan.json").path
    verify(path, TRUST, NOW, rules=book("approvals = 0\nrequire_touch = false")).close()
    mixed = "approvals = 0\n[catalog.other]\nrequire_touch = false\n[catalog.'8f0e']\nrequire_touch = {}"
    verify(path, TRUST, NOW, rules=book(mixed.format("false"))).close()
    for text in ("approvals = 0", mixed.format("true")):
        with pytest.raises(SignatureRefused):
            verify(path, TRUST, NOW, rules=book(text))
    assert asked[-2:] == [False, True]


# For a mark


def test_a_mark_takes_the_smaller_caps_and_all_pins() -> None:
    """Neither side can widen the other; a policy's max_share above the default does not lift the default."""
    asked = Policy(pins=("a",), max_entries=10, max_bytes=None, max_share=80, min_age=timedelta(hours=2))
    found = tightened(
        asked, rules('pins = ["b", "a"]\nmax_entries = 20\nmax_bytes = 5\nmax_share = 60\nmin_age = "1d"')
    )
    assert (found.pins, found.max_entries, found.max_bytes, found.max_share) == (("a", "b"), 10, 5, 60)
    assert found.min_age == timedelta(days=1)
    assert tightened(Policy(), rules("max_share = 80")).max_share is None
    assert tightened(Policy(), rules("max_share = 20")).max_share == 20
    assert tightened(asked, Rules()) == asked


def test_a_plan_lives_no_longer_than_max_age() -> None:
    """And as long as was asked, if that is shorter."""
    week, day = timedelta(days=7), timedelta(days=1)
    assert (life(week, rules('max_age = "1d"')), life(day, rules('max_age = "7d"')), life(day, Rules())) == (day,) * 3


def test_a_new_plan_says_which_rules_it_breaks_all_the_same(tmp_path: Path) -> None:
    """Roots are no option of mark: what lies outside of them is found when the plan is there."""
    with inspect(written(tmp_path / "p.plan.json").path, TRUST, NOW) as plan:
        assert broken(plan, rules('roots = ["s3://other"]'), NOW)[0].endswith("(and 5 more entries)")
        assert broken(plan, rules('roots = ["s3://bucket"]'), NOW) == ()


def test_a_million_entries_are_looked_at_in_seconds() -> None:
    """100,000 looks with roots and a thousand pins take less than a second of CPU: they are made while the plan is read."""
    pins = [f"pin-{number}" for number in range(500)] + [f"s3://bucket/other/{number}" for number in range(500)]
    check = EntryCheck(Rules(source=SOURCE, roots=("s3://bucket/zenml/",), pins=tuple(pins)))
    entries = [entry(number) for number in range(1000)]
    began = time.process_time()
    for _ in range(100):
        for found in entries:
            check.look(found)
    assert time.process_time() - began < 1.0
    assert list(check.breaches(Path("p"))) == []
