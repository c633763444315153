"""Requests to one bucket over the JSON API, with gcsfs's session and credentials: counted, paced, honestly repeated.

gcsfs's own ``_call`` repeats requests where nobody sees it, and raises errors that no longer say what the server answered
(412 becomes FileExistsError, 404 FileNotFoundError, Retry-After is dropped). So requests are sent here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import anyio
import msgspec
from anyio import to_thread
from google.auth.exceptions import GoogleAuthError
from yarl import URL

from marksweep.errors import StoreRefused
from marksweep.store.repeat import Trouble, repeated
from marksweep.store.retry import Retry
from marksweep.store.scrub import Scrub
from marksweep.store.throttle import Throttle
from marksweep.store.tuning import Meter, Tuning

TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=30, sock_read=120)
"""Seconds for one request, to connect, and without a byte of an answer."""
FRESH = 30.0
"""Seconds that a token is used without looking whether it is to be renewed: gcsfs does that 300 s before it ends."""
GOOD = 240.0
"""Seconds that a token is used on while it cannot be renewed."""
RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "SlowDown"})
"""Reasons of a 403 that is no refusal but a request to come slower."""
NO_ANSWER = 0
"""The status of a request that no server answered."""

_DENIED = "Grant roles/storage.objectUser and storage.buckets.get on this bucket, or give other credentials."
_REMEDIES = {
    "NoSuchBucket": "Check the artifact store's path and its endpoint_url: this server has no such bucket.",
    "UserProjectMissing": "Set requester_pays and project in --store-options: the bucket's requesters pay.",
    "NotAListing": "Check the endpoint_url: what answers there is not Cloud Storage.",
    "Credentials": "Log in again: `gcloud auth application-default login`, or name a key file in --store-options.",
    "Unanswered": "Check that the endpoint can be reached from this machine.",
}
_ELSE = "Try `gcloud storage ls` with the same bucket and credentials."


class GcsError(Exception):
    """What a request came to that did not go well: the status, the server's reason, its message without credentials."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @property
    def slow_down(self) -> bool:
        """Whether the server asks to come slower."""
        return self.status in (429, 503) or (self.status == 403 and self.code in RATE_REASONS)

    @property
    def denied(self) -> bool:
        """Whether the server says no to these credentials, or to anybody (a hold, a retention policy)."""
        return self.status in (401, 403) and not self.slow_down

    @property
    def may_pass(self) -> bool:
        """Whether the same request may go well later."""
        return self.slow_down or self.status == 408 or self.status >= 500 or self.code == "Unanswered"

    def refusal(self, place: str) -> StoreRefused:
        """The StoreRefused to raise."""
        remedy = _REMEDIES.get(self.code, _DENIED if self.denied else _ELSE)
        return StoreRefused(f"{place} cannot be used: {self}", remedy)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, whole."""

    status: int
    content_type: str
    body: bytes


class Credentials(Protocol):
    """The part of gcsfs's credentials that is used. May block on the network."""

    def apply(self, out: dict[str, str]) -> None: ...


