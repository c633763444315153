"""Which entries are a canary, and who watches them: a spread over stores and prefixes, and the nearest live versions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from marksweep.model.entry import Entry
from marksweep.model.uri import locate
from marksweep.model.version import Version
from marksweep.sweep import witnesses
from marksweep.sweep.canary import choose
from marksweep.sweep.places import OpenStores
from marksweep.sweep.prepare import Unit
from marksweep.sweep.witnesses import Live, ladders, listed, live_beside, place_of
from tests.support.fakes import FakeCatalog, FakeStore, real_path_stores, version
from tests.unit.plan.support import entry

ROOT = "s3://bucket/root"


def units_at(*places: str, objects: int | None = 1) -> list[Unit]:
    """Units of one entry each; of a place with ``+N`` at its end of N entries."""
    made = []
    for number, place in enumerate(places):
        uri, _, more = place.partition("+")
        made.append(Unit([entry(number, id=f"{number}-{n}", uri=uri, objects=objects) for n in range(int(more or 1))]))
    return made


def one_store() -> OpenStores:
    return OpenStores({f"{ROOT}/": FakeStore()})


def chosen(units: list[Unit], most: int, stores: OpenStores | None = None) -> list[str]:
    return [u.entries[0].uri for u in choose(lambda: iter(units), most, stores or one_store())]


def test_entries_are_spread_over_the_plan() -> None:
    """Evenly, from its first entry on."""
    places = [f"{ROOT}/a/{n:03}" for n in range(100)]
    assert chosen(units_at(*places), 4) == [f"{ROOT}/a/{n:03}" for n in (0, 25, 50, 75)]
    assert chosen(units_at(*places), 1) == places[:1]
    assert chosen(units_at(*places), 100) == chosen(units_at(*places), 5000) == places


def test_every_store_has_its_share() -> None:
    """A small store among large ones is not left out, and leaves what it cannot use."""
    stores = OpenStores({f"s3://{name}/r/": FakeStore() for name in ("small", "large", "huge")})
    counts = {"huge": 500, "large": 50, "small": 2}
    units = units_at(*(f"s3://{name}/r/{n:03}" for name, count in counts.items() for n in range(count)))
    found = Counter(uri.split("/")[2] for uri in chosen(units, 12, stores))
    assert found == {"small": 2, "large": 5, "huge": 5}
    assert len(chosen(units, 2, stores)) == 2
    assert len(chosen(units, 1, stores)) == 1


def test_units_are_taken_whole() -> None:
    """Never more than asked for, however large the units; unless each of them is larger."""
    places = [f"{ROOT}/a/1+3", f"{ROOT}/a/2+1", f"{ROOT}/a/3+3", f"{ROOT}/a/4+1"]
    assert chosen(units_at(*places), 2) == [f"{ROOT}/a/2", f"{ROOT}/a/4"]
    assert chosen(units_at(f"{ROOT}/a/1+4", f"{ROOT}/a/2+3"), 2) == [f"{ROOT}/a/2"]


def test_never_more_than_asked_for_at_random() -> None:
    """Random plans: at most N entries, and not fewer than could be had when units are single."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        sizes = [rng.choice((1, 1, 1, 2, 5)) for _ in range(rng.randrange(1, 60))]
        units = units_at(*(f"{ROOT}/a/{n:03}+{size}" for n, size in enumerate(sizes)))
        most = rng.randrange(1, 40)
        found = choose(lambda units=units: iter(units), most, one_store())  # type: ignore[misc]
        taken = sum(len(u.left) for u in found)
        assert taken <= most or (len(found) == 1 and min(sizes) == taken), (seed, sizes, most)
        if set(sizes) == {1}:
            assert taken == min(most, len(sizes)), (seed, sizes, most)


def test_what_would_show_nothing_is_left_out() -> None:
    """Places without objects, and entries in no store of the plan; a place that nobody sized may hold some."""
    assert chosen(units_at(f"{ROOT}/a/1", objects=0), 5) == []
    assert chosen(units_at("s3://elsewhere/a/1"), 5) == []
    assert chosen(units_at(f"{ROOT}/a/1", objects=None), 5) == [f"{ROOT}/a/1"]


def beside(
    canary: Sequence[str], versions: Sequence[Version], planned: Sequence[str] = (), stores: OpenStores | None = None
) -> tuple[set[str], int]:
    """The ids of the witnesses-to-be of entries at *canary*, and how many there are."""
    entries = [entry(n, id=id_, uri=f"{ROOT}/x/{n}") for n, id_ in enumerate(planned)]
    above = list(ladders(units_at(*canary), stores or one_store()))

    def read() -> Iterator[Entry]:
        return iter(entries)

    found, number = live_beside(FakeCatalog(list(versions)), read, above, lambda: False)
    return {live.id for live in found}, number


def test_siblings_are_witnesses_and_all_that_lies_below_their_folder() -> None:
    """The folder above the place, and whatever lies in it; not a folder whose name only begins in the same way."""
    versions = [
        version("canary", f"{ROOT}/step/out/run/1"), version("sibling", f"{ROOT}/step/out/run/2"),
        version("below", f"{ROOT}/step/out/run/deep/er/3"), version("almost", f"{ROOT}/step/out/run-2/4"),
        version("far", f"{ROOT}/other/5"),
    ]  # fmt: skip
    assert beside([f"{ROOT}/step/out/run/1"], versions, ["canary"]) == ({"sibling", "below"}, 2)


