"""A plan as a restore reads it: whole and in canonical form, whoever signed it, and however long ago it expired.

Nothing is deleted on its word. What makes it the plan of a sweep is the digest that the sweep's journal is bound to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marksweep.model.entry import Entry
from marksweep.plan.card import Fetch, open_plan, refuse_to_fetch
from marksweep.plan.document import Header
from marksweep.plan.reader import by_unit
from marksweep.plan.signed_file import SignedFile


@dataclass(frozen=True, slots=True)
class SweptPlan:
    """Its path, its header, and the digest ``sha256:…`` of the bytes that were signed; :func:`swept_plan` makes one."""

    path: Path
    header: Header
    digest: str
    file: SignedFile

    def entries(self) -> Iterator[Entry]:
        """The entries in plan order; raises PlanMalformed if somebody changed the file since it was opened."""
        return self.file.read()[1]

    def units(self) -> Iterator[list[Entry]]:
        """The entries by unit, the one that carries the unit's objects first."""
        return by_unit(self.entries())


@contextmanager
def swept_plan(
    path: Path, fetch: Fetch = refuse_to_fetch, check: Callable[[str], None] = lambda digest: None
) -> Iterator[SweptPlan]:
    """Open the plan at *path*, or the card of one, whose entries *fetch* reads if *check* lets its digest pass.

    Raises PlanMalformed, SignatureRefused when it was cut off, or UsageError, and what *check* and *fetch* raise.
    """
    file = open_plan(path, fetch)
    try:
        check(file.digest)
        header, entries = file.read()
        for _ in entries:
            pass
        yield SweptPlan(path, header, file.digest, file)
    finally:
        file.close()
