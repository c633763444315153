"""Examining a catalog in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from marksweep.mark.examine import Examined, examine
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import Entry
from marksweep.model.policy import Policy
from marksweep.model.verdict import KeptReason
from marksweep.model.version import Claim, ReferenceKind, Version
from tests.support.fakes import NOW, FakeCatalog, FakeStores, Watcher

LIVE = frozenset({ReferenceKind.STEP_OUTPUT})


@dataclass
class Examination:
    """What came out."""

    entries: list[Entry]
    kept: dict[str, int]
    versions: int
    examined: Examined
    watcher: Watcher

    @property
    def ids(self) -> set[str]:
        return {e.id for e in self.entries}

    @property
    def shares(self) -> dict[str, str | None]:
        return {e.id: e.shares for e in self.entries}


@contextmanager
def worksheet_of(
    catalog: FakeCatalog, policy: Policy, stores: FakeStores | None = None
) -> Iterator[tuple[Worksheet, Examined, Watcher]]:
    watcher = Watcher()
    with Worksheet() as worksheet:
        yield worksheet, examine(catalog, stores or FakeStores(), policy, NOW, worksheet, watcher), watcher


def examined(
    versions: Sequence[Version],
    live: Sequence[str] = (),
    claims: Sequence[Claim] = (),
    stores: FakeStores | None = None,
    catalog: FakeCatalog | None = None,
    **policy: object,
) -> Examination:
    """Examine *versions*, of which those with the ids *live* are referenced."""
    catalog = catalog or FakeCatalog(list(versions), {i: set(LIVE) for i in live}, list(claims))
    with worksheet_of(catalog, Policy(**policy), stores) as (worksheet, found, watcher):  # type: ignore[arg-type]
        entries = list(worksheet.entries())
        kept = {reason.value: count for reason, count in worksheet.kept.items() if count}
        assert len(entries) + sum(kept.values()) == worksheet.versions == len(catalog.versions)
        assert list(worksheet.entries()) == entries
        return Examination(entries, kept, worksheet.versions, found, watcher)


def reasons(kept: dict[str, int]) -> set[KeptReason]:
    return {KeptReason(name) for name in kept}
