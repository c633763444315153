"""Nothing is planned that anything alive also claims, in any spelling; what shares a place is one unit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marksweep.mark.overlap import components
from marksweep.mark.worksheet import Spelling
from marksweep.model.uri import claims
from marksweep.model.verdict import TOMBSTONE
from marksweep.model.version import ArtifactStore, Claim, Version
from tests.support.fakes import FakeCatalog, real_path_stores, version
from tests.unit.mark.support import LIVE, Examination, examined

ROOT = "s3://bucket/root"


def at(**uris: str) -> list[Version]:
    return [version(id_, f"{ROOT}/{path}" if "://" not in path else path) for id_, path in uris.items()]


@pytest.mark.parametrize(
    ("orphan", "live"),
    [
        ("a/b", "a/b"), ("a/b", "a/b/"), ("a/b/", "a/b"), ("a/b", "a/b/c"), ("a/b/c", "a/b"), ("a/b/c/d", "a/b"),
        ("a/b", "a/b/c/d/e"), ("a/b", "a/./b"), ("a/b", "a//b"), ("a/b", "a/x/../b"), ("a/b", "a/b/../b/c"),
        ("a/b", "s3a://bucket/root/a/b"), ("a/b", "s3n://bucket/root/a/b/c"), ("a/b", "S3://bucket/root/a/b"),
        ("a/b", ""), ("a/b", "s3://bucket"), ("a/b", "s3://bucket/"), ("a/b", "s3://bucket/root/a/b/.."),
    ],
)  # fmt: skip
def test_what_a_live_version_claims_too_is_kept(orphan: str, live: str) -> None:
    """Equal, above, inside, another spelling."""
    found = examined(at(orphan=orphan, live=live), live=["live"])
    assert (found.ids, found.kept) == (set(), {"claimed": 1, "referenced": 1})
    assert found.examined.claimed_by == {"orphan": "version live"}


@pytest.mark.parametrize(
    ("orphan", "live"),
    [("a/b", "a/bc"), ("a/bc", "a/b"), ("a/b", "a/b!"), ("a/b", "a/B"), ("a/b", "a/b%2F"), ("a/b", "gs://bucket/root/a/b"),
     ("a/b", "s3://bucket2/root/a/b"), ("a/b", "x/a/b"), ("a/b", "hdfs://bucket/root/a/b"), ("a/b", "memory://a")],
)  # fmt: skip
def test_a_neighbour_protects_nothing(orphan: str, live: str) -> None:
    """Places are compared by segment."""
    assert examined(at(orphan=orphan, live=live), live=["live"]).ids == {"orphan"}


def test_whatever_keeps_the_one_keeps_the_other() -> None:
    """Not only references: a registered, pinned, filtered or too young version's bytes are as alive."""
    for change, policy in (
        ({"registered": True}, {}),
        ({"artifact": "pinned"}, {"pins": ("pinned",)}),
        ({"project": "other"}, {"projects": ("default",)}),
        ({"store_id": None}, {}),
    ):
        kept = version("kept", f"{ROOT}/a/b/c", **change)
        assert examined([*at(orphan="a/b"), kept], **policy).ids == set()


@pytest.mark.parametrize("live", [True, False])
def test_a_row_that_a_sweep_marked_still_claims_its_place(live: bool) -> None:
    """An only-artifact sweep may give it its URI back: ``marksweep-deleted:`` in front changes nothing."""
    marked = version("marked", f"{TOMBSTONE}{ROOT}/a/b/c")
    assert examined([*at(orphan="a/b", free="a/c"), marked], live=["marked"] if live else []).ids == {"free"}


def test_versions_that_share_one_uri_are_one_unit() -> None:
    """The first in plan order carries it, the others name it."""
    found = examined(at(c="a/b", a="a/b", b="a/b/", z="a/c"))
    assert found.shares == {"a": None, "b": "a", "c": "a", "z": None}


def test_nested_orphans_are_one_unit_of_the_widest_place() -> None:
    """However deep, and neighbours in between do not part them."""
    found = examined(at(deep="a/b/c/d", wide="a/b", mid="a/b/c", next="a/b!", other="a/bc"))
    assert found.shares == {"wide": None, "mid": "wide", "deep": "wide", "next": None, "other": None}
    assert [e.id for e in found.entries] == ["next", "wide", "mid", "deep", "other"]


def test_one_kept_version_keeps_all_orphans_of_its_place() -> None:
    """Also those that overlap only through a third, an orphan itself: keeping the widest keeps everything in it."""
    found = examined(at(wide="a/b", left="a/b/left", right="a/b/right", free="a/c"), live=["left"])
    assert (found.ids, found.kept) == ({"free"}, {"claimed": 2, "referenced": 1})


