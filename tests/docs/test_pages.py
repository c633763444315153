"""What the pages show is what the program prints, and their links lead somewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Command, anchors, commands, links, pages
from tests.docs.shell import Shell, difference

FORBIDDEN = ("/work", "localhost:", "127.0.0.1", "/tmp/", "/root/", "/opt/", "index-url", "root@")
"""Traces of the machine that a page was written on."""
DEMO = "marksweep demo --keep marksweep-demo"


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[Path, str]]:
    """A home folder in which the demo ran once, and what it printed. The path is short, so that lines wrap as shown."""
    home = Path(tempfile.mkdtemp(prefix="ms", dir="/tmp")).resolve()
    try:
        environ = {**os.environ, "NO_COLOR": "1", "CI": ""}
        ended = subprocess.run(
            [sys.executable, "-m", *DEMO.split()], cwd=home, env=environ, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout
        yield home, ended.stdout
    finally:
        shutil.rmtree(home)


def as_one(page: list[Command]) -> Command:
    """The demo prints its own ``$`` lines: to compare, all that follows its command on the page is its output."""
    first, *rest = page
    shown = [*first.shown, *(line for c in rest for line in (f"$ {c.text}", *c.shown))]
    return Command(first.number, first.text, shown)


def split(page: Path) -> tuple[Command, list[Command]]:
    """The demo's block, as one command, and the commands after it."""
    every = list(commands(page))
    own = [c for c in every if c.number > every[0].number and c.text.startswith("cd ")]
    end = every.index(own[0]) if own else len(every)
    return as_one(every[:end]), every[end:]


def test_the_readme_shows_what_the_demo_prints(demo: tuple[Path, str]) -> None:
    """README's first command, ``make demo``, is ``marksweep demo``, and prints what README shows."""
    home, printed = demo
    block, rest = split(ROOT / "README.md")
    assert block.text == "make demo"
    assert not rest
    assert "\t@$(BIN)/marksweep demo\n" in (ROOT / "Makefile").read_text()
    assert (problem := difference(block, printed, home)) is None, problem


def test_the_readme_can_be_tried_within_25_lines() -> None:
    """A runnable command stands in the first 25 lines."""
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25]
    assert "$ make demo" in first


def test_the_tutorial_can_be_followed(demo: tuple[Path, str]) -> None:
    """Each command of the tutorial, typed one after the other, prints what the tutorial shows."""
    home, printed = demo
    block, rest = split(DOCS / "tutorial.md")
    assert block.text == DEMO
    problems = [difference(block, printed, home)]
    shell = Shell(home)
    for command, following in zip(rest, [*rest[1:], Command(0, "")], strict=True):
        output = shell.run(command.text)
        if shell.status and following.text != "echo $?" and command.text != "echo $?":
            problems.append(f"line {command.number}: $ {command.text} ended with {shell.status}\n{output}")
        problems.append(difference(command, output, home))
    assert not any(problems), "\n\n".join(p for p in problems if p)


@pytest.mark.parametrize("page", ["review-a-plan", "keep-what-you-need"])
def test_the_guide_can_be_followed(page: str, tmp_path: Path) -> None:
    """The console blocks of a guide run in a folder with an unswept catalog, and print what the guide shows."""
    from marksweep.cli.demo import DEMO_ARCHIVE
    from marksweep.cli.demo.unpack import unpack

    home = Path(tempfile.mkdtemp(prefix="ms", dir="/tmp")).resolve()
    try:
        unpack(DEMO_ARCHIVE, home / "zenml")
        shell = Shell(home)
        shell.environ |= {"ZENML_CONFIG_PATH": str(home / "zenml" / "cfg")}
        problems = []
        every = list(commands(DOCS / "how-to" / f"{page}.md"))
        assert every
        for command, following in zip(every, [*every[1:], Command(0, "")], strict=True):
            output = shell.run(command.text)
            if shell.status and following.text != "echo $?" and command.text != "echo $?":
                problems.append(f"line {command.number}: $ {command.text} ended with {shell.status}\n{output}")
            problems.append(difference(command, output, home))
        assert not any(problems), "\n\n".join(p for p in problems if p)
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link inside the repository names a file that is there, and a heading that is in it."""
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_about_no_particular_machine(page: Path) -> None:
    """No page names a path, a registry or an account of the machine on which it was written."""
    text = page.read_text(encoding="utf-8")
    assert [word for word in FORBIDDEN if word in text] == []
