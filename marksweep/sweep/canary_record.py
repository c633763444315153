"""What a journal remembers of a canary: its entries, the witnesses as they were before it, and how it ended."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TypeGuard

import msgspec

from marksweep.errors import GuardRefused
from marksweep.model.entry import Count, Digest

NAMED = 5
"""Harmed witnesses that an error names; the journal has all of them."""


class CanaryState(enum.StrEnum):
    """How far a canary is. Stable names: they stand in journals and in ``--json`` output."""

    DRAWN = "drawn"
    """Its entries are chosen and its witnesses recorded: until it ends nothing else of the plan is touched."""
    PASSED = "passed"
    HALTED = "halted"
    """A witness was harmed: the plan is not swept on before a person says so."""
    CLEARED = "cleared"
    """A person looked into the halt, and said so."""
    VOID = "void"
    """None of its entries was deleted (kept, gone, failed): it has shown nothing, and another one may be drawn."""


class Witness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A live version beside a canary: its row, and what its place held before the canary began."""

    id: str
    uri: str
    updated: str
    objects: Count
    bytes: Count
    fingerprint: Digest


class Harmed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A witness whose place changed during the canary while its row did not, and what the place holds now."""

    witness: Witness
    objects: Count
    bytes: Count

    def __str__(self) -> str:
        then = self.witness
        return (
            f"version {then.id} at {then.uri} (objects before: {then.objects}, now: {self.objects};"
            f" bytes before: {then.bytes}, now: {self.bytes})"
        )


class Canary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One canary. ``units`` are the ids of its units, ``entries`` what they hold; ``beside`` counts the live versions under
    the folders that it touches, of which ``witnesses`` are those that were looked at and had bytes. ``deleted_before``
    counts the entries that the sweep had deleted before it.
    """

    state: CanaryState
    entries: Count
    units: tuple[str, ...]
    beside: Count
    witnesses: tuple[Witness, ...]
    deleted_before: Count
    harmed: tuple[Harmed, ...] = ()

    def encoded(self) -> bytes:
        """The record as the journal holds it."""
        return msgspec.json.encode(self)


def decoded(record: bytes) -> Canary:
    """The canary that *record* holds; raise ValueError when it is damaged."""
    return msgspec.json.decode(record, type=Canary)


def halted(canary: Canary | None) -> TypeGuard[Canary]:
    """Whether *canary* forbids to sweep on."""
    return canary is not None and canary.state is CanaryState.HALTED


def halt(canary: Canary, journal: Path) -> GuardRefused:
    """Why a sweep stops, now or before it begins: a canary of this plan harmed something that is alive."""
    named = "; ".join(str(harmed) for harmed in canary.harmed[:NAMED])
    more = f"; and {len(canary.harmed) - NAMED} more" if len(canary.harmed) > NAMED else ""
    return GuardRefused(
        f"{len(canary.harmed)} of {len(canary.witnesses)} live versions beside the canary's {canary.entries} entries lost or"
        f" changed bytes while it was swept: {named}{more}",
        f"do not sweep on before it is understood: the journal {journal} and the receipt beside it hold what was deleted;"
        " if it was not the sweep, add --canary-cleared",
    )
