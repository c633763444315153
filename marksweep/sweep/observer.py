"""What a sweep tells whoever watches it. The engine never prints."""

from __future__ import annotations

from typing import Literal, Protocol

from marksweep.model.outcome import Outcome

CanaryStep = Literal["drawing", "sweeping", "comparing", "over"]
"""What is being done about a canary: choosing it and its witnesses, sweeping it, looking at the witnesses again, nothing."""
BatchStep = Literal["list", "claim", "delete"]
"""What was done with a batch: its objects were listed, its rows taken out of the catalog's reach, its bytes deleted."""


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

    def batch(self, step: BatchStep, began: float, entries: int, objects: int, bytes_: int) -> None:
        """A step of a batch is over. *began*: seconds of the monotonic clock. Entries that are ready to claim, claimed,
        or deleted; with their objects and bytes where the step has looked at bytes, as confirmed where it deletes.
        """
        ...


class Silent:
    """Nobody watches."""

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None: ...

    def resumed(self, entries: int) -> None: ...

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None: ...

    def draining(self, seconds: float) -> None: ...

    def canary(self, step: CanaryStep, entries: int, witnesses: int) -> None: ...

    def batch(self, step: BatchStep, began: float, entries: int, objects: int, bytes_: int) -> None: ...


class Several:
    """*observers*, told one after the other."""

    def __init__(self, *observers: SweepObserver) -> None:
        self._observers = observers

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        for observer in self._observers:
            observer.planned(entries, bytes_, settled)

    def resumed(self, entries: int) -> None:
        for observer in self._observers:
            observer.resumed(entries)

    def outcome(self, id_: str, uri: str, outcome: Outcome) -> None:
        for observer in self._observers:
            observer.outcome(id_, uri, outcome)

    def draining(self, seconds: float) -> None:
        for observer in self._observers:
            observer.draining(seconds)

    def canary(self, step: CanaryStep, entries: int, witnesses: int) -> None:
        for observer in self._observers:
            observer.canary(step, entries, witnesses)

    def batch(self, step: BatchStep, began: float, entries: int, objects: int, bytes_: int) -> None:
        for observer in self._observers:
            observer.batch(step, began, entries, objects, bytes_)
