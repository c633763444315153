"""The leapfrog listing against brute force: random trees, every order of a server, every size of a page and of a range."""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Iterable, Iterator, Sequence

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import StoredObject
from marksweep.store import leapfrog, order
from marksweep.store.leapfrog import Leapfrog, Page
from tests.contract.memory_store import Bucket, BucketPages, Ordering, brute, places

pytestmark = pytest.mark.anyio

CASES = 700
"""Random trees per order of the server."""
NASTY = (
    "a", "a-b", "a.b", "ab", "a!", "a0", "a~", "a ", "A", "b", "", " ", "!", "~", ".", "..", "*", "[a]", "%2F", "\x01",
    "\n", "\x1f", "\x7f", "0", "/", "é", "e\u0301", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff",
)  # fmt: skip
"""Segments on either side of ``/``, of the first and last characters, of the surrogates; empty ones make ``//``."""
PLAIN = tuple(name for name in NASTY if name not in ("", ".", "..", "/"))
"""Those that a URI may hold."""


class Tree:
    """Objects, and places some of which hold none, some of which lie in others."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        names = self.random.sample(PLAIN, self.random.randint(2, len(PLAIN)))
        self.paths = {self._path(names) for _ in range(self.random.randint(1, 40))}
        self.keys = {self._key(path) for path in self.paths for _ in range(self.random.choice([0, 1, 1, 3, 9]))}
        self.keys |= {"/".join([self._path(names), self.random.choice(NASTY)]) for _ in range(20)}

    def _path(self, names: Sequence[str]) -> str:
        return "/".join(self.random.choice(names) for _ in range(self.random.randint(1, 4)))

    def _key(self, path: str) -> str:
        below = [self.random.choice(NASTY) for _ in range(self.random.randint(0, 3))]
        return self.random.choice(["", "", "", "-", "0", "."]).join([path, ""]) + "".join(f"/{name}" for name in below)


async def listed(bucket: Bucket, paths: Iterable[str], *, emptied: bool = False) -> dict[str, object]:
    """What a leapfrog says of each of *paths*: the keys, once each, or the error."""
    found: dict[str, object] = {}
    wanted = places(paths)
    async for location, objects in Leapfrog(BucketPages(bucket)).listing(wanted, emptied=emptied):
        path = "/".join(location.segments)
        assert path not in found
        if isinstance(objects, Exception):
            found[path] = objects
            continue
        keys = [found.key for found in objects]
        assert len(keys) == len(set(keys)), f"{path!r} has an object twice"
        found[path] = set(keys)
    assert [*found] == ["/".join(location.segments) for location in wanted]
    return found


@pytest.fixture
def seeds() -> Iterator[Iterator[int]]:
    """Seeds of random cases; the one that failed is printed. Reproduce it with ``Tree(seed)``."""
    used: list[int] = []

    def draw() -> Iterator[int]:
        while True:
            used.append(secrets.randbits(32))
            yield used[-1]

    yield draw()
    print(f"last seed: {used[-1]}")


@pytest.mark.parametrize("ordering", Ordering)
async def test_every_place_is_listed_as_brute_force_lists_it(
    ordering: Ordering, seeds: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the names, the order of the server, the size of its pages and of our ranges."""
    for seed in itertools.islice(seeds, CASES):
        tree = Tree(seed)
        monkeypatch.setattr(leapfrog, "RANGE", tree.random.choice([1, 2, 5, 2_048]))
        monkeypatch.setattr(leapfrog, "RANGES", tree.random.choice([1, 3, 8]))
        monkeypatch.setattr(leapfrog, "ALONE_AT_MOST", tree.random.choice([1, 2, 64]))
        # A page of n keys in random order is in order by chance once in n!: that cannot be told from order.
        page = tree.random.choice([13, 50, 1_000] if ordering is Ordering.SHUFFLED else [1, 2, 3, 7, 50, 1_000])
        bucket = Bucket(ordering, page, few=None if ordering is Ordering.SHUFFLED else tree.random.choice([1, 2, page]))
        bucket.put(tree.keys)
        paths = sorted(tree.paths) if tree.random.random() < 0.8 else list(tree.paths)
        found = await listed(bucket, paths, emptied=tree.random.random() < 0.3)
        assert found == {path: brute(bucket.objects, path) for path in paths}, f"seed {seed}"


