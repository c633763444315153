"""A shell for the commands of the pages, and how what they print is compared with what the pages show."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from marksweep.cli.main import app
from tests.docs.pages import Command

HOME = "/home/ada"
"""Where the pages say that commands were run."""
_VARYING = (
    (re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b"), "<plan id>"),
    (re.compile(r"SHA256:[A-Za-z0-9+/]{43}"), "<fingerprint>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"(?<= at )[0-9a-f]{12}\b"), "<commit>"),
    (re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]+"), "<key>"),
    (re.compile(r"\b[0-9a-f]{12}$", re.MULTILINE), "<digest>"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z)?"), "<time>"),
    (re.compile(r"\b\d+\.\d s\b|\b\d\d+ s\b"), "<seconds>"),
    (re.compile(r"(?<=made  )(\s*<time> by )\S+"), r"\1<me>"),
    (re.compile(r"\b[\w.-]+@[\w.-]+(?= with ED25519)|(?<=by )[\w.+-]+@[\w-]+(?= \(marksweep|;|\n|$)"), "<me>"),
)


class Shell:
    """Runs one line at a time below *home*; ``marksweep`` runs in this process, unless the line has a pipe or the like."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home
        self.status = 0
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "MARKSWEEP_", "AWS_"))},
            "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_STATE_HOME": str(home / ".state"),
            "ZENML_CONFIG_PATH": str(home / "zenml" / "cfg"), "CI": "", "NO_COLOR": "1",
            **{f"GIT_{who}_{what}": said for who in ("AUTHOR", "COMMITTER")
               for what, said in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))},
            "PATH": f"{_shims(home)}:{os.environ['PATH']}",
        }  # fmt: skip

    def run(self, line: str) -> str:
        """The output of *line*, both streams; ``status`` is its exit status."""
        if line == "echo $?":
            return f"{self.status}\n"
        if match := re.fullmatch(r"cd (\S+)", line):
            self.folder = (self.folder / match[1]).resolve()
            return ""
        if match := re.fullmatch(r"export (\w+)=(.*)", line):
            self.environ[match[1]] = self._bash(f'{line} && printf %s "${match[1]}"')
            return ""
        if line.startswith("marksweep ") and not re.search(r"[|<>&;$]", line):
            words = shlex.split(line)[1:]
            return self._marksweep([re.sub(r"^~(?=/)", str(self.home), word) for word in words])
        return self._bash(line)

    def _bash(self, line: str) -> str:
        ended = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        self.status = ended.returncode
        return ended.stdout

    def _marksweep(self, arguments: list[str]) -> str:
        before, here = dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(self.environ)
        os.chdir(self.folder)
        try:
            result = CliRunner().invoke(app, arguments, prog_name="marksweep")
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
        self.status = result.exit_code
        return result.output


def _shims(home: Path) -> Path:
    folder = home / ".bin"
    folder.mkdir()
    shim = folder / "marksweep"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m marksweep "$@"\n')
    shim.chmod(0o755)
    return folder


def plain(text: str, home: Path | None = None) -> list[str]:
    """The lines of *text* with what varies from run to run replaced, and wrapped facts joined again."""
    if home is not None:
        text = text.replace(str(home), HOME)
    text = re.sub(r"\n {12}(?=\S)", " ", text)
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def difference(command: Command, output: str, home: Path) -> str | None:
    """None if *output* is what the page shows below *command*; there ``…`` alone on a line stands for any lines."""
    shown, printed = plain("\n".join(command.shown)), plain(output, home)
    if _fits(shown, printed):
        return None
    diff = "\n".join(difflib.unified_diff(shown, printed, "the page", "the program", lineterm="", n=1))
    return f"line {command.number}: $ {command.text}\n{diff}"


def _fits(shown: list[str], printed: list[str]) -> bool:
    """Whether *printed* is made of the pieces of *shown* between its ``…`` lines, in order, ends at the ends."""
    pieces = list(_pieces(shown))
    if len(pieces) == 1:
        return shown == printed
    first, *middle, last = pieces
    if printed[: len(first)] != first or (last and printed[len(printed) - len(last) :] != last):
        return False
    at, end = len(first), len(printed) - len(last)
    for piece in middle:
        while at + len(piece) <= end and printed[at : at + len(piece)] != piece:
            at += 1
        if at + len(piece) > end:
            return False
        at += len(piece)
    return at <= end


def _pieces(shown: list[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    for line in shown:
        if line.strip() == "…":
            yield piece
            piece = []
        else:
            piece.append(line)
    yield piece
