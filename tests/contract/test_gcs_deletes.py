"""Batches: each call's own answer, what is repeated and what is not, and what an answer never means."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable, Iterator

import pytest

from marksweep.model.store import KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.gcs_client import Answer, GcsError
from marksweep.store.gcs_delete import read_parts
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from tests.contract.gcs_world import GcsWorld
from tests.contract.store_worlds import place
from tests.support.gcs_front import Fault, Spoil
from tests.support.gcs_server import Reply, Request, refused

pytestmark = pytest.mark.anyio

PATIENT = Retry(attempts=8, first_pause=0.01, longest_pause=0.05, patience=30.0)


async def deleted(world: GcsWorld, meter: Meter | None = None, retry: Retry = PATIENT) -> dict[str, KeyOutcome]:
    """List ``v`` and delete it; outcome by the key's last segment."""
    async with world.open(meter=meter, retry=retry) as store:
        found = await store.list(place(world, "v"))
        outcomes = await store.delete(found)
    assert sorted(outcome.key for outcome in outcomes) == sorted(listed.key for listed in found)
    return {outcome.key.rpartition("/")[2]: outcome for outcome in outcomes}


def keys_of(request: Request) -> list[str]:
    """The last segments of the keys that a batch names."""
    return [name.decode() for name in re.findall(rb"DELETE \S+%2F([^?% ]+)\?", request.body)]


def on_batches(*replies: Reply | None) -> Fault:
    """Answers the first batches; null lets one through."""
    script = iter(replies)
    return lambda request, _: next(script, None) if request.kind == "batch" else None


@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, "rateLimitExceeded"), (503, "backendError"), (500, "backendError"), (502, ""), (504, ""), (408, ""),
     (403, "rateLimitExceeded"), (403, "userRateLimitExceeded")],
)  # fmt: skip
async def test_only_keys_that_failed_in_passing_are_asked_for_again(
    gcs_world: GcsWorld, status: int, reason: str
) -> None:
    """A passing error is repeated for its own key, not for the batch."""
    gcs_world.put("v/a", "v/b", "v/c")
    gcs_world.front.parts["zenml/v/b"] = iter([(status, reason)] * 2)
    meter = Meter()
    outcomes = await deleted(gcs_world, meter)
    assert {type(outcome) for outcome in outcomes.values()} == {KeyDeleted}
    assert [keys_of(request) for request in gcs_world.front.of_kind("batch")] == [["a", "b", "c"], ["b"], ["b"]]
    assert (meter.requests["delete"], meter.retries) == (3, 2)
    assert bool(meter.refusals) == (status in (403, 429, 503))


@pytest.mark.parametrize(
    ("spoil", "kind", "code"),
    [
        ((401, "authError"), KeyDenied, "authError"),
        ((403, "forbidden"), KeyDenied, "forbidden"),
        ((403, "retentionPolicyNotMet"), KeyDenied, "retentionPolicyNotMet"),
        ((403, "objectUnderActiveHold"), KeyDenied, "objectUnderActiveHold"),
        ((403, ""), KeyDenied, "403"),
        ((400, "invalid"), KeyFailed, "invalid"),
        ((409, "conflict"), KeyFailed, "conflict"),
        ((302, ""), KeyFailed, "302"),
        ((0, ""), KeyFailed, "NoAnswer"),
    ],
)
async def test_each_key_has_its_own_answer(
    gcs_world: GcsWorld, spoil: Spoil, kind: type[KeyOutcome], code: str
) -> None:
    """What is refused or not answered stays, with the store's reason, and is not asked for again; the others go."""
    gcs_world.put("v/a", "v/b", "v/c")
    gcs_world.front.parts["zenml/v/b"] = itertools.repeat(spoil)
    outcomes = await deleted(gcs_world)
    outcome = outcomes.pop("b")
    assert type(outcome) is kind
    assert isinstance(outcome, KeyDenied | KeyFailed)
    assert outcome.code == code
    assert outcome.message
    assert {type(other) for other in outcomes.values()} == {KeyDeleted}
    assert gcs_world.paths() == {"v/b"}
    assert len(gcs_world.front.of_kind("batch")) == 1


