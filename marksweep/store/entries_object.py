"""One object outside of the artifact stores, written or read as a stream: the entries of a plan that has only a card.

Through fsspec's file systems with the options of the store adapters; none of marksweep's deletes comes near it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marksweep.errors import MarksweepError, StoreRefused
from marksweep.model.uri import locate

CHUNK = 8 * 1024 * 1024
"""Bytes that are asked for or sent at a time. S3 takes 10,000 parts: with these, an object of 80 GB."""

_ELSE = "check the URI, the credentials, and the options under `entries` or `*` in the file of --store-options"


@dataclass(frozen=True, slots=True)
class _Files:
    """A file system, what takes the credentials out of its messages, and what it raises without a bug in marksweep."""

    files: Any
    scrub: Callable[[str], str]
    expected: tuple[type[Exception], ...]


def read_object(uri: str, options: Mapping[str, object]) -> Iterator[bytes]:
    """The object at *uri* from its first byte to its last; *options* are those of its kind of store.

    Raises :class:`StoreRefused` when it is not there or cannot be read; whether it is the right one is not asked.
    """
    opened = _files(uri, options)
    with _told(opened, uri, "read"):
        file = opened.files.open(_path(uri), "rb", **_buffered(opened, cache_type="readahead"))
    try:
        while True:
            with _told(opened, uri, "read"):
                chunk = file.read(CHUNK)
            if not chunk:
                return
            yield chunk
    finally:
        file.close()


@contextmanager
def create_object(uri: str, options: Mapping[str, object]) -> Iterator[Callable[[bytes], object]]:
    """Make an object at *uri* of the bytes that what this yields is called with; after an error there is none.

    Raises :class:`StoreRefused` when there is one already, by the store's own condition at the end, too, or when it cannot
    be written.
    """
    opened, path = _files(uri, options), _path(uri)
    with _told(opened, uri, "written"):
        if opened.files.exists(path):
            raise StoreRefused(
                f"{uri} exists already, and is never overwritten", "mark again: each plan has its own name"
            )
        file = opened.files.open(path, "xb", **_buffered(opened))

    def write(octets: bytes) -> None:
        with _told(opened, uri, "written"):
            file.write(octets)

    try:
        yield write
        with _told(opened, uri, "written"):
            if isinstance(opened.files, LocalFiles):
                file.flush()
                os.fsync(file.fileno())
            file.close()
    except BaseException:
        _discard(opened, file, path)
        raise


class LocalFiles:
    """Folders of this machine, or mounted: as much of a file system of fsspec as is asked for here."""

    def exists(self, path: str) -> bool:
        """Whether there is anything, a dangling link too."""
        return os.path.lexists(path)

    def open(self, path: str, mode: str) -> Any:
        """A new file, or one that is a regular file."""
        if mode == "xb":
            return Path(path).open("xb")
        if not Path(path).is_file():
            raise FileNotFoundError(2, "there is no such file", path)
        return Path(path).open("rb")


def _discard(opened: _Files, file: Any, path: str) -> None:
    if isinstance(opened.files, LocalFiles):
        file.close()
        Path(path).unlink(missing_ok=True)
        return
    with suppress(*opened.expected):  # the first error is the one to tell; a store forgets unfinished uploads, too
        file.discard()
    file.closed = True  # or else fsspec would complete it when it is collected


def _buffered(opened: _Files, **more: object) -> dict[str, object]:
    return {} if isinstance(opened.files, LocalFiles) else {"block_size": CHUNK, **more}


def _path(uri: str) -> str:
    place = locate(uri)
    return place.path if place.scheme == "file" else f"{place.bucket}/{place.path}"


@contextmanager
def _told(opened: _Files, uri: str, what: str) -> Iterator[None]:
    try:
        yield
    except MarksweepError:
        raise
    except FileNotFoundError:
        fact = f"{uri} cannot be {what}: there is no such object, or no such bucket or folder"
        raise StoreRefused(fact, _ELSE) from None
    except FileExistsError:
        fact = f"{uri} exists already, and is never overwritten"
        raise StoreRefused(fact, "mark again: each plan has its own name") from None
    except opened.expected as error:
        said = opened.scrub(str(error)) or type(error).__name__
        raise StoreRefused(f"{uri} cannot be {what}: {said}", _ELSE) from None


def _files(uri: str, options: Mapping[str, object]) -> _Files:
    scheme = locate(uri).scheme
    try:
        match scheme:
            case "s3":
                return _s3(options)
            case "gs":
                return _gcs(options)
            case "az":
                return _azure(options)
            case _:
                return _Files(LocalFiles(), str, (OSError,))
    except ModuleNotFoundError as missing:
        extra = {"gs": "gcs", "az": "azure"}.get(scheme, scheme)
        raise StoreRefused(f"{uri}: {missing.name} is not installed", f"pip install 'marksweep[{extra}]'") from None


def _s3(options: Mapping[str, object]) -> _Files:
    import s3fs

    from marksweep.store.s3_errors import UNOPENED
    from marksweep.store.s3_options import filesystem_arguments, scrubber

    arguments = filesystem_arguments((options,), connections=4)  # s3fs repeats what fails in passing
    scrub = scrubber(arguments)
    return _made(lambda: s3fs.S3FileSystem(**_FRESH, **arguments), scrub, UNOPENED)


def _gcs(options: Mapping[str, object]) -> _Files:
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # as marksweep.store.gcs does, and why
    import gcsfs
    from gcsfs.retry import HttpError
    from google.auth.exceptions import GoogleAuthError

    from marksweep.store.gcs_options import read_options
    from marksweep.store.scrub import scrubber

    read = read_options({}, options)
    expected = (HttpError, GoogleAuthError, OSError, ValueError, KeyError, TypeError)
    arguments = {
        "token": read.token, "endpoint_url": read.endpoint_url, "project": "", "access": "read_write",
        "session_kwargs": dict(read.session_kwargs), "requester_pays": read.user_project or False,
    }  # fmt: skip
    return _made(lambda: gcsfs.GCSFileSystem(**_FRESH, **arguments), scrubber(read.secrets), expected)


def _azure(options: Mapping[str, object]) -> _Files:
    import adlfs

    from marksweep.store.azure_errors import UNOPENED
    from marksweep.store.azure_options import filesystem_arguments, scrubber

    arguments = filesystem_arguments(options)
    expected = (*UNOPENED, RuntimeError)  # which adlfs makes of whatever goes wrong with a block
    return _made(lambda: adlfs.AzureBlobFileSystem(**_FRESH, **arguments), scrubber(arguments), expected)


_FRESH: Mapping[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}


def _made(make: Callable[[], Any], scrub: Callable[[str], str], expected: tuple[type[Exception], ...]) -> _Files:
    try:
        return _Files(make(), scrub, expected)
    except expected as error:
        said = scrub(str(error)) or type(error).__name__
        raise StoreRefused(f"the place of the entries cannot be opened: {said}", _ELSE) from None
