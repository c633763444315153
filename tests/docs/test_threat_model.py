"""The threat model's table says what ``tests/threats`` does, and what that removes is still there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT
from tests.threats.__main__ import without
from tests.threats.table import REMOVALS, Removal

THREATS = range(1, 21)
"""Those of the dossier that the design rests on."""


def rows() -> dict[int, set[str]]:
    """Number -> the tests that its row names."""
    text = (DOCS / "explanation" / "threat-model.md").read_text(encoding="utf-8")
    cells = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    return {int(row[0]): set(re.findall(r"`([\w.:]+)`", row[3])) for row in cells}


def test_every_threat_has_a_row_and_a_test_that_fails_without_its_mitigation() -> None:
    """The page names, row by row, exactly the tests of which ``make threats`` shows that they can fail."""
    proved: dict[int, set[str]] = {}
    for removal in REMOVALS:
        proved.setdefault(removal.number, set()).update(Path(test).name for test in removal.tests)
    assert rows() == proved
    assert set(proved) == set(THREATS)


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: f"{removal.number} {removal.what}")
def test_what_is_removed_is_there(removal: Removal) -> None:
    """Each mitigation stands in the program as the table has it, and each of its tests exists."""
    for edit in removal.edits:
        path = ROOT / edit.path
        assert without(path.read_text(encoding="utf-8"), edit) != path.read_text(encoding="utf-8")
    for test in removal.tests:
        name, _, function = test.partition("::")
        assert (ROOT / name).exists(), name
        assert not function or re.search(rf"^(async )?def {function}\(", (ROOT / name).read_text(), re.MULTILINE), test
