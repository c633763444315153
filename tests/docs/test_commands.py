"""Every command of marksweep that a page, a workflow or a script shows is one that the program understands.

Those of ``console`` blocks run, too (see test_pages.py); of the others at least every option and argument is parsed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from marksweep.cli.main import app
from tests.docs.pages import DOCS, ROOT, pages

_FENCE = re.compile(r"^```(sh|console|bash|yaml|yml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(marksweep [^`\n]+)`")
_BREAK = re.compile(r"\s(?:\||\|\||&&|;|>>?|<|2>&?1?|\|&)(?:\s|$)|;(?:\s|$)|\s#\s|\s…")
_CALL = re.compile(r"(?:^|[\s(!])marksweep\s+(?=[a-z])")
SOURCES = [*pages(), *sorted(p for p in DOCS.rglob("*") if p.suffix in (".yml", ".yaml", ".sh"))]


def shown(source: Path) -> Iterator[str]:
    """The arguments of each call of marksweep in *source*, as text."""
    text = source.read_text(encoding="utf-8")
    blocks = [("", text)] if source.suffix != ".md" else [(match[1], match[2]) for match in _FENCE.finditer(text)]
    for kind, block in blocks:
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if kind == "console" and not line.startswith("$ "):
                continue  # what a command printed
            line = line.strip().removeprefix("- ").removeprefix("run: ").removeprefix("$ ")
            if line.startswith("#") or "marksweep " not in line:
                continue
            if match := _CALL.search(line):
                found = _BREAK.split(line[match.end() :])[0].replace('"$@"', "").strip()
                yield found.rstrip("\"')") if found.count('"') % 2 or found.count("'") % 2 else found


def words_of(arguments: str) -> list[str]:
    """*arguments* as a shell splits them; a variable stands for one word."""
    return shlex.split(re.sub(r"\$\{\{.*?\}\}|\$\{[^}]*\}|\$\([^)]*\)|\$\w+", "VALUE", arguments), comments=True)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that *words* name, and what is left of them."""
    found: Any = typer.main.get_command(app)
    rest = list(words)
    while isinstance(found, TyperGroup) and rest and rest[0] in found.commands:
        found = found.commands[rest.pop(0)]
    return found, rest


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_is_understood(source: Path) -> None:
    """Each is a command that there is, with options that it has and arguments that it takes."""
    for arguments in shown(source):
        found, rest = command_of(words_of(arguments))
        assert not isinstance(found, TyperGroup) or not rest or rest[0].startswith("-"), f"no such command: {arguments}"
        try:
            found.make_context("marksweep", ["1" if word == "VALUE" else word for word in rest])
        except typer.Exit:
            pass  # --help and --version
        except Exception as error:  # typer brings a click of its own, whose errors have no public name
            pytest.fail(f"marksweep {arguments}: {error}")


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_in_prose_is_one_of_its_command(page: Path) -> None:
    """``marksweep sweep --dry-run`` in a sentence names a command, and options that it has."""
    for match in _INLINE.finditer(page.read_text(encoding="utf-8")):
        if any(mark in match[1] for mark in "…{|"):
            continue
        found, rest = command_of(words_of(match[1].removeprefix("marksweep ")))
        known = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
            "--help"
        }
        asked = {word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)}
        assert asked <= known, f"{match[1]}: there is no {', '.join(sorted(asked - known))}"
