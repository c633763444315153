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

    def writing(self) -> None:
        """All is known; the plan is being written."""
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

    def writing(self) -> None: ...

    def warn(self, message: str) -> None: ...


class Several:
    """*observers*, told one after the other."""

    def __init__(self, *observers: MarkObserver) -> None:
        self._observers = observers

    def surveyed(self, versions: int) -> None:
        for observer in self._observers:
            observer.surveyed(versions)

    def comparing(self) -> None:
        for observer in self._observers:
            observer.comparing()

    def sizing(self, entries: int) -> None:
        for observer in self._observers:
            observer.sizing(entries)

    def sized(self, entries: int, bytes_: int) -> None:
        for observer in self._observers:
            observer.sized(entries, bytes_)

    def writing(self) -> None:
        for observer in self._observers:
            observer.writing()

    def warn(self, message: str) -> None:
        for observer in self._observers:
            observer.warn(message)
