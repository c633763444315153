"""What a Markdown comment is made of: sections that can be cut, rows, and text that is ours or somebody else's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from marksweep.report.markdown_text import escaped

_OURS = str.maketrans({character: f"&#{ord(character)};" for character in "&<>_*`|"})
"""What sentences of ours may hold that Markdown would read: the names of options and reasons do."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and *rows* below it, each whole by itself: points of a list, or rows of the table under *header*.

    *counts_rest*: where rows are cut, the section says how many. *folded*: one has to unfold it, this is what one clicks.
    """

    title: str
    rows: Sequence[str]
    header: str = ""
    counts_rest: bool = True
    folded: str = ""

    def fitted(self, room: int) -> tuple[str, int]:
        """As much as fits into *room* characters, and how many rows that is; nothing at all if no row fits."""
        fold = f"<details><summary>{self.folded}</summary>\n\n" if self.folded else ""
        text, end = f"### {self.title}\n\n{fold}{self.header}", "\n</details>\n" if self.folded else ""
        more = len(_more(len(self.rows))) if self.counts_rest else 0
        used = len(text) + len(end)
        shown = 0
        for row in self.rows:
            last = shown + 1 == len(self.rows)
            if used + len(row) + 1 + (0 if last else more) > room:
                break
            used += len(row) + 1
            shown += 1
        if not shown:
            return "", 0
        left = len(self.rows) - shown
        rest = _more(left) if left and self.counts_rest else ""
        return "".join([text, *(f"{row}\n" for row in self.rows[:shown]), rest, end]), shown


def code(text: str, width: int | None = None) -> str:
    """*text*, whoever wrote it, as code that means nothing; *width* cuts it in the middle."""
    return f"<code>{escaped(text, width)}</code>"


def fixed(text: str) -> str:
    """A sentence of ours as it is: no name in it, no Markdown meant."""
    return text.translate(_OURS)


def pre(lines: Iterable[str]) -> str:
    """Lines to be copied into a shell."""
    return "<pre><code>" + "\n".join(escaped(line) for line in lines) + "</code></pre>"


def listing(points: Iterable[str]) -> str:
    """Points of a list."""
    return "\n".join(f"- {point}" for point in points)


def header(*names: str, numbers: Sequence[str]) -> str:
    """The first two lines of a table; the columns of *numbers* are last, and set to the right."""
    rules = ["---"] * len(names) + ["---:"] * len(numbers)
    return f"{row(*names, *numbers)}\n{row(*rules)}\n"


def row(*cells: str) -> str:
    """One row of a table."""
    return f"| {' | '.join(cells)} |"


def _more(number: int) -> str:
    return f"\n… and {number:,} more\n"
