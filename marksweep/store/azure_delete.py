"""Packed deletes: blob batches in the order that Azure needs, and only the failed ones asked for again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import anyio

from marksweep.model.store import KeyChanged, KeyDeleted, KeyDenied, KeyFailed, KeyGone, KeyOutcome, StoredObject
from marksweep.store.azure_batch import outcomes, read_parts
from marksweep.store.azure_client import CURRENT, SNAPSHOT, VERSION, AzureClient
from marksweep.store.azure_errors import EXPECTED, explain, is_refusal, is_slow_down, may_pass, retry_after
from marksweep.store.azure_options import Scrub
from marksweep.store.windows import gather

MOST_PER_REQUEST = 256
"""Blobs that Azure takes in one batch."""


class Packer:
    """Deletes blobs of one container, *page_size* to a request."""

    def __init__(self, client: AzureClient, scrub: Scrub, page_size: int) -> None:
        self._client = client
        self._scrub = scrub
        self._page_size = max(1, min(page_size, MOST_PER_REQUEST))

    async def delete(self, objects: Sequence[StoredObject]) -> list[KeyOutcome]:
        """Delete exactly *objects* (distinct, not empty); one outcome for each. Raises nothing."""
        settled: list[KeyOutcome] = []
        for stage in stages(objects):
            settled += await self._all(stage)
        settled = await gather(settled, self._told_apart)
        return await self._finish([found for found in objects if found.version.startswith(CURRENT)], settled)

    async def _told_apart(self, outcome: KeyOutcome) -> KeyOutcome:
        # A condition is not met by a blob that is gone, either: by somebody else, or by us when the answer was lost.
        if not isinstance(outcome, KeyChanged):
            return outcome
        blob = self._client.blob(outcome.key)
        try:
            await self._client.read("other", lambda: blob.get_blob_properties(retry_total=0))
        except EXPECTED as error:
            code, message = explain(error, self._scrub)
            if code == "BlobNotFound":
                return KeyGone(outcome.key, outcome.version)
            return KeyFailed(outcome.key, code, message, outcome.version)
        return outcome

    async def _finish(self, current: Sequence[StoredObject], settled: list[KeyOutcome]) -> list[KeyOutcome]:
        # Deleting a blob that has versions makes an earlier version of it, under the id that it had; now that goes, too.
        if not current:
            return settled
        done = {(o.key, o.version) for o in settled if isinstance(o, KeyDeleted | KeyGone)}
        versions = {
            (found.key, found.version): replace(found, version=VERSION + found.version.removeprefix(CURRENT))
            for found in current
            if (found.key, found.version) in done
        }
        gone = {(o.key, o.version): o for o in await self._all(list(versions.values()))}
        named = {
            name: replace(gone[earlier.key, earlier.version], version=name[1]) for name, earlier in versions.items()
        }
        return [named.get((outcome.key, outcome.version), outcome) for outcome in settled]

    async def _all(self, objects: Sequence[StoredObject]) -> list[KeyOutcome]:
        size = self._page_size
        pages = [objects[at : at + size] for at in range(0, len(objects), size)]
        return [outcome for page in await gather(pages, self._settle) for outcome in page]

    async def _settle(self, page: Sequence[StoredObject]) -> list[KeyOutcome]:
        settled: dict[tuple[str, str], KeyOutcome] = {}
        waiting, tries = page, self._client.retry.begin()
        while True:
            await self._client.deletes.take("", len(waiting))
            answers, again, slowed = await self._once(waiting)
            settled |= {(answer.key, answer.version): answer for answer in answers}
            if not again or (pause := tries.pause(slowed=slowed)) is None:
                return list(settled.values())
            waiting = again
            self._client.meter.retries += 1
            await anyio.sleep(pause)

    async def _once(self, page: Sequence[StoredObject]) -> tuple[list[KeyOutcome], Sequence[StoredObject], bool]:
        # What was answered, those to be asked for again, and whether the store asked to come slower.
        throttle = self._client.deletes
        try:
            body, content_type = await self._client.batch(page)
        except EXPECTED as error:
            slowed = is_slow_down(error)
            code, message = explain(error, self._scrub)
            if slowed:
                throttle.refused("", code, retry_after(error))
            kind = KeyDenied if is_refusal(error) else KeyFailed
            failed: list[KeyOutcome] = [kind(found.key, code, message, found.version) for found in page]
            return failed, page if may_pass(error) else [], slowed
        parts = read_parts(body, content_type, len(page))
        again = [found for found, part in zip(page, parts, strict=True) if part.may_pass]
        slow = [part for part in parts if part.is_slow_down]
        if slow:
            longest = max((part.retry_after for part in slow if part.retry_after is not None), default=None)
            throttle.refused("", slow[0].code, longest)
        if len(again) < len(page):
            throttle.went("", len(page) - len(again))
        return outcomes(page, parts), again, bool(slow)


def stages(objects: Sequence[StoredObject]) -> list[Sequence[StoredObject]]:
    """*objects* in the order in which they can be deleted, a stage after the other.

    A blob with snapshots is refused, so these go first, and earlier versions with them. Where the account has a
    hierarchical namespace, folders are listed as empty blobs and can be deleted only when empty: they go last, deepest
    first. (Elsewhere an empty blob ``a`` beside ``a/b`` is no folder, and it does no harm that it goes last.)
    """
    parents = {parent for found in objects for parent in _parents(found.key)}
    first: list[StoredObject] = []
    blobs: list[StoredObject] = []
    folders: defaultdict[int, list[StoredObject]] = defaultdict(list)
    for found in objects:
        if found.version.startswith((SNAPSHOT, VERSION)):
            first.append(found)
        elif found.size == 0 and found.key in parents:
            folders[found.key.count("/")].append(found)
        else:
            blobs.append(found)
    return [stage for stage in (first, blobs, *(folders[depth] for depth in sorted(folders, reverse=True))) if stage]


def _parents(key: str) -> list[str]:
    found: list[str] = []
    while key := key.rpartition("/")[0]:
        found.append(key)
    return found