async def test_a_key_that_keeps_failing_has_failed(gcs_world: GcsWorld) -> None:
    """After the last attempt the code stands."""
    gcs_world.put("v/a", "v/b")
    gcs_world.front.parts["zenml/v/a"] = itertools.repeat((500, "backendError"))
    outcomes = await deleted(gcs_world, retry=Retry(attempts=4, first_pause=0.001))
    assert outcomes == {"a": KeyFailed("zenml/v/a", "backendError", "because"), "b": KeyDeleted("zenml/v/b")}
    assert len(gcs_world.front.of_kind("batch")) == 4


@pytest.mark.parametrize("size", [7, 100, 250, 1_000])
async def test_no_batch_holds_more_than_a_hundred(gcs_world: GcsWorld, size: int) -> None:
    """Cloud Storage takes 100 calls; the page size only makes it fewer."""
    gcs_world.put(*(f"v/{number:03}" for number in range(120)))
    async with gcs_world.open(tuning=Tuning(page_size=size)) as store:
        outcomes = await store.delete(await store.list(place(gcs_world, "v")))
    assert {type(outcome) for outcome in outcomes} == {KeyDeleted}
    sizes = sorted(len(keys_of(request)) for request in gcs_world.front.of_kind("batch"))
    assert max(sizes) == min(size, 100)
    assert sum(sizes) == 120


@pytest.mark.parametrize("status", [301, 400, 404, 412])
async def test_what_a_batch_as_a_whole_is_refused_with_says_nothing_of_its_keys(
    gcs_world: GcsWorld, status: int
) -> None:
    """404 for a server without batches is not "gone", 412 not "changed": each key has failed."""
    gcs_world.put("v/a", "v/b")
    gcs_world.front.faults.append(on_batches(*[refused(status, "")] * 9))
    outcomes = await deleted(gcs_world)
    assert {(type(outcome), getattr(outcome, "code", "")) for outcome in outcomes.values()} == {
        (KeyFailed, str(status))
    }
    assert gcs_world.paths() == {"v/a", "v/b"}


async def test_a_batch_that_nobody_may_send_is_denied(gcs_world: GcsWorld) -> None:
    """Refused as a whole: each of its keys is denied, and nothing is repeated."""
    gcs_world.put("v/a", "v/b")
    gcs_world.front.faults.append(on_batches(*[refused(403, "forbidden")] * 9))
    assert {type(outcome) for outcome in (await deleted(gcs_world)).values()} == {KeyDenied}
    assert len(gcs_world.front.of_kind("batch")) == 1


@pytest.mark.parametrize(
    "reply", [Reply(200, b"{}", {"Content-Type": "application/json"}), Reply(204), Reply(200, b"x")]
)
async def test_a_success_that_is_no_batch_answer_deletes_nothing(gcs_world: GcsWorld, reply: Reply) -> None:
    """200 of something else than a batch endpoint is not "deleted"."""
    gcs_world.put("v/a")
    gcs_world.front.faults.append(on_batches(reply))
    (outcome,) = (await deleted(gcs_world)).values()
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "NotABatch"


@pytest.mark.parametrize("cut_at", [0, 20, 300, -40])
async def test_an_answer_that_is_cut_off_is_asked_for_again(gcs_world: GcsWorld, cut_at: int) -> None:
    """The server deleted, the answer was lost somewhere in it: the next one says that the keys are gone."""
    gcs_world.put("v/a", "v/b", "v/c")
    cuts = iter([True, True])

    def cut(request: Request, act: Callable[[], Reply]) -> Reply | None:
        if request.kind != "batch" or not next(cuts, False):
            return None
        reply = act()
        reply.cut_at = cut_at
        return reply

    gcs_world.front.faults.append(cut)
    meter = Meter()
    outcomes = await deleted(gcs_world, meter)
    assert {type(outcome) for outcome in outcomes.values()} == {KeyGone}
    assert gcs_world.paths() == set()
    assert meter.retries == 2


