"""Requests to one bucket through s3fs's own aiobotocore client: counted, paced, repeated where they failed in passing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import anyio
from botocore.exceptions import ClientError
from botocore.handlers import _handle_200_error

from marksweep.store import s3_xml
from marksweep.store.repeat import Trouble, repeated
from marksweep.store.retry import Retry
from marksweep.store.s3_errors import EXPECTED, code_of
from marksweep.store.throttle import Throttle
from marksweep.store.tuning import Meter, Tuning

SLOW_DOWN = frozenset(
    {
        "BandwidthLimitExceeded", "EC2ThrottledException", "LimitExceededException", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "ServiceUnavailable", "SlowDown", "SlowDownRead",
        "SlowDownWrite", "Throttled", "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequests",
        "TooManyRequestsException", "429", "503",
    }
)  # fmt: skip
"""Codes with which a server asks to come slower: botocore's list, and how S3, Ceph and MinIO spell it."""

PASSING = SLOW_DOWN | {
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "500",
    "502",
    "504",
}
"""Error codes that a later attempt may not meet again."""


class S3Client:
    """The client of one bucket. Deletes and reads are paced apart, as S3 limits them apart."""

    def __init__(self, client: Any, bucket: str, tuning: Tuning, meter: Meter, retry: Retry) -> None:
        self._client = client
        self._bucket = bucket
        self._requests = anyio.CapacityLimiter(tuning.concurrency)
        self.meter = meter
        self.retry = retry
        self.reads = Throttle(f"s3://{bucket} (listing)", meter, unit="requests")
        self.deletes = Throttle(f"s3://{bucket}", meter, most=tuning.max_rate)

    async def send(self, kind: str, operation: str, **arguments: object) -> Mapping[str, Any]:
        """One request, not repeated. Raises what the client raises."""
        async with self._requests:
            self.meter.requests[kind] += 1
            answer: Mapping[str, Any] = await getattr(self._client, operation)(Bucket=self._bucket, **arguments)
        return answer

    async def read(self, kind: str, operation: str, **arguments: object) -> Mapping[str, Any]:
        """A request that changes nothing, repeated while it fails in passing. Raises what the client raises."""
        return await repeated(
            lambda: self.send(kind, operation, **arguments), _trouble, self.reads, self.retry, self.meter
        )


def _trouble(error: Exception) -> Trouble | None:
    if not isinstance(error, EXPECTED):
        return None
    return Trouble(code_of(error), is_slow_down(error), may_pass(error), retry_after(error))


def is_slow_down(error: Exception) -> bool:
    """Whether the server asks to come slower."""
    return isinstance(error, ClientError) and (code_of(error) in SLOW_DOWN or _status(error) in (429, 503))


def may_pass(error: Exception) -> bool:
    """Whether the same request may go well later: what is between us and the server failed, or the server itself."""
    if isinstance(error, ClientError):
        return code_of(error) in PASSING or _status(error) >= 500
    return type(error).__name__ in _BROKEN or isinstance(error, s3_xml.Cut)


_BROKEN = frozenset(
    {
        "ClientOSError", "ClientPayloadError", "ConnectTimeoutError", "ConnectionClosedError", "ConnectionError",
        "ConnectionResetError", "HTTPClientError", "ReadTimeoutError", "ResponseParserError", "ResponseStreamingError",
        "ServerDisconnectedError", "ServerTimeoutError", "TimeoutError",
    }
)  # fmt: skip
"""Names of exceptions of botocore, aiohttp and Python for a connection that broke, by name since each has its own."""


def retry_after(error: Exception) -> float | None:
    """Seconds that the server asked to wait; null if it named none."""
    if not isinstance(error, ClientError):
        return None
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def prepare(client: Any) -> None:
    """Teach *client* what botocore leaves out: Content-MD5 for servers that ask for it, and cheap answers."""
    # An error in an answer with status 200 is looked for by its root, not by parsing every answer twice.
    client.meta.events.unregister("before-parse.s3.*", _handle_200_error)
    client.meta.events.register_first("before-parse.s3.*", _fail_if_error)
    # MinIO's front ends refuse DeleteObjects without Content-MD5, which botocore no longer sends.
    client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
    for operation in ("ListObjectsV2", "ListObjectVersions"):
        client.meta.events.register(f"before-parse.s3.{operation}", _read_listing)


_ERROR_ROOT = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error[\s>/]")


def _fail_if_error(response_dict: dict[str, Any], **_: object) -> None:
    body = response_dict.get("body")
    if response_dict["status_code"] == 200 and isinstance(body, bytes) and (not body or _ERROR_ROOT.match(body)):
        response_dict["status_code"] = 500


def _add_content_md5(request: Any, **_: object) -> None:
    body = request.data
    if isinstance(body, bytes):
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()


def _read_listing(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    # botocore's own parser takes ten times as long, two fifths of it for timestamps that nobody reads (docs/adr/0011).
    if response_dict["status_code"] == 200:
        customized_response_dict[s3_xml.LISTED] = s3_xml.read(response_dict["body"])
        response_dict["body"] = b"<ListBucketResult/>"
