"""The command line, run inside the test process in an environment of its own, with the promises that hold for every run.

Whatever a test asks for, each run is checked: its exit status is one of the design's and no bug, its output holds nothing
that a terminal obeys, standard output holds only results, an error is a fact with a remedy and what was deleted, and what
``--json`` prints fits its schema.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from marksweep.cli.main import app

SCHEMAS = Path(__file__).parents[2] / "schemas"
STATUSES = {0, 2, 3, 10, 11, 12, 20, 21, 22, 23, 24, 25, 26, 27, 30, 130}
"""What the design promises to scripts, without the status of a bug."""
RESULTS = {0, 10, 11, 12}
"""Statuses of commands that ended with a result. A sweep that is incomplete may end with a result or with an error."""

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
"""What a terminal obeys or a reader cannot see: C0 but for tab and newline, C1, bidirectional and zero-width."""


@dataclass(frozen=True)
class Ended:
    """What a command left: its status, and the text of its two streams."""

    arguments: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def flat(self) -> str:
        """Both streams with every run of white space as one blank: messages are wrapped."""
        return " ".join((self.out + self.err).split())

    def refused(self, status: int, *words: str) -> None:
        """It ended with *status*, having deleted nothing, and said each of *words*."""
        assert self.status == status, self
        assert re.search("nothing was deleted|0 of [0-9]+ entries were deleted", self.flat), self
        for word in words:
            assert word in self.flat, (word, self)


@dataclass(frozen=True)
class Cli:
    """A user with a home of their own, in which nothing is configured but what *environ* says."""

    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """This user's key and trust file."""
        return self.home / "marksweep"

    def with_environ(self, **more: str) -> Cli:
        return Cli(self.home, {**self.environ, **more})

    def environment(self) -> dict[str, str]:
        """Also for a process of its own."""
        return {
            "PATH": os.environ.get("PATH", ""), "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "XDG_CONFIG_HOME": str(self.home / "config"), "XDG_STATE_HOME": str(self.home / "state"),
            "MARKSWEEP_CONFIG_DIR": str(self.config), **self.environ,
        }  # fmt: skip

    def __call__(self, *arguments: object) -> Ended:
        """Run ``marksweep`` with *arguments*, and check what holds for every run."""
        words = tuple(map(str, arguments))
        with mock.patch.dict(os.environ, self.environment(), clear=True):
            found = CliRunner().invoke(app, words, prog_name="marksweep", catch_exceptions=False)
        ended = Ended(words, found.exit_code, found.stdout_bytes.decode(), found.stderr_bytes.decode())
        check(ended)
        return ended

    def done(self, *arguments: object) -> Ended:
        """The same, and it must end with 0."""
        ended = self(*arguments)
        assert ended.status == 0, ended
        return ended

    def json(self, *arguments: object, status: int = 0) -> Any:
        """The document that the command prints with ``--json``; it must end with *status*."""
        ended = self(*arguments, "--json")
        assert ended.status == status, ended
        return ended.json


def check(ended: Ended) -> None:
    """The promises of every run that writes to a pipe."""
    assert ended.status in STATUSES, ended
    for text in (ended.out, ended.err):
        assert not OBEYED.search(text), ended
    if "--json" in ended.arguments and ended.out:
        document = ended.json
        name = "error" if "error" in document else "-".join(ended.arguments[: 1 + (ended.arguments[1] == "import")])
        assert not errors(name, document), (errors(name, document), ended)
        if name == "error":
            assert document["error"]["status"] == ended.status, ended
            assert document["error"]["fact"], ended
            assert document["error"]["remedy"], ended
            assert "deleted" in document["error"]["deleted"], ended
    elif ended.status not in (*RESULTS, 3):
        assert ended.out == "" or ended.arguments[0] == "prune", ended  # prune shows its plan before it sweeps
        usage = ended.err.startswith(
            ("Usage: ", "╭─ Error")
        )  # what the argument parser refused, before anything was looked at
        assert usage or all(word in ended.err for word in ("error[", "  help: ", "  note: ")), ended
    if ended.status in RESULTS:
        assert "Traceback" not in ended.err, ended
        assert "error[" not in ended.err, ended


def errors(name: str, document: Any) -> list[str]:
    """What the published schema *name* has against *document*."""
    return [error.message for error in _validator(name).iter_errors(document)]


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_bytes()))
