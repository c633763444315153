"""What only Azure does: batches, leases, snapshots, a listing without a start key; and what it does when it is busy."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, StoredObject
from marksweep.model.uri import Location
from marksweep.store import azure_client
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from marksweep.store.windows import Listed
from tests.contract.azure_world import AzureWorld
from tests.contract.store_worlds import place, relative
from tests.support.azurite import ACCOUNT, Fault, Reply, Request, refused

pytestmark = pytest.mark.anyio

BUSY = refused(503, "ServerBusy")


async def listed(world: AzureWorld, paths: list[str], meter: Meter, **tuning: bool) -> dict[str, Listed]:
    """What ``listing`` yields for *paths*, which it must keep in order."""
    wanted = [place(world, path) for path in paths]
    async with world.open(tuning=Tuning(**tuning), meter=meter) as store:
        results: list[tuple[Location, Listed]] = [result async for result in store.listing(wanted)]
    assert [location for location, _ in results] == wanted
    return {path: result for path, (_, result) in zip(paths, results, strict=True)}


def keys(found: Listed) -> list[str]:
    assert not isinstance(found, Exception)
    return sorted(each.key.removeprefix("zenml/") for each in found)


@pytest.mark.parametrize(("page_size", "requests"), [(1_000, [256, 8]), (100, [100, 50])])
async def test_more_blobs_than_a_batch_takes(azure_world: AzureWorld, page_size: int, requests: list[int]) -> None:
    """256 to a request at most, fewer if so wished; each is asked for once and each is answered."""
    names = {f"v/{number:03}" for number in range(sum(requests))}
    azure_world.put(*names)
    meter = Meter()
    async with azure_world.open(tuning=Tuning(page_size=page_size), meter=meter) as store:
        outcomes = await store.delete(await store.list(place(azure_world, "v")))
    assert set(outcomes) == {KeyDeleted(azure_world.key(name)) for name in names}
    batches = azure_world.front.of_kind("batch")
    assert sorted((len(batch.names) for batch in batches), reverse=True) == requests
    assert (meter.requests["delete"], meter.retries) == (len(requests), 0)
    assert azure_world.paths() == set()


async def test_a_lease_and_a_snapshot_deny_their_blob_alone(azure_world: AzureWorld) -> None:
    """Both answers come with a status that means something else for other codes; the rest of the batch is deleted."""
    azure_world.put("v/a", "v/leased", "v/pictured", "v/z")
    azure_world.blob("v/leased").acquire_lease()
    azure_world.blob("v/pictured").create_snapshot()
    async with azure_world.open() as store:
        outcomes = {o.key: o for o in await store.delete(await store.list(place(azure_world, "v")))}
    leased, pictured = (outcomes.pop(azure_world.key(path)) for path in ("v/leased", "v/pictured"))
    assert isinstance(leased, KeyDenied)
    assert isinstance(pictured, KeyDenied)
    assert (leased.code, pictured.code) == ("LeaseIdMissing", "SnapshotsPresent")
    assert set(outcomes.values()) == {KeyDeleted(azure_world.key(path)) for path in ("v/a", "v/z")}
    assert azure_world.paths() == {"v/leased", "v/pictured"}


async def test_a_blob_rewritten_after_the_listing_is_left_alone(azure_world: AzureWorld) -> None:
    """The etag goes with each delete; one that is gone altogether is told from one that has changed."""
    azure_world.put("v/a", "v/b", "v/c")
    async with azure_world.open() as store:
        found = await store.list(place(azure_world, "v"))
        azure_world.put("v/b", body=b"another")
        azure_world.blob("v/c").delete_blob()
        outcomes = await store.delete(found)
    a, b, c = (azure_world.key(path) for path in ("v/a", "v/b", "v/c"))
    assert set(outcomes) == {KeyDeleted(a), KeyChanged(b), KeyGone(c)}
    assert azure_world.paths() == {"v/b"}


async def test_a_blob_without_an_etag_is_not_deleted(azure_world: AzureWorld) -> None:
    """Nothing would say that it is still the one that was listed."""
    azure_world.put("v/a")
    async with azure_world.open() as store:
        (outcome,) = await store.delete([StoredObject(azure_world.key("v/a"), 1, "")])
        for name in ("v/./a", "v/../a", "v/..", "v\\a"):
            assert store.objection_to(StoredObject(azure_world.key(name), 1, "0x1")), name
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "InvalidKey"
    assert azure_world.paths() == {"v/a"}


async def test_all_versions_takes_the_snapshots_with_the_blob(azure_world: AzureWorld) -> None:
    """Listed and deleted one by one, each with an outcome of its own; without the option a snapshot is not seen."""
    azure_world.put("v/a", "v/b", "w/a")
    for _ in range(2):
        azure_world.blob("v/a").create_snapshot()
        await anyio.sleep(0.002)
    async with azure_world.open() as store:
        assert len(await store.list(place(azure_world, "v"))) == 2
    async with azure_world.open(tuning=Tuning(all_versions=True)) as store:
        found = await store.list(place(azure_world, "v"))
        assert sorted((o.key[-1], o.version.partition(":")[0]) for o in found) == [
            ("a", ""), ("a", "snapshot"), ("a", "snapshot"), ("b", ""),
        ]  # fmt: skip
        outcomes = await store.delete(found)
        assert set(outcomes) == {KeyDeleted(o.key, o.version) for o in found}
        assert await store.list(place(azure_world, "v")) == []
    assert azure_world.paths() == {"w/a"}


# --- busy and broken servers ---


async def test_a_storm_of_refusals_loses_nothing(azure_world: AzureWorld) -> None:
    """Half of all requests are refused for a while: everything is deleted in the end, and the rate is free again."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng, guard, began = random.Random(seed), threading.Lock(), dict[str, float]()

    def storm(request: Request, _: Callable[[], Reply]) -> Reply | None:
        with guard:
            until = began.setdefault(request.kind, time.monotonic()) + 1.0
            return BUSY if time.monotonic() < until and rng.random() < 0.5 else None

    names = {f"v{number}/{name}" for number in range(20) for name in "abcdefghij"}
    azure_world.put(*names)
    meter = Meter()
    azure_world.front.faults.append(storm)
    tuning = Tuning(page_size=10, concurrency=4)
    async with azure_world.open(tuning=tuning, meter=meter, retry=Retry(first_pause=0.05)) as store:
        found = [o for number in range(20) for o in await store.list(place(azure_world, f"v{number}"))]
        assert len(found) == len(names)
        outcomes = await store.delete(found)
    assert {o.key for o in outcomes} == {azure_world.key(name) for name in names}
    assert not [o for o in outcomes if not isinstance(o, KeyDeleted)]
    assert azure_world.paths() == set()
    assert min(meter.refusals, meter.retries) > 0
    assert meter.requests["delete"] > 20
    assert meter.requests["list"] + meter.requests["delete"] == len(azure_world.front.requests)


