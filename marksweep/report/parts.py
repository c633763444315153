"""What the views are made of. A ``str`` given to a part goes through :func:`~marksweep.report.text.plain`, always.

rich would read markup, emoji codes and highlights into a ``str``; so each part turns it into a ``Text`` first. A
``Text`` is taken as it is: make one with :func:`words`, or from fixed text only.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from marksweep.report.text import plain

GOOD, BAD, CAUTION, QUIET, STRONG = "green", "bold red", "yellow", "dim", "bold"
"""Styles by what they mean."""
LABEL = 8
"""Columns of a fact's label."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """One line that is never wrapped, however long it is: a path, a URI or a command, to be copied."""

    text: Text


Part = RenderableType | Verbatim
"""What a view yields; see :func:`marksweep.report.render.render`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of :func:`table`. With *width* its cells are shortened in the middle, and so keep to one line."""

    header: str
    justify: Literal["left", "right"] = "left"
    width: int | None = None
    style: str = ""


def words(text: str, style: str = "") -> Text:
    """*text*, whoever wrote it, as a ``Text``."""
    return Text(plain(text), style=style)


def joined(*pieces: str | Text) -> Text:
    """*pieces* one after the other."""
    return Text().join(_text(piece) for piece in pieces)


def headline(title: Text, facts: Sequence[str | Text], width: int) -> Text:
    """A title and its facts, with dots between them; the facts go to a line of their own where *width* is too small."""
    line = Text(" · ").join([title, *(_text(fact) for fact in facts)])
    if cell_len(line.plain) <= width:
        return line
    return Text("\n").join([title, Text(" · ").join(_text(fact) for fact in facts)])


def indented(text: Text, columns: int) -> RenderableType:
    """*text*, each line of it further to the right."""
    return Padding(text, (0, 0, 0, columns))


def fact_list(rows: Iterable[tuple[str | Text, str | Text]]) -> RenderableType:
    """Labels and values, two columns; long values are wrapped beside their label."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=QUIET, no_wrap=True, min_width=LABEL)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(_text(label), _text(value))
    return Padding(grid, (0, 0, 0, 2))


def long_fact(label: str, value: str) -> Verbatim:
    """A label and a value that is to be copied, in line with those of :func:`fact_list`."""
    return Verbatim(joined(Text(f"  {label:<{LABEL}}  ", style=QUIET), value))


def table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> RenderableType:
    """Rows under headers, without lines, so that a pipe can cut them."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET)
    for column in columns:
        drawn.add_column(
            Text(column.header, justify=column.justify),
            justify=column.justify,
            style=column.style,
            no_wrap=column.width is not None,
            overflow="fold",
        )
    for row in rows:
        drawn.add_row(*(_cell(value, column) for value, column in zip(row, columns, strict=True)))
    return Padding(drawn, (0, 0, 0, 2))


def section(title: str) -> Text:
    """The heading of a table, after an empty line."""
    return Text(f"\n{title}", style=STRONG)


def commands(rows: Iterable[tuple[str, Sequence[str]]]) -> Iterable[Part]:
    """What to type next: a word why, and the command, quoted for a shell."""
    rows = list(rows)
    label = max((len(why) for why, _ in rows), default=0)
    for why, command in rows:
        yield Verbatim(joined(Text(f"  {why:<{label}}  ", style=QUIET), words(shlex.join(command), STRONG)))


def digest_fact(digest: str) -> tuple[str, str]:
    """A ``sha256:…`` digest as a fact that fits into 80 columns."""
    kind, colon, hexadecimal = digest.partition(":")
    return ("sha256", hexadecimal) if colon and kind == "sha256" else ("digest", digest)


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names with commas between them, the rest counted."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _text(value: str | Text) -> Text:
    return words(value) if isinstance(value, str) else value


def _cell(value: str | Text, column: Column) -> Text:
    if isinstance(value, str):
        return Text(plain(value, column.width))
    return value
