"""What a sweep tells whoever watches it. The engine never prints."""

from __future__ import annotations

from typing import Protocol

from marksweep.model.outcome import Outcome


class SweepObserver(Protocol):
    """Called from the event loop; must return at once and never raise."""

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        """What the plan holds, and how many entries an earlier run has settled."""
        ...

    def resumed(self, entries: int) -> None:
        """So many entries were found in doubt or half done, and are finished first."""
        ...

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None:
        """What became of one entry."""
        ...

    def draining(self, seconds: float) -> None:
        """Rows are marked; waiting before their bytes go."""
        ...


class Silent:
    """Nobody watches."""

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None: ...

    def resumed(self, entries: int) -> None: ...

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None: ...

    def draining(self, seconds: float) -> None: ...
