"""A bucket of fake-gcs-server behind a front that adds what Google does and the server does not (see there)."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from urllib.parse import quote

from marksweep.model.version import ArtifactStore
from marksweep.store import gcs
from marksweep.store.port import Store
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from tests.support.gcs_front import Front, new_bucket
from tests.support.gcs_server import upload

QUICK = Retry(first_pause=0.001, patience=1.0)


class GcsWorld:
    """A bucket of its own, with the store's root at ``zenml``."""

    def __init__(self, front: Front, *, versioning: bool = False) -> None:
        self.front = front
        self.bucket = new_bucket(front, versioning=versioning)
        self.root = f"gs://{self.bucket}/zenml"

    def open(
        self,
        root: str | None = None,
        tuning: Tuning | None = None,
        meter: Meter | None = None,
        retry: Retry = QUICK,
        **overrides: object,
    ) -> AbstractAsyncContextManager[Store]:
        options: dict[str, object] = {"endpoint_url": self.front.url}
        store = ArtifactStore("id", "name", "gcp", root or self.root, options)
        return gcs.open_store(store, overrides, tuning=tuning, meter=meter, retry=retry)

    def put(self, *paths: str, body: bytes = b"x") -> None:
        self.put_keys(*(self.key(path) for path in paths), body=body)

    def put_keys(self, *keys: str, body: bytes = b"x") -> None:
        connection = http.client.HTTPConnection(self.front.server)
        for key in keys:
            request = upload(self.bucket, key, body)
            connection.request(request.method, request.target, body, dict(request.headers))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (key, answer.status)
        connection.close()

    def remove_keys(self, *keys: str) -> None:
        connection = http.client.HTTPConnection(self.front.server)
        for key in keys:
            connection.request("DELETE", f"/storage/v1/b/{self.bucket}/o/{quote(key, safe='')}")
            connection.getresponse().read()
        connection.close()

    def keys(self) -> set[str]:
        found: set[str] = set()
        more = ""
        while True:
            page = json.loads(self.front.get(f"/storage/v1/b/{self.bucket}/o?pageToken={quote(more, safe='')}").body)
            found |= {each["name"] for each in page.get("items") or ()}
            more = page.get("nextPageToken", "")
            if not more:
                return found

    def paths(self) -> set[str]:
        return {key.removeprefix("zenml/") for key in self.keys()}

    def key(self, path: str) -> str:
        return f"zenml/{path}"

    @contextmanager
    def denied(self, path: str) -> Iterator[None]:
        """Whoever asks has no right to delete *path*."""
        self.front.parts[self.key(path)] = itertools.repeat((403, "forbidden"))
        yield
        del self.front.parts[self.key(path)]
