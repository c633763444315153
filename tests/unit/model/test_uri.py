"""Where bytes are: the strict reading (may be deleted) and the liberal one (is kept)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marksweep.model.uri import SCHEMES, UriRefused, claims, contains, key_of, locate, plain_key

PLAIN = [
    ("s3://b/a/c", "s3://b/a/c/", "a/c"),
    ("s3://b/a/c/", "s3://b/a/c/", "a/c"),
    ("S3://b/a", "s3://b/a/", "a"),
    ("s3a://b/a", "s3://b/a/", "a"),
    ("s3n://b/a", "s3://b/a/", "a"),
    ("gs://b/a", "gs://b/a/", "a"),
    ("gcs://b/a", "gs://b/a/", "a"),
    ("az://c/a", "az://c/a/", "a"),
    ("abfs://c/a", "az://c/a/", "a"),
    ("abfss://c/a", "az://c/a/", "a"),
    ("s3://b", "s3://b/", ""),
    ("s3://b/", "s3://b/", ""),
    ("/tmp/x", "file:///tmp/x/", "/tmp/x"),
    ("/tmp/x/", "file:///tmp/x/", "/tmp/x"),
    ("file:///tmp/x", "file:///tmp/x/", "/tmp/x"),
    ("FILE:///tmp/x", "file:///tmp/x/", "/tmp/x"),
    ("/", "file:///", "/"),
    # Special elsewhere, themselves here.
    ("s3://b/a%2Fc", "s3://b/a%2Fc/", "a%2Fc"),
    ("s3://b/run-[1]*?", "s3://b/run-[1]*?/", "run-[1]*?"),
    ("s3://b/a#b", "s3://b/a#b/", "a#b"),
    ("s3://b/a\nb", "s3://b/a\nb/", "a\nb"),
    ("s3://b/...", "s3://b/.../", "..."),
    ("s3://b/.hidden", "s3://b/.hidden/", ".hidden"),
    ("s3://b/ a ", "s3://b/ a /", " a "),
    ("s3://b/a:b@c", "s3://b/a:b@c/", "a:b@c"),
    ("s3://b/ä\u202e", "s3://b/ä\u202e/", "ä\u202e"),
]


@pytest.mark.parametrize(("uri", "key", "path"), PLAIN)
def test_a_plain_uri_has_one_key(uri: str, key: str, path: str) -> None:
    """Scheme aliases, the scheme's case and one trailing slash are spelling; everything else is itself."""
    assert (locate(uri).key, locate(uri).path) == (key, path)


@pytest.mark.parametrize(
    "uri",
    [
        "", "x", "a/b", "./a", "../a", "~/a", "C:\\a", "hdfs://n/a", "http://h/a", "memory://a", "s3:/b/a", "s3:b",
        "marksweep-deleted:s3://b/a", "s3://", "s3:///a", "file://", "file://host/a", "file://a/b", "file:relative",
        "s3://b/a//c", "s3://b//a", "s3://b/a//", "s3://b//", "//a", "/a//b", "/a//", "file:////a", "/tmp/s3://b",
        "s3://b/./a", "s3://b/a/.", "s3://b/../a", "s3://b/a/..", "/a/../b", "/a/./b", "/..", "/.",
        "s3://b/a\0b", "/a\0", "s3://u:p@b/a", "s3://u@b/a", "s3://b:9000/a", "abfs://c@account/a", "s3://b:/a",
    ],
)  # fmt: skip
def test_a_uri_that_could_mean_two_places_is_refused(uri: str) -> None:
    """Nothing that has no scheme of a store, a way up, an empty segment, a NUL or credentials may be deleted."""
    with pytest.raises(UriRefused):
        locate(uri)


def test_a_refusal_does_not_repeat_the_uri() -> None:
    """It may hold a password."""
    with pytest.raises(UriRefused) as refused:
        locate("s3://user:canary-secret@b/a")
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        ("s3://b/a/../c", {"s3://b/c/", "s3://b/a/../c/"}),
        ("s3://b/a/./c", {"s3://b/a/c/", "s3://b/a/./c/"}),
        ("s3://b/a//c", {"s3://b/a/c/", "s3://b/a//c/"}),
        ("s3://b//a", {"s3://b/a/", "s3://b//a/"}),
        ("s3://b/a//", {"s3://b/a/", "s3://b/a//"}),
        ("s3a://b/a/", {"s3://b/a/"}),
        ("s3://b", {"s3://b/"}),
        ("s3://b/..", {"s3://b/", "s3://b/../"}),
        ("/a/../../c", {"file:///c/"}),
        ("//a//b/", {"file:///a/b/"}),
        ("file:///a/./b", {"file:///a/b/"}),
        ("relative/x/", {"relative/x/"}),
        ("file://x", {"file:///x/"}),
        ("file://", {"file:///"}),
    ],
)
def test_a_live_uri_claims_every_reading(uri: str, keys: set[str]) -> None:
    """An object store takes ``..`` and ``//`` literally, a client may not: both are kept."""
    assert set(claims(uri)) == keys


