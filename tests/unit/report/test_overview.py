"""What a plan looks like as a whole: sums, ages, sizes and stores of its entries, and what a reviewer is told."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from marksweep.model.entry import Entry
from marksweep.model.instant import to_text
from marksweep.model.outcome import Mode
from marksweep.model.policy import FORGE_SHOWS, Policy
from marksweep.model.store import Undo
from marksweep.plan.document import Header, StoreFacts
from marksweep.report.overview import MOST_BRANCHES, overview, pipeline_of
from marksweep.report.overview_documents import Overview, Risk, Severity, Slice
from marksweep.report.text import plain
from tests.integration.test_hostile_names import HOSTILE
from tests.unit.plan.support import NOW, draft, entry, shared

DAY = timedelta(days=1)
OLD = "2025-11-21T12:00:00Z"


def header(entries: Iterable[Entry], versions: int | None = None, **changes: object) -> Header:
    """The header of a plan of *entries*, made at NOW, from a catalog of *versions* that has references."""
    base = draft(entries)
    kept = {"referenced": 10_000}
    totals = msgspec.structs.replace(
        base.totals, versions_in_catalog=versions or 10_000 + base.totals.entries, kept=kept
    )
    members = {name: getattr(base, name) for name in base.__struct_fields__} | {"totals": totals}
    members["plan"] = msgspec.structs.replace(base.plan, created=to_text(NOW))
    stores = (StoreFacts(root="s3://bucket/zenml", flavor="s3", undo=Undo.VERSIONED),)
    return Header(**{**members, "stores": stores, **changes}, entries_sha256="sha256:" + "0" * 64)


def look(
    entries: Iterable[Entry],
    *,
    after: timedelta = DAY,
    approvals: tuple[str, ...] | None = ("alice",),
    **changes: object,
) -> Overview:
    """The overview of a plan of *entries*, looked at *after* it was made."""
    found = list(entries)
    return overview(header(found, **changes), found, now=NOW + after, approvals=approvals)


def codes(found: Overview) -> list[str]:
    return [risk.code for risk in found.risks]


def risk(found: Overview, code: str) -> Risk:
    return next(risk for risk in found.risks if risk.code == code)


def filled(slices: Iterable[Slice]) -> dict[str, tuple[int, int | None]]:
    return {part.label: (part.entries, part.bytes) for part in slices if part.entries}


def plain_entries(number: int, **changes: object) -> list[Entry]:
    """Old entries of three artifacts that have objects and bytes."""
    return [entry(n, **{"objects": 1, "bytes": 1000, "created": OLD, **changes}) for n in range(1, number + 1)]


def test_an_ordinary_plan_has_nothing_to_look_at() -> None:
    """No risk is invented: old versions of a versioned bucket, few of many, approved, in time."""
    assert look(plain_entries(9)).risks == ()


def test_everything_adds_up_to_the_plan() -> None:
    """Ages, sizes, stores and artifacts each hold every entry and every byte exactly once, whatever the plan."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    entries = [
        entry(
            number, artifact=f"a{chance.randrange(40)}", project=chance.choice(["p", "q"]), objects=1,
            bytes=int(10 ** chance.uniform(0, 13)), created=to_text(NOW - timedelta(days=chance.uniform(-1, 1500))),
        )
        for number in range(1, 500)
    ]  # fmt: skip
    found, total = look(entries), sum(e.bytes or 0 for e in entries)
    for parts in (found.ages, found.sizes, found.stores, found.branches):
        assert sum(part.entries for part in parts) == len(entries)
        assert sum(part.bytes or 0 for part in parts) == total
    assert found.artifacts == len({(e.project, e.artifact) for e in entries})
    assert found.projects == 2
    assert list(found.branches) == sorted(
        found.branches, key=lambda b: (-(b.bytes or 0), -b.entries, b.project, b.artifact)
    )


@pytest.mark.parametrize(
    ("age", "label"),
    [
        (-DAY, "under a day"), (DAY - timedelta(microseconds=1), "under a day"), (DAY, "1 to 7 days"),
        (7 * DAY, "7 to 30 days"), (30 * DAY, "30 to 90 days"), (90 * DAY, "90 to 180 days"),
        (180 * DAY, "180 to 365 days"), (365 * DAY - timedelta(seconds=1), "180 to 365 days"),
        (365 * DAY, "1 to 2 years"), (730 * DAY, "over 2 years"), (700_000 * DAY, "over 2 years"),
    ],
)  # fmt: skip
def test_an_age_is_counted_from_the_mark(age: timedelta, label: str) -> None:
    """An entry that is exactly as old as a bar begins is in it; one from the year 110 is old; one from tomorrow, young."""
    assert filled(look([entry(1, created=to_text(NOW - age))]).ages) == {label: (1, 1000)}


