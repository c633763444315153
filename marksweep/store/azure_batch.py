"""What the answer to a blob batch says of each blob in it: by Content-ID, never by position."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.azure_errors import PASSING, SLOW_DOWN, UNKNOWN_TO_IT, seconds

NOT_EMPTY = frozenset({"DirectoryIsNotEmpty", "DirectoryNotEmpty"})
"""Codes for a folder (hierarchical namespace) that holds something yet: maybe not for long."""

_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<\r\n]+)")


@dataclass(frozen=True, slots=True)
class Part:
    """One answer in a batch; ``asked`` is the Content-ID of what it answers, null if it names none."""

    asked: int | None
    status: int
    code: str
    message: str
    retry_after: float | None

    @property
    def may_pass(self) -> bool:
        """Whether a later attempt may go better."""
        return self.status in PASSING or self.code in NOT_EMPTY

    @property
    def is_slow_down(self) -> bool:
        """Whether the store asks to come slower."""
        return self.status in SLOW_DOWN


NO_ANSWER = Part(None, 0, "NoAnswer", "the store's answer does not mention this blob", None)


def read_parts(body: bytes, content_type: str, asked: int) -> list[Part]:
    """For each of *asked* requests (Content-ID from 0) its part; :data:`NO_ANSWER` where there is none that can be read.

    Where two parts answer one request, the failure counts. A single failure without Content-ID is that of the whole batch.
    """
    answers = [NO_ANSWER] * asked
    parts = list(_parts(body, content_type))
    if len(parts) == 1 and parts[0].asked is None and parts[0].status >= 400:
        return parts * asked
    for part in parts:
        if part.asked is None or not 0 <= part.asked < asked:
            continue
        known = answers[part.asked]
        if known is NO_ANSWER or known.status < 300:
            answers[part.asked] = part
    return answers


def _parts(body: bytes, content_type: str) -> Iterator[Part]:
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if not boundary:
        return
    for section in f"\r\n{body.decode('utf-8', 'replace')}".split(f"\r\n--{boundary}")[1:]:
        if section.startswith("--"):  # the end
            return
        envelope, _, answer = section.partition("\r\n\r\n")
        head, _, text = answer.partition("\r\n\r\n")
        first, _, fields = head.partition("\r\n")
        status = first.split(" ", 2)[1:2]
        if not first.startswith("HTTP/") or not status or not status[0].isdecimal():
            continue
        named, headers = _headers(envelope), _headers(fields)
        number = named.get("content-id", "")
        code, message = _CODE.search(text), _MESSAGE.search(text)
        yield Part(
            int(number) if number.isascii() and number.isdecimal() else None,
            int(status[0]),
            headers.get("x-ms-error-code") or (code[1] if code else status[0]),
            message[1] if message else "the store gave no reason",
            seconds(headers.get("retry-after")),
        )


def _headers(lines: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines.split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if value}


def outcomes(asked: Sequence[StoredObject], parts: Sequence[Part]) -> list[KeyOutcome]:
    """What became of each object, from its part."""
    return [outcome(found, part) for found, part in zip(asked, parts, strict=True)]


def outcome(found: StoredObject, part: Part) -> KeyOutcome:
    """What *part* says of *found*. Only an answer about this very blob means that it is gone or has changed."""
    key, version = found.key, found.version
    if 200 <= part.status < 300:
        return KeyDeleted(key, version)
    if (part.status, part.code) == (404, "BlobNotFound"):
        return KeyGone(key, version)
    if (part.status, part.code) == (412, "ConditionNotMet"):
        return KeyChanged(key, version)
    refused = part.status in (403, 409, 412) and part.code not in UNKNOWN_TO_IT | NOT_EMPTY
    return (KeyDenied if refused else KeyFailed)(key, part.code, part.message, version)
