"""The difference of two plans, against one that is found by comparing sets; random plans print their seed."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pytest

from marksweep.model.entry import Entry
from marksweep.plan import diff
from marksweep.plan.diff import Difference, Fate, Pair, Tally, changes, compare, fate, merge
from tests.unit.plan.support import entry

SEEDS = range(60)


def in_plan_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: one.order)


def random_plans(seed: int) -> tuple[list[Entry], list[Entry]]:
    """Two plans that share some entries, some of which changed; places repeat, nest, and are spelled in two ways."""
    chance = random.Random(seed)
    before, now = [], []
    for number in range(chance.randrange(60)):
        one = entry(number, artifact=f"artifact {chance.randrange(6)}", project=chance.choice(["a", "b"]))
        if chance.random() < 0.3:  # the same place as another version, or one inside it
            one = msgspec.structs.replace(one, uri=entry(number // 2).uri + chance.choice(["", "/x", "/x/y", "/x+"]))
        if chance.random() < 0.2:
            one = msgspec.structs.replace(one, objects=None, bytes=None, fingerprint=None)
        where = chance.random()
        if where < 0.7:
            before.append(one)
        if where > 0.3:
            now.append(changed(one, chance) if chance.random() < 0.4 else one)
    return in_plan_order(before), in_plan_order(now)


def changed(one: Entry, chance: random.Random) -> Entry:
    match chance.randrange(6):
        case 0:
            return msgspec.structs.replace(one, bytes=(one.bytes or 0) + 1)
        case 1:
            return msgspec.structs.replace(one, fingerprint="sha256:" + "0" * 64)
        case 2:
            return msgspec.structs.replace(one, objects=None, bytes=None, fingerprint=None)
        case 3:
            return msgspec.structs.replace(one, uri=one.uri + "/")
        case 4:
            return msgspec.structs.replace(one, reason="model_links_ignored")
        case _:
            return msgspec.structs.replace(one, updated="2026-02-02T00:00:00Z")


def place(one: Entry) -> tuple[str, str]:
    return one.id, one.uri.rstrip("/")


def brute(before: Sequence[Entry], now: Sequence[Entry]) -> dict[Fate, set[tuple[str, str]]]:
    """What became of each (id, place), with sets and nothing else."""
    then, today = {place(one): one for one in before}, {place(one): one for one in now}
    both = then.keys() & today.keys()
    different = {where for where in both if unlike(then[where], today[where])}
    return {
        Fate.NEW: today.keys() - then.keys(), Fate.GONE: then.keys() - today.keys(), Fate.CHANGED: different,
        Fate.SAME: both - different,
    }  # fmt: skip


def unlike(one: Entry, other: Entry) -> bool:
    known = [(one.objects, other.objects), (one.bytes, other.bytes), (one.fingerprint, other.fingerprint)]
    return (one.uri, one.reason) != (other.uri, other.reason) or any(
        a != b for a, b in known if a is not None and b is not None
    )


def entry_of(pair: Pair) -> Entry:
    found = pair[1] or pair[0]
    assert found is not None
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_difference_is_that_of_the_sets(seed: int) -> None:
    """Every entry of both plans has exactly one fate, and the tallies are the sums over them."""
    before, now = random_plans(seed)
    expected = brute(before, now)
    pairs = list(merge(before, now))
    assert {f: {place(entry_of(p)) for p in pairs if fate(p) is f} for f in Fate} == expected
    found = compare(before, now, most=10**6)
    for one in Fate:
        assert found.total.fates[one].entries == len(expected[one])
        assert one is Fate.SAME or found.first[one] == [p for p in pairs if fate(p) is one]
        bytes_ = [entry_of(p).bytes for p in pairs if fate(p) is one]
        assert found.total.fates[one].bytes == (None if None in bytes_ else sum(b or 0 for b in bytes_))
    assert found.differs == any(expected[one] for one in (Fate.NEW, Fate.GONE, Fate.CHANGED))
    assert (found.total.before.entries, found.total.now.entries) == (len(before), len(now))


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_come_in_plan_order_and_the_other_way_round_is_the_mirror(seed: int) -> None:
    """New becomes gone and gone becomes new; what changed, changed either way."""
    before, now = random_plans(seed)
    pairs = list(merge(before, now))
    orders = [entry_of(pair).order for pair in pairs]
    assert orders == sorted(set(orders))
    assert [(b, a) for a, b in pairs] == list(merge(now, before))


@pytest.mark.parametrize("seed", SEEDS)
def test_artifacts_add_up(seed: int) -> None:
    """What became of the artifacts' entries is what became of all, and the biggest change comes first."""
    before, now = random_plans(seed)
    found = compare(before, now)
    artifacts = found.artifacts(10**6)
    assert len(artifacts) == found.artifacts_changed()
    for one in (Fate.NEW, Fate.GONE, Fate.CHANGED):
        assert sum(m.fates[one].entries for _, _, m in artifacts) == found.total.fates[one].entries
    moved = [movement.moved for _, _, movement in artifacts]
    assert moved == sorted(moved, reverse=True)
    assert found.artifacts(2) == artifacts[:2]


