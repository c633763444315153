"""The pages of the documentation, and what the tests read in them: links, anchors, console blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """README and every page under docs/, the decisions among them."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def prose(page: Path) -> str:
    """The text of *page* without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """The targets of the links in *page*."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of *page*, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@dataclass(slots=True)
class Command:
    """One ``$`` line of a console block, with the lines that the page shows below it; ``number`` is its line."""

    number: int
    text: str
    shown: list[str] = field(default_factory=list)


def commands(page: Path, until: str | None = None) -> Iterator[Command]:
    """Every command of the ``console`` blocks of *page*, in order; with *until*, of those before that heading."""
    text = page.read_text(encoding="utf-8")
    if until is not None:
        assert f"\n{until}\n" in text, until
        text = text.partition(f"\n{until}\n")[0]
    for block in FENCE.finditer(text):
        if block[1] != "console":
            continue
        current: Command | None = None
        first = text.count("\n", 0, block.start(2)) + 1
        for number, line in enumerate(block[2].splitlines(), start=first):
            if line.startswith("$ "):
                if current is not None:
                    yield current
                current = Command(number, line[2:])
            elif current is not None and current.text.endswith("\\") and not current.shown:
                current.text = current.text[:-1].rstrip() + " " + line.strip()
            elif current is not None:
                current.shown.append(line)
        if current is not None:
            yield current
