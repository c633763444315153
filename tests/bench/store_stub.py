"""An S3 server made of arithmetic: millions of objects that take no room, for what is measured at the client alone.

It knows ListObjectsV2 and DeleteObjects (with etags), and whether the bucket keeps versions (it does not). Keys are listed in
their UTF-8 order as S3 does, a thousand a page. It can be slow like a partition of S3 (*capacity* keys a second, those above
wait) and refuse half of all requests for some seconds, *storm_after* seconds after the first delete.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

BUCKET = "bench"
ROOT = "zenml"
PAGE = 1_000
_ETAG = "0123456789abcdef0123456789abcdef"
_MEMBER = re.compile(r"<Object>(.*?)</Object>", re.S)
_KEY = re.compile(r"<Key>(.*?)</Key>", re.S)
_ASKED_ETAG = re.compile(r"<ETag>")
_SHAPE = re.compile(rf"{ROOT}/step_([01])/output/\d{{8}}/(\d{{8}})-0000-4000-8000-00000000000([ab])/(\d{{6}})\.json")


@dataclass(frozen=True)
class Space:
    """The objects that there are: *orphans* versions of *objects* each, and as many live ones of *live_objects* each.

    A live version follows each orphan; if *dense*, all orphans come before all live ones.
    """

    orphans: int
    objects: int = 3
    live_objects: int = 3
    dense: bool = False

    @property
    def count(self) -> int:
        """All objects together."""
        return self.orphans * (self.objects + self.live_objects)

    def key(self, number: int) -> str:
        """The object of this number, in the order of keys."""
        if self.dense:
            border = self.orphans * self.objects
            live = number >= border
            place, part = divmod(number - border, self.live_objects) if live else divmod(number, self.objects)
        else:
            place, part = divmod(number, self.objects + self.live_objects)
            live = part >= self.objects
            part -= self.objects if live else 0
        return f"{self.path(place, live=live)}/{part:06d}.json"

    def path(self, place: int, *, live: bool = False) -> str:
        """Where an orphan or a live version is."""
        step, kind = int(live and self.dense), "b" if live else "a"
        return f"{ROOT}/step_{step}/output/{place // 5:08d}/{place:08d}-0000-4000-8000-00000000000{kind}"

    def number(self, key: str) -> int | None:
        """The number of *key*; None for a key that is none of these."""
        shape = _SHAPE.fullmatch(key)
        if shape is None:
            return None
        place, part, live = int(shape[2]), int(shape[4]), shape[3] == "b"
        if self.dense:
            return (
                self.orphans * self.objects + place * self.live_objects + part if live else place * self.objects + part
            )
        return place * (self.objects + self.live_objects) + part + (self.objects if live else 0)

    def is_orphan(self, number: int) -> bool:
        """Whether the object of this number may be deleted."""
        return (
            number < self.orphans * self.objects
            if self.dense
            else number % (self.objects + self.live_objects) < self.objects
        )


@dataclass(frozen=True)
class Weather:
    """How the stub behaves. Seconds; *capacity* in keys deleted per second, 0 for no limit."""

    latency: float = 0.0
    capacity: float = 0.0
    storm_after: float = 0.0
    storm: float = 0.0
    seed: int = 1


class Stub:
    """The server's state and answers."""

    def __init__(self, space: Space, weather: Weather) -> None:
        self.space = space
        self.weather = weather
        self.gone = bytearray(space.count)
        self.requests: Counter[str] = Counter()
        self.deleted = self.wrong = self.listed = 0
        self.seconds: dict[int, Counter[str]] = {}
        self._began: float | None = None
        self._free_at = 0.0
        self._random = random.Random(weather.seed)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """One request."""
        if request.path == "/_stub":
            return web.json_response(self._state())
        deleting = request.method == "POST" and "delete" in request.query
        kind = "delete" if deleting else "list" if "list-type" in request.query else "other"
        self.requests[kind] += 1
        if deleting and self._began is None:
            self._began = time.monotonic()
        if self._refuses():
            self._note("refused", 1)
            return _xml("<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", 503)
        if self.weather.latency:
            await asyncio.sleep(self.weather.latency)
        if deleting:
            return await self._delete((await request.read()).decode())
        if kind == "list":
            return self._list(request.query)
        return _xml('<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>')

    def _refuses(self) -> bool:
        if self._began is None or not self.weather.storm:
            return False
        since = time.monotonic() - self._began - self.weather.storm_after
        return 0 <= since < self.weather.storm and self._random.random() < 0.5

    def _list(self, query: Mapping[str, str]) -> web.Response:
        space, prefix, most = self.space, query.get("prefix", ""), min(PAGE, int(query.get("max-keys", PAGE)))
        start = bisect.bisect_left(range(space.count), prefix, key=space.key)
        if "continuation-token" in query:
            start = max(start, int(query["continuation-token"]))
        elif "start-after" in query:
            start = max(start, bisect.bisect_right(range(space.count), query["start-after"], key=space.key))
        parts: list[str] = []
        number = self.gone.find(0, start)
        while number >= 0 and (key := space.key(number)).startswith(prefix) and len(parts) < most:
            parts.append(
                f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{_ETAG}&quot;</ETag><Size>1024</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
            number = self.gone.find(0, number + 1)
        self.listed += len(parts)
        more = number >= 0 and len(parts) == most and space.key(number).startswith(prefix)
        token = f"<NextContinuationToken>{number}</NextContinuationToken>" if more else ""
        return _xml(
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{BUCKET}</Name>'
            f"<Prefix>{prefix}</Prefix><KeyCount>{len(parts)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(parts)}"
            "</ListBucketResult>"
        )

    async def _delete(self, body: str) -> web.Response:
        answers: list[str] = []
        members = _MEMBER.findall(body)
        if self.weather.capacity:
            self._free_at = max(self._free_at, time.monotonic()) + len(members) / self.weather.capacity
            await asyncio.sleep(self._free_at - time.monotonic())
        for member in members:
            found = _KEY.search(member)
            key = found[1] if found else ""
            number = self.space.number(key)
            if number is None or number >= self.space.count or self.gone[number]:
                error = f"<Error><Key>{key}</Key><Code>NoSuchKey</Code><Message>There is none.</Message></Error>"
                answers.append(error if _ASKED_ETAG.search(member) else f"<Deleted><Key>{key}</Key></Deleted>")
                continue
            self.gone[number] = 1
            self.deleted += 1
            self.wrong += not self.space.is_orphan(number)
            answers.append(f"<Deleted><Key>{key}</Key></Deleted>")
            self._note("deleted", 1)
        return _xml(f'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{"".join(answers)}</DeleteResult>')

    def _note(self, what: str, count: int) -> None:
        assert self._began is not None
        self.seconds.setdefault(int(time.monotonic() - self._began), Counter())[what] += count

    def _state(self) -> dict[str, Any]:
        return {
            "requests": dict(self.requests), "listed": self.listed, "deleted": self.deleted, "wrong": self.wrong,
            "began": self._began,
            "seconds": {second: dict(counts) for second, counts in self.seconds.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Running:
    """A stub that runs in a process of its own, at *url*."""

    url: str

    def state(self) -> dict[str, Any]:
        """What reached it, the keys that it listed and deleted (``wrong``: live ones), and deletes and refusals by second."""
        with urllib.request.urlopen(f"{self.url}/_stub", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def running(space: Space, weather: Weather | None = None) -> Iterator[Running]:
    """Start a stub; it ends with the block."""
    words = [sys.executable, __file__, json.dumps(asdict(space)), json.dumps(asdict(weather or Weather()))]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Running(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(
        text=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', status=status, content_type="application/xml"
    )


async def _serve(stub: Stub) -> None:
    runner = web.ServerRunner(web.Server(stub.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    asyncio.run(_serve(Stub(Space(**json.loads(sys.argv[1])), Weather(**json.loads(sys.argv[2])))))
