"""What a kind of store cannot hold or show, and why: the one table of what the contract suite leaves out, and where.

``test_hazards.py`` proves each line of :data:`CANNOT_HOLD`: put there, such names come back as others, or are refused.
"""

from __future__ import annotations

from collections.abc import Mapping

Case = tuple[str, list[str], list[str]]
"""The path of a place, what lies at or below it, what does not."""

NAMES: Mapping[str, Case] = {
    "sibling with the same prefix": ("abc", ["abc/x", "abc/y/z"], ["abcd/x", "abc-2/x", "abc.txt", "ab/x", "abc!"]),
    "key equal to the URI": ("abc", ["abc"], ["abcd", "abc-2/x", "ab"]),
    "asterisk": ("run-*", ["run-*/a", "run-*/*"], ["run-1/a", "run-10/a"]),
    "question mark": ("run?", ["run?/a", "run?/b?"], ["run1/a", "run12/a"]),
    "character class": ("model[1]", ["model[1]/a", "model[1]/[a-z]"], ["model1/a", "model[1/a"]),
    "braces and exclamation": ("{a,b}", ["{a,b}/x", "{a,b}/[!x]"], ["a/x", "b/x"]),
    "double slash": ("v", ["v//a", "v/b//c", "v/a"], ["a", "w//a"]),
    "dot segments": ("v", ["v/./dot", "v/../up", "v/.."], ["up", "dot", "w/../v"]),
    "dots": ("v.1", ["v.1/.hidden", "v.1/..a", "v.1/a."], ["v/1", "vx1/a"]),
    "spaces": ("two words", ["two words/a b", "two words/ lead", "two words/trail "], ["two/a", "two%20words/a"]),
    "plus": ("a+b", ["a+b/c+d", "a+b/c d"], ["a b/c"]),
    "newline": ("v", ["v/new\nline", "v/plain"], ["w/new\nline"]),
    "carriage return": ("v", ["v/re\rturn", "v/re\r\nturn"], ["w"]),
    "percent signs": ("v%2Fw", ["v%2Fw/a", "v%2Fw/b%2Fc", "v%2Fw/%25", "v%2Fw/100%"], ["v/w/a"]),
    "composed accent": ("caf\u00e9", ["caf\u00e9/a"], ["cafe\u0301/a"]),
    "combining accent": ("cafe\u0301", ["cafe\u0301/a", "cafe\u0301/\u00e9", "cafe\u0301/e\u0301"], ["caf\u00e9/a"]),
    "beyond the basic plane": ("\U0001f9f9", ["\U0001f9f9/\U0001f9f9"], ["a"]),
    "upper case": ("Run", ["Run/A", "Run/a"], ["run/A", "RUN/A"]),
    "?versionId= in the key": ("v", ["v/a?versionId=1", "v/a"], ["v?versionId=1/a"]),
    "?versionId= in the URI": ("v?versionId=1", ["v?versionId=1/a"], ["v/a"]),
    "hash and ampersand": ("v#1&2", ["v#1&2/a#b", "v#1&2/c&amp;d"], ["v/a", "v#1/a"]),
    "quotes and angle brackets": ("v", ["v/<a>'\"", "v/&lt;a&gt;"], ["w"]),
    "backslash": ("v", ["v/b\\c"], ["w"]),
    "object and folder": ("v", ["v", "v/a"], ["w", "w/a"]),
    "directory marker": ("v", ["v/", "v/a"], ["w/"]),
    "directory marker beside its object": ("v", ["v/", "v"], ["w/", "w"]),
    "nested directory marker": ("v", ["v/sub/", "v/sub/deep/", "v/a"], ["w/sub/"]),
    "nested marker beside its object": ("v", ["v/sub/", "v/sub"], ["w"]),
    "empty folder": ("v", ["v/"], ["w"]),
}
"""Every hazard of a name, by its name."""

_NO_EMPTY = "it is a file system: a path has no empty segments"
_NO_DOTS = "it is a file system: '.' and '..' lead elsewhere"
_NOT_BOTH = "it is a file system: one name is a file or a folder, not both"
_NO_MARKERS = "it is a file system: a folder is no object (tests of `tidy` have empty folders)"

CANNOT_HOLD: Mapping[tuple[str, str], str] = {
    ("local", "double slash"): _NO_EMPTY,
    ("local", "dot segments"): _NO_DOTS,
    ("local", "object and folder"): _NOT_BOTH,
    ("local", "directory marker"): _NO_MARKERS,
    ("local", "directory marker beside its object"): _NO_MARKERS,
    ("local", "nested directory marker"): _NO_MARKERS,
    ("local", "nested marker beside its object"): _NO_MARKERS,
    ("local", "empty folder"): _NO_MARKERS,
    ("seaweed", "double slash"): _NO_EMPTY,
    ("seaweed", "dot segments"): _NO_DOTS,
    ("seaweed", "directory marker beside its object"): _NOT_BOTH,
    ("seaweed", "nested marker beside its object"): _NOT_BOTH,
    ("seaweed", "backslash"): "it takes a backslash for a slash",
    ("azure", "backslash"): "it takes a backslash for a slash",
}
"""(kind of store, name of a case) -> why there is no such case there."""

OBJECTED: Mapping[tuple[str, str], str] = {
    ("azure", "dot segments"): "its clients resolve '.' and '..' in a URL, so no request could name such a blob",
}
"""Names that a store holds and its adapter will not delete: it says so, and leaves them alone."""

CANNOT_SHOW: Mapping[tuple[str, str], str] = {
    ("seaweed", "one key of three denied"): "its admin identity stands above bucket policies",
}
"""The same for what a server would have to do rather than to hold."""


KINDS = ("memory", "local", "moto", "seaweed", "gcs", "azure")
"""Every kind of store that the contract suite runs on."""


def those_with(case: str) -> list[str]:
    """The kinds of store that have *case*."""
    return [kind for kind in KINDS if why_not(kind, case) is None]


def why_not(kind: str, case: str) -> str | None:
    """Why there is no *case* on a store of *kind*; null where there is one."""
    return CANNOT_HOLD.get((kind, case)) or CANNOT_SHOW.get((kind, case))
