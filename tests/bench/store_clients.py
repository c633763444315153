"""The clients that the bench of the stores compares: each is run in a process of its own.

    python tests/bench/store_clients.py WHAT JOB.json RESULT.json

The job names the endpoint, the bucket and files with the keys or URIs, one a line. Seconds and CPU are taken from an open
client to the last answer: reading the job and importing libraries are not in them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from marksweep.model.store import KeyDeleted, StoredObject
from marksweep.model.uri import Location, locate
from marksweep.model.version import ArtifactStore
from marksweep.store import s3
from marksweep.store.port import Store
from marksweep.store.tuning import Meter, Tuning
from marksweep.sweep.engine import IN_FLIGHT
from tests.support.seaweed import ACCESS_KEY, REGION, SECRET_KEY

Job = dict[str, Any]
Said = dict[str, Any]

PLACES_AT_ONCE = 500
"""Versions that are listed, deleted and listed again together, as a sweep does with those that one claim took."""


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Said:
        return {"seconds": time.perf_counter() - self._wall, "cpu": time.process_time() - self._cpu}


@asynccontextmanager
async def bare_client(job: Job, connections: int) -> AsyncIterator[Any]:
    """aiobotocore as it comes, with its repeats switched off."""
    import aiobotocore.session
    from botocore.config import Config

    session = aiobotocore.session.get_session()
    async with session.create_client(
        "s3", endpoint_url=job["endpoint"], region_name=REGION, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(max_pool_connections=connections, s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    ) as client:  # fmt: skip
        yield client


async def bare(job: Job) -> Said:
    """DeleteObjects with pages made beforehand, ``in_flight`` at a time: the limit of what a client can do."""
    keys, size = _lines(job["keys"]), job["page"]
    pages = [{"Objects": [{"Key": key} for key in keys[at : at + size]]} for at in range(0, len(keys), size)]
    waiting, deleted = iter(pages), 0

    async with bare_client(job, job["in_flight"]) as client:

        async def lane() -> None:
            nonlocal deleted
            for page in waiting:
                answer = await client.delete_objects(Bucket=job["bucket"], Delete=page)
                assert not answer.get("Errors"), answer["Errors"][:3]
                deleted += len(answer["Deleted"])

        clock = Clock()
        await asyncio.gather(*(lane() for _ in range(job["in_flight"])))
        return clock.read() | {"objects": deleted, "versions": job["versions"]}


async def bare_listing(job: Job) -> Said:
    """Keys of the bucket by aiobotocore's paginator, one page after the other: ``pages`` pages."""
    listed = 0
    async with bare_client(job, 1) as client:
        clock = Clock()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=job["bucket"], PaginationConfig={"MaxItems": 1_000 * job["pages"]}
        )
        async for page in pages:
            listed += len([(found["Key"], found["Size"], found["ETag"]) for found in page.get("Contents", ())])
        return clock.read() | {"objects": listed, "versions": 0}


@asynccontextmanager
async def layer_store(job: Job, meter: Meter) -> AsyncIterator[Store]:
    """marksweep's S3 adapter on the job's bucket."""
    options: dict[str, object] = {
        "key": ACCESS_KEY, "secret": SECRET_KEY, "client_kwargs": {"endpoint_url": job["endpoint"]},
    }  # fmt: skip
    store = ArtifactStore("bench", "bench", "s3", job["root"], options)
    async with s3.open_store(store, tuning=Tuning(**job.get("tuning", {})), meter=meter) as opened:
        yield opened


async def layer(job: Job) -> Said:
    """marksweep's store layer as a sweep uses it: listing, delete, closing listing; no catalog and no journal."""
    locations, meter = [locate(uri) for uri in _lines(job["uris"])], Meter()
    async with layer_store(job, meter) as store:
        clock = Clock()
        await store.undo()
        deleted = await _list_and_delete(store, locations)
        return clock.read() | {"objects": deleted, "versions": len(locations)} | _metered(meter)


