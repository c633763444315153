"""How DeleteObjects answers are read and failed keys asked for again, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.retry import Retry
from marksweep.store.s3_client import PASSING, SLOW_DOWN
from marksweep.store.s3_delete import Packer, Send, pages_of, read_answer
from marksweep.store.throttle import Throttle
from marksweep.store.tuning import Meter

pytestmark = pytest.mark.anyio

Error = tuple[str, str]


class ScriptedServer:
    """Answers requests from a script: per key the codes of its first attempts, then deleted."""

    def __init__(self, **codes: Sequence[str]) -> None:
        self.codes = {key: list(script) for key, script in codes.items()}
        self.requests: list[list[str]] = []

    async def send(self, objects: Sequence[StoredObject]) -> Mapping[str, Any]:
        keys = [found.key for found in objects]
        self.requests.append(keys)
        answer: dict[str, Any] = {"Deleted": [], "Errors": []}
        for key in keys:
            code = self.codes[key].pop(0) if self.codes.get(key) else None
            if code is None:
                answer["Deleted"].append({"Key": key})
            elif code != "silence":
                answer["Errors"].append({"Key": key, "Code": code, "Message": "because"})
        return answer


def explain(error: Exception) -> Error:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else str(error), "the whole request"


def objects(keys: Sequence[str]) -> list[StoredObject]:
    return [StoredObject(key, 1, "etag") for key in keys]


async def delete(keys: Sequence[str], send: Send, page: int = 250, **retry: Any) -> list[KeyOutcome]:
    made = Retry(**{"first_pause": 0, "patience": 0.0, **retry})
    packer = Packer(send, explain, Throttle("s3://b", Meter()), made, page, lambda key: "")
    outcomes = await packer.delete(objects(keys))
    assert len(outcomes) == len(keys)
    return outcomes


async def settle(server: ScriptedServer, keys: Sequence[str], **retry: Any) -> dict[str, KeyOutcome]:
    return {outcome.key: outcome for outcome in await delete(keys, server.send, **retry)}


@pytest.mark.parametrize("code", sorted(PASSING))
async def test_only_keys_that_failed_in_passing_are_asked_for_again(code: str) -> None:
    """A passing error is repeated for its own key, not for the page."""
    server = ScriptedServer(b=[code, code], d=["AccessDenied"])
    outcomes = await settle(server, "abcd", patience=60)
    assert server.requests == [["a", "b", "c", "d"], ["b"], ["b"]]
    assert outcomes.pop("d") == KeyDenied("d", "AccessDenied", "because")
    assert set(outcomes.values()) == {KeyDeleted("a"), KeyDeleted("b"), KeyDeleted("c")}


async def test_a_key_that_keeps_failing_has_failed() -> None:
    """After the last attempt the code stands."""
    server = ScriptedServer(a=["InternalError"] * 9)
    assert await settle(server, "ab") == {"a": KeyFailed("a", "InternalError", "because"), "b": KeyDeleted("b")}
    assert server.requests == [["a", "b"]] + [["a"]] * 5


@pytest.mark.parametrize("code", sorted(SLOW_DOWN))
async def test_slowing_down_is_no_failed_attempt(code: str) -> None:
    """A server may ask to slow down as often as it likes while the patience lasts; then its code stands."""
    server = ScriptedServer(a=[code] * 20)
    assert await settle(server, "a", patience=60) == {"a": KeyDeleted("a")}
    assert len(server.requests) == 21
    assert await settle(ScriptedServer(a=[code] * 20), "a") == {"a": KeyFailed("a", code, "because")}


async def test_a_key_without_an_answer_has_failed() -> None:
    """Silence is not success, and is not asked again."""
    server = ScriptedServer(a=["silence"])
    outcome = (await settle(server, "ab"))["a"]
    assert isinstance(outcome, KeyFailed)
    assert outcome.code == "NoAnswer"
    assert len(server.requests) == 1


async def test_a_missing_key_is_gone() -> None:
    """Some servers say NoSuchKey where S3 says Deleted."""
    assert await settle(ScriptedServer(a=["NoSuchKey"]), "a") == {"a": KeyGone("a")}


async def test_a_request_that_fails_fails_its_own_keys_only() -> None:
    """A page that fails as a whole is an outcome for each of its keys; other pages go on."""
    healthy = ScriptedServer()

    async def send(found: Sequence[StoredObject]) -> Mapping[str, Any]:
        if "c" in [each.key for each in found]:
            raise OSError("AccessDenied")
        return await healthy.send(found)

    outcomes = await delete("abcdef", send, 2)
    failed = {KeyDenied(key, "AccessDenied", "the whole request") for key in "cd"}
    assert set(outcomes) == failed | {KeyDeleted(key) for key in "abef"}


async def test_a_request_that_fails_in_passing_is_repeated() -> None:
    """A whole page that was throttled is asked for again."""
    server = ScriptedServer()
    tries = 0

    async def send(found: Sequence[StoredObject]) -> Mapping[str, Any]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ClientError({"Error": {"Code": "SlowDown"}}, "DeleteObjects")
        return await server.send(found)

    assert set(await delete("ab", send, patience=60)) == {KeyDeleted("a"), KeyDeleted("b")}


async def test_keys_are_packed_into_pages() -> None:
    """600 keys of any number of versions are three requests."""
    server = ScriptedServer()
    keys = [f"v{number}" for number in range(600)]
    await settle(server, keys)
    assert sorted(len(request) for request in server.requests) == [100, 250, 250]
    assert sorted(key for request in server.requests for key in request) == sorted(keys)


def test_an_error_outweighs_a_success_and_strangers_are_ignored() -> None:
    """A key in both lists has failed; a key that nobody asked for says nothing; a nameless error neither."""
    answer = {
        "Deleted": [{"Key": "a"}, {"Key": "stranger"}, {}],
        "Errors": [{"Key": "a", "Code": "AccessDenied"}, {"Code": "InternalError"}],
    }
    denied = KeyDenied("a", "AccessDenied", "the store gave no reason")
    assert read_answer(objects("a"), answer) == {("a", ""): denied}
    assert isinstance(read_answer(objects("b"), {})["b", ""], KeyFailed)


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_an_object_that_is_not_as_listed_has_changed(code: str) -> None:
    """The etag that was sent along is another one now: the object was left alone."""
    answer = {"Errors": [{"Key": "a", "Code": code}]}
    assert read_answer(objects("a"), answer) == {("a", ""): KeyChanged("a")}


def test_each_version_of_a_key_has_an_answer_of_its_own() -> None:
    """Versions of one key share a page; the null version may be answered without its name."""
    asked = [StoredObject("a", 1, "e", version) for version in ("1", "2", "null")]
    answer = {
        "Deleted": [{"Key": "a", "VersionId": "1"}, {"Key": "a"}],
        "Errors": [{"Key": "a", "VersionId": "2", "Code": "AccessDenied", "Message": "held"}],
    }
    assert read_answer(asked, answer) == {
        ("a", "1"): KeyDeleted("a", "1"),
        ("a", "2"): KeyDenied("a", "AccessDenied", "held", "2"),
        ("a", "null"): KeyDeleted("a", "null"),
    }
    assert pages_of(asked, 250) == [asked]


def test_a_carriage_return_may_come_back_as_a_newline() -> None:
    """Keys that an answer would spell alike never share a page, so that each answer means one key."""
    keys = ["a\rb", "a\nb", "a\r\nb", "c"]
    pages = pages_of(objects(keys), 250)
    assert [[o.key for o in page] for page in pages] == [["a\rb", "c"], ["a\nb"], ["a\r\nb"]]
    answer = {"Deleted": [{"Key": "a\nb"}]}
    for page in pages:
        assert read_answer(page, answer)[page[0].key, ""] == KeyDeleted(page[0].key)


def test_pauses_grow_and_are_bounded() -> None:
    """Exponential with jitter: between a half and the whole of the step, never above the longest."""
    for _ in range(20):
        tries = Retry(attempts=60, first_pause=1, longest_pause=4).begin()
        for step in (1, 2, 4, 4, *[4] * 50):
            pause = tries.pause(slowed=False)
            assert pause is not None
            assert step / 2 <= pause <= step
