"""What overlaps an orphan's place is never missed; what is far from all of them is hardly ever looked at."""

from __future__ import annotations

import random
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from marksweep.mark.vicinity import Vicinity
from marksweep.model.uri import claims

SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", "a!", ""]), max_size=6)
KEYS = st.one_of(
    SEGMENTS.map(lambda parts: "/".join(["s3://bucket", *parts, ""])),
    SEGMENTS.map(lambda parts: "/".join(["file://", *parts, ""])),
    st.sampled_from(["s3:/", "/", "file:///", "s3://bucket/", "memory://a/"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(KEYS, max_size=5), KEYS)
def test_what_overlaps_a_place_is_always_met(places: list[str], key: str) -> None:
    """Equal, above or inside, at any depth: the prefix rule that keys are compared by."""
    vicinity = Vicinity()
    for place in places:
        vicinity.add([place])
    if any(key.startswith(place) or place.startswith(key) for place in places):
        assert vicinity.meets([key])
        assert vicinity.meets(["s3://elsewhere/x/", key])


@settings(max_examples=300, deadline=None)
@given(st.lists(KEYS, max_size=5), st.lists(KEYS, max_size=8))
def test_many_at_once_are_met_as_they_are_one_by_one(places: list[str], keys: list[str]) -> None:
    """The quick way and the plain one agree on each position."""
    vicinity = Vicinity()
    vicinity.add(places)
    assert vicinity.near(keys) == {at for at, key in enumerate(keys) if vicinity.meets([key])}


def test_few_of_many_strangers_are_met() -> None:
    """Of 20,000 live places beside 20,000 orphans, in the same folders, less than one in fifty (by chance alone)."""
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)

    def place() -> str:
        (key,) = claims(f"s3://bucket/root/step_{rng.randrange(40)}/artifact/{uuid.UUID(int=rng.getrandbits(128))}")
        return key

    vicinity = Vicinity()
    for _ in range(20_000):
        vicinity.add([place()])
    assert sum(vicinity.meets([place()]) for _ in range(20_000)) < 400
    assert sum(vicinity.meets([f"{place()}plot.html/"]) for _ in range(20_000)) < 800


def test_a_place_is_met_by_any_of_its_keys() -> None:
    """A symbolic link gives it several."""
    vicinity = Vicinity()
    vicinity.add(["file:///link/a/", "file:///real/a/"])
    for key in ("file:///link/a/b/", "file:///real/", "file:///real/a/"):
        assert vicinity.meets([key])
        assert vicinity.meets(["file:///x/", key])