def test_a_visualization_outside_its_artifact_protects_while_its_version_lives() -> None:
    """It dies with its version: an orphan's own visualization protects nothing."""
    claim = Claim(f"{ROOT}/a/b/plot.html", "a visualization of version x", "x")
    assert examined(at(orphan="a/b", x="x/y"), live=["x"], claims=[claim]).ids == set()
    assert examined(at(orphan="a/b", x="x/y"), claims=[claim]).ids == {"orphan", "x"}
    gone = Claim(f"{ROOT}/a/b/plot.html", "a visualization of version gone", "gone")
    assert examined(at(orphan="a/b"), claims=[gone]).ids == set(), "its version is not in the catalog: a doubt"


def test_a_visualization_of_a_version_that_is_kept_for_its_place_protects_in_turn() -> None:
    """A chain: live -> claims one orphan -> whose visualization lies in another orphan's place -> and so on."""
    found = examined(
        at(live="m/m/m", one="m/m", two="a/b", three="x/y", free="f/f"),
        live=["live"],
        claims=[
            Claim(f"{ROOT}/a/b/one.html", "a visualization of version one", "one"),
            Claim(f"{ROOT}/x/y/z/two.html", "a visualization of version two", "two"),
        ],
    )
    assert found.ids == {"free"}
    assert found.kept == {"referenced": 1, "claimed": 3}
    assert found.examined.claimed_by["three"] == "a visualization of version two"


def test_logs_in_an_orphans_place_keep_it() -> None:
    """Nobody's version, always alive."""
    log = Claim(f"{ROOT}/a/b/logs/1.log", "a log file")
    assert examined(at(orphan="a/b", free="a/c"), claims=[log]).ids == {"free"}


def test_the_newest_that_keep_latest_keeps_protects_too() -> None:
    """Kept for its rank, it is as alive as any."""
    first = version("first", f"{ROOT}/a/b", artifact_id="A", number=1)
    second = version("second", f"{ROOT}/a/b/c", artifact_id="A", number=2)
    found = examined([first, second], keep_latest=1)
    assert found.kept == {"newest": 1, "claimed": 1}


# Real paths


def local(tmp_path: Path, *versions: Version, live: list[str]) -> Examination:
    stores = {"store": ArtifactStore("store", "main", "local", str(tmp_path / "store"))}
    catalog = FakeCatalog(list(versions), {i: set(LIVE) for i in live}, artifact_stores=stores)
    return examined([], stores=real_path_stores(), catalog=catalog)


@pytest.mark.parametrize("spelling", ["link/b", "link/b/c", "link", "link/../real/b", "/link/b/"])
def test_a_live_version_behind_a_symbolic_link_protects_the_real_place(tmp_path: Path, spelling: str) -> None:
    """And the other way round."""
    (tmp_path / "store" / "x" / "real" / "b" / "c").mkdir(parents=True)
    (tmp_path / "store" / "x" / "link").symlink_to("real")
    real, linked = (f"{tmp_path}/store/x/{p}" for p in ("real/b", spelling))
    assert local(tmp_path, version("o", real), version("live", linked), live=["live"]).ids == set()
    assert local(tmp_path, version("o", linked), version("live", real), live=["live"]).ids == set()


def test_orphans_that_meet_only_through_a_link_are_kept(tmp_path: Path) -> None:
    """The plan's own keys could not show that they share bytes."""
    (tmp_path / "store" / "x" / "real").mkdir(parents=True)
    (tmp_path / "store" / "x" / "link").symlink_to("real")
    found = local(tmp_path, version("a", f"{tmp_path}/store/x/link"), version("b", f"{tmp_path}/store/x/real"), live=[])
    assert (found.ids, found.kept) == (set(), {"claimed": 2})


def test_a_store_behind_a_link_is_planned_as_ever(tmp_path: Path) -> None:
    """The root itself may be reached through a link; units are the same by either key."""
    (tmp_path / "real").mkdir()
    (tmp_path / "store").symlink_to("real")
    uris = {"wide": "a/b", "deep": "a/b/c", "other": "a/d"}
    found = local(tmp_path, *(version(i, f"{tmp_path}/store/{u}") for i, u in uris.items()), live=[])
    assert found.shares == {"wide": None, "deep": "wide", "other": None}


@pytest.mark.parametrize("elsewhere", ["zz", "aa"])
def test_a_unit_stays_whole_when_a_link_joins_a_part_of_it_again(tmp_path: Path, elsewhere: str) -> None:
    """wide > link > deep by the plan's keys, and {link, deep} once more where the link leads: one unit, one first."""
    (tmp_path / elsewhere / "deep").mkdir(parents=True)
    (tmp_path / "store" / "x" / "wide").mkdir(parents=True)
    (tmp_path / "store" / "x" / "wide" / "link").symlink_to(tmp_path / elsewhere)
    uris = {"w": "x/wide", "l": "x/wide/link", "d": "x/wide/link/deep"}
    found = local(tmp_path, *(version(i, f"{tmp_path}/store/{u}") for i, u in uris.items()), live=[])
    assert found.shares == {"w": None, "l": "w", "d": "w"}


