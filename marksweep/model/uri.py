"""Where a version's bytes are, compared by path segments.

Two readings of one URI, on purpose:

* ``locate`` is strict. Only a URI that it accepts may ever be deleted: one plain spelling, one store, no way out.
* ``claims`` is liberal. A *live* version keeps everything that any reading of its URI could mean.

Keys end in ``/`` so that "inside" is a string prefix: ``s3://b/abc/`` does not contain ``s3://b/abcd/``. Their order as
UTF-8 bytes is also the order in which S3 and GCS list the objects below them.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

SCHEMES = {
    "s3": "s3", "s3a": "s3", "s3n": "s3",
    "gs": "gs", "gcs": "gs",
    "az": "az", "abfs": "az", "abfss": "az", "adl": "az",
    "file": "file",
}  # fmt: skip
"""Scheme as written -> the scheme that keys carry: two spellings of one place must have one key."""

_DOTS = re.compile(r"/\.{1,2}(?:/|\Z)")
_BUCKET = re.compile(r"(?:s3|gs|az)://[^/:@\n\0]+/")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class UriRefused(ValueError):
    """This URI may not be deleted; the message says why, without repeating the URI."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place that is safe to name: ``scheme``, ``bucket`` (empty for local files) and at least zero plain segments."""

    scheme: str
    bucket: str
    segments: tuple[str, ...]
    key: str = field(init=False, compare=False, repr=False)
    """The order and prefix key, ``scheme://bucket/segment/…/``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", "/".join((f"{self.scheme}://{self.bucket}", *self.segments, "")))

    @property
    def path(self) -> str:
        """The object key below the bucket, or the absolute path of a local file, without a trailing slash."""
        joined = "/".join(self.segments)
        return f"/{joined}" if self.scheme == "file" else joined


def plain_key(uri: str) -> str | None:
    """The key of a URI that strict and liberal reading agree on at a glance; None for one that needs a closer look."""
    if uri.startswith("/"):
        rest, key = uri, f"file://{uri}"
    elif uri.startswith(("s3://", "gs://", "az://")):
        rest, key = uri[5:], uri
        if rest[:1] in ("", "/") or ":" in rest or "@" in rest:
            return None
    else:
        return None
    if "//" in rest or "\0" in rest or ("/." in rest and _DOTS.search(rest)):
        return None
    return key if key.endswith("/") else f"{key}/"


def plain_keys(uris: Sequence[str]) -> list[str] | None:
    """:func:`plain_key` of each of *uris*, looked at all at once: of local paths, or of URIs of one bucket.

    None if there are others among them, or if one could need a closer look or ends in a slash.
    """
    joined = "\n".join(uris)
    local = joined.startswith("/")
    bucket = _BUCKET.match(joined)
    start = "/" if local else bucket[0] if bucket else None
    if start is None or not joined.count("\n") == joined.count(f"\n{start}") == len(uris) - 1:
        return None
    if "/." in joined or "\0" in joined or "/\n" in joined or joined.endswith("/"):
        return None
    if local:
        return None if "//" in joined else [f"file://{uri}/" for uri in uris]
    if "@" in joined or not joined.count(":") == joined.count("//") == len(uris):
        return None
    return [f"{uri}/" for uri in uris]


def key_of(uri: str) -> str:
    """The key of ``locate(uri)``; raises :class:`UriRefused` as it does. Cheap for the usual URI."""
    return plain_key(uri) or locate(uri).key


@functools.lru_cache(maxsize=1024)
def locate(uri: str) -> Location:
    """Read *uri* strictly; raise :class:`UriRefused` unless it has exactly one meaning.

    One trailing slash is spelling and ignored. Characters that are special elsewhere (``*``, ``[``, ``?``, ``#``,
    ``%2F``, newlines) are themselves: marksweep never expands, decodes or joins them.
    """
    plain = plain_key(uri)
    if plain is not None:
        return _located(plain)
    scheme, bucket, rest = _split(uri)
    if scheme is None:
        raise UriRefused("its scheme is not one of a known artifact store")
    if "@" in bucket or ":" in bucket:
        raise UriRefused("its bucket holds a user name, a password or a port")
    if scheme != "file" and not bucket:
        raise UriRefused("it names no bucket")
    if scheme == "file" and not rest.startswith("/"):
        raise UriRefused("it is a relative path")
    if "\0" in rest:
        raise UriRefused("it holds a NUL character")
    below = rest.removeprefix("/")
    segments = tuple(below.removesuffix("/").split("/")) if below else ()
    for segment in segments:
        if segment in ("", ".", ".."):
            raise UriRefused("it holds an empty, '.' or '..' path segment")
    return Location(scheme, bucket, segments)


def _located(key: str) -> Location:
    scheme, _, rest = key.partition("://")
    bucket, *segments = rest[:-1].split("/")
    return Location(scheme, bucket, tuple(segments))


def claims(uri: str) -> tuple[str, ...]:
    """Every key that *uri* could mean, for a version that is alive. Never raises."""
    plain = plain_key(uri)
    if plain is not None:
        return (plain,)
    scheme, bucket, rest = _split(uri)
    if scheme is None:
        return (uri.rstrip("/") + "/",)
    base = f"{scheme}://{bucket}/"
    collapsed = posixpath.normpath("/" + rest).strip("/")
    readings = {base + collapsed + "/" if collapsed else base}
    literal = rest.removeprefix("/").removesuffix("/")
    if scheme != "file" and literal:
        readings.add(base + literal + "/")
    if scheme == "file" and not rest.startswith("/"):  # file://host/path: the host is this machine, or part of the path
        path = posixpath.normpath("/" + rest.partition("/")[2]).strip("/")
        readings |= {base + path + "/"} if path else set()
    return tuple(sorted(readings))


def _split(uri: str) -> tuple[str | None, str, str]:
    match = _SCHEME.match(uri)
    if match is None:
        return ("file", "", uri) if uri.startswith("/") else (None, "", uri)
    scheme = SCHEMES.get(match[1].lower())
    if scheme is None:
        return None, "", uri
    rest = uri[match.end() :]
    if scheme == "file":
        return scheme, "", rest
    bucket, slash, path = rest.partition("/")
    return scheme, bucket, slash + path


def contains(outer: str, inner: str) -> bool:
    """Whether key *inner* is key *outer* or lies below it."""
    return inner.startswith(outer)