async def test_a_listing_that_is_cut_off_is_asked_for_again(gcs_world: GcsWorld) -> None:
    """Never silently short."""
    names = {f"v/{number}" for number in range(50)}
    gcs_world.put(*names)
    cuts = iter([50, 400, -1])

    def cut(request: Request, act: Callable[[], Reply]) -> Reply | None:
        if (at := next(cuts, None)) is None:
            return None
        reply = act()
        reply.cut_at = at
        return reply

    gcs_world.front.faults.append(cut)
    async with gcs_world.open(retry=PATIENT) as store:
        assert len(await store.list(place(gcs_world, "v"))) == 50
    assert len(gcs_world.front.of_kind("list")) == 4


async def test_a_storm_loses_nothing(gcs_world: GcsWorld) -> None:
    """Half of all requests and half of all calls are refused for a second: everything is deleted in the end."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    gcs_world.put(*(f"v/{number:03}" for number in range(400)))
    until = time.monotonic() + 1.0

    def storm() -> bool:
        return time.monotonic() < until and rng.random() < 0.5

    def calls() -> Iterator[Spoil]:
        while storm():
            yield 503, "backendError"

    gcs_world.front.faults.append(lambda request, _: refused(503, "backendError") if storm() else None)
    gcs_world.front.parts |= {f"zenml/v/{number:03}": calls() for number in range(400)}
    meter = Meter()
    outcomes = await deleted(gcs_world, meter)
    assert {type(outcome) for outcome in outcomes.values()} == {KeyDeleted}
    assert gcs_world.paths() == set()
    assert meter.refusals
    assert meter.retries
    assert meter.requests["delete"] == len(gcs_world.front.of_kind("batch"))


async def test_a_retry_after_is_honoured(gcs_world: GcsWorld) -> None:
    """A batch that is put off by a second is not sent again before."""
    gcs_world.put("v/a")
    gcs_world.front.faults.append(on_batches(refused(429, "rateLimitExceeded", headers={"Retry-After": "1"})))
    began = time.monotonic()
    assert type((await deleted(gcs_world))["a"]) is KeyDeleted
    assert time.monotonic() - began >= 1.0


async def test_a_missing_bucket_is_not_an_empty_one(gcs_world: GcsWorld) -> None:
    """ "Not found" of each key would be "gone": with the bucket gone it is a failure."""
    async with gcs_world.open("gs://no-such-bucket-here/zenml") as store:
        (outcome,) = await store.delete([StoredObject("zenml/v/a", 1, "1")])
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "NoSuchBucket"


def batch(*parts: tuple[str, str], end: str = "--edge--\r\n") -> Answer:
    """A batch answer of (Content-ID, the rest of the part)."""
    body = "".join(
        f"--edge\r\nContent-Type: application/http\r\nContent-ID: {name}\r\n\r\n{rest}\r\n" for name, rest in parts
    )
    return Answer(200, 'multipart/mixed; boundary="edge"', (body + end).encode())


OK = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
NO = 'HTTP/1.1 403 Forbidden\r\nRetry-After: 7\r\n\r\n{"error": {}}'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            batch(("<response-t+0>", OK), ("<response-t+12>", NO)),
            {0: (204, b"", None), 12: (403, b'{"error": {}}', 7.0)},
        ),
        (batch(("<response-t+0>", OK), ("<response-t+0>", NO)), {0: (403, b'{"error": {}}', 7.0)}),
        (batch(("<response-t+0>", NO), ("<response-t+0>", OK)), {0: (403, b'{"error": {}}', 7.0)}),
        (batch(("<response-other+0>", OK), ("<t+0>", OK), ("response-t+0", OK), ("<response-t+0x>", OK)), {}),
        (batch(("<response-t+0>", "204"), ("<response-t+1>", "HTTP/1.1 20"), ("<response-t+2>", "")), {}),
        (batch(("<response-t+0>", OK), ("<response-t+1>", OK), end=""), {0: (204, b"", None)}),
        (batch(), {}),
    ],
)
async def test_only_whole_parts_of_this_request_count(answer: Answer, expected: object) -> None:
    """Strangers, half a status, a part without an end say nothing; where a call is answered twice, the failure counts."""
    assert read_parts(answer, "t") == expected


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/mixed", "text/html; boundary=edge"])
async def test_an_answer_without_parts_is_no_batch(content_type: str) -> None:
    """It is refused as a whole."""
    with pytest.raises(GcsError, match="NotABatch"):
        read_parts(Answer(200, content_type, batch(("<response-t+0>", OK)).body), "t")
