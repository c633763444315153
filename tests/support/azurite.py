"""An Azurite that belongs to the tests, in memory and on loopback, ended by its own pid; and a front before it.

Azurite knows leases, snapshots, etags and blob batches. It knows no versions, no soft delete and no hierarchical namespace,
and reads a backslash in a blob's name as a slash.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LOOPBACK = "127.0.0.1"
PATIENCE = 60.0
"""Seconds that the server may take to come up."""
ACCOUNT = "marksweeptest"
_MAIN = Path("azurite/node_modules/azurite/dist/src/blob/main.js")


class AzuriteMissing(RuntimeError):
    """There is no Azurite beside this Python, or no Node.js to run it."""


@dataclass(frozen=True)
class Azurite:
    """A server that runs: its port, and the key of its only account."""

    port: int
    key: str

    def connection_string(self, port: int | None = None) -> str:
        """What an Azure client is made with; *port*: that of a front before the server."""
        endpoint = f"http://{LOOPBACK}:{port or self.port}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self.key};BlobEndpoint={endpoint};"


@contextmanager
def azurite() -> Iterator[Azurite]:
    """A server that keeps everything in memory, as long as the block lasts. Raises AzuriteMissing."""
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    port = _free_port()
    server = subprocess.Popen(
        [
            *program(), "--blobHost", LOOPBACK, "--blobPort", str(port), "--inMemoryPersistence", "--silent",
            "--skipApiVersionCheck", "--disableTelemetry",
        ],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_until_ready(server, port)
        yield Azurite(port, key)
    finally:
        server.kill()
        server.wait(10)


def program() -> list[str]:
    """The command that runs Azurite, from where ``tests/setup.sh`` puts it. Raises AzuriteMissing."""
    beside = Path(sys.executable).parent
    node = shutil.which("node", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    main = beside.parent / _MAIN
    if node is None or not main.exists():
        raise AzuriteMissing("the Azure tests run against a real Azurite: run tests/setup.sh")
    return [node, str(main)]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port: int = free.getsockname()[1]
        return port


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        assert server.poll() is None, "Azurite ended before it was ready"
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
            return
        except OSError:
            assert time.monotonic() < until, "Azurite was not ready in time"
            time.sleep(0.05)


@dataclass
class Reply:
    """An answer; ``cut_at``: so many bytes of it are sent, then the connection is cut."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None

    def sent(self) -> bytes:
        """What goes over the wire."""
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "content-length")}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in kept.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode("latin-1")
        return (head + self.body)[: self.cut_at]


def refused(status: int, code: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as Azure words it."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>because\nRequestId:1</Message></Error>'
    return Reply(status, body.encode(), {"Content-Type": "application/xml", "x-ms-error-code": code, **(headers or {})})


@dataclass
class Request:
    """What a client sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The parameters of its URL."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def kind(self) -> str:
        """``batch``, ``list``, or what method it has."""
        return self.query.get("comp", self.method)

    @property
    def names(self) -> list[str]:
        """The paths that a batch asks to delete."""
        return re.findall(r"^DELETE ([^ ?]+)", self.body.decode(), re.MULTILINE)


Fault = Callable[[Request, Callable[[], Reply]], Reply | None]
"""May answer a request instead of the server; its second argument has the server answer it."""


class Front:
    """Listens on a free port as long as the block lasts, passes everything on, and spoils what a test tells it to."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = front.answer(Request(self.command, self.path, dict(self.headers.items()), body))
                self.wfile.write(reply.sent() if self.command != "HEAD" else reply.sent().partition(b"\r\n\r\n")[0])
                self.wfile.write(b"\r\n\r\n" if self.command == "HEAD" else b"")
                self.close_connection = reply.cut_at is not None

            do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.port: int = self._http.server_address[1]

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def of_kind(self, kind: str) -> list[Request]:
        """The requests of one kind so far."""
        return [request for request in self.requests if request.kind == kind]

    def answer(self, request: Request) -> Reply:
        """The answer to *request*, spoilt if a fault says so."""
        self.requests.append(request)
        for fault in list(self.faults):
            if (reply := fault(request, lambda: self._forward(request))) is not None:
                return reply
        return self._forward(request)

    def _forward(self, request: Request) -> Reply:
        connection = http.client.HTTPConnection(LOOPBACK, self._server_port)
        try:
            connection.request(request.method, request.target, request.body, dict(request.headers))
            answer = connection.getresponse()
            return Reply(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()