def test_a_file_uri_with_a_host_claims_the_path_behind_the_host_too() -> None:
    """``file://localhost/a`` is ``/a`` for most of the world."""
    assert {"file:///a/b/", "file:///localhost/a/b/"} <= set(claims("file://localhost/a/b"))


@pytest.mark.parametrize(
    ("outer", "inner", "inside"),
    [
        ("s3://b/abc", "s3://b/abc", True),
        ("s3://b/abc", "s3://b/abc/x", True),
        ("s3://b/abc", "s3://b/abcd", False),
        ("s3://b/abcd", "s3://b/abc", False),
        ("s3://b/abc/x", "s3://b/abc", False),
        ("s3://b", "s3://b/x", True),
        ("s3://b", "s3://bb/x", False),
        ("s3://b/x", "gs://b/x", False),
        ("/tmp/store", "/tmp/store-evil/x", False),
        ("/tmp/store", "file:///tmp/store/x", True),
    ],
)
def test_inside_is_by_segment_not_by_string(outer: str, inner: str, inside: bool) -> None:
    """``abc`` does not hold ``abcd``."""
    assert contains(locate(outer).key, locate(inner).key) is inside


SEGMENT = st.one_of(
    st.sampled_from(["", ".", "..", "a", "abc", "abcd", "%2F", "*", "[1]", "a\nb", "\0", "@", ":", "é", " "]),
    st.text(max_size=5),
)
SCHEME = st.sampled_from([*(f"{s}://" for s in SCHEMES), *(f"{s.upper()}://" for s in SCHEMES), "/", "", "hdfs://"])
URI = st.builds(lambda scheme, parts: scheme + "/".join(parts), SCHEME, st.lists(SEGMENT, max_size=6))


@given(URI)
def test_what_may_be_deleted_is_among_what_is_claimed(uri: str) -> None:
    """The strict reading is one of the liberal ones, or a live version would not protect its own bytes."""
    claimed = claims(uri)
    assert claimed
    assert all(key.endswith("/") for key in claimed)
    try:
        location = locate(uri)
    except UriRefused:
        return
    assert location.key in claimed


@given(URI)
def test_a_key_is_a_fixed_point(uri: str) -> None:
    """Reading a key again gives the same key: it is a URI in its plainest spelling."""
    try:
        key = locate(uri).key
    except UriRefused:
        return
    assert locate(key).key == key
    assert not {"", ".", ".."} & set(locate(uri).segments)


@given(URI, URI)
def test_containment_of_keys_is_containment_of_segments(one: str, other: str) -> None:
    """The string prefix means what the tuple prefix means."""
    try:
        outer, inner = locate(one), locate(other)
    except UriRefused:
        return
    by_segment = (outer.scheme, outer.bucket) == (inner.scheme, inner.bucket) and (
        inner.segments[: len(outer.segments)] == outer.segments
    )
    assert contains(outer.key, inner.key) is by_segment


@settings(max_examples=500)
@given(
    st.sampled_from(["", "/", "s3://", "gs://", "s3a://", "S3://", "file://", "file:///", "az://", "x://"]),
    st.lists(st.sampled_from(["a", "b:c", "d@e", ".", "..", ".x", "", "\0", "é", "a*", "#?"]), max_size=5),
)
def test_the_key_seen_at_a_glance_is_the_only_one(scheme: str, parts: list[str]) -> None:
    """Whatever :func:`plain_key` answers for is safe to delete, has one meaning, and keeps what the strict reading says."""
    uri = scheme + "/".join(parts)
    plain = plain_key(uri)
    if plain is not None:
        assert locate.__wrapped__(uri).key == plain == key_of(uri)
        assert slow_claims(uri) == (plain,) == claims(uri)
    else:
        assert claims(uri) == slow_claims(uri)


def slow_claims(uri: str) -> tuple[str, ...]:
    """What the liberal reading says to a URI that is never plain: the same under another name of its scheme."""
    if uri.startswith("/"):
        return claims(f"file://{uri}")
    for scheme, other in (("s3://", "s3a://"), ("gs://", "gcs://")):
        if uri.startswith(scheme):
            return claims(other + uri.removeprefix(scheme))
    return claims(uri)
