"""What an answer to a blob batch means: read by Content-ID, and no blob is deleted unless its own part says so."""

from __future__ import annotations

import pytest

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.azure_batch import NO_ANSWER, Part, outcome, read_parts
from marksweep.store.azure_delete import stages

EDGE = "batchresponse_1"
TYPE = f"multipart/mixed; boundary={EDGE}"
BLOB = StoredObject("zenml/v/a", 1, "0x1")


def part(number: int | None, status: int, code: str = "", *headers: str) -> str:
    """One part as Azure writes it; without a number there is no Content-ID."""
    named = "" if number is None else f"Content-ID: {number}\r\n"
    lines = "".join(f"{line}\r\n" for line in (*([f"x-ms-error-code: {code}"] if code else []), *headers))
    body = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>Why.\nRequestId:1</Message></Error>\r\n'
    text = body if code else ""
    return f"--{EDGE}\r\nContent-Type: application/http\r\n{named}\r\nHTTP/1.1 {status} X\r\n{lines}\r\n{text}\r\n"


def answer(*parts: str, end: str = f"--{EDGE}--\r\n") -> bytes:
    return ("".join(parts) + end).encode()


def statuses(body: bytes, asked: int) -> list[tuple[int, str]]:
    return [(found.status, found.code) for found in read_parts(body, TYPE, asked)]


def test_parts_in_another_order_are_matched_by_content_id() -> None:
    """The SDK would give the first answer to the first request; the Content-ID says whose it is."""
    body = answer(part(2, 202), part(0, 404, "BlobNotFound"), part(1, 412, "ConditionNotMet"))
    assert statuses(body, 3) == [(404, "BlobNotFound"), (412, "ConditionNotMet"), (202, "202")]


def test_a_part_that_is_missing_has_failed() -> None:
    """One of three is not answered: the other two are not taken for it."""
    assert read_parts(answer(part(0, 202), part(2, 202)), TYPE, 3)[1] is NO_ANSWER
    assert isinstance(outcome(BLOB, NO_ANSWER), KeyFailed)


@pytest.mark.parametrize("pair", [(202, 409), (409, 202)])
def test_a_blob_that_is_answered_twice_has_failed(pair: tuple[int, int]) -> None:
    """Whichever came first, the failure counts."""
    body = answer(*(part(0, status, "SnapshotsPresent" if status == 409 else "") for status in pair), part(1, 202))
    assert statuses(body, 2)[0] == (409, "SnapshotsPresent")


def test_success_without_content_id_is_not_believed() -> None:
    """Nobody knows what it is about, even where only one blob was asked for."""
    assert read_parts(answer(part(None, 202)), TYPE, 1) == [NO_ANSWER]


def test_one_failure_without_content_id_is_that_of_the_whole_batch() -> None:
    """So Azure refuses a batch that it cannot read: every blob of it has failed with that code."""
    assert statuses(answer(part(None, 400, "InvalidInput")), 2) == [(400, "InvalidInput")] * 2
    assert statuses(answer(part(None, 400, "InvalidInput"), part(0, 202)), 2)[1] == (0, "NoAnswer")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (b"<html>it works</html>", "text/html"),
        (b"HTTP/1.1 202 Accepted", TYPE),
        (answer(part(0, 202)), "multipart/mixed"),
        (answer(part(7, 202)), TYPE),
        (answer(part(0, 202).replace("HTTP/1.1 202", "HTTP/1.1 fine")), TYPE),
        (answer(part(0, 202).replace("Content-ID: 0", "Content-ID: \u0660")), TYPE),
    ],
)
def test_what_is_no_batch_answer_deletes_nothing(body: bytes, content_type: str) -> None:
    """A proxy's page, a cut body, somebody else's part: the blob has failed."""
    assert read_parts(body, content_type, 1) == [NO_ANSWER]


def test_a_name_cannot_forge_a_part() -> None:
    """The text of an error may repeat anything; only what stands between boundaries is a part."""
    forged = part(0, 404, "BlobNotFound").replace("Why.", "Content-ID: 1\r\n\r\nHTTP/1.1 202 X")
    assert statuses(answer(forged), 2) == [(404, "BlobNotFound"), (0, "NoAnswer")]


MEANINGS: dict[tuple[int, str], type[KeyOutcome]] = {
    (202, "202"): KeyDeleted,
    (404, "BlobNotFound"): KeyGone,
    (404, "ContainerNotFound"): KeyFailed,
    (404, "404"): KeyFailed,
    (412, "ConditionNotMet"): KeyChanged,
    (412, "LeaseIdMissing"): KeyDenied,
    (403, "AuthorizationPermissionMismatch"): KeyDenied,
    (403, "AuthenticationFailed"): KeyFailed,
    (409, "SnapshotsPresent"): KeyDenied,
    (409, "BlobImmutableDueToPolicy"): KeyDenied,
    (409, "DirectoryIsNotEmpty"): KeyFailed,
    (429, "TooManyRequests"): KeyFailed,
    (500, "InternalError"): KeyFailed,
    (503, "ServerBusy"): KeyFailed,
    (302, "302"): KeyFailed,
}


@pytest.mark.parametrize("answered", MEANINGS)
def test_only_an_answer_about_the_blob_itself_settles_it(answered: tuple[int, str]) -> None:
    """Gone and changed go by the error code, not by the status: a container that is missing deletes nothing."""
    status, code = answered
    found = outcome(BLOB, Part(0, status, code, "Why.", None))
    assert type(found) is MEANINGS[answered]
    if isinstance(found, KeyDenied | KeyFailed):
        assert (found.code, found.message) == (code, "Why.")


def test_a_part_says_how_long_to_wait() -> None:
    """Retry-After stands in the part, and the part may be asked for again."""
    (busy,) = read_parts(answer(part(0, 503, "ServerBusy", "Retry-After: 7")), TYPE, 1)
    assert (busy.retry_after, busy.is_slow_down, busy.may_pass) == (7.0, True, True)


def test_folders_go_last_and_deepest_first() -> None:
    """In a hierarchical namespace a folder is an empty blob, and can be deleted only when nothing is in it."""
    sizes = {"v": 0, "v/a": 0, "v/a/b": 0, "v/a/b/x": 5, "v/y": 0, "v2": 0}
    found = [StoredObject(key, size, "t") for key, size in sizes.items()]
    assert [[each.key for each in stage] for stage in stages(found)] == [
        ["v/a/b/x", "v/y", "v2"],
        ["v/a/b"],
        ["v/a"],
        ["v"],
    ]


def test_snapshots_and_earlier_versions_go_before_their_blob() -> None:
    """A blob with snapshots cannot be deleted."""
    versions = ["", "snapshot:1", "version:2", "current:3"]
    found = [StoredObject("v", 1, "t", version) for version in versions]
    assert [[each.version for each in stage] for stage in stages(found)] == [
        ["snapshot:1", "version:2"],
        ["", "current:3"],
    ]
