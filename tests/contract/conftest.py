"""Worlds for the contract suites: real folders, and S3 as moto's server speaks it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.client import AioBaseClient

from tests.contract.azure_world import AzureWorld
from tests.contract.gcs_world import GcsWorld
from tests.contract.store_limits import KINDS
from tests.contract.store_worlds import CREDENTIALS, Call, LocalWorld, MemoryWorld, S3World, SeaweedWorld, StoreWorld
from tests.support.azurite import Azurite, azurite
from tests.support.azurite import Front as AzureFront
from tests.support.gcs_front import Front
from tests.support.gcs_server import gcs_server
from tests.support.seaweed import ENVIRONMENT, SeaweedServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a moto server that belongs to this test process; it is ended by its own pid."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert server.poll() is None, "the moto server ended before it was ready"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the moto server was not ready within a minute")


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def moto_world(s3_world: S3World) -> S3World:
    return s3_world


@pytest.fixture
def seaweed_world(seaweed: SeaweedServer, s3_environment: None, monkeypatch: pytest.MonkeyPatch) -> SeaweedWorld:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return SeaweedWorld(seaweed)


@pytest.fixture
def memory_world() -> MemoryWorld:
    return MemoryWorld()


@pytest.fixture
def s3_world(s3_server: str, s3_environment: None) -> S3World:
    return S3World(s3_server)


@pytest.fixture(scope="session")
def gcs_backend() -> Iterator[str]:
    """The address of a fake-gcs-server that belongs to this test process."""
    with gcs_server() as address:
        yield address


@pytest.fixture
def gcs_front(gcs_backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with Front(gcs_backend) as front:
        yield front


@pytest.fixture
def gcs_world(gcs_front: Front) -> GcsWorld:
    return GcsWorld(gcs_front)


@pytest.fixture(scope="session")
def azure_server() -> Iterator[Azurite]:
    """An Azurite that belongs to this test process."""
    with azurite() as server:
        yield server


@pytest.fixture
def azure_world(azure_server: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureWorld]:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with AzureFront(azure_server.port) as front:
        yield AzureWorld(azure_server, front)


@pytest.fixture
def local_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalWorld:
    return LocalWorld(tmp_path, monkeypatch)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> StoreWorld:
    """Each kind of store in turn."""
    found: StoreWorld = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], list[Call]]:
    """The operations that any S3 client of ours sent, and hooks that may change one or raise instead of it."""
    counted: Counter[str] = Counter()
    hooks: list[Call] = []
    send = AioBaseClient._make_api_call

    async def counting(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        counted[operation] += 1
        for hook in hooks:
            hook(operation, arguments)
        return await send(self, operation, arguments)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counting)
    return counted, hooks