@pytest.mark.parametrize("ordering", [Ordering.SHUFFLED, Ordering.STARTLESS])
async def test_a_server_without_order_is_found_out_and_listed_alone(ordering: Ordering) -> None:
    """From the first page that shows it on, no page is asked for any more."""
    bucket = Bucket(ordering)
    bucket.put(f"v{number:04}/{name}" for number in range(3_000) for name in "ab")
    paths = [f"v{number:04}" for number in range(1_000, 3_000)]
    leap = Leapfrog(BucketPages(bucket))
    wanted = places(paths)
    for requests in (2_001, 2_000):
        bucket.requests.clear()
        async for location, objects in leap.listing(wanted, emptied=False):
            assert not isinstance(objects, Exception)
            assert {o.key for o in objects} == {f"{location.segments[0]}/{name}" for name in "ab"}
        assert not leap.ordered
        assert bucket.requests["list"] <= requests


async def test_a_server_over_a_file_system_is_no_server_without_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """``a/`` before ``a-b/``, or after it: either order is relied on, and a dense heap costs pages in both."""
    monkeypatch.setattr(leapfrog, "RANGE", 1_000)  # a range across both folders lists some places alone
    for ordering in (Ordering.UTF8, Ordering.SEGMENTS):
        bucket = Bucket(ordering)
        paths = [f"{step}/{number:04}" for step in ("train", "train-2", "train.old") for number in range(1_000)]
        bucket.put(f"{path}/{name}" for path in paths for name in "abc")
        leap = Leapfrog(BucketPages(bucket))
        async for _, found in leap.listing(places(sorted(paths)), emptied=False):
            assert not isinstance(found, Exception)
            assert len(found) == 3
        assert leap.ordered
        assert bucket.requests["list"] < 20


async def test_an_order_that_shows_late_leads_to_ranges_listed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other ranges had found by pages by then is not trusted."""
    monkeypatch.setattr(leapfrog, "RANGE", 20)
    bucket = Bucket()
    bucket.put(f"v{number:03}/a" for number in range(200))

    class Liar(BucketPages):
        """Its first answer for the second range is in no order; a slower one leaves a place out."""

        async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
            page = await super().page(within, start, more, few=few)
            if start == order.before("v020"):
                return Page(page.objects[::-1], page.more)
            await anyio.sleep(0.01)
            return Page([o for o in page.objects if o.key != "v150/a"], page.more)

    leap = Leapfrog(Liar(bucket))
    async for location, objects in leap.listing(places(f"v{n:03}" for n in range(200)), emptied=False):
        assert not isinstance(objects, Exception)
        assert [o.key for o in objects] == [f"{location.segments[0]}/a"]
    assert not leap.ordered


class Repeating(BucketPages):
    """A server that gives the same token for ever, and one that gives it for one place only."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self.asked = 0

    async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
        self.asked += 1
        assert self.asked < 1_000, "it is asked for ever"
        page = await super().page(within, start, None, few=few)
        return Page(page.objects[:1], "again")


async def test_a_server_that_repeats_a_token_is_not_asked_for_ever() -> None:
    """Its pages are given up, its places listed alone."""
    bucket = Bucket()
    bucket.put(["v/a", "v/b", "v/c", "w/a"])
    pages = Repeating(bucket)
    found = {}
    async for location, objects in Leapfrog(pages).listing(places(["v", "w"]), emptied=False):
        assert not isinstance(objects, Exception)
        found[location.segments[0]] = {o.key for o in objects}
    assert found == {"v": {"v/a", "v/b", "v/c"}, "w": {"w/a"}}
    assert pages.asked <= 3


