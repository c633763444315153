"""Somebody else's text inside ``<code>…</code>`` of a Markdown comment, on GitHub and on GitLab: it means nothing there.

One pass over the characters (a chain of ``replace`` would escape what it just wrote). Inside ``<code>`` neither forge
looks for mentions, references or emoji, but Markdown and HTML are still read: emphasis, links, table cells, tags.
"""

from __future__ import annotations

from typing import Final

from marksweep.report.text import plain

_MEANINGFUL: Final = "&<>\"'`*_~|\\[]{}#@!:.$%^"
"""Of Markdown and HTML; ``:`` of URLs, emoji and ``::`` commands; ``.`` of ``www.``; the signs of both forges' references."""
_REFERENCES: Final = str.maketrans(
    {character: f"&#{ord(character)};" for character in _MEANINGFUL} | {"@": "<!---->&#64;"}
)
"""The empty comment parts a mail address in two: cmark-gfm, GitHub's parser, links one even when its ``@`` is a reference."""


def escaped(text: str, width: int | None = None) -> str:
    """*text*, made plain (:func:`marksweep.report.text.plain`), with each meaningful character as a character reference.

    The result is one line for use inside ``<code>…</code>``, never on its own. *width* cuts as in ``plain``.
    """
    return plain(text, width).translate(_REFERENCES)
