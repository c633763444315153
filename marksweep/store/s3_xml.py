"""Read S3's listings with expat: the keys, sizes, etags and versions, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote_plus
from xml.parsers import expat

from marksweep.model.store import StoredObject

LISTED = "marksweep"
"""Under this name a parsed answer of botocore carries its :class:`Listing`."""

MARKER = "delete-marker"
"""The tag of a delete marker, which has no etag."""

_FIELDS = frozenset({"Key", "Size", "ETag", "VersionId", "IsLatest", "LastModified"})
_OBJECTS = frozenset({"Contents", "Version", "DeleteMarker"})
_ROOTS = frozenset({"ListBucketResult", "ListVersionsResult", "ListObjectVersionsOutput"})


class Cut(OSError):
    """The answer is not a whole listing: most likely the connection was cut."""


@dataclass(slots=True)
class Listing:
    """One page. ``more`` continues it: a token, or (key, version) markers; null when it is the last.

    ``versions``: for each object of a listing of versions, whether it is the latest, and when it was made, as it stands there.
    """

    objects: list[StoredObject] = field(default_factory=list)
    more: str | tuple[str, str] | None = None
    versions: list[tuple[bool, str]] = field(default_factory=list)


def read(body: bytes) -> Listing:
    """The listing in *body*, keys decoded as botocore decodes them. Raises :class:`Cut`; OSError if it cannot go on."""
    reader = _Reader()
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Cut(f"the server's listing is not XML ({expat.errors.messages[error.code]})") from None
    return reader.listing()


class _Reader:
    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._depth = 0
        self._root = ""
        self._object: dict[str, str] | None = None
        self._page: dict[str, str] = {}
        self._chunks: list[str] = []
        self._objects: list[tuple[str, dict[str, str]]] = []

    def _doctype(self, *_: object) -> None:
        raise Cut("the server's listing declares a document type, which no listing does")

    def _start(self, name: str, _: object) -> None:
        self._depth += 1
        if self._depth == 1:
            self._root = name
        elif self._depth == 2 and name in _OBJECTS:
            self._object = {}
        self._chunks.clear()

    def _text(self, text: str) -> None:
        self._chunks.append(text)

    def _end(self, name: str) -> None:
        if self._depth == 2:
            if self._object is not None:
                self._objects.append((name, self._object))
                self._object = None
            else:
                self._page[name] = "".join(self._chunks)
        elif self._depth == 3 and self._object is not None and name in _FIELDS:
            self._object[name] = "".join(self._chunks)
        self._depth -= 1
        self._chunks.clear()

    def listing(self) -> Listing:
        if self._root not in _ROOTS or any("Key" not in found for _, found in self._objects):
            raise Cut(f"the server answered with {self._root or 'nothing'}, not with a listing")
        encoded = self._page.get("EncodingType") == "url"
        objects = []
        for kind, found in self._objects:
            key = unquote_plus(found["Key"]) if encoded else found["Key"]
            tag = MARKER if kind == "DeleteMarker" else found.get("ETag", "").strip('"')
            objects.append(StoredObject(key, int(found.get("Size") or 0), tag, found.get("VersionId", "")))
        versions: list[tuple[bool, str]] = []
        if self._root != "ListBucketResult":
            versions = [(f.get("IsLatest", "").lower() == "true", f.get("LastModified", "")) for _, f in self._objects]
        return Listing(objects, self._more(encoded), versions)

    def _more(self, encoded: bool) -> str | tuple[str, str] | None:
        page = self._page
        if page.get("IsTruncated", "").lower() != "true":
            return None
        following = page.get("NextKeyMarker") or page.get("NextContinuationToken")
        if not following:
            raise OSError("the server says that there is more, but not where: its listing cannot be completed")
        if self._root == "ListBucketResult":
            return following
        return unquote_plus(following) if encoded else following, page.get("NextVersionIdMarker", "")