async def test_only_the_refused_blobs_of_a_batch_are_asked_for_again(azure_world: AzureWorld) -> None:
    """Inside a batch that went well some parts say 503: these, and no others, go out once more, after Retry-After."""
    azure_world.put(*(f"v/{number}" for number in range(10)))
    sent: list[float] = []

    def partly(request: Request, _: Callable[[], Reply]) -> Reply | None:
        if request.kind != "batch":
            return None
        sent.append(time.monotonic())
        if len(sent) > 1:
            return None
        parts = []
        for number, name in enumerate(request.names):
            head = f"--edge\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\nHTTP/1.1 "
            if number % 3 == 0:
                parts.append(f"{head}503 X\r\nRetry-After: 1\r\nx-ms-error-code: ServerBusy\r\n\r\n\r\n")
            else:
                azure_world.container.delete_blob(name.removeprefix(f"/{ACCOUNT}/{azure_world.bucket}/"))
                parts.append(f"{head}202 Accepted\r\n\r\n\r\n")
        parts.reverse()
        body = "".join([*parts, "--edge--\r\n"]).encode()
        return Reply(202, body, {"Content-Type": "multipart/mixed; boundary=edge"})

    azure_world.front.faults.append(partly)
    meter = Meter()
    async with azure_world.open(meter=meter) as store:
        outcomes = await store.delete(await store.list(place(azure_world, "v")))
    assert set(outcomes) == {KeyDeleted(azure_world.key(f"v/{number}")) for number in range(10)}
    first, second = azure_world.front.of_kind("batch")
    assert second.names == first.names[::3]
    assert sent[1] - sent[0] >= 0.9
    assert (meter.requests["delete"], meter.retries, meter.refusals) == (2, 1, 1)


