"""A front before an HTTP server that answers in its place, cuts its answers off, or lets them wait, as a test tells it.

    with Front(world.server) as front:
        front.rules.append(refusing(3, "SlowDown"))
        async with world.open(endpoint_url=front.url) as store: ...

Whatever a client does meanwhile, a request that has come in is sent on: as a real server's would, its work goes on.
"""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """What a client sent; ``target`` is the path with its query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_delete(self) -> bool:
        return self.method == "POST" and urlsplit(self.target).query.startswith("delete")

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.target


@dataclass(frozen=True)
class Answer:
    """What goes back; of a ``cut`` one only so many bytes of the body, and then the connection is closed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Server = Callable[[Request], Answer]
"""Sends a request on to the real server."""

Rule = Callable[[Request, Server], Answer | None]
"""Answers a request in its own way, having asked the server or not; null leaves it to the next rule."""


class Front:
    """Listens on loopback until the end of the ``with`` block. The first of ``rules`` that answers counts."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server).netloc
        self.rules: list[Rule] = []
        self.requests: list[Request] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                front._answer(self, Request(self.command, self.path, dict(self.headers.items()), body))

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
                """Nothing is printed."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        self.requests.append(request)
        answers = (rule(request, self._ask) for rule in self.rules)
        answer = next((found for found in answers if found is not None), None) or self._ask(request)
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
        if answer.cut is not None:
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)

    def _ask(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection(self._server)
        connection.request(request.method, request.target, request.body, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        kept = {n: v for n, v in answer.getheaders() if n.lower() in ("content-type", "etag", "x-amz-request-id")}
        return Answer(answer.status, body, kept)


def error(status: int, code: str, **headers: str) -> Answer:
    """An error as S3 words it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>because</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml", **headers})


def refusing(times: int, code: str, status: int = 503) -> Rule:
    """Refuse the next *times* requests of each kind with *code*."""
    counts = {kind: itertools.count() for kind in ("delete", "list")}

    def rule(request: Request, server: Server) -> Answer | None:
        kind = "delete" if request.is_delete else "list" if request.is_list else None
        return error(status, code) if kind and next(counts[kind]) < times else None

    return rule
