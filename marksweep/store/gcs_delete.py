"""Packed deletes: up to 100 calls in one batch request, each with its own condition and its own answer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import anyio

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.gcs_client import Answer, GcsClient, GcsError, seconds
from marksweep.store.windows import gather

MOST_PER_REQUEST = 100
"""Calls that Cloud Storage takes in one batch."""
NO_CONDITION = "NoGeneration"
"""The code of an object whose tag is no generation: it could only be deleted whatever it holds."""

Named = tuple[str, str]
"""Key and version of an object."""
Part = tuple[int, bytes, float | None]
"""Status, body and Retry-After of one call of a batch."""

_GENERATION = re.compile(r"[1-9][0-9]{0,19}")
_BOUNDARY = re.compile(r"""(?i)multipart/mixed\s*;.*?\bboundary=(?:"([^"]+)"|([^\s;]+))""")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?= |\r?\n|$)")
_BLANK = re.compile(rb"\r?\n\r?\n")


class Packer:
    """Deletes exact keys of one bucket, several batches at once."""

    def __init__(self, client: GcsClient, page_size: int) -> None:
        self._client = client
        self._page_size = min(page_size, MOST_PER_REQUEST)

    async def delete(self, objects: Sequence[StoredObject]) -> list[KeyOutcome]:
        """Delete exactly *objects* (distinct, ours); one outcome for each. Raises nothing."""
        refused: list[KeyOutcome] = [
            KeyFailed(o.key, NO_CONDITION, "its tag is no generation", o.version) for o in objects if not _is_exact(o)
        ]
        going = [o for o in objects if _is_exact(o)]
        pages = [going[at : at + self._page_size] for at in range(0, len(going), self._page_size)]
        return refused + [outcome for outcomes in await gather(pages, self._settle) for outcome in outcomes]

    async def _settle(self, page: Sequence[StoredObject]) -> list[KeyOutcome]:
        settled: dict[Named, KeyOutcome] = {}
        waiting, tries = page, self._client.retry.begin()
        while True:
            await self._client.deletes.take("", len(waiting))
            errors = await self._once(waiting, settled)
            again = [o for o in waiting if (error := errors.get((o.key, o.version))) is not None and error.may_pass]
            slowed = [errors[o.key, o.version] for o in again if errors[o.key, o.version].slow_down]
            if slowed:
                longest = max((error.retry_after or 0.0 for error in slowed), default=0.0)
                self._client.deletes.refused("", slowed[0].code, longest or None)
            if len(again) < len(waiting):
                self._client.deletes.went("", len(waiting) - len(again))
            if not again or (pause := tries.pause(slowed=bool(slowed))) is None:
                return list(settled.values())
            waiting = again
            self._client.meter.retries += 1
            await anyio.sleep(pause)

    async def _once(self, page: Sequence[StoredObject], settled: dict[Named, KeyOutcome]) -> Mapping[Named, GcsError]:
        """Send *page* once and note what became of each object; return what went wrong with which."""
        token = uuid.uuid4().hex
        try:
            answer = await self._client.send(
                "delete", "POST", "/batch/storage/v1", self._body(page, token), f"multipart/mixed; boundary={token}"
            )
            parts = read_parts(answer, token)
        except GcsError as error:  # these keys are not known to be deleted
            settled |= {(o.key, o.version): _unsent(o, error) for o in page}
            return {(o.key, o.version): error for o in page}
        errors: dict[Named, GcsError] = {}
        for number, found in enumerate(page):
            status, body, wait = parts.get(number, (0, b"", None))
            if 200 <= status < 300:
                settled[found.key, found.version] = KeyDeleted(found.key, found.version)
                continue
            told = self._client.error(status, body, wait) if status else GcsError(0, "NoAnswer", _SILENCE)
            errors[found.key, found.version] = told
            settled[found.key, found.version] = outcome_of(found, told)
        return errors

    def _body(self, page: Sequence[StoredObject], token: str) -> bytes:
        lines: list[str] = []
        for number, found in enumerate(page):
            # An exact generation is deleted for good; a condition on it archives what is current, where versions are kept.
            query = {"generation": found.version} if found.version else {"ifGenerationMatch": found.tag}
            target = self._client.target(f"/o/{quote(found.key, safe='')}", query)
            lines += [
                f"--{token}",
                "Content-Type: application/http",
                "Content-Transfer-Encoding: binary",
                f"Content-ID: <{token}+{number}>",
                "",
                f"DELETE {target} HTTP/1.1",
                "Accept: application/json",
                "",
                "",
            ]
        return "\r\n".join([*lines, f"--{token}--", ""]).encode()


_SILENCE = "the store's answer does not mention this key"


def _is_exact(found: StoredObject) -> bool:
    return _GENERATION.fullmatch(found.version or found.tag) is not None


def outcome_of(found: StoredObject, error: GcsError) -> KeyOutcome:
    """What *error*, the answer to a delete of *found*, means for it."""
    if error.status == 404:
        return KeyGone(found.key, found.version)
    if error.status == 412:
        return KeyChanged(found.key, found.version)
    return _unsent(found, error)


def _unsent(found: StoredObject, error: GcsError) -> KeyDenied | KeyFailed:
    # Of a batch as a whole, a 404 says nothing about its keys.
    kind = KeyDenied if error.denied else KeyFailed
    return kind(found.key, error.code, error.message, found.version)


def read_parts(answer: Answer, token: str) -> dict[int, Part]:
    """The parts of a batch's *answer* by the number that their call had; *token* is that of the request.

    Only parts that are complete, and belong to this request: whatever else there is says nothing. Where a call is
    answered twice, a failure counts. Raises GcsError when the answer is no batch answer at all.
    """
    boundary = _BOUNDARY.match(answer.content_type)
    if boundary is None:
        raise GcsError(answer.status, "NotABatch", "the answer is not that of a batch: is this Cloud Storage?")
    delimiter = b"\r?\n--" + re.escape((boundary[1] or boundary[2]).encode())
    parts: dict[int, Part] = {}
    for chunk in re.split(delimiter, b"\r\n" + answer.body)[1:-1]:  # each ends where the next delimiter begins
        head, *rest = _BLANK.split(chunk, maxsplit=1)
        number = _number(_header(head, b"content-id"), token)
        if number is None or not rest or (status := _STATUS.match(rest[0].lstrip())) is None:
            continue
        inner, *body = _BLANK.split(rest[0].lstrip(), maxsplit=1)
        code = int(status[1])
        if number not in parts or code >= 300:
            wait = seconds(_header(inner, b"retry-after")) if code >= 300 else None
            parts[number] = (code, body[0].strip() if body else b"", wait)
    return parts


def _number(content_id: str | None, token: str) -> int | None:
    match = re.fullmatch(rf"<response-{token}\+([0-9]{{1,3}})>", content_id or "")
    return int(match[1]) if match else None


def _header(head: bytes, name: bytes) -> str | None:
    for line in head.splitlines():
        field, _, value = line.partition(b":")
        if field.strip().lower() == name:
            return value.strip().decode("latin-1")
    return None
