"""Stores full of objects, set up without the adapters under test, so that a bug in one cannot hide itself.

Paths are relative to the store's root, with ``/`` between segments.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from marksweep.model.store import StoredObject
from marksweep.model.uri import Location, locate
from marksweep.model.version import ArtifactStore
from marksweep.store import local, s3
from marksweep.store.port import Store
from marksweep.store.retry import Retry
from marksweep.store.tuning import Meter, Tuning
from tests.contract.memory_store import Bucket, MemoryStore
from tests.support.seaweed import ACCESS_KEY, REGION, SECRET_KEY, SeaweedServer

QUICK = Retry(first_pause=0.001, patience=1.0)

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAMARKSWEEPTEST",
    "AWS_SECRET_ACCESS_KEY": "a-secret/that+must=never-be-shown",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}

SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAMARKSWEEPTEST/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


Call = Callable[[str, dict[str, Any]], None]
"""Sees an operation and its arguments before they are sent; may change them, or raise."""


class StoreWorld(Protocol):
    """One kind of store, with the means to fill it and to look at it from outside."""

    root: str

    def open(self) -> AbstractAsyncContextManager[Store]: ...
    def put(self, *paths: str, body: bytes = b"x") -> None: ...
    def paths(self) -> set[str]: ...
    def key(self, path: str) -> str: ...
    def denied(self, path: str) -> AbstractContextManager[None]: ...


def place(world: StoreWorld, path: str) -> Location:
    """The location of *path* in *world*."""
    return locate(f"{world.root}/{path}")


def relative(world: StoreWorld, objects: Sequence[StoredObject]) -> set[str]:
    """The paths of *objects*; fails when one is listed twice."""
    by_key = {world.key(path): path for path in world.paths()}
    found = [by_key[listed.key] for listed in objects]
    assert len(found) == len(set(found)), "an object was listed twice"
    return set(found)


class LocalWorld:
    """A folder, its neighbour ``outside``, and nothing else."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "store"
        self.outside = tmp_path / "outside"
        self.folder.mkdir()
        self.outside.mkdir()
        self.root = str(self.folder)
        self._monkeypatch = monkeypatch

    def open(self, root: str | None = None) -> AbstractAsyncContextManager[Store]:
        return local.open_store(ArtifactStore("id", "name", "local", self.root if root is None else root))

    def put(self, *paths: str, body: bytes = b"x") -> None:
        for path in paths:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)

    def paths(self) -> set[str]:
        return {
            os.path.relpath(os.path.join(top, name), self.folder)
            for top, folders, files in os.walk(self.folder)
            for name in [*files, *(f for f in folders if os.path.islink(os.path.join(top, f)))]
        }

    def folders(self) -> set[str]:
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_dir() and not p.is_symlink()}

    def key(self, path: str) -> str:
        return path

    @contextmanager
    def denied(self, path: str) -> Iterator[None]:
        """The system refuses to unlink *path* (root may do anything, so the refusal is played)."""
        unlink, name = os.unlink, path.rpartition("/")[2]

        def refuse(target: Any, *, dir_fd: int | None = None) -> None:
            if target == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            unlink(target, dir_fd=dir_fd)

        with self._monkeypatch.context() as patched:
            patched.setattr(os, "unlink", refuse)
            yield


class S3World:
    """A bucket of its own, with the store's root at ``zenml``."""

    def __init__(self, server: str, client: Any = None) -> None:
        self.server = server
        self.bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self.root = f"s3://{self.bucket}/zenml"
        self.client = client or boto3.client("s3", endpoint_url=server)
        self.client.create_bucket(Bucket=self.bucket)

    def open(
        self, root: str | None = None, tuning: Tuning | None = None, meter: Meter | None = None, **overrides: object
    ) -> AbstractAsyncContextManager[Store]:
        options: dict[str, object] = {"client_kwargs": {"endpoint_url": self.server}}
        store = ArtifactStore("id", "name", "s3", root or self.root, options)
        return s3.open_store(store, overrides, tuning=tuning, meter=meter, retry=QUICK)

    def put(self, *paths: str, body: bytes = b"x") -> None:
        self.put_keys(*(self.key(path) for path in paths), body=body)

    def put_keys(self, *keys: str, body: bytes = b"x") -> None:
        # Plain requests: boto3 needs three times as long, and moto looks at no signature as long as there is one.
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc)
        for key in keys:
            if "\n" in key or "\r" in key:
                self._post(key, body)
                continue
            connection.request("PUT", f"/{self.bucket}/{quote(key, safe='/')}", body, SIGNED)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (key, answer.status)
        connection.close()

    def _post(self, key: str, body: bytes) -> None:
        # moto finds no route for a line break in a path; a browser's form upload can carry one.
        edge = uuid.uuid4().hex
        part = f'--{edge}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        form = part % ("key", "", key) + part % ("file", '; filename="f"', body.decode()) + f"--{edge}--\r\n"
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc)
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        connection.request("POST", f"/{self.bucket}", form.encode(), headers)
        assert connection.getresponse().status == 204
        connection.close()

    def keys(self) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}

    def paths(self) -> set[str]:
        return {key.removeprefix("zenml/") for key in self.keys()}

    def key(self, path: str) -> str:
        return f"zenml/{path}"

    @contextmanager
    def denied(self, path: str) -> Iterator[None]:
        """A bucket policy refuses to delete *path*."""
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:DeleteObject",
            "Resource": f"arn:aws:s3:::{self.bucket}/{self.key(path)}",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client.put_bucket_policy(Bucket=self.bucket, Policy=policy)
        yield
        self.client.delete_bucket_policy(Bucket=self.bucket)


class SeaweedWorld(S3World):
    """A bucket of SeaweedFS, which looks at signatures and lists folder by folder."""

    def __init__(self, server: SeaweedServer) -> None:
        super().__init__(server.url, server.client())

    def put_keys(self, *keys: str, body: bytes = b"x") -> None:
        connection = http.client.HTTPConnection(urlsplit(self.server).netloc)
        signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION)
        for key in keys:
            target = f"/{self.bucket}/{quote(key, safe='/~')}"
            request = AWSRequest("PUT", self.server + target, data=body)
            signer.add_auth(request)
            connection.request("PUT", target, body, dict(request.headers.items()))
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                connection.close()
                raise AssertionError(key, answer.status, said)
        connection.close()


class MemoryWorld:
    """A bucket of nobody, with the store's root at ``zenml``."""

    root = "s3://memory/zenml"

    def __init__(self) -> None:
        self.bucket = Bucket(page=200)

    @asynccontextmanager
    async def open(self, root: str | None = None) -> AsyncIterator[Store]:
        yield MemoryStore(self.bucket, locate(root or self.root))

    def put(self, *paths: str, body: bytes = b"x") -> None:
        self.bucket.put((self.key(path) for path in paths), body)

    def paths(self) -> set[str]:
        return {key.removeprefix("zenml/") for key in self.bucket.objects}

    def key(self, path: str) -> str:
        return f"zenml/{path}"

    @contextmanager
    def denied(self, path: str) -> Iterator[None]:
        self.bucket.denied.add(self.key(path))
        yield
        self.bucket.denied.clear()


def failing(code: str, message: str = "because") -> Call:
    def fail(operation: str, _: dict[str, Any]) -> None:
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    return fail