@pytest.mark.parametrize(
    ("octets", "label"),
    [
        (0, "empty"), (1, "up to 1 KiB"), (1024, "up to 1 KiB"), (1025, "up to 1 MiB"), (10 * 1024**2, "up to 10 MiB"),
        (100 * 1024**2, "up to 100 MiB"), (1024**3, "up to 1 GiB"), (10 * 1024**3, "up to 10 GiB"),
        (10 * 1024**3 + 1, "over 10 GiB"), (None, "unknown"),
    ],
)  # fmt: skip
def test_a_size_is_in_the_bar_that_it_reaches(octets: int | None, label: str) -> None:
    """Up to means up to and with; what nobody looked at is unknown, not empty."""
    found = look([entry(1, bytes=octets, objects=None if octets is None else 1)])
    assert filled(found.sizes) == {label: (1, octets)}
    assert found.stores[0].bytes == found.branches[0].bytes == octets


def test_entries_in_anothers_place_are_counted_apart() -> None:
    """They are no empty ones: their bytes are counted at the entry whose place they share."""
    root = entry(1, objects=2, bytes=2000)
    found = look([root, shared(2, root, "x"), shared(3, root, "y")])
    assert filled(found.sizes) == {"up to 1 MiB": (1, 2000), "in another's place": (2, 0)}
    assert found.shared == 2
    assert "no_objects" not in codes(found)
    assert risk(found, "shared_places").text.startswith("2 entries in the place of another entry")


def test_a_pipeline_is_read_from_zenmls_default_names_only() -> None:
    """``pipeline::step::output`` has one; a name that somebody gave has none."""
    assert pipeline_of("train::fit::model") == "train"
    assert pipeline_of("train::fit::model::extra") == "train"
    for name in ("model", "train::model", "", ":", "a:b:c"):
        assert pipeline_of(name) == ""


def test_an_artifact_has_its_first_and_last_creation() -> None:
    """To the fraction of a second, as the entries spell it."""
    times = ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.5Z", "2025-12-31T23:59:59.999999Z")
    (branch,) = look([entry(n, artifact="a", created=at) for n, at in enumerate(times, 1)]).branches
    assert (branch.oldest, branch.newest) == ("2025-12-31T23:59:59.999999Z", "2026-01-01T12:00:00.5Z")


def test_only_so_many_artifacts_are_named() -> None:
    """The others are counted, with their entries."""
    number = MOST_BRANCHES + 7
    found = look([entry(n, artifact=f"a{n}", objects=1, bytes=n) for n in range(1, number + 1)])
    assert (len(found.branches), found.more_artifacts, found.more_entries) == (MOST_BRANCHES, 7, 7)
    assert found.branches[0].artifact == f"a{number}"


def test_each_entry_is_in_the_innermost_store() -> None:
    """A root inside another one has its own; the only local store has local places that are spelled another way."""
    stores = tuple(
        StoreFacts(root=root, flavor=flavor, undo=undo)
        for root, flavor, undo in (
            ("s3://bucket", "s3", Undo.VERSIONED), ("s3://bucket/zenml", "s3", Undo.NONE), ("/srv/link", "local", Undo.NONE)
        )
    )  # fmt: skip
    uris = ("/real/x/1", "s3://bucket/other/2", "s3://bucket/zenml/x/3", "s3://elsewhere/4")
    found = look([entry(n, uri=uri, objects=1, bytes=10**n) for n, uri in enumerate(uris, 1)], stores=stores)
    assert [(s.root, s.entries, s.bytes) for s in found.stores] == [
        ("s3://bucket", 1, 100), ("s3://bucket/zenml", 1, 1000), ("/srv/link", 1, 10), ("", 1, 10_000)
    ]  # fmt: skip


def test_the_same_plan_gives_the_same_overview() -> None:
    """Byte for byte, in whatever order the entries of equal artifacts come."""
    entries = plain_entries(50)
    assert msgspec.json.encode(look(entries)) == msgspec.json.encode(look(list(entries)))
    assert look(entries).branches == look(reversed(entries)).branches


