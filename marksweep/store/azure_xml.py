"""A page of Azure's flat listing, read with expat: the SDK's own reader takes ten times as long per blob."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote
from xml.parsers import expat


@dataclass(slots=True)
class Blob:
    """One line of a listing. Texts are empty and flags false where Azure writes nothing; times are aware."""

    name: str = ""
    size: int = 0
    etag: str = ""
    snapshot: str = ""
    version_id: str = ""
    is_current_version: bool = False
    deleted: bool = False
    deleted_time: datetime | None = None


class Cut(OSError):
    """The answer ended too early, or is no listing."""


def read(body: bytes) -> tuple[list[Blob], str | None]:
    """The blobs of a page, and the marker that continues the listing. Raises :class:`Cut`."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError) as error:
        raise Cut(f"the listing that the server sent cannot be read: {error}") from None
    if not reader.complete:
        raise Cut("the server sent something else than a listing")
    return reader.blobs, reader.more or None


class _Reader:
    def __init__(self) -> None:
        self.blobs: list[Blob] = []
        self.more = ""
        self.complete = False
        self._blob = Blob()
        self._encoded = False
        self._inside: list[str] = []
        self._text: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._text.clear()
        self._inside.append(name)
        if name == "Name":
            self._encoded = attributes.get("Encoded") == "true"

    def text(self, data: str) -> None:
        self._text.append(data)

    def end(self, name: str) -> None:
        self._inside.pop()
        text = "".join(self._text)
        self._text.clear()
        match self._inside[-1] if self._inside else "":
            case "Properties":
                self._property(name, text)
            case "Blob":
                self._member(name, text)
            case "Blobs" if name == "Blob":
                self.blobs.append(self._blob)
                self._blob = Blob()
            case "EnumerationResults" if name == "NextMarker":
                self.more = text
            case "" if name == "EnumerationResults":
                self.complete = True

    def _property(self, name: str, text: str) -> None:
        if name == "Content-Length":
            self._blob.size = int(text or 0)
        elif name == "Etag":
            self._blob.etag = text.strip('"')
        elif name == "DeletedTime":
            self._blob.deleted_time = parsedate_to_datetime(text) if text else None

    def _member(self, name: str, text: str) -> None:
        if name == "Name":
            self._blob.name = unquote(text) if self._encoded else text
        elif name == "Snapshot":
            self._blob.snapshot = text
        elif name == "VersionId":
            self._blob.version_id = text
        elif name == "IsCurrentVersion":
            self._blob.is_current_version = text == "true"
        elif name == "Deleted":
            self._blob.deleted = text == "true"