async def _list_and_delete(store: Store, locations: Sequence[Location]) -> int:
    deleted = 0
    limiter = anyio.Semaphore(IN_FLIGHT)

    async def finish(places: Sequence[Location], objects: Sequence[StoredObject]) -> None:
        nonlocal deleted
        answers = await store.delete(objects)
        assert all(isinstance(answer, KeyDeleted) for answer in answers), answers[:3]
        async for _, left in store.listing(places, emptied=True):
            assert left == [] or left == (), left
        deleted += len(answers)
        limiter.release()

    async with anyio.create_task_group() as tasks:
        for at in range(0, len(locations), PLACES_AT_ONCE):
            places = locations[at : at + PLACES_AT_ONCE]
            objects = await _listed(store, places)
            await limiter.acquire()
            tasks.start_soon(finish, places, objects)
    return deleted


async def _listed(store: Store, places: Sequence[Location]) -> list[StoredObject]:
    objects: list[StoredObject] = []
    async for _, found in store.listing(places):
        if isinstance(found, Exception):
            raise found
        objects += found
    return objects


async def layer_deletes(job: Job) -> Said:
    """marksweep's store layer, deletes alone; what is there was listed before."""
    locations, meter = [locate(uri) for uri in _lines(job["uris"])], Meter()
    async with layer_store(job, meter) as store:
        objects = await _listed(store, locations)
        before = dict(meter.requests)
        clock = Clock()
        answers = await store.delete(objects)
        took = clock.read()
        assert all(isinstance(answer, KeyDeleted) for answer in answers), answers[:3]
        sent = {kind: count - before.get(kind, 0) for kind, count in meter.requests.items()}
        return took | {"objects": len(answers), "versions": len(locations), "requests": sent}


async def layer_listing(job: Job) -> Said:
    """marksweep's store layer, listing alone, a window of ``window`` places at a time as ``mark`` asks."""
    locations, meter, found = [locate(uri) for uri in _lines(job["uris"])], Meter(), 0
    async with layer_store(job, meter) as store:
        clock = Clock()
        for at in range(0, len(locations), job["window"]):
            found += len(await _listed(store, locations[at : at + job["window"]]))
        return clock.read() | {"objects": found, "versions": len(locations)} | _metered(meter)


async def per_key(job: Job) -> Said:
    """boto3's delete_object for each key, 16 threads: what `aws s3 rm` does."""
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config

    keys = _lines(job["keys"])
    client = boto3.client(
        "s3", endpoint_url=job["endpoint"], region_name=REGION, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY, config=Config(max_pool_connections=16, s3={"addressing_style": "path"}),
    )  # fmt: skip
    clock = Clock()
    with ThreadPoolExecutor(16) as threads:
        deleted = sum(1 for _ in threads.map(lambda key: client.delete_object(Bucket=job["bucket"], Key=key), keys))
    return clock.read() | {"objects": deleted, "versions": job["versions"]}


def zenml_loop(job: Job) -> Said:
    """What ZenML's prune does to the store for each version: a new s3fs, exists, and a recursive delete."""
    import s3fs

    uris = _lines(job["uris"])
    clock = Clock()
    for uri in uris:
        files = s3fs.S3FileSystem(
            key=ACCESS_KEY, secret=SECRET_KEY, client_kwargs={"endpoint_url": job["endpoint"], "region_name": REGION},
            skip_instance_cache=True,
        )  # fmt: skip
        if files.exists(uri):
            files.delete(uri, recursive=True)
    return clock.read() | {"objects": 0, "versions": len(uris)}


CLIENTS: dict[str, Callable[[Job], Awaitable[Said]]] = {
    "bare": bare,
    "bare-listing": bare_listing,
    "layer": layer,
    "layer-deletes": layer_deletes,
    "layer-listing": layer_listing,
    "per-key": per_key,
}


def _metered(meter: Meter) -> Said:
    return {
        "requests": dict(meter.requests), "retries": meter.retries, "remarks": meter.remarks, "rates": list(meter.rates),
    }  # fmt: skip


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


def main() -> None:
    """Run the client that the command line names, and write down what it says."""
    what, job_file, result = sys.argv[1:]
    job = json.loads(Path(job_file).read_text())
    said = zenml_loop(job) if what == "zenml-loop" else anyio.run(CLIENTS[what], job)
    Path(result).write_text(json.dumps(said))


if __name__ == "__main__":
    main()
