"""The libraries in the HTML report are the files that their README says, and they reach whoever installs marksweep."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

from marksweep.report.html.page import SCRIPTS, STYLES

VENDOR = Path(str(files("marksweep.report.html"))) / "vendor"
STATED = dict(re.findall(r"^\| `(\S+\.js)` .*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.M))


def test_each_library_has_its_digest_and_its_licence() -> None:
    """The README names every file and no other, with the digest that it has, and the licence lies beside it."""
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")} == STATED
    for name in STATED:
        assert "Copyright" in (VENDOR / name.replace(".min.js", ".LICENSE")).read_text()


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES])
def test_no_script_or_style_ends_its_own_element(name: str) -> None:
    """None holds what an HTML parser reads as the end or as a comment, or a line end that a browser would change."""
    octets = (VENDOR.parent / name).read_bytes()
    assert not re.search(rb"</(script|style)|<!--|\r", octets, re.I)
