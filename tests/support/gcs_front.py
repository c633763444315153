"""A front before fake-gcs-server that knows what Cloud Storage knows, and fails as it is told.

fake-gcs-server stores, lists and deletes, in batches too. It knows no conditions and no generations in a delete, and no
soft delete. The front adds these as Google documents them, and spoils what a test tells it to spoil; the rest goes through
as it came.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.support.gcs_server import BUCKET, LOOPBACK, Reply, Request, refused, upload

OBJECT = re.compile(r"/storage/v1/b/([^/?]+)/o/([^/?]+)(?:/(restore|rewriteTo))?(?:/[^?]*)?(?:\?(.*))?")
Fault = Callable[[Request, Callable[[], Reply]], Reply | None]
"""May answer a request instead of the server; its second argument has the server answer it."""
Spoil = tuple[int, str]
"""Status and reason that a call of a batch gets instead of being executed; status 0: no answer at all."""


@dataclass
class Kept:
    """A soft-deleted generation."""

    found: dict[str, Any]
    body: bytes


class Front:
    """Listens on a free port as long as the block lasts."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server).netloc
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.parts: dict[str, Iterator[Spoil]] = {}
        self.soft_delete: dict[str, int] = {}
        """Bucket -> seconds that it keeps what is deleted."""
        self.kept: list[Kept] = []
        self.erased: set[tuple[str, str, str]] = set()
        """Bucket, key, generation: deleted for good, though fake-gcs-server still has it."""
        self._lock, self._connecting = threading.Lock(), threading.Lock()
        self._connections: list[http.client.HTTPConnection] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = front.answer(
                    Request(
                        self.command, self.path, {name.title(): value for name, value in self.headers.items()}, body
                    )
                )
                self.wfile.write(reply.sent())
                self.close_connection = reply.cut_at is not None

            do_POST = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://{LOOPBACK}:{self._http.server_address[1]}"

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        for connection in self._connections:
            connection.close()

    def of_kind(self, kind: str) -> list[Request]:
        """The requests of one kind so far."""
        return [request for request in self.requests if request.kind == kind]

    def answer(self, request: Request) -> Reply:
        """The answer to *request*, spoilt if a fault says so."""
        self.requests.append(request)

        def act() -> Reply:
            with self._lock:
                return self._act(request)

        for fault in list(self.faults):
            if (reply := fault(request, act)) is not None:
                return reply
        return act()

    def _act(self, request: Request) -> Reply:
        if request.kind == "batch":
            return self._batch(request)
        if (match := OBJECT.fullmatch(request.target)) and match[3]:
            return self._bring_back(request, unquote(match[1]), unquote(match[2]), match[3], _query(match[4]))
        reply = self.forward(request)
        if (match := BUCKET.fullmatch(request.target)) and reply.status == 200:
            bucket, query = unquote(match[1]), _query(match[3])
            found = json.loads(reply.body)
            if match[2]:
                found["items"] = self._listed(bucket, found.get("items") or [], query)
            elif bucket in self.soft_delete:
                found["softDeletePolicy"] = {"retentionDurationSeconds": str(self.soft_delete[bucket])}
            reply.body = json.dumps(found).encode()
        return reply

    def _listed(self, bucket: str, items: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
        if query.get("softDeleted") == "true" and bucket in self.soft_delete:
            items = [kept.found for kept in self.kept if kept.found["bucket"] == bucket]
            return [found for found in items if found["name"].startswith(query.get("prefix", ""))]
        return [found for found in items if (bucket, found["name"], found["generation"]) not in self.erased]

    def forward(self, request: Request) -> Reply:
        """What fake-gcs-server answers."""
        with self._connecting:
            connection = self._connections.pop() if self._connections else http.client.HTTPConnection(self.server)
        headers = {name: value for name, value in request.headers.items() if name.lower() == "content-type"}
        connection.request(request.method, request.target, request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        with self._connecting:
            self._connections.append(connection)
        return Reply(answer.status, body, {"Content-Type": answer.headers.get("Content-Type", "")})

    def get(self, target: str) -> Reply:
        """What fake-gcs-server has at *target*."""
        return self.forward(Request("GET", target, {}, b""))

    def _batch(self, request: Request) -> Reply:
        boundary = re.search(r"boundary=([^;\s]+)", request.headers["Content-Type"])
        assert boundary is not None
        edge = b"--" + boundary[1].encode()
        assert request.body.startswith(edge + b"\r\n")
        assert request.body.endswith(b"\r\n" + edge + b"--\r\n")
        going: list[bytes] = []
        own: list[tuple[str, int, bytes]] = []
        erasing: list[tuple[str, str, str]] = []
        chunks = request.body.split(edge + b"\r\n")[1:]
        assert len(chunks) <= 100, "Cloud Storage takes 100 calls in a batch"
        for chunk in chunks:
            part = chunk.removesuffix(edge + b"--\r\n")
            match = re.search(rb"Content-ID: <([^>]+)>\r\n\r\nDELETE (\S+) HTTP/1.1\r\n", part)
            assert match is not None
            name, target = match[1].decode(), match[2].decode()
            verdict = self._judge(target, erasing)
            if verdict is None:
                going.append(part)
            elif verdict[0]:
                own.append((name, verdict[0], refused(*verdict).body if verdict[0] >= 300 else b""))
        reply = self._send_on(request, going, boundary[1])
        for name, status, body in own:
            answer = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            part_head = f"--{boundary[1]}\r\nContent-Type: application/http\r\nContent-ID: <response-{name}>\r\n\r\n"
            reply.body = part_head.encode() + answer.encode() + body + b"\r\n" + reply.body
        self.erased.update(erasing)
        return reply

    def _send_on(self, request: Request, going: list[bytes], edge: str) -> Reply:
        headers = {"Content-Type": f"multipart/mixed; boundary={edge}"}
        if not going:
            return Reply(200, f"--{edge}--\r\n".encode(), headers)
        body = b"".join(f"--{edge}\r\n".encode() + part for part in going) + f"--{edge}--\r\n".encode()
        reply = self.forward(Request(request.method, request.target, request.headers, body))
        theirs = re.search(r"boundary=(\S+)", reply.headers["Content-Type"])
        assert theirs is not None
        return Reply(reply.status, reply.body.replace(theirs[1].encode(), edge.encode()), headers)

    def _judge(self, target: str, erasing: list[tuple[str, str, str]]) -> Spoil | None:
        """What becomes of one call of a batch, as Cloud Storage decides it; null: fake-gcs-server shall execute it."""
        match = OBJECT.fullmatch(target)
        assert match is not None, target
        bucket, key, query = unquote(match[1]), unquote(match[2]), _query(match[4])
        if (spoil := next(self.parts.get(key, iter(())), None)) is not None:
            return spoil
        place = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(key, safe='')}"
        there = self.get(place)
        current = json.loads(there.body) if there.status == 200 else None
        if "generation" in query:
            erasing.append((bucket, key, query["generation"]))
            if current is not None and current["generation"] == query["generation"]:
                return None
            kept = json.loads(self.get(f"/storage/v1/b/{bucket}/o?versions=true&prefix={quote(key)}").body)
            named = [(bucket, found["name"], found["generation"]) for found in kept.get("items") or ()]
            return (204, "") if erasing[-1] in named and erasing[-1] not in self.erased else (404, "notFound")
        assert query.get("ifGenerationMatch"), "a delete without a condition"
        if current is None:
            return None
        if current["generation"] != query["ifGenerationMatch"]:
            return 412, "conditionNotMet"
        if bucket in self.soft_delete:
            gone = {**current, "softDeleteTime": time.strftime("%Y-%m-%dT%H:%M:%S.999Z", time.gmtime())}
            self.kept.append(Kept(gone, self.get(f"{place}?alt=media").body))
        return None

    def _bring_back(self, request: Request, bucket: str, key: str, verb: str, query: Mapping[str, str]) -> Reply:
        assert query["ifGenerationMatch"] == "0"
        if self.get(f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}").status == 200:
            return refused(412, "conditionNotMet")
        if verb == "rewriteTo":
            return self.forward(request)
        for kept in self.kept:
            if (kept.found["bucket"], kept.found["name"], kept.found["generation"]) == (
                bucket,
                key,
                query["generation"],
            ):
                self.kept.remove(kept)
                return self.forward(upload(bucket, key, kept.body))
        return refused(404, "notFound")


def new_bucket(front: Front, *, versioning: bool = False) -> str:
    """Make a bucket of its own; its name."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    body = json.dumps({"name": name, "versioning": {"enabled": versioning}}).encode()
    reply = front.forward(Request("POST", "/storage/v1/b?project=tests", {"Content-Type": "application/json"}, body))
    assert reply.status == 200
    return name


def _query(text: str | None) -> dict[str, str]:
    return dict(parse_qsl(text or "", keep_blank_values=True))
