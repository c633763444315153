"""The hazards that take a server which misbehaves: a front before a real one does what the real one will not do on demand."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDeleted, KeyFailed, KeyGone
from marksweep.store.tuning import Meter, Tuning
from tests.contract.front import Answer, Front, Request, Server, error, refusing
from tests.contract.store_worlds import S3World, place, relative

pytestmark = pytest.mark.anyio

MANY = [f"v{number:03}/a" for number in range(80)]


@pytest.fixture(params=["moto", "seaweed"])
def world(request: pytest.FixtureRequest) -> S3World:
    """The servers that speak S3."""
    found: S3World = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture
def front(world: S3World) -> Iterator[Front]:
    with Front(world.server) as made:
        yield made


async def listed(world: S3World, store: object, names: list[str]) -> dict[str, object]:
    """What a listing of the places of *names* says: paths, or the error."""
    places = [place(world, name.rpartition("/")[0]) for name in names]
    return {
        location.segments[-1]: found if isinstance(found, Exception) else relative(world, found)
        async for location, found in store.listing(places)  # type: ignore[attr-defined]
    }


async def test_a_server_that_answers_503_for_a_while(world: S3World, front: Front) -> None:
    """Listings and deletes are sent again until they are answered; it is counted, and nothing is lost."""
    world.put(*MANY[:20])
    front.rules.append(refusing(3, "SlowDown"))
    meter = Meter()
    async with world.open(endpoint_url=front.url, meter=meter) as store:
        found = await store.list(place(world, "v000"))
        assert relative(world, found) == {"v000/a"}
        assert await listed(world, store, MANY[:20]) == {name[:4]: {name} for name in MANY[:20]}
        assert set(await store.delete(found)) == {KeyDeleted(world.key("v000/a"))}
    assert meter.retries >= 5
    assert meter.refusals >= 5
    assert world.paths() == set(MANY[1:20])


async def test_a_server_that_answers_503_for_ever(world: S3World, front: Front) -> None:
    """Patience ends: a listing is refused, not empty, and keys have failed, not gone."""
    world.put("v/a", "v/b")
    async with world.open() as store:
        found = await store.list(place(world, "v"))
    front.rules.append(refusing(10**9, "SlowDown"))
    async with world.open(endpoint_url=front.url) as store:
        with pytest.raises(StoreRefused, match="SlowDown"):
            await store.list(place(world, "v"))
        assert all(isinstance(each, StoreRefused) for each in (await listed(world, store, ["v/a", "w/a"])).values())
        assert {(type(o), getattr(o, "code", "")) for o in await store.delete(found)} == {(KeyFailed, "SlowDown")}
    assert world.paths() == {"v/a", "v/b"}


async def test_a_connection_cut_in_a_listing(world: S3World, front: Front) -> None:
    """Half a page is no page: it is asked for again, or refused; never taken for a short one."""
    world.put(*MANY[:40])
    cuts = iter([True, True, False])

    def cut(request: Request, server: Server) -> Answer | None:
        if not request.is_list or not next(cuts, False):
            return None
        whole = server(request)
        return Answer(whole.status, whole.body, whole.headers, cut=len(whole.body) * 2 // 3)

    front.rules.append(cut)
    async with world.open(endpoint_url=front.url) as store:
        assert await listed(world, store, MANY[:40]) == {name[:4]: {name} for name in MANY[:40]}
    cuts = iter(lambda: True, False)
    async with world.open(endpoint_url=front.url) as store:
        with pytest.raises(StoreRefused):
            await store.list(place(world, "v000"))


async def test_an_answer_that_ends_early_without_a_cut(world: S3World, front: Front) -> None:
    """A proxy that mends the length hides the cut; the document is still not whole."""
    world.put(*MANY[:40])

    def shorten(request: Request, server: Server) -> Answer | None:
        whole = server(request)
        at = whole.body.rfind(b"<Contents>")
        return Answer(200, whole.body[:at], whole.headers) if request.is_list and at > 0 else whole

    front.rules.append(shorten)
    async with world.open(endpoint_url=front.url) as store:
        with pytest.raises(StoreRefused):
            await store.list(place(world, "v000"))
        found = await listed(world, store, MANY[:40])
    assert all(isinstance(each, StoreRefused) for each in found.values())


async def test_a_connection_cut_in_the_answer_to_a_delete(world: S3World, front: Front) -> None:
    """The server deleted and we did not hear of it: asked again it says so, or it has failed; never silence."""
    world.put("v/a", "v/b", "w/a")
    cuts = iter([True, False])

    def cut(request: Request, server: Server) -> Answer | None:
        if not request.is_delete or b"marksweep-probe" in request.body or not next(cuts, False):
            return None
        whole = server(request)
        return Answer(whole.status, whole.body, whole.headers, cut=20)

    front.rules.append(cut)
    async with world.open(endpoint_url=front.url) as store:
        outcomes = await store.delete(await store.list(place(world, "v")))
        assert len(outcomes) == 2
        assert {type(o) for o in outcomes} <= {KeyDeleted, KeyGone}
        cuts = iter(lambda: True, False)
        found = await store.list(place(world, "w"))
        assert [type(o) for o in await store.delete(found)] == [KeyFailed]
        assert await store.list(place(world, "w")) == []
    assert world.paths() == set()


async def test_a_server_that_demands_content_md5(world: S3World, front: Front) -> None:
    """As MinIO and what is built on it do."""
    world.put("v/a", "v/b")

    def demand(request: Request, server: Server) -> Answer | None:
        if not request.is_delete:
            return None
        digest = base64.b64encode(hashlib.md5(request.body).digest()).decode()
        sent = {name.lower(): value for name, value in request.headers.items()}.get("content-md5")
        if sent is None:
            return error(400, "MissingContentMD5")
        return None if sent == digest else error(400, "BadDigest")

    front.rules.append(demand)
    async with world.open(endpoint_url=front.url) as store:
        outcomes = await store.delete(await store.list(place(world, "v")))
    assert set(outcomes) == {KeyDeleted(world.key("v/a")), KeyDeleted(world.key("v/b"))}
    assert world.paths() == set()


def scrambled(request: Request, server: Server) -> Answer | None:
    """A listing in the order of digests, twenty keys per page, from whatever start key on."""
    if not request.is_list:
        return None
    asked = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
    path = urlsplit(request.target).path
    everything = server(Request("GET", f"{path}?list-type=2&encoding-type=url", request.headers, b"")).body.decode()
    blocks = re.findall(r"<Contents>.*?</Contents>", everything, re.DOTALL)
    keys = {re.search(r"<Key>(.*?)</Key>", block)[1]: block for block in blocks}  # type: ignore[index]
    start, prefix = asked.get("start-after", ""), asked.get("prefix", "")
    fitting = sorted(
        (k for k in keys if k.startswith(prefix) and k > start), key=lambda k: hashlib.md5(k.encode()).digest()
    )
    at, most = int(asked.get("continuation-token", 0)), 20
    more = at + most < len(fitting)
    page = "".join(keys[k] for k in fitting[at : at + most])
    token = f"<NextContinuationToken>{at + most}</NextContinuationToken>" if more else ""
    body = (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}{page}</ListBucketResult>"
    )
    return Answer(200, body.encode(), {"Content-Type": "application/xml"})


async def test_a_listing_out_of_order(moto_world: S3World) -> None:
    """It is found out, and every place is listed on its own."""
    names = MANY
    moto_world.put(*names)
    meter = Meter()
    with Front(moto_world.server) as front:
        front.rules.append(scrambled)
        async with moto_world.open(endpoint_url=front.url, meter=meter) as store:
            found = await listed(moto_world, store, names)
    assert found == {name[:4]: {name} for name in names}
    assert len(names) <= meter.requests["list"] <= len(names) + 5


async def test_an_object_beside_many_siblings_in_a_listing_out_of_order(moto_world: S3World) -> None:
    """The object whose key is the URI is somewhere in the pages of its prefix, not first."""
    moto_world.put("v", "v/a", *(f"v-{number:03}" for number in range(60)))
    with Front(moto_world.server) as front:
        front.rules.append(scrambled)
        async with moto_world.open(endpoint_url=front.url) as store:
            assert relative(moto_world, await store.list(place(moto_world, "v"))) == {"v", "v/a"}


async def test_a_cancelled_delete_that_goes_on(world: S3World, front: Front) -> None:
    """The request was out: the server deletes after all. Asked again for the same objects, each one's end is known."""
    world.put("v/a", "v/b", "w/a")
    async with world.open() as store:
        found = await store.list(place(world, "v"))

    def slow(request: Request, server: Server) -> Answer | None:
        if request.is_delete and b"marksweep-probe" not in request.body:
            time.sleep(0.6)
        return None

    front.rules.append(slow)
    async with world.open(endpoint_url=front.url, tuning=Tuning(page_size=1)) as store:
        with anyio.move_on_after(0.3) as scope:
            await store.delete(found)
        assert scope.cancelled_caught
    with anyio.fail_after(30):
        while world.paths() != {"w/a"}:  # noqa: ASYNC110 - another process tells us nothing
            await anyio.sleep(0.05)
    world.put("v/a", body=b"new")
    async with world.open() as store:
        outcomes = {o.key: o for o in await store.delete(found)}
    assert isinstance(outcomes[world.key("v/b")], KeyGone | KeyDeleted)
    if isinstance(outcomes[world.key("v/a")], KeyChanged):
        assert world.paths() == {"v/a", "w/a"}
    else:
        assert world.paths() == {"w/a"}