class GcsClient:
    """The client of one bucket. Deletes and reads are paced apart."""

    def __init__(
        self, session: aiohttp.ClientSession, credentials: Credentials, base: str, bucket: str, user_project: str | None,
        scrub: Scrub, tuning: Tuning, meter: Meter, retry: Retry,
    ) -> None:  # fmt: skip
        self._session = session
        self._credentials = credentials
        self._base = base
        self._user_project = user_project
        self._scrub = scrub
        self._requests = anyio.CapacityLimiter(tuning.concurrency)
        self._headers: dict[str, str] = {}
        self._fresh_until = self._good_until = 0.0
        self._renewing = anyio.Lock()
        self._place = f"/storage/v1/b/{quote(bucket, safe='')}"
        self.bucket = bucket
        self.meter = meter
        self.retry = retry
        self.reads = Throttle(f"gs://{bucket} (listing)", meter, unit="requests")
        self.deletes = Throttle(f"gs://{bucket}", meter, most=tuning.max_rate)

    def target(self, path: str, query: Mapping[str, str]) -> str:
        """The path and query of a request on the bucket: *path* below it, already quoted (``/o/a%2Fb``, or empty)."""
        if self._user_project:
            query = {**query, "userProject": self._user_project}
        parameters = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return f"{self._place}{path}{parameters}"

    async def send(
        self, kind: str, method: str, target: str, body: bytes | None = None, content_type: str | None = None
    ) -> Answer:
        """One request, not repeated; an answer of 200 to 299. Raises GcsError."""
        headers = {"User-Agent": "marksweep (gzip)", **await self._credential_headers()}
        if content_type is not None:
            headers["Content-Type"] = content_type
        url = URL(f"{self._base}{target}", encoded=True)
        try:
            async with self._requests:
                self.meter.requests[kind] += 1
                async with self._session.request(
                    method, url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
                ) as response:
                    answer = Answer(response.status, response.headers.get("Content-Type", ""), await response.read())
                    wait = seconds(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError) as error:
            reason = self._scrub(str(error)) or type(error).__name__
            raise GcsError(NO_ANSWER, "Unanswered", reason) from None
        if not 200 <= answer.status < 300:
            raise self.error(answer.status, answer.body, wait)
        return answer

    async def read(self, kind: str, method: str, target: str) -> Answer:
        """A request that changes nothing or can be repeated, repeated while it fails in passing. Raises GcsError."""
        return await repeated(lambda: self.send(kind, method, target), _trouble, self.reads, self.retry, self.meter)

    def error(self, status: int, body: bytes, retry_after: float | None = None) -> GcsError:
        """What an answer that is not a success says."""
        try:
            told = msgspec.json.decode(body, type=_Told).error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            told = _Error()
        reason = next((each.reason for each in told.errors if each.reason), "")
        message = self._scrub(told.message)[:500] or "the server gave no reason"
        if status == 400 and "requester pays" in message.lower():  # its reason is "required", as for any parameter
            reason = "UserProjectMissing"
        return GcsError(status, reason if _is_code(reason) else str(status), message, retry_after)

    async def _credential_headers(self) -> Mapping[str, str]:
        async with self._renewing:
            now = time.monotonic()
            if now >= self._fresh_until:
                headers: dict[str, str] = {}
                try:
                    await to_thread.run_sync(self._credentials.apply, headers)
                except Exception as error:  # gcsfs, google-auth and requests each raise their own
                    if not is_expected(error):
                        raise
                    if now >= self._good_until:
                        reason = f"no token is to be had: {self._scrub(str(error))}"
                        raise GcsError(NO_ANSWER, "Credentials", reason) from None
                else:
                    self._headers, self._good_until = headers, now + GOOD
                self._fresh_until = now + FRESH
            return self._headers


def _trouble(error: Exception) -> Trouble | None:
    if not isinstance(error, GcsError):
        return None
    return Trouble(error.code, error.slow_down, error.may_pass, error.retry_after)


def is_expected(error: Exception) -> bool:
    """Whether finding or renewing credentials can raise *error* without there being a bug in marksweep."""
    from_gcsfs = type(error).__module__ == "gcsfs.retry"
    return from_gcsfs or isinstance(error, GoogleAuthError | OSError | ValueError | KeyError | TypeError)


def seconds(header: str | None) -> float | None:
    """The value of a Retry-After in seconds; null where it names none."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return None


def _is_code(reason: str) -> bool:
    return reason.isascii() and reason.isalnum()


class _Reason(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    errors: list[_Reason] = msgspec.field(default_factory=list)


class _Told(msgspec.Struct):
    error: _Error


def decode(answer: Answer, kind: type[Any]) -> Any:
    """The JSON of *answer* as *kind*. Raises GcsError when it is something else: never taken for an empty answer."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise GcsError(answer.status, "NotAListing", f"the answer is not what Cloud Storage says: {error}") from None
