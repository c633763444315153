"""Sizes, stores that cannot be reached, caps, and the header's totals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest

from marksweep.errors import GuardRefused
from marksweep.mark import draft as draft_module
from marksweep.mark import measure as measure_module
from marksweep.mark.marking import Request, draft
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import Entry, fingerprint
from marksweep.model.outcome import Mode
from marksweep.model.policy import DEFAULT_MAX_SHARE, SHARE_APPLIES_ABOVE, Policy
from marksweep.model.store import StoredObject, Undo
from marksweep.model.version import ArtifactStore, Version
from marksweep.plan.document import Draft
from tests.support.fakes import NOW, FakeCatalog, FakeStore, FakeStores, Watcher, version
from tests.unit.mark.support import LIVE

ROOT = "s3://bucket/root/k"


def drafted(
    catalog: FakeCatalog, stores: FakeStores, mode: Mode = Mode.BOTH, **policy: object
) -> tuple[Draft, list[Entry], Watcher]:
    watcher = Watcher()
    request = Request(Policy(**policy), mode, NOW, timedelta(days=14))  # type: ignore[arg-type]
    with Worksheet() as worksheet:
        header = anyio.run(draft, request, catalog, stores, worksheet, watcher)
        return header, list(worksheet.entries()), watcher


def cast(*paths: str) -> list[Version]:
    return [version(path.replace("/", "-"), f"{ROOT}/{path}") for path in paths]


def holding(*paths: str) -> FakeStores:
    return FakeStores({"store": FakeStore({f"{ROOT}/{path}": len(path) for path in paths})})


def test_each_unit_is_listed_once_and_its_first_entry_carries_the_sum() -> None:
    """Objects, bytes and digest; the others of a unit count nothing; what lies beside is not counted."""
    stores = holding("a/x", "a/b/y", "ab/z", "c/1", "c/2")
    header, entries, watcher = drafted(FakeCatalog(cast("a", "a/b", "c", "empty")), stores)
    shown = [(e.id, e.objects, e.bytes, e.shares) for e in entries]
    assert shown == [("a", 2, 8, None), ("a-b", 0, 0, "a"), ("c", 2, 6, None), ("empty", 0, 0, None)]
    listed = [StoredObject(f"{ROOT}/{p}", len(p), "tag") for p in ("a/x", "a/b/y")]
    assert entries[0].fingerprint == entries[1].fingerprint == fingerprint(listed)
    assert stores.by_id["store"].listed == [f"{ROOT}/{p}/" for p in ("a", "c", "empty")]
    assert (header.totals.entries, header.totals.objects, header.totals.bytes) == (4, 4, 14)
    assert (watcher.to_size, watcher.entries, watcher.bytes) == (3, 3, 14)
    assert header.stores[0].undo is Undo.VERSIONED
    assert (header.plan.created, header.plan.expires) == ("2026-06-01T12:00:00Z", "2026-06-15T12:00:00Z")


def test_without_sizes_nothing_is_listed_and_totals_are_unknown() -> None:
    """But what the store objects to is kept all the same."""
    stores = holding("a/x")
    stores.by_id["store"].objections[f"{ROOT}/b/"] = "a symbolic link"
    header, entries, watcher = drafted(FakeCatalog(cast("a", "b")), stores, sizes=False)
    assert stores.by_id["store"].listed == []
    assert [(e.id, e.objects, e.fingerprint) for e in entries] == [("a", None, None)]
    assert (header.totals.objects, header.totals.bytes) == (None, None)
    assert header.totals.kept == {"unsafe_uri": 1}
    assert "a symbolic link" in watcher.warnings[0]


def test_only_metadata_asks_no_store() -> None:
    """A store that cannot be reached is no obstacle then."""
    header, entries, _ = drafted(FakeCatalog(cast("a")), FakeStores(), Mode.ONLY_METADATA)
    assert [e.id for e in entries] == ["a"]
    assert header.stores[0].undo is Undo.UNKNOWN


def test_a_store_that_cannot_be_reached_keeps_its_versions() -> None:
    """The others are planned."""
    stores = holding("a/x")
    catalog = FakeCatalog([*cast("a"), version("z", "s3://down/root/a/b", store_id="down")])
    catalog.artifact_stores = {**catalog.artifact_stores, "down": ArtifactStore("down", "down", "s3", "s3://down/root")}
    header, entries, watcher = drafted(catalog, stores)
    assert [e.id for e in entries] == ["a"]
    assert header.totals.kept == {"store_unreachable": 1}
    assert [s.root for s in header.stores] == ["s3://bucket/root"]
    assert "'down'" in watcher.warnings[0]


@pytest.mark.parametrize(
    ("doubt", "reason"),
    [
        ({"broken": {f"{ROOT}/a/"}}, "store_unreachable"),
        ({"objections": {f"{ROOT}/a/b/": "a link in it"}}, "unsafe_uri"),
        ({"object_objections": {f"{ROOT}/a/b/x": "XML cannot carry it"}}, "unsafe_uri"),
    ],
)
def test_a_doubt_about_one_keeps_its_whole_unit(doubt: dict[str, object], reason: str) -> None:
    """What shares bytes with something kept is kept; what follows is not mixed up with it."""
    stores = FakeStores({"store": FakeStore({f"{ROOT}/a/b/x": 1, f"{ROOT}/c/x": 20}, **doubt)})  # type: ignore[arg-type]
    header, entries, _ = drafted(FakeCatalog(cast("a", "a/b", "c", "d")), stores)
    assert [(e.id, e.bytes) for e in entries] == [("c", 20), ("d", 0)]
    assert header.totals.kept == {reason: 2}


def test_sizes_are_right_across_windows_and_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours in plan order may lie in different stores, and a window may end anywhere."""
    monkeypatch.setattr(measure_module, "WINDOW", 2)
    paths = [f"p{n}" for n in range(7)]
    versions = [version(p, f"{ROOT}/{p}/q", store_id="store" if n % 3 else "second") for n, p in enumerate(paths)]
    catalog = FakeCatalog(versions)
    catalog.artifact_stores = {id_: ArtifactStore(id_, id_, "s3", "s3://bucket/root") for id_ in ("store", "second")}
    objects = {f"{ROOT}/{p}/q/o": n for n, p in enumerate(paths)}
    _, entries, _ = drafted(catalog, FakeStores({"store": FakeStore(objects), "second": FakeStore(objects)}))
    assert [(e.id, e.bytes) for e in entries] == [(p, n) for n, p in enumerate(paths)]


