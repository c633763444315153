"""``--help`` on the narrowest terminal that counts."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from typer import rich_utils
from typer.testing import CliRunner

from marksweep.cli.main import app
from tests.docs.generate_reference import commands

WIDTH = 80


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A terminal of 80 columns without colours."""
    monkeypatch.setattr(rich_utils, "_get_rich_console", lambda stderr=False: Console(width=WIDTH, color_system=None))
    return CliRunner()


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(*found, id=found[0] or "marksweep") for found in commands()]
)
def test_a_flag_has_no_value_and_no_value_is_cut(narrow: CliRunner, name: str, command: Any) -> None:
    """Flags are shown without a type; the name of a value stands on one line."""
    shown = narrow.invoke(app, [*name.split(), "--help"]).output
    assert "Usage: " in shown
    for python in ("<bool>", "list[str]", "[["):
        assert python not in shown, shown
    for parameter in command.params:
        assert not parameter.metavar or parameter.metavar in shown, parameter.metavar
    assert all(len(line) <= WIDTH for line in shown.splitlines())