def test_a_plan_does_not_differ_from_itself() -> None:
    """All the same."""
    entries = in_plan_order(entry(n) for n in range(20))
    assert not compare(entries, entries).differs
    assert not compare([], []).differs
    assert compare(entries, []).total.fates[Fate.GONE].entries == 20


@pytest.mark.parametrize(
    ("changes_made", "found"),
    [
        ({"bytes": 7}, ("bytes",)), ({"objects": 9}, ("objects",)), ({"uri": "s3://bucket/zenml/00000001/data/"}, ("uri",)),
        ({"fingerprint": "sha256:" + "0" * 64}, ("fingerprint",)), ({"reason": "model_links_ignored"}, ("reason",)),
        ({"updated": "2027-01-01T00:00:00Z", "version": "2", "artifact": "renamed"}, ()),
        ({"objects": None, "bytes": None, "fingerprint": None}, ()),
    ],
)  # fmt: skip
def test_what_counts_as_a_change(changes_made: dict[str, object], found: tuple[str, ...]) -> None:
    """Bytes, reason and spelling do; a tag or a name does not, and neither does what nobody looked at."""
    assert changes(entry(1), entry(1, **changes_made)) == found
    assert changes(entry(1, **changes_made), entry(1)) == found


def test_a_version_that_moved_is_gone_here_and_new_there() -> None:
    """The same id in another place has other bytes."""
    before, now = [entry(1)], [entry(1, uri=entry(2).uri)]
    assert {f: t.entries for f, t in compare(before, now).total.fates.items()} == {
        Fate.NEW: 1, Fate.GONE: 1, Fate.SAME: 0, Fate.CHANGED: 0,
    }  # fmt: skip


def test_more_artifacts_than_are_told_apart_count_in_the_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost but the name."""
    monkeypatch.setattr(diff, "ARTIFACTS", 2)
    found = compare([], in_plan_order(entry(n, artifact=f"a{n}") for n in range(5)))
    assert found.total.now.entries == 5
    assert [(artifact, m.now.entries) for _, artifact, m in found.artifacts(9)] == [("a1", 1), ("a0", 1)]


def test_sizes_are_unknown_as_soon_as_one_is() -> None:
    """And stay so."""
    tally = Tally()
    for one in (entry(3), entry(4, objects=None, bytes=None), entry(5)):
        tally.add(one)
    assert (tally.entries, tally.objects, tally.bytes) == (3, None, None)


def test_memory_stays_flat() -> None:
    """Ten times the entries need no more memory: both plans are read as they are merged."""

    def stream(count: int, step: int) -> Iterator[Entry]:
        return (entry(number) for number in range(0, count, step))

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            found = Difference(10)
            for pair in merge(stream(count, 2), stream(count, 3)):
                found.add(pair)
            assert found.total.before.entries == len(range(0, count, 2))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3_000)  # fills caches
    assert peak(12_000) < peak(3_000) + 100_000
