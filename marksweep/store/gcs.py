"""Google Cloud Storage, with gcsfs's session and credentials: exact keys on one condition each, an answer for each."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp
import anyio
from anyio import to_thread

from marksweep.errors import StoreRefused
from marksweep.model.store import KeyChanged, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject, Undo
from marksweep.model.uri import Location, claims
from marksweep.model.version import ArtifactStore
from marksweep.store.gcs_client import GcsClient, GcsError, is_expected
from marksweep.store.gcs_delete import Packer
from marksweep.store.gcs_listing import GcsPages
from marksweep.store.gcs_options import Options, read_options
from marksweep.store.gcs_undo import Undoer
from marksweep.store.keys import Root, root_of
from marksweep.store.leapfrog import Leapfrog
from marksweep.store.port import Store
from marksweep.store.retry import Retry
from marksweep.store.scrub import Scrub, scrubber
from marksweep.store.tuning import Meter, Tuning
from marksweep.store.windows import Listed, gather

# Asked before it is imported, gcsfs looks at each bucket's type over gRPC: minutes, where nobody answers.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
import gcsfs

LONGEST_KEY = 1_024
"""Bytes of UTF-8 in the name of an object, at most."""


@asynccontextmanager
async def open_store(
    store: ArtifactStore,
    overrides: Mapping[str, object] | None = None,
    *,
    tuning: Tuning | None = None,
    meter: Meter | None = None,
    retry: Retry | None = None,
) -> AsyncIterator[Store]:
    """Open the bucket that *store* names, in the running event loop; no request to it is sent yet.

    *overrides* (from ``--store-options``) win over the options in the catalog; see
    :data:`marksweep.store.gcs_options.KNOWN`. Raises StoreRefused when there are no credentials.
    """
    root = root_of(store, "gs", "a Google Cloud Storage bucket", "gs://bucket/path")
    options = read_options(store.options, overrides or {})
    tuning, meter = tuning or Tuning(), meter or Meter()
    files, session, scrub = await _opened(options)
    client = GcsClient(
        session, files.credentials, files.base.removesuffix("/storage/v1/"), root.location.bucket, options.user_project,
        scrub, tuning, meter, retry or Retry(),
    )  # fmt: skip
    try:
        yield GcsStore(client, root, tuning, on_google=files.on_google)
    finally:
        with anyio.move_on_after(5, shield=True):  # a cancelled sweep closes its sockets, too
            await session.close()


async def _opened(options: Options) -> tuple[gcsfs.GCSFileSystem, aiohttp.ClientSession, Scrub]:
    # In a thread: finding credentials may ask the network. Nothing cached: neither the instance nor a listing.
    made: list[gcsfs.GCSFileSystem] = []

    def secrets() -> Iterable[str]:
        yield from options.secrets()
        for files in made:
            yield str(getattr(files.credentials.credentials, "token", None) or "")

    def make() -> gcsfs.GCSFileSystem:
        return gcsfs.GCSFileSystem(
            token=options.token, endpoint_url=options.endpoint_url, session_kwargs=dict(options.session_kwargs),
            project="", access="read_write", asynchronous=True, skip_instance_cache=True, use_listings_cache=False,
        )  # fmt: skip

    scrub = scrubber(secrets)
    try:
        made.append(await to_thread.run_sync(make))
        session = await made[0]._set_session()
    except Exception as error:  # gcsfs, google-auth and requests each raise their own
        if not is_expected(error):
            raise
        fact = (
            f"Google Cloud Storage cannot be opened with these credentials: {scrub(str(error)) or type(error).__name__}"
        )
        raise StoreRefused(
            fact, "Log in: `gcloud auth application-default login`, or name a key file in --store-options."
        ) from None
    return made[0], session, scrub


class GcsStore:
    """An open bucket. Keys are exact: nothing strips, expands, decodes or joins them."""

    keeps_tags = False  # what comes back gets a new generation or etag

    def __init__(self, client: GcsClient, root: Root, tuning: Tuning, *, on_google: bool) -> None:
        self._client = client
        self._root = root
        self._on_google = on_google
        self._pages = GcsPages(client, all_versions=tuning.all_versions)
        self._leapfrog = Leapfrog(self._pages)
        self._packer = Packer(client, tuning.page_size)
        self._undoer = Undoer(client, self._pages, all_versions=tuning.all_versions)

    async def undo(self) -> Undo:
        """Whether the bucket keeps what is deleted, or old generations. Raises StoreRefused when it cannot be reached."""
        return await self._undoer.undo()

    async def list(self, location: Location) -> Sequence[StoredObject]:
        """Every object at or under *location*."""
        refused = self._root.not_listed(location)
        if refused is not None:
            raise refused
        return await self._pages.alone(location.path)

    def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Listed]]:
        """The same for many, in order: neighbours share requests (:mod:`marksweep.store.leapfrog`)."""
        return self._root.listing(locations, lambda allowed: self._leapfrog.listing(allowed, emptied=emptied))

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        """Delete exactly these keys, packed, each only if it still is the generation that was listed."""
        refused: list[KeyOutcome] = []
        going: dict[tuple[str, str], StoredObject] = {}
        for found in objects:
            if self._is_ours(found.key):
                going[found.key, found.version] = found
            else:
                reason = "it is empty, outside the root, or no name of an object"
                refused.append(KeyFailed(found.key, "InvalidKey", reason, found.version))
        if going and not self._on_google:
            self._client.meter.remark(
                f"gs://{self._root.location.bucket} is reached at an endpoint that is not Google's: if that ignores"
                " ifGenerationMatch, an object that somebody rewrites between its last listing and its delete is deleted"
            )
        outcomes = await self._packer.delete([*going.values()])
        tags = {named: found.tag for named, found in going.items()}
        return [*dict.fromkeys(refused), *await self._looked_at(outcomes, tags)]

    async def tidy(self, locations: Sequence[Location]) -> None:
        """A bucket has no folders; what looks like one is an object, and was listed as such."""

    async def undeletable(self, location: Location, since: datetime) -> Sequence[StoredObject]:
        """What lay at or under *location*, was deleted at or after *since*, and can be brought back. Raises StoreRefused."""
        refused = self._root.not_listed(location)
        if refused is not None:
            raise refused
        return await self._undoer.undeletable(location, since)

    async def undelete(self, objects: Sequence[StoredObject]) -> Sequence[KeyFailed | KeyDenied]:
        """Bring exactly these back; return those that could not be. A key that holds an object is never overwritten."""
        return await self._undoer.undelete(objects, self._is_ours)

    def objection(self, location: Location) -> str | None:
        """Outside the root, the root itself, or a key that cannot be sent."""
        return self._root.outside(location) or _unspeakable(location.path)

    def objection_to(self, found: StoredObject) -> str | None:
        """A key that no object can have, and that no request could name."""
        return _unspeakable(found.key)

    def spellings(self, uri: str) -> tuple[str, ...]:
        """The lexical keys of *uri*: buckets have no links."""
        return claims(uri)

    def _is_ours(self, key: str) -> bool:
        return self._root.holds(key) and _unspeakable(key) is None

    async def _looked_at(
        self, outcomes: Sequence[KeyOutcome], tags: Mapping[tuple[str, str], str]
    ) -> Sequence[KeyOutcome]:
        """*outcomes* with the answers that can mean two things looked at: "not found" and "condition not met"."""
        if any(isinstance(outcome, KeyGone) for outcome in outcomes) and not self._pages.there:
            try:
                await self._pages.current(
                    f"{self._root.location.path}/"
                )  # says NoSuchBucket, if that is what is missing
            except GcsError as error:
                outcomes = [_blamed(outcome, error) for outcome in outcomes]

        async def look(outcome: KeyOutcome) -> KeyOutcome:
            if not isinstance(outcome, KeyChanged):
                return outcome
            try:
                current = await self._pages.current(outcome.key)
            except GcsError:
                return outcome
            if current is None:  # deleted by an attempt whose answer was lost, or by somebody else
                return KeyGone(outcome.key, outcome.version)
            if current == tags[outcome.key, outcome.version]:
                return KeyFailed(outcome.key, "conditionNotMet", "the store refused a condition that holds")
            return outcome

        return await gather(outcomes, look)


def _blamed(outcome: KeyOutcome, error: GcsError) -> KeyOutcome:
    if not isinstance(outcome, KeyGone):
        return outcome
    return KeyFailed(outcome.key, error.code, error.message, outcome.version)


def _unspeakable(key: str) -> str | None:
    if not key:
        return "its key is empty"
    if key in (".", ".."):
        return "its key is a dot segment, which paths of requests drop"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "its key is not valid Unicode"
    return f"its key is longer than {LONGEST_KEY} bytes" if size > LONGEST_KEY else None
