"""A container of Azurite behind a front, set up without the adapter under test."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from azure.storage.blob import BlobServiceClient, ContainerClient, ContainerSasPermissions, generate_container_sas

from marksweep.model.version import ArtifactStore
from marksweep.store import azure
from marksweep.store.port import Store
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from tests.support.azurite import ACCOUNT, LOOPBACK, Azurite, Front

QUICK = Retry(first_pause=0.001, patience=5.0)


class AzureWorld:
    """A container of its own, with the store's root at ``zenml``."""

    def __init__(self, server: Azurite, front: Front) -> None:
        self.server = server
        self.front = front
        self.bucket = f"container-{uuid.uuid4().hex[:12]}"
        self.root = f"az://{self.bucket}/zenml"
        self.options: dict[str, object] = {"connection_string": server.connection_string(front.port)}
        service = BlobServiceClient.from_connection_string(server.connection_string())
        self.container: ContainerClient = service.create_container(self.bucket)
        self.sas = generate_container_sas(
            ACCOUNT, self.bucket, server.key, permission=ContainerSasPermissions.from_string("rwdl"),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )  # fmt: skip

    def open(
        self,
        root: str | None = None,
        tuning: Tuning | None = None,
        meter: Meter | None = None,
        retry: Retry = QUICK,
        **overrides: object,
    ) -> AbstractAsyncContextManager[Store]:
        store = ArtifactStore("id", "name", "azure", root or self.root)
        return azure.open_store(store, overrides or self.options, tuning=tuning, meter=meter, retry=retry)

    def put(self, *paths: str, body: bytes = b"x") -> None:
        self.put_keys(*(self.key(path) for path in paths), body=body)

    def put_keys(self, *keys: str, body: bytes = b"x") -> None:
        # Plain requests: the SDK needs several times as long.
        connection = http.client.HTTPConnection(LOOPBACK, self.server.port)
        for key in keys:
            target = f"/{ACCOUNT}/{self.bucket}/{quote(key, safe='/')}?{self.sas}"
            connection.request("PUT", target, body, {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, (key, answer.status)
        connection.close()

    def blob(self, path: str) -> Any:
        """The SDK's synchronous client of one blob."""
        return self.container.get_blob_client(self.key(path))

    def keys(self) -> set[str]:
        return {blob.name for blob in self.container.list_blobs()}

    def paths(self) -> set[str]:
        return {key.removeprefix("zenml/") for key in self.keys()}

    def key(self, path: str) -> str:
        return f"zenml/{path}"

    @contextmanager
    def denied(self, path: str) -> Iterator[None]:
        """Somebody holds a lease on *path*."""
        lease = self.blob(path).acquire_lease()
        yield
        lease.release()
