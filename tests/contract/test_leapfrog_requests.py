"""What a leapfrog listing costs in requests, against the better of the two plain ways."""

from __future__ import annotations

import random
import secrets
import string
from collections.abc import Sequence

import pytest

from marksweep.store import leapfrog
from tests.contract.memory_store import Bucket
from tests.contract.test_leapfrog import listed

pytestmark = pytest.mark.anyio


def keys_of(paths: Sequence[str], objects: int) -> list[str]:
    return [f"{path}/{number}" for path in paths for number in range(objects)]


def names(count: int, rnd: random.Random) -> list[str]:
    """Paths as ZenML makes them: under a step's output, by run, ending in a random id."""
    return sorted(
        f"zenml/step{rnd.randrange(20)}/out/{rnd.randrange(500)}/"
        + "".join(rnd.choices(string.hexdigits.lower()[:16], k=8))
        for _ in range(count)
    )


SHAPES = {
    "dense, three objects": (20_000, 1.0, 3, 0, 0.0, 1_000),
    "dense, one object": (20_000, 1.0, 1, 0, 0.0, 1_000),
    "every other": (20_000, 0.5, 3, 0, 0.0, 1_000),
    "one in ten": (10_000, 0.1, 3, 0, 0.0, 1_000),
    "one in a hundred": (10_000, 0.01, 3, 0, 0.0, 1_000),
    "sparse: one in 50": (10_000, 0.02, 3, 0, 0.0, 100),
    "large versions": (1_000, 0.5, 30, 0, 0.0, 100),
    "larger than a page": (100, 0.5, 250, 0, 0.0, 100),
    "a huge live version now and then": (2_500, 0.9, 3, 300, 0.05, 100),
    "huge live versions everywhere": (500, 0.5, 3, 300, 0.5, 100),
    "half large, half small": (1_500, 0.6, 3, 100, 0.3, 100),
    "nothing left": (20_000, 1.0, 0, 0, 0.0, 1_000),
}
"""Versions, the share of them that is wanted, objects of each, objects of a large live one, share of those, keys per page."""


@pytest.mark.parametrize("shape", SHAPES)
async def test_requests_are_hardly_more_than_the_better_plain_way_needs(shape: str) -> None:
    """One list per place, or one flat list of everything: never above 1.1 times the better one.

    Besides, each range may cut a page short: ranges are listed side by side.
    """
    versions, share, objects, large, often, page = SHAPES[shape]
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rnd = random.Random(seed)
    paths = names(versions, rnd)
    wanted = [path for path in paths if rnd.random() < share]
    live = sorted({*paths} - {*wanted})
    bucket = Bucket(page=page)
    bucket.put(keys_of(wanted, objects))
    for path in live:
        bucket.put(keys_of([path], large if rnd.random() < often / max(1e-9, 1 - share) else objects))
    found = await listed(bucket, wanted)
    assert sum(len(keys) for keys in found.values() if isinstance(keys, set)) == objects * len({*wanted})
    per_place = len({*wanted}) * max(1, -(-objects // bucket.page))
    flat = max(1, -(-len(bucket.objects) // bucket.page))
    ranges = -(-len({*wanted}) // leapfrog.RANGE)
    sent = bucket.requests["list"]
    print(f"{shape}: {sent} requests, {per_place} by place, {flat} flat: {sent / min(per_place, flat):.2f}")
    assert sent <= 1.1 * min(per_place, flat) + ranges


@pytest.mark.parametrize("objects", [1, 3])
async def test_what_ranges_cost_does_not_grow_with_their_number(objects: int) -> None:
    """The more places a page covers, the longer are the ranges after the first few."""
    bucket = Bucket()
    paths = [f"zenml/{number:06}" for number in range(100_000)]
    bucket.put(keys_of(paths, objects))
    assert len(await listed(bucket, paths)) == len(paths)
    assert bucket.requests["list"] <= 1.1 * len(bucket.objects) / bucket.page + leapfrog.RANGES