def test_memory_grows_with_artifacts_and_not_with_entries() -> None:
    """Ten times the entries of the same artifacts need no more memory."""

    def peak(number: int) -> int:
        made = header(plain_entries(3))

        def stream() -> Iterator[Entry]:
            for n in range(number):
                yield entry(n, uri=f"s3://bucket/zenml/{n}")

        tracemalloc.start()
        try:
            overview(made, stream(), now=NOW, approvals=())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(5_000) < 1.5 * peak(500)


def test_how_grave_a_share_is() -> None:
    """From 30 per cent of the catalog a plan is unusual, above 50 dangerous."""
    for versions, severity in ((34, None), (33, Severity.CAUTION), (20, Severity.CAUTION), (19, Severity.DANGER)):
        found = look(plain_entries(10), versions=versions)
        assert [r.severity for r in found.risks if r.code == "large_share"] == ([severity] if severity else [])
    assert risk(look(plain_entries(10), versions=19), "large_share").text == (
        "52.6 % of the catalog would go: 10 of 19 versions"
    )


def test_how_grave_the_lack_of_an_undo_is() -> None:
    """Where the store cannot undo it is a danger, where nobody knows a doubt; where no bytes go, neither."""
    for undo, flavor, code, severity in (
        (Undo.NONE, "s3", "no_undo", Severity.DANGER),
        (Undo.UNKNOWN, "gcp", "undo_unknown", Severity.CAUTION),
    ):
        stores = (StoreFacts(root="s3://bucket/zenml", flavor=flavor, undo=undo),)
        found = risk(look(plain_entries(9), stores=stores), code)
        assert (found.severity, found.names) == (severity, ("s3://bucket/zenml",))
        assert found.text.startswith("9 entries, 8.8 KiB, ")
        assert found.text.endswith(": s3://bucket/zenml")
        made = header(plain_entries(9), stores=stores)
        rows = msgspec.structs.replace(made, plan=msgspec.structs.replace(made.plan, mode=Mode.ONLY_METADATA))
        assert code not in codes(overview(rows, plain_entries(9), now=NOW, approvals=("a",)))
    stores = (StoreFacts(root="/srv", flavor="local", undo=Undo.NONE),)
    local = look(plain_entries(9, uri="/srv/x/y"), stores=stores)
    assert "unless the sweep has a --trash" in risk(local, "no_undo").text
    many = tuple(StoreFacts(root=f"s3://b{n}", flavor="s3", undo=Undo.NONE) for n in range(9))
    found = look([entry(n + 1, uri=f"s3://b{n}/x/y") for n in range(9)], stores=many)
    assert "in 9 stores, such as: s3://b0, s3://b1, s3://b2" in risk(found, "no_undo").text


def test_how_long_a_plan_has_left() -> None:
    """Below two days a reviewer hurries; at its end, nothing takes it any more."""
    life = datetime(2026, 12, 5, 12, tzinfo=UTC) - NOW
    made = header(plain_entries(9))
    made = msgspec.structs.replace(made, plan=msgspec.structs.replace(made.plan, expires=to_text(NOW + life)))
    for left, expected in ((2 * DAY, []), (DAY, ["expires_soon"]), (timedelta(0), ["expired"]), (-DAY, ["expired"])):
        found = overview(made, plain_entries(9), now=NOW + life - left, approvals=("alice",))
        assert codes(found) == expected
    assert risk(overview(made, (), now=NOW + life - DAY, approvals=()), "expires_soon").text == (
        "expires in 1 day, on 2026-12-05 12:00 UTC"
    )