async def test_a_server_that_is_never_free_again_fails_the_blobs(azure_world: AzureWorld) -> None:
    """When patience is over each blob has failed with the server's code, and is still there."""
    azure_world.put("v/a", "v/b")
    meter = Meter()
    async with azure_world.open(retry=Retry(first_pause=0.001, patience=0.05), meter=meter) as store:
        found = await store.list(place(azure_world, "v"))
        azure_world.front.faults.append(lambda request, _: BUSY)
        outcomes = await store.delete(found)
        with pytest.raises(StoreRefused, match="ServerBusy"):
            await store.list(place(azure_world, "v"))
    assert [(type(o), getattr(o, "code", None)) for o in outcomes] == [(KeyFailed, "ServerBusy")] * 2
    assert meter.requests.total() == len(azure_world.front.requests)  # the SDK repeats nothing behind our back
    assert azure_world.paths() == {"v/a", "v/b"}


def cut_once(kind: str, at: int) -> Fault:
    """The server acts; its first answer of one *kind* is cut off after *at* bytes."""
    left = [1]

    def cut(request: Request, act: Callable[[], Reply]) -> Reply | None:
        if request.kind != kind or not left:
            return None
        left.clear()
        reply = act()
        return Reply(reply.status, reply.body, reply.headers, cut_at=at)

    return cut


@pytest.mark.parametrize("at", [0, 20, 600])
async def test_a_batch_whose_answer_is_cut_off_is_asked_for_again(azure_world: AzureWorld, at: int) -> None:
    """The server deleted and nobody heard: asked again it says so of each blob. Nothing is reported as deleted unheard."""
    names = {f"v/{number}" for number in range(5)}
    azure_world.put(*names, "w")
    async with azure_world.open() as store:
        found = await store.list(place(azure_world, "v"))
        azure_world.front.faults.append(cut_once("batch", at))
        outcomes = await store.delete(found)
    assert set(outcomes) == {KeyGone(azure_world.key(name)) for name in names}
    assert len(azure_world.front.of_kind("batch")) == 2
    assert azure_world.paths() == {"w"}


@pytest.mark.parametrize("at", [0, 20, 900])
async def test_a_listing_that_is_cut_off_is_never_short(azure_world: AzureWorld, at: int) -> None:
    """It is asked for again; half a page is not taken for a page."""
    names = {f"v/{number}" for number in range(20)}
    azure_world.put(*names)
    azure_world.front.faults.append(cut_once("list", at))
    async with azure_world.open() as store:
        assert relative(azure_world, await store.list(place(azure_world, "v"))) == names
    assert len(azure_world.front.of_kind("list")) == 2


# --- listing ---