def test_the_search_climbs_to_the_nearest_live_version() -> None:
    """Each output of a step has a folder of its own: its neighbours lie beside that folder. Not above the store's root."""
    here = f"{ROOT}/step/out/run1/1"
    canary, planned = version("canary", here), version("planned", f"{ROOT}/step/out/run2/2")
    near, far = version("near", f"{ROOT}/step/out/run3/3"), version("far", f"{ROOT}/other/out/run4/4")
    outside = version("outside", "s3://bucket/elsewhere/5")
    entries = ["canary", "planned"]
    assert beside([here], [canary, planned, near, far, outside], entries) == ({"near"}, 1)
    assert beside([here], [canary, planned, far, outside], entries) == ({"far"}, 1)
    assert beside([here], [canary, planned, outside], entries) == (set(), 0)


def test_each_place_has_neighbours_of_its_own() -> None:
    """One whose neighbours are near takes nothing from one that has to climb."""
    versions = [version(f"{step}{n}", f"{ROOT}/{step}/out/{n}") for step in "ab" for n in range(3)]
    lonely = [*versions, version("c0", f"{ROOT}/c/out/0")]
    assert beside([f"{ROOT}/a/out/0"], lonely, ["a0", "c0"]) == ({"a1", "a2"}, 2)
    assert beside([f"{ROOT}/c/out/0"], lonely, ["a0", "c0"])[1] == 5


def test_the_nearest_are_taken_and_others_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound the nearest come first, the others by lot, the same ones every time; and all are counted."""
    monkeypatch.setattr(witnesses, "MOST", 10)
    near = [version(f"near{n}", f"{ROOT}/step/out/{n}") for n in range(3)]
    far = [version(f"far{n:03}", f"{ROOT}/other/out/{n:03}") for n in range(200)]
    places = [f"{ROOT}/step/out/0", f"{ROOT}/lonely/out/0"]
    found, number = beside(places, [*far, *near], ["near0"])
    assert {"near1", "near2"} < found
    assert (len(found), number) == (10, 202)
    drawn = sorted(int(id_[3:]) for id_ in found if id_.startswith("far"))
    assert drawn[0] < 100 < drawn[-1]
    assert beside(places, [*near, *reversed(far)], ["near0"]) == (found, number)


def test_odd_spellings_of_live_versions_count() -> None:
    """A live version's URI is read liberally: whatever it could mean lies beside."""
    versions = [version("s3a", "s3a://bucket/root/a/2"), version("slashes", f"{ROOT}//a//3/")]
    assert beside([f"{ROOT}/a/1"], versions) == ({"s3a", "slashes"}, 2)


def test_a_linked_root_is_one_place(tmp_path: Path) -> None:
    """Local folders reached by another name: live versions under either spelling lie beside."""
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "a").mkdir(parents=True)
    link.symlink_to(real)
    spell = real_path_stores().spellings

    class Linked(FakeStore):
        def spellings(self, uri: str) -> tuple[str, ...]:
            return spell(uri)

    store = Linked()
    stores = OpenStores(dict.fromkeys(spell(str(link)), store))
    versions = [version("linked", f"{link}/a/2"), version("resolved", f"{real}/a/3")]
    assert beside([f"{link}/a/1"], versions, stores=stores) == ({"linked", "resolved"}, 2)


def test_a_stop_ends_the_survey() -> None:
    """A person who stops the sweep does not wait for a million versions."""
    above = list(ladders(units_at(f"{ROOT}/a/1"), one_store()))
    catalog = FakeCatalog([version("x", f"{ROOT}/a/2")])
    assert live_beside(catalog, lambda: iter(()), above, lambda: True) == ([], 0)


def test_places_are_listed_store_by_store() -> None:
    """What each holds, or why it cannot be said; what may not be listed is said, too."""
    one = FakeStore({"s3://one/r/a/1/x": 5}, objections={"s3://one/r/link/": "a link"})
    two = FakeStore({"s3://two/r/b/1/x": 7, "s3://two/r/b/1/y": 8}, broken={"s3://two/r/broken/"})
    stores = OpenStores({"s3://one/r/": one, "s3://two/r/": two})
    uris = [
        "s3://one/r/a/1",
        "s3://two/r/b/1",
        "s3://two/r/broken",
        "s3://one/r/link",
        "s3://one/r/../x",
        "s3://three/x",
    ]

    async def run() -> dict[str, object]:
        versions = [Live(uri, uri, "") for uri in uris]
        return {
            v.uri: str(found) if isinstance(found, Exception) else [o.size for o in found]
            async for v, found in listed(versions, stores)
        }

    assert anyio.run(run) == {
        uris[0]: [5], uris[1]: [7, 8], uris[2]: "it is broken",
        **dict.fromkeys(uris[3:], "it may not be listed any more"),
    }  # fmt: skip
    assert place_of(uris[0], stores) == (one, locate(uris[0]))
    assert [place_of(uri, stores) for uri in uris[3:]] == [None, None, None]