def test_names_that_are_not_utf8_are_compared_as_bytes(tmp_path: Path) -> None:
    """A link into a folder with an odd name: its real key goes on with a byte above every UTF-8 text."""
    odd = tmp_path / "elsewhere" / "\udcff"
    odd.mkdir(parents=True)
    (tmp_path / "store" / "x").mkdir(parents=True)
    (tmp_path / "store" / "x" / "to-odd").symlink_to(odd)
    found = local(
        tmp_path, version("o", f"{tmp_path}/store/x/to-odd"), version("live", f"{tmp_path}/elsewhere"), live=["live"]
    )
    assert (found.ids, found.kept["claimed"]) == (set(), 1)


# Against brute force

PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a!", "", ".", ".."]), min_size=1, max_size=4).map("/".join)
CAST = st.tuples(
    PATHS,
    st.sampled_from(["s3://bucket/root/k/", "s3a://bucket/root/k/", "s3://bucket/root/"]),
    st.booleans(),  # live
    st.one_of(st.none(), PATHS),  # a visualization somewhere
)


def overlap(one: str, other: str) -> bool:
    """Whether two keys are equal or nested, by segments."""
    a, b = one.removesuffix("/").split("/"), other.removesuffix("/").split("/")
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


@settings(max_examples=250, deadline=None)
@given(st.lists(CAST, min_size=1, max_size=9), st.lists(PATHS, max_size=1))
def test_no_planned_place_overlaps_a_kept_one(cast: list[tuple[str, str, bool, str | None]], logs: list[str]) -> None:
    """Random forests of URIs against the O(n²) definition, both ways: nothing unsafe is planned, nothing safe is kept."""
    versions = [version(f"v{n}", scheme + path) for n, (path, scheme, _, _) in enumerate(cast)]
    live = [f"v{n}" for n, (_, _, alive, _) in enumerate(cast) if alive]
    shown = {f"v{n}": f"s3://bucket/root/k/{v}" for n, (_, _, _, v) in enumerate(cast) if v is not None}
    places = [f"s3://bucket/root/k/{path}" for path in logs]
    found = examined(
        versions,
        live,
        [Claim(u, f"a visualization of version {i}", i) for i, u in shown.items()]
        + [Claim(u, "a log") for u in places],
    )
    alone = {v.id for v in versions if found.examined.judge.verdict(_surveyed(v, live)) is None}
    expected = _brute_force(versions, alone, shown, places)
    assert found.ids == expected
    assert found.kept.get("claimed", 0) == len(alone) - len(expected)
    for entry in found.entries:  # units: the widest of everything that overlaps
        same = [e for e in found.entries if overlap(e.key, entry.key)]
        first = min(same, key=lambda e: e.order)
        assert entry.shares == (first.id if first is not entry else None)


def _surveyed(one: Version, live: list[str]) -> object:
    from marksweep.model.version import Surveyed

    return Surveyed(one, LIVE if one.id in live else frozenset())


def _brute_force(versions: list[Version], alone: set[str], shown: dict[str, str], logs: list[str]) -> set[str]:
    keys = {v.id: claims(v.uri) for v in versions}
    orphans = set(alone)
    while True:
        alive = {k for v in versions if v.id not in orphans for k in (*keys[v.id], *claims(shown.get(v.id, v.uri)))}
        alive |= {k for u in logs for k in claims(u)}
        # A part of a place that is kept keeps the whole, and the whole keeps its parts.
        hit = {o for o in orphans if any(overlap(a, b) for a in alive for b in keys[o])}
        if not hit:
            return orphans
        orphans -= hit


def test_components_split_where_places_do() -> None:
    """Only components with an orphan in them; the holder is the first who is alive."""
    keys = [
        Spelling(b"a/", "o1", True, None),
        Spelling(b"a/b/", None, False, "a log"),
        Spelling(b"a/c/", "o2", True, None),
        Spelling(b"ab/", "o3", True, None),
        Spelling(b"ab/", "o4", True, None),
        Spelling(b"b/", "live", False, None),
        Spelling(b"c/", "live", False, None),
        Spelling(b"c/d/", "o5", True, None),
    ]
    found = [(c.root, c.alive, list(c.orphans)) for c in components(keys)]
    assert found == [
        (b"a/", "a log", []), (b"ab/", None, ["o3", "o4"]), (b"c/", "version live", []),
    ]  # fmt: skip
