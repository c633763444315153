"""How DeleteObjects answers are read and failed keys asked for again, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from marksweep.model.store import KeyDeleted, KeyFailed, KeyGone, KeyOutcome
from marksweep.store.s3_delete import PASSING, Pace, delete_keys, pages_of, read_answer

pytestmark = pytest.mark.anyio

Error = tuple[str, str]


class ScriptedServer:
    """Answers requests from a script: per key the codes of its first attempts, then deleted."""

    def __init__(self, **codes: Sequence[str]) -> None:
        self.codes = {key: list(script) for key, script in codes.items()}
        self.requests: list[list[str]] = []

    async def send(self, keys: Sequence[str]) -> Mapping[str, Any]:
        self.requests.append(list(keys))
        answer: dict[str, Any] = {"Deleted": [], "Errors": []}
        for key in keys:
            code = self.codes[key].pop(0) if self.codes.get(key) else None
            if code is None:
                answer["Deleted"].append({"Key": key})
            elif code != "silence":
                answer["Errors"].append({"Key": key, "Code": code, "Message": "because"})
        return answer


def explain(error: Exception) -> Error:
    return str(error), "the whole request"


async def settle(server: ScriptedServer, keys: Sequence[str], **pace: Any) -> dict[str, KeyOutcome]:
    outcomes = await delete_keys(keys, server.send, explain, Pace(first_pause=0, **pace))
    assert len(outcomes) == len(keys)
    return {outcome.key: outcome for outcome in outcomes}


@pytest.mark.parametrize("code", sorted(PASSING))
async def test_only_keys_that_failed_in_passing_are_asked_for_again(code: str) -> None:
    """A passing error is repeated for its own key, not for the page."""
    server = ScriptedServer(b=[code, code], d=["AccessDenied"])
    outcomes = await settle(server, "abcd")
    assert server.requests == [["a", "b", "c", "d"], ["b"], ["b"]]
    assert outcomes.pop("d") == KeyFailed("d", "AccessDenied", "because")
    assert set(outcomes.values()) == {KeyDeleted("a"), KeyDeleted("b"), KeyDeleted("c")}


async def test_a_key_that_keeps_failing_has_failed() -> None:
    """After the last attempt the code stands."""
    server = ScriptedServer(a=["SlowDown"] * 9)
    assert await settle(server, "ab") == {"a": KeyFailed("a", "SlowDown", "because"), "b": KeyDeleted("b")}
    assert server.requests == [["a", "b"]] + [["a"]] * 4


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

    async def send(keys: Sequence[str]) -> Mapping[str, Any]:
        if "c" in keys:
            raise OSError("AccessDenied")
        return await healthy.send(keys)

    outcomes = await delete_keys("abcdef", send, explain, Pace(page=2, first_pause=0))
    failed = {KeyFailed(key, "AccessDenied", "the whole request") for key in "cd"}
    assert set(outcomes) == failed | {KeyDeleted(key) for key in "abef"}


async def test_a_request_that_fails_in_passing_is_repeated() -> None:
    """A whole page that was throttled is asked for again."""
    server = ScriptedServer()
    tries = 0

    async def send(keys: Sequence[str]) -> Mapping[str, Any]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("SlowDown")
        return await server.send(keys)

    assert set(await delete_keys("ab", send, explain, Pace(first_pause=0))) == {KeyDeleted("a"), KeyDeleted("b")}


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
    assert read_answer(["a"], answer) == {"a": KeyFailed("a", "AccessDenied", "the store gave no reason")}
    assert isinstance(read_answer(["b"], {})["b"], KeyFailed)


def test_a_carriage_return_may_come_back_as_a_newline() -> None:
    """Keys that an answer would spell alike never share a page, so that each answer means one key."""
    keys = ["a\rb", "a\nb", "a\r\nb", "c"]
    pages = pages_of(keys, 250)
    assert [list(page) for page in pages] == [["a\rb", "c"], ["a\nb"], ["a\r\nb"]]
    answer = {"Deleted": [{"Key": "a\nb"}]}
    for page in pages:
        assert read_answer(page, answer)[page[0]] == KeyDeleted(page[0])


def test_pauses_grow_and_are_bounded() -> None:
    """Exponential with jitter: between a half and the whole of the step, never above the longest."""
    pace = Pace(first_pause=1, longest_pause=4)
    for attempt, step in ((1, 1), (2, 2), (3, 4), (4, 4), (50, 4)):
        for _ in range(20):
            assert step / 2 <= pace.pause(attempt) <= step