@pytest.mark.parametrize(
    ("code", "severity", "changes", "entries"),
    [
        ("no_grace", Severity.DANGER, {"policy": Policy(grace=False)}, {}),
        ("ignore_model_links", Severity.DANGER, {"policy": Policy(ignore_model_links=True)}, {}),
        ("include_registered", Severity.DANGER, {"policy": Policy(include_registered=True)}, {}),
        ("all_versions", Severity.DANGER, {"policy": Policy(all_versions=True)}, {}),
        ("model_links", Severity.DANGER, {}, {"reason": "model_links_ignored"}),
        ("no_size", Severity.CAUTION, {"policy": Policy(sizes=False)}, {"bytes": None, "objects": None}),
        ("sizes_unknown", Severity.CAUTION, {}, {"bytes": None, "objects": None}),
        ("young", Severity.CAUTION, {}, {"created": to_text(NOW - 6 * DAY)}),
        ("no_objects", Severity.NOTE, {}, {"objects": 0, "bytes": 0}),
        ("no_approvals", Severity.NOTE, {"approvals": ()}, {}),
        ("hidden_characters", Severity.CAUTION, {}, {"artifact": "pay\u200bload"}),
        ("hidden_characters", Severity.CAUTION, {}, {"version": "\u202egnp.exe"}),
        ("hidden_characters", Severity.CAUTION, {}, {"project": "::error::x"}),
    ],
)
def test_what_a_reviewer_is_told(
    code: str, severity: Severity, changes: dict[str, object], entries: dict[str, object]
) -> None:
    """Each has its code and severity, says how many entries it is about, and is said of no ordinary plan."""
    found = look(plain_entries(9, **entries), **changes)
    assert codes(found) == [code]
    assert risk(found, code).severity is severity
    if not changes:
        assert risk(found, code).text.startswith("9 entries ")


def test_one_artifact_with_most_of_the_bytes_is_named() -> None:
    """More than half of the bytes, and not alone in the plan."""
    entries = [*plain_entries(9), entry(20, artifact="\x1b[2Jbig", objects=1, bytes=9001, created=OLD)]
    found = risk(look(entries), "one_artifact")
    assert found.names == (r"\x1b[2Jbig",)
    assert found.text == r"one artifact alone has 50.0 % of the bytes, 8.8 KiB: \x1b[2Jbig"
    assert "one_artifact" not in codes(look([*plain_entries(9), entry(20, artifact="big", objects=1, bytes=9000)]))
    assert "one_artifact" not in codes(look(plain_entries(9, artifact="alone")))


def test_a_long_plan_is_read_by_its_summary() -> None:
    """Where a forge does not show the diff any more, reviewers are told so."""
    assert "long_diff" not in codes(look(plain_entries(FORGE_SHOWS)))
    assert "long_diff" in codes(look(plain_entries(FORGE_SHOWS + 1)))


def test_a_catalog_in_which_nothing_is_referenced_is_suspect() -> None:
    """Half a restore, or the wrong database, looks like that."""
    made = header(plain_entries(9))
    bare = msgspec.structs.replace(made, totals=msgspec.structs.replace(made.totals, kept={"too_young": 10_000}))
    found = overview(bare, plain_entries(9), now=NOW, approvals=("alice",))
    assert codes(found) == ["nothing_referenced"]
    assert found.risks[0].severity is Severity.DANGER


def test_broken_rules_of_the_policy_are_told() -> None:
    """One danger each, whose names are the sentence: it may quote the catalog."""
    found = overview(header([]), [], now=NOW, approvals=("a",), broken=["it holds 3 entries of \x1bx"])
    assert found.risks == (
        Risk(
            severity=Severity.DANGER, code="breaks_policy", text=r"it breaks the policy: it holds 3 entries of \x1bx",
            names=(r"it holds 3 entries of \x1bx",),
        ),
    )  # fmt: skip


def test_the_gravest_comes_first() -> None:
    """Dangers, then cautions, then notes."""
    entries = plain_entries(9, objects=0, bytes=0, created=to_text(NOW - DAY / 2))
    found = look(entries, versions=9, policy=Policy(grace=False), approvals=())
    severities = [r.severity for r in found.risks]
    assert severities == sorted(severities, key=list(Severity).index)
    assert set(severities) == set(Severity)
    assert risk(found, "young").text == "9 entries less than a day old"


@pytest.mark.parametrize("what", HOSTILE)
def test_a_sentence_is_harmless_whatever_it_names(what: str) -> None:
    """Names in it are escaped and short, and it ends in them."""
    name = HOSTILE[what] * 50
    root = f"s3://bucket/{name}"
    stores = (StoreFacts(root=root, flavor="s3", undo=Undo.NONE),)
    entries = [entry(1, artifact=name, objects=1, bytes=9), entry(2, artifact="small", objects=1, bytes=1)]
    found = look(entries, stores=stores)
    assert {"one_artifact"} <= set(codes(found))
    for each in found.risks:
        assert plain(each.text) == each.text
        assert each.text.endswith(", ".join(each.names))
        assert len(each.text) < 400