async def test_a_page_that_fails_leads_to_places_listed_alone() -> None:
    """One bad key in a page is the fault of its own place only."""
    bucket = Bucket()
    bucket.put(f"v{number:03}/a" for number in range(100))

    def broken(prefix: str) -> None:
        if "v050".startswith(prefix.rstrip("/")):
            raise StoreRefused("a key that no answer can carry", "rename it")

    bucket.broken = broken
    found = await listed(bucket, [f"v{number:03}" for number in range(100)])
    assert isinstance(found.pop("v050"), StoreRefused)
    assert found == {f"v{number:03}": {f"v{number:03}/a"} for number in range(100) if number != 50}


async def test_a_store_that_refuses_everything_is_not_asked_for_every_place() -> None:
    """After some refusals in a row the others of the range are refused, too; nothing is taken for empty."""
    bucket = Bucket()

    def broken(prefix: str) -> None:
        raise StoreRefused("AccessDenied", "ask for rights")

    bucket.broken = broken
    found = await listed(bucket, [f"v{number:04}" for number in range(2_000)])
    assert len(found) == 2_000
    assert all(isinstance(error, StoreRefused) for error in found.values())
    assert bucket.requests["list"] < 100


async def test_siblings_without_end_are_not_read_through() -> None:
    """Between ``v`` and what lies below ``v/`` there may be any number of ``v-…``: then the place is listed on its own."""
    bucket = Bucket()
    bucket.put(["v/a", "w/a", *(f"v-{number:05}" for number in range(20_000))])
    read: list[str] = []

    class Counting(BucketPages):
        async def page(self, within: str, start: str, more: object | None, *, few: bool) -> Page:
            read.append(start)
            return await super().page(within, start, more, few=few)

    found = [o async for o in Leapfrog(Counting(bucket)).listing(places(["v", "w"]), emptied=False)]
    assert [[o.key for o in objects] for _, objects in found if not isinstance(objects, Exception)] == [
        ["v/a"],
        ["w/a"],
    ]
    assert len(read) == 1


async def test_what_is_not_expected_is_raised() -> None:
    """A bug is no refusal of one place."""
    bucket = Bucket()
    bucket.put(["v/a"])

    def broken(prefix: str) -> None:
        raise ZeroDivisionError("a bug")

    bucket.broken = broken
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await listed(bucket, ["v", "w"])


async def test_a_place_asked_for_twice_is_listed_twice() -> None:
    """Versions may share a URI; the order is that of the question."""
    bucket = Bucket()
    bucket.put(["v/a", "w/a"])
    wanted = places(["w", "v", "w"])
    found = [(o, listed) async for o, listed in Leapfrog(BucketPages(bucket)).listing(wanted, emptied=False)]
    assert [location for location, _ in found] == wanted
    assert found[0] == found[2]
    assert [o async for o in Leapfrog(BucketPages(bucket)).listing([], emptied=False)] == []


async def test_few_keys_are_asked_for_where_there_are_none_left() -> None:
    """The closing listing of an emptied range costs one small page; what came meanwhile is found all the same."""
    bucket = Bucket(few=2)
    paths = [f"v{number:03}" for number in range(200)]
    assert await listed(bucket, paths, emptied=True) == {path: set() for path in paths}
    assert bucket.requests["list"] == 1
    bucket.put(["v007/late", "v008/late", "v150/late"])
    assert await listed(bucket, paths, emptied=True) == {path: brute(bucket.objects, path) for path in paths}
    assert bucket.requests["list"] == 3, "the first page is a small one"


async def test_objects_are_as_the_server_said() -> None:
    """Size and tag are those of the listing."""
    bucket = Bucket()
    bucket.put(["v/a"], b"four")
    ((_, found),) = [o async for o in Leapfrog(BucketPages(bucket)).listing(places(["v"]), emptied=False)]
    assert found == [StoredObject("v/a", 4, bucket.objects["v/a"].tag)]
