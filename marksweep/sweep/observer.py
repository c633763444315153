"""What a sweep tells whoever watches it. The engine never prints."""

from __future__ import annotations

from typing import Literal, Protocol

from marksweep.model.outcome import Outcome

CanaryStep = Literal["drawing", "sweeping", "comparing", "over"]
"""What is being done about a canary: choosing it and its witnesses, sweeping it, looking at the witnesses again, nothing."""


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

    def canary(self, step: CanaryStep, entries: int, witnesses: int) -> None:
        """How far the canary is, how many entries it has, and how many witnesses (both 0 while it is drawn)."""
        ...


class Silent:
    """Nobody watches."""

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None: ...

    def resumed(self, entries: int) -> None: ...

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None: ...

    def draining(self, seconds: float) -> None: ...

    def canary(self, step: CanaryStep, entries: int, witnesses: int) -> None: ...
