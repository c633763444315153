"""What a mark tells whoever watches it. The engine never prints."""

from __future__ import annotations

from typing import Protocol


class MarkObserver(Protocol):
    """Called from the thread that marks; must return at once and never raise."""

    def surveyed(self, versions: int) -> None:
        """So many more versions were read from the catalog."""
        ...

    def comparing(self) -> None:
        """The survey is over; URIs are compared with each other now."""
        ...

    def sizing(self, entries: int) -> None:
        """So many places will be listed."""
        ...

    def sized(self, entries: int, bytes_: int) -> None:
        """So many more were listed, holding so many bytes."""
        ...

    def warn(self, message: str) -> None:
        """Something that a person should know and that stops nothing."""
        ...


class Silent:
    """Nobody watches."""

    def surveyed(self, versions: int) -> None: ...

    def comparing(self) -> None: ...

    def sizing(self, entries: int) -> None: ...

    def sized(self, entries: int, bytes_: int) -> None: ...

    def warn(self, message: str) -> None: ...
