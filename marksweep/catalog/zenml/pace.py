"""How many versions to claim at a time: as many as other writers can wait for."""

from __future__ import annotations

import time


class Pace:
    """A batch size that follows how long the last transactions took; a context manager around each.

    A claim that took longer than *seconds* shrinks the next one in proportion, a faster one lets it grow by at most half.
    """

    def __init__(self, *, start: int, smallest: int, largest: int, seconds: float) -> None:
        self.size = start
        self._smallest, self._largest, self._seconds = smallest, largest, seconds
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        factor = self._seconds / max(time.monotonic() - self._began, 1e-3)
        self.size = int(min(self._largest, max(self._smallest, self.size * min(1.5, max(0.25, factor)))))
