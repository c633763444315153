"""Whose bytes are whose: the rule that nothing is planned which anything alive also claims.

Keys sorted as bytes put nested places next to each other, so one pass finds every *component*: the widest place, and all
that lies in it. A component with anything alive in it keeps all its orphans, because keeping the widest keeps all of them.
A component of orphans alone is one unit: all of it is claimed, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from marksweep.mark.worksheet import Spelling


@dataclass(slots=True)
class Component:
    """The widest key and what lies in it. ``alive``: who keeps it, or None. ``orphans`` in plan order while none does."""

    root: bytes
    alive: str | None = None
    orphans: dict[str, None] = field(default_factory=dict)
    seen_orphan: bool = False

    def add(self, spelling: Spelling) -> None:
        if not spelling.orphan:
            if self.alive is None:
                self.alive = spelling.holder or f"version {spelling.owner}"
                self.orphans.clear()
            return
        self.seen_orphan = True
        if self.alive is None and spelling.owner is not None:
            self.orphans[spelling.owner] = None


def components(spellings: Iterable[Spelling]) -> Iterator[Component]:
    """The components of a stream of keys in order; only those that hold an orphan."""
    current: Component | None = None
    for spelling in spellings:
        if current is None or not spelling.key.startswith(current.root):
            if current is not None and current.seen_orphan:
                yield current
            current = Component(spelling.key)
        current.add(spelling)
    if current is not None and current.seen_orphan:
        yield current