def small_pages(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(azure_client, "PAGE", size)


async def test_neighbours_share_a_page(azure_world: AzureWorld) -> None:
    """Three hundred places of one folder cost one request, empty ones and nested ones among them."""
    azure_world.put(*(f"p/v{number:03}/{name}" for number in range(0, 300, 3) for name in "ab"))
    azure_world.put("p/v000", "p/v000x/a", "p/v003/in/c", "p/v299")
    meter = Meter()
    found = await listed(azure_world, [*(f"p/v{number:03}" for number in range(300)), "p/v003/in"], meter)
    assert meter.requests["list"] == 1
    assert keys(found["p/v000"]) == ["p/v000", "p/v000/a", "p/v000/b"]
    assert keys(found["p/v003"]) == ["p/v003/a", "p/v003/b", "p/v003/in/c"]
    assert keys(found["p/v003/in"]) == ["p/v003/in/c"]
    assert keys(found["p/v299"]) == ["p/v299"]
    assert keys(found["p/v001"]) == []


async def test_a_sparse_prefix_is_given_up_after_a_page(
    azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten places among hundreds of others: a page that passes one of them at most is the only one that is wasted."""
    small_pages(monkeypatch, 10)
    azure_world.put(*(f"p/v{number:03}/a" for number in range(300)))
    meter = Meter()
    found = await listed(azure_world, [f"p/v{number:03}" for number in range(5, 300, 30)], meter)
    assert [keys(each) for each in found.values()] == [[f"p/v{number:03}/a"] for number in range(5, 300, 30)]
    assert meter.requests["list"] <= 12


async def test_places_far_apart_are_listed_by_folder(azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two dense folders lies a crowd of other things: it is not read through."""
    small_pages(monkeypatch, 10)
    azure_world.put(*(f"{folder}/v{number}/x" for folder in ("a", "z") for number in range(9)))
    azure_world.put(*(f"m/{number:03}" for number in range(300)))
    meter = Meter()
    wanted = [f"{folder}/v{number}" for folder in ("a", "z") for number in range(9)]
    found = await listed(azure_world, wanted, meter)
    assert all(keys(each) == [f"{path}/x"] for path, each in found.items())
    assert meter.requests["list"] <= 4


async def test_siblings_that_fill_the_first_page_hide_nothing(
    azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blob itself and its folder are found behind any number of siblings, whatever the order is."""
    small_pages(monkeypatch, 10)
    mine = {"abc", *(f"abc/{number:02}" for number in range(25))}
    azure_world.put(*mine, *(f"abc-2/{number:02}" for number in range(25)), "abcd/x")
    azure_world.front.faults.append(backwards(azure_world))
    async with azure_world.open() as store:
        assert relative(azure_world, await store.list(place(azure_world, "abc"))) == mine
        assert relative(azure_world, await store.list(place(azure_world, "abc-2"))) == azure_world.paths() - mine - {
            "abcd/x"
        }


def backwards(world: AzureWorld) -> Fault:
    """The server lists its blobs last first, over all pages, as none does."""

    def answer(request: Request, _: Callable[[], Reply]) -> Reply | None:
        if request.kind != "list":
            return None
        query = request.query
        start, size = int(query.get("marker", "0")), int(query["maxresults"])
        blobs = [b for b in world.container.list_blobs() if b.name.startswith(query.get("prefix", ""))][::-1]
        members = "".join(
            f"<Blob><Name>{b.name}</Name><Properties><Etag>{b.etag}</Etag><Content-Length>{b.size}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for b in blobs[start : start + size]
        )
        more = start + size if start + size < len(blobs) else ""
        body = f"<Blobs>{members}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
        body = f'<?xml version="1.0"?><EnumerationResults ServiceEndpoint="http://x/" ContainerName="c">{body}'
        return Reply(200, body.encode(), {"Content-Type": "application/xml"})

    return answer


async def test_a_listing_in_no_order_is_exact(azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that run backwards say nothing of what they passed: every place has all that is its own."""
    small_pages(monkeypatch, 7)
    azure_world.put(*(f"p/v{number:02}/{name}" for number in range(20) for name in "ab"), "p/v03", "p/v03x")
    azure_world.front.faults.append(backwards(azure_world))
    found = await listed(azure_world, [f"p/v{number:02}" for number in range(22)], Meter())
    for number in range(20):
        mine = [f"p/v{number:02}/{name}" for name in "ab"]
        assert keys(found[f"p/v{number:02}"]) == (["p/v03", *mine] if number == 3 else mine)
    assert keys(found["p/v21"]) == []


@pytest.mark.parametrize("size", [1, 3, 10, 5_000])
async def test_any_tree_is_listed_exactly(azure_world: AzureWorld, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Random names, random places, pages of any size: each place has what a look at all names says, no more requests than
    twice one for each place."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    small_pages(monkeypatch, size)

    def name(deep: int) -> str:
        return "/".join(rng.choice(["a", "a-b", "ab", "b", "b.c", "c!", "\u00e9", "z~"]) for _ in range(deep))

    names = sorted({name(rng.randint(1, 4)) for _ in range(250)})
    azure_world.put(*names)
    places = sorted({name(rng.randint(1, 3)) for _ in range(40)})
    rng.shuffle(places)
    meter = Meter()
    found = await listed(azure_world, places, meter)
    for path in places:
        assert keys(found[path]) == [each for each in names if each == path or each.startswith(f"{path}/")]
    pages = sum(max(1, -(-len(keys(each)) // size)) for each in found.values())
    assert meter.requests["list"] <= 3 * (pages + len(places))


async def test_a_listing_that_cannot_be_completed_is_refused(azure_world: AzureWorld) -> None:
    """A server that says "more" without getting any further is never taken for complete, nor asked for ever."""

    def stuck(request: Request, act: Callable[[], Reply]) -> Reply | None:
        if request.kind != "list":
            return None
        reply = act()
        body = re.sub(rb"<NextMarker ?/>|<NextMarker></NextMarker>", b"<NextMarker>x</NextMarker>", reply.body)
        assert b"<NextMarker>x" in body
        return Reply(reply.status, body, reply.headers)

    azure_world.put("v/a", "w/a")
    azure_world.front.faults.append(stuck)
    async with azure_world.open() as store:
        with pytest.raises(StoreRefused, match="cannot be completed"):
            await store.list(place(azure_world, "v"))
    found = await listed(azure_world, ["v", "w"], Meter())
    assert keys(found["v"]) == ["v/a"]  # passed for certain, whatever comes after it
    assert isinstance(found["w"], StoreRefused)


async def test_a_server_that_ignores_the_prefix_endangers_nothing(azure_world: AzureWorld) -> None:
    """What a server lists beyond the URI is dropped before anyone sees it."""
    azure_world.put("v/a", "w/a", "x/a")

    def everything(request: Request, act: Callable[[], Reply]) -> Reply | None:
        plain = Request(request.method, re.sub(r"&?prefix=[^&]*", "", request.target), request.headers, request.body)
        return backwards(azure_world)(plain, act)

    azure_world.front.faults.append(everything)
    async with azure_world.open() as store:
        assert relative(azure_world, await store.list(place(azure_world, "v"))) == {"v/a"}
    found = await listed(azure_world, ["v", "w"], Meter())
    assert [keys(each) for each in found.values()] == [["v/a"], ["w/a"]]


# --- opening and closing ---


def test_a_store_belongs_to_its_own_event_loop(azure_world: AzureWorld) -> None:
    """Opened again in a second loop it works: no cached instance, no session of a closed loop."""
    azure_world.put("v/a")

    async def count() -> int:
        async with azure_world.open() as store:
            return len(await store.list(place(azure_world, "v")))

    assert [anyio.run(count), anyio.run(count)] == [1, 1]


async def test_cancelling_a_sweep_closes_the_client(azure_world: AzureWorld) -> None:
    """The scope ends, no exception group and no open socket is left (a warning would fail this test)."""
    with anyio.CancelScope() as scope:
        async with azure_world.open() as store:
            await store.list(place(azure_world, "v"))
            scope.deadline = anyio.current_time() + 0.05
            while True:
                await store.list(place(azure_world, "v"))
    assert scope.cancelled_caught