def refused(paths: Sequence[str], live: int = 0, **policy: object) -> bool:
    lived = [version(f"live{n}", f"{ROOT}/live{n}/x") for n in range(live)]
    catalog = FakeCatalog([*cast(*paths), *lived], {v.id: set(LIVE) for v in lived})
    try:
        drafted(catalog, holding(*(f"{p}/123" for p in paths)), **policy)
    except GuardRefused:
        return True
    return False


def test_caps() -> None:
    """Zero allows none, never "no limit"; the cap itself is allowed; unknown bytes are not under any cap."""
    assert not refused(["a", "b"])
    assert not refused(["a", "b"], max_entries=2)
    assert refused(["a", "b"], max_entries=1)
    assert refused(["a"], max_entries=0)
    assert not refused([], max_entries=0, max_bytes=0, max_share=0)
    assert not refused(["a"], max_bytes=5)
    assert refused(["a"], max_bytes=4)
    assert refused(["a"], max_bytes=0)
    assert refused(["a"], max_bytes=10**9, sizes=False)
    assert refused(["a"], live=1, max_share=49)
    assert not refused(["a"], live=1, max_share=50)
    assert refused(["a"], live=10, max_share=0)
    assert refused(["a", "b"], live=198, max_share=0)


def test_the_default_share_applies_to_big_catalogs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one may be swept whole; the option overrides it both ways."""
    assert (SHARE_APPLIES_ABOVE, DEFAULT_MAX_SHARE) == (1000, 50)
    monkeypatch.setattr(draft_module, "SHARE_APPLIES_ABOVE", 3)
    assert not refused(["a", "b", "c"])
    assert refused(["a", "b", "c"], live=1)
    assert not refused(["a", "b"], live=2)
    assert not refused(["a", "b", "c"], live=1, max_share=100)


def test_the_totals_of_the_header_count_the_whole_catalog() -> None:
    """Entries and kept, reason by reason; the biggest artifacts first."""
    big = version("big", f"{ROOT}/big", artifact="same")
    versions = [*cast("a", "b"), big, version("m", "memory://x"), version("r", f"{ROOT}/r", registered=True)]
    header, _, _ = drafted(FakeCatalog(versions, {"b": set(LIVE)}), holding("big/12345", "a/1"))
    assert header.totals.versions_in_catalog == 5
    assert header.totals.kept == {"in_memory": 1, "referenced": 1, "registered": 1}
    assert [(g.artifact, g.entries, g.bytes) for g in header.groups] == [("same", 1, 9), ("name-a", 1, 3)]


def test_plan_ids_are_ulids_that_sort_by_time() -> None:
    """26 characters, the first ten from the clock."""
    one, other = draft_module.plan_id(), draft_module.plan_id()
    assert len(one) == 26
    assert one != other
    assert one[:9] == other[:9]
