"""What the pages show is what the program prints, and their links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from marksweep.cli.demo import DEMO_ARCHIVE
from marksweep.cli.demo.unpack import unpack
from tests.docs.pages import DOCS, FENCE, ROOT, Command, anchors, commands, links, pages
from tests.docs.shell import Shell, difference

FORBIDDEN = ("/work/", "localhost:", "127.0.0.1", "/tmp/", "/root/", "/opt/", "index-url", "root@")
"""Traces of the machine that a page was written on."""
DEMO = "marksweep demo --keep marksweep-demo"
HOW_TO = DOCS / "how-to"
GUIDES = [page.stem for page in sorted(HOW_TO.glob("*.md")) if any(commands(page))]
BEGINS_AFTER = {
    "approve-a-plan": ("review-a-plan", "## Review and approve"),
    "sweep-in-ci": ("review-a-plan", "## Sweep it"),
}
"""Guides that go on where another one is, at one of its headings: for them the commands before it are typed first."""
CANNOT_RUN = {
    ("keys", 'eval "$(ssh-agent -s)"          # unless your desktop runs one'): "an agent that outlives its line",
    ("keys", "ssh-keygen -t ed25519-sk -C ada@token -f ~/.ssh/id_token"): "a security key, and a finger",
    ("mysql", "marksweep mark --catalog mysql://marksweep:PASSWORD@db.example.org/zenml --out plan.json"): "a server",
    ("sweep-with-a-canary", "marksweep sweep plan.json --canary-cleared --canary 20"): "harm, done while it sweeps",
    ("watch-a-sweep", "export OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.example.org:4318"): "a collector",
}
"""Page and first line of the blocks of commands that are parsed only (see test_commands.py), and what they lack here."""


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


@pytest.fixture
def unswept() -> Iterator[Path]:
    """A home folder with the demo's catalog in it, as ZenML left it."""
    home = Path(tempfile.mkdtemp(prefix="ms", dir="/tmp")).resolve()
    try:
        unpack(DEMO_ARCHIVE, home / "zenml")
        yield home
    finally:
        shutil.rmtree(home)


def follow(shell: Shell, page: list[Command]) -> str:
    """Type each command; what differs from the page. A failure is right only where the page asks for its status."""
    problems: list[str | None] = []
    for command, following in zip(page, [*page[1:], Command(0, "")], strict=True):
        output = shell.run(command.text)
        if shell.status and "echo $?" not in (command.text, following.text):
            problems.append(f"line {command.number}: $ {command.text} ended with {shell.status}\n{output}")
        problems.append(difference(command, output, shell.home))
    return "\n\n".join(problem for problem in problems if problem)


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
    assert (problem := difference(block, printed, home)) is None, problem
    assert (problems := follow(Shell(home), rest)) == "", problems


@pytest.mark.parametrize("page", GUIDES)
def test_the_guide_can_be_followed(page: str, unswept: Path) -> None:
    """The console blocks of a guide run in a folder with an unswept catalog, and print what the guide shows."""
    shell = Shell(unswept)
    if page in BEGINS_AFTER:
        earlier, heading = BEGINS_AFTER[page]
        for command in commands(HOW_TO / f"{earlier}.md", until=heading):
            shell.run(command.text)
    if page == "approve-a-plan":
        shell.folder = unswept
    assert (problems := follow(shell, list(commands(HOW_TO / f"{page}.md")))) == "", problems


def test_every_command_of_a_guide_runs_but_for_those_that_cannot() -> None:
    """A block of a guide that names marksweep runs, or is on the list of those that need what is not here, and why."""
    found = {
        (page.stem, block[2].strip().splitlines()[0])
        for page in sorted(HOW_TO.glob("*.md"))
        for block in FENCE.finditer(page.read_text(encoding="utf-8"))
        if block[1] in ("", "sh", "bash") and re.search(r"^\s*marksweep ", block[2], re.MULTILINE)
    }
    assert found == set(CANNOT_RUN)


def test_a_plan_is_verified_with_ssh_keygen_as_shown(unswept: Path) -> None:
    """The shell lines in plan-format.md that verify a plan, and sign an approval, without marksweep."""
    shell = Shell(unswept)
    shell.run("marksweep keys create --out id_ed25519 --as ada@example.org")
    shell.run("echo ada@example.org $(cut -d' ' -f1,2 id_ed25519.pub) > allowed_signers")
    shell.run("marksweep mark --no-grace --key id_ed25519 --quiet")
    verify, approve = re.findall(r"```sh\n(.*?)```", (DOCS / "reference" / "plan-format.md").read_text(), re.DOTALL)
    assert shell.run(verify).startswith('Good "marksweep-plan@marksweep.dev" signature for ada@example.org')
    shell.run("mkdir -p plan.json.approvals .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519")
    shell.run("echo grace@example.org $(cut -d' ' -f1,2 .ssh/id_ed25519.pub) >> allowed_signers")
    shell.run(approve)
    assert "1 of 1 needed: grace@example.org" in shell.run(
        "marksweep verify plan.json --trust allowed_signers --approvals 1"
    )


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


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_pages_name_exist(page: Path) -> None:
    """A page that says "this is proved by that test" names a test, or a folder of them."""
    for name in re.findall(r"`(tests/[\w/.]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name
