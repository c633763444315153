"""A plan as a restore reads it: whole and in canonical form, whoever signed it, and however long ago it expired.

Nothing is deleted on its word. What makes it the plan of a sweep is the digest that the sweep's journal is bound to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marksweep.model.entry import Entry
from marksweep.plan.document import Header
from marksweep.plan.reader import PlanFile, by_unit


@dataclass(frozen=True, slots=True)
class SweptPlan:
    """Its path, its header, and the digest ``sha256:…`` of the bytes that were signed; :func:`swept_plan` makes one."""

    path: Path
    header: Header
    digest: str
    file: PlanFile

    def entries(self) -> Iterator[Entry]:
        """The entries in plan order; raises PlanMalformed if somebody changed the file since it was opened."""
        return self.file.read()[1]

    def units(self) -> Iterator[list[Entry]]:
        """The entries by unit, the one that carries the unit's objects first."""
        return by_unit(self.entries())


@contextmanager
def swept_plan(path: Path) -> Iterator[SweptPlan]:
    """Open the plan at *path*. Raises PlanMalformed, SignatureRefused when it was cut off, or UsageError."""
    file = PlanFile(path)
    try:
        header, entries = file.read()
        for _ in entries:
            pass
        yield SweptPlan(path, header, file.digest, file)
    finally:
        file.close()
