"""The object with the entries of a card: as promised, on every kind of store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from marksweep.errors import StoreRefused
from marksweep.store.entries_object import create_object, read_object

PARTS = b"0123456789abcdef" * 65_536
"""A mebibyte: nine of them are more than one part of an upload."""


@dataclass
class Place:
    """A folder's URI, and the options of its kind of store."""

    folder: str
    options: Mapping[str, object]

    def read(self, name: str) -> bytes:
        return b"".join(read_object(f"{self.folder}/{name}", self.options))

    def write(self, name: str, *parts: bytes, error: Exception | None = None, meanwhile: bytes | None = None) -> None:
        with create_object(f"{self.folder}/{name}", self.options) as write:
            for part in parts:
                write(part)
            if meanwhile is not None:
                self.write(name, meanwhile)
            if error is not None:
                raise error


@pytest.fixture(params=["local", "s3", "gcs", "azure"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(f"file://{tmp_path}", {})
    world = request.getfixturevalue(f"{request.param}_world")
    if request.param == "s3":
        return Place(f"{world.root}/plans", {"endpoint_url": world.server})
    if request.param == "gcs":  # not through the front, which passes neither uploads in parts nor lengths of a HEAD
        return Place(f"{world.root}/plans", {"endpoint_url": f"http://{world.front.server}"})
    return Place(f"{world.root}/plans", {"connection_string": world.server.connection_string()})


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # by gcsfs and adlfs, of their own parts
def test_an_object_is_whole_or_not_there(place: Place) -> None:
    """It comes back byte for byte, in one part, in several, and empty; an error leaves none; none is written over."""
    for name, parts in (("small", [b"one\n", b"two\n"]), ("parts", [PARTS] * 9), ("empty", [])):
        place.write(name, *parts)
        assert place.read(name) == b"".join(parts), name
    with pytest.raises(StoreRefused, match="never overwritten") as refused:
        place.write("small", b"other")
    assert refused.value.remedy
    assert place.read("small") == b"one\ntwo\n"
    for name, parts in (("broken", [b"one\n"]), ("broken-parts", [PARTS] * 9)):
        with pytest.raises(ZeroDivisionError):
            place.write(name, *parts, error=ZeroDivisionError())
        with pytest.raises(StoreRefused, match="no such object"):
            place.read(name)


@pytest.mark.parametrize("place", ["local", "s3", "azure"], indirect=True)  # fake-gcs-server knows no conditions
def test_what_is_made_meanwhile_is_not_written_over(place: Place) -> None:
    """Two write the same name at once: one of them is refused, by the store's own condition, and the other's stays."""
    with pytest.raises(StoreRefused, match=re.escape(f"{place.folder}/twice")):
        place.write("twice", b"second", meanwhile=b"first")
    if not place.folder.startswith("file:"):
        assert place.read("twice") == b"first"


def test_a_secret_is_not_shown() -> None:
    """Nobody listens there: the error tells the place, and no credential."""
    options = {"endpoint_url": "http://127.0.0.1:9", "key": "AKIACANARY", "secret": "CANARY/of+a=secret"}
    with pytest.raises(StoreRefused) as refused:
        list(read_object("s3://bucket/plans/x", options))
    assert "s3://bucket/plans/x" in refused.value.fact
    assert "CANARY" not in refused.value.fact + refused.value.remedy
