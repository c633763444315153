"""The bench's data: versions with their objects in a bucket, and a ZenML catalog that has some of them as orphans."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiobotocore.session
from botocore.config import Config

from tests.bench.generate import Generated, generate
from tests.bench.rows import Mix
from tests.bench.store_server import BUCKET
from tests.support.seaweed import ACCESS_KEY, REGION, SECRET_KEY

ROOT = "zenml"
NAMES = ("data.json", "metadata.json", "schema.json")
"""The objects of a version."""
BODY = 1_024
"""Bytes of an object."""
STEPS, VERSIONS_PER_RUN = 40, 5
MIX = Mix(output=0.45)
"""A little more than half of the versions have no reference: how many exactly is set afterwards."""
_AT_ONCE = 48


@dataclass(frozen=True)
class Layout:
    """Which paths in the bucket belong to orphans and which to live versions; each has the objects :data:`NAMES`.

    Paths have no trailing slash.
    """

    orphans: Sequence[str]
    live: Sequence[str]

    @property
    def orphan_keys(self) -> list[str]:
        """Every key that a sweep deletes."""
        return [f"{path}/{name}" for path in self.orphans for name in NAMES]

    @property
    def live_keys(self) -> list[str]:
        """Every key that a sweep must leave."""
        return [f"{path}/{name}" for path in self.live for name in NAMES]


def paths(count: int, seed: int) -> list[str]:
    """*count* distinct places as ZenML would name them, in the order of their keys."""
    rng = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        step, run = rng.randrange(STEPS), uuid.UUID(int=rng.getrandbits(128), version=4)
        found += [
            f"{ROOT}/step_{step:02d}/output/{run}/{uuid.UUID(int=rng.getrandbits(128), version=4)}"
            for _ in range(VERSIONS_PER_RUN)
        ]
    return sorted(found[:count])


def dense(versions: int, seed: int) -> Layout:
    """As many live versions as orphans, all orphans before them."""
    found = paths(2 * versions, seed)
    return Layout(found[:versions], found[versions:])


def mixed(versions: int, seed: int) -> Layout:
    """As many live versions as orphans, in turns."""
    found = paths(2 * versions, seed)
    return Layout(found[::2], found[1::2])


def uri(path: str) -> str:
    """The URI of a place in the bench's bucket."""
    return f"s3://{BUCKET}/{path}"


def put(endpoint: str, keys: Iterable[str], seed: int) -> None:
    """Put an object of :data:`BODY` random bytes under each of *keys*, many at a time."""
    asyncio.run(_put(endpoint, list(keys), random.Random(seed).randbytes(BODY)))


async def _put(endpoint: str, keys: list[str], body: bytes) -> None:
    waiting = iter(keys)
    session = aiobotocore.session.get_session()
    async with session.create_client(
        "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        config=Config(max_pool_connections=_AT_ONCE, s3={"addressing_style": "path"}),
    ) as client:  # fmt: skip

        async def lane() -> None:
            for key in waiting:
                await client.put_object(Bucket=BUCKET, Key=key, Body=body)

        await asyncio.gather(*(lane() for _ in range(_AT_ONCE)))


def catalog(folder: Path, layout: Layout, store: Mapping[str, object], seed: int) -> Generated:
    """A catalog of ZenML 0.98.0 in the new *folder* whose default store is the bucket and whose versions are the layout's.

    *store*: the store's options (``client_kwargs`` and the like), as ZenML keeps them.
    """
    made = generate(folder, len(layout.orphans) + len(layout.live), seed, MIX)
    unlinked = [version for version in made.versions if version in made.orphans]
    orphans, surplus = unlinked[: len(layout.orphans)], unlinked[len(layout.orphans) :]
    assert len(orphans) == len(layout.orphans), "the generated catalog has too few orphans"
    live = sorted(set(made.versions) - set(orphans))
    places = [*zip(orphans, layout.orphans, strict=True), *zip(live, layout.live, strict=True)]
    uris = {version: uri(path) for version, path in places}
    with closing(sqlite3.connect(made.database)) as database, database:
        _link(database, surplus)
        _move(database, uris)
        _point(database, {"path": f"s3://{BUCKET}/{ROOT}", **store})
    return Generated(made.root, made.versions, set(orphans), made.steps, uris)


def _link(database: sqlite3.Connection, versions: Sequence[str]) -> None:
    """Make *versions* live: link each to the model version."""
    cursor = database.execute("SELECT * FROM model_versions_artifacts LIMIT 1")
    columns = [column[0] for column in cursor.description]
    row: dict[str, Any] = dict(zip(columns, cursor.fetchone(), strict=True))
    database.executemany(
        f"INSERT INTO model_versions_artifacts VALUES ({', '.join('?' * len(columns))})",
        [list((row | {"id": uuid.uuid4().hex, "artifact_version_id": version}).values()) for version in versions],
    )


def _move(database: sqlite3.Connection, uris: Mapping[str, str]) -> None:
    database.executemany("UPDATE artifact_version SET uri = ? WHERE id = ?", [(u, v) for v, u in uris.items()])
    visualized = database.execute("SELECT id, artifact_version_id FROM artifact_visualization").fetchall()
    database.executemany(
        "UPDATE artifact_visualization SET uri = ? WHERE id = ?", [(f"{uris[v]}/output.html", i) for i, v in visualized]
    )
    database.execute("UPDATE logs SET uri = ? || substr(uri, instr(uri, '/logs/'))", (uri(ROOT),))


def _point(database: sqlite3.Connection, configuration: Mapping[str, object]) -> None:
    changed = database.execute(
        "UPDATE stack_component SET flavor = 's3', configuration = ? WHERE type = 'artifact_store' AND name = 'default'",
        (base64.b64encode(json.dumps(configuration).encode()),),
    )
    assert changed.rowcount == 1, "the catalog has one default artifact store"
