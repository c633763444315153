"""Requests to one container through adlfs's own client: counted, paced, repeated where they failed in passing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import anyio

from marksweep.model.store import StoredObject
from marksweep.store import azure_xml
from marksweep.store.azure_errors import EXPECTED, code_of, is_slow_down, may_pass, retry_after
from marksweep.store.azure_xml import Blob
from marksweep.store.repeat import Trouble, repeated
from marksweep.store.retry import Retry
from marksweep.store.throttle import Throttle
from marksweep.store.tuning import Meter, Tuning

PAGE = 5_000
"""Blobs per page of a listing: the most that Azure gives."""

SNAPSHOT, VERSION, CURRENT = "snapshot:", "version:", "current:"
"""What begins the ``version`` of an object: a snapshot, an earlier version, or the version that is the blob at the moment."""

T = TypeVar("T")

_SNAPSHOT_TIME = re.compile(rb"(?<=[?&]snapshot=)[^ &]+")


class AzureClient:
    """The client of one container. Deletes and reads are paced apart. The SDK repeats nothing: we do, and count it."""

    def __init__(self, service: Any, container: str, tuning: Tuning, meter: Meter, retry: Retry) -> None:
        self.service = service
        self.container = service.get_container_client(container)
        self.place = f"az://{container}"
        self.meter = meter
        self.retry = retry
        self._requests = anyio.CapacityLimiter(tuning.concurrency)
        self.reads = Throttle(f"{self.place} (listing)", meter, unit="requests")
        self.deletes = Throttle(self.place, meter, most=tuning.max_rate)

    async def page(
        self, prefix: str, more: str | None, *, include: Sequence[str] = (), most: int | None = None
    ) -> tuple[Sequence[Blob], str | None]:
        """One page of the blobs whose name begins with *prefix*, and what continues it. Raises what the client raises."""

        async def ask() -> tuple[Sequence[Blob], str | None]:
            bodies: list[bytes] = []
            pages = self.container.list_blobs(
                name_starts_with=prefix,
                include=list(include) or None,
                results_per_page=most or PAGE,
                retry_total=0,
                raw_response_hook=lambda response: _take_listing(response.http_response, bodies),
            ).by_page(continuation_token=more)
            await anext(pages)
            return azure_xml.read(bodies[-1])

        return await self.read("list", ask)

    async def read(self, kind: str, ask: Callable[[], Awaitable[T]]) -> T:
        """A request that changes nothing, repeated while it fails in passing. Raises what the client raises."""
        return await repeated(lambda: self.once(kind, ask), _trouble, self.reads, self.retry, self.meter)

    async def once(self, kind: str, ask: Callable[[], Awaitable[T]]) -> T:
        """One request, not repeated. Raises what the client raises."""
        async with self._requests:
            self.meter.requests[kind] += 1
            return await ask()

    async def batch(self, objects: Sequence[StoredObject]) -> tuple[bytes, str]:
        """Ask to delete *objects* (256 at most) in one request; the answer's body and its content type.

        The answer is not read through the SDK: that matches parts to requests by their order and drops Content-ID.
        Raises what the client raises when the request failed as a whole.
        """
        answers: list[Any] = []

        async def ask() -> None:
            await self.container.delete_blobs(
                *(_request(found) for found in objects),
                raise_on_any_failure=False,
                retry_total=0,
                raw_request_hook=_plain_boundary,
                raw_response_hook=answers.append,
            )

        await self.once("delete", ask)
        response = answers[-1].http_response
        return response.body(), response.content_type or ""

    def blob(self, key: str) -> Any:
        """The SDK's client of one blob."""
        return self.container.get_blob_client(key)


def _trouble(error: Exception) -> Trouble | None:
    if not isinstance(error, EXPECTED):
        return None
    return Trouble(code_of(error), is_slow_down(error), may_pass(error), retry_after(error))


def _take_listing(response: Any, bodies: list[bytes]) -> None:
    # The SDK reads what is left here: an empty page. Where it has moved its attribute it reads the whole one once more.
    if response.status_code == 200:
        bodies.append(response.body())
        if hasattr(response, "_content"):
            setattr(response, "_content", b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>")  # noqa: B010


def _request(found: StoredObject) -> dict[str, object]:
    # Snapshots and versions are named by their time and never change; the blob itself is deleted only as it was listed.
    if found.version.startswith(SNAPSHOT):
        return {"name": found.key, "snapshot": found.version.removeprefix(SNAPSHOT)}
    if found.version.startswith(VERSION):
        return {"name": found.key, "version_id": found.version.removeprefix(VERSION)}
    return {"name": found.key, "etag": f'"{found.tag}"'}


def _plain_boundary(request: Any) -> None:
    # The async SDK's boundary holds "=", which Azurite cannot read; the sync SDK sends one like this. Azurite reads a
    # snapshot's time only with plain colons, too. It is signed after this.
    sent = request.http_request
    if not isinstance(sent.data, bytes):
        return
    made = sent.headers["Content-Type"].partition("boundary=")[2].strip('"')
    ours = f"batch_{uuid4()}"
    sent.headers["Content-Type"] = f"multipart/mixed; boundary={ours}"
    body = sent.data.replace(f"--{made}".encode(), f"--{ours}".encode())
    sent.set_bytes_body(_SNAPSHOT_TIME.sub(lambda time: time[0].replace(b"%3A", b":"), body))
