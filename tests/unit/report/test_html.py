"""A report is written as its entries come, and its blocks say what the entries say."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

from marksweep.model.entry import Entry
from marksweep.report.html.columns import BLOCK, blocks, script_json
from marksweep.report.html.page import PRINTED, write_html
from tests.browser.plans import plan_of
from tests.unit.plan.support import entry, shared, six

CREATED = "2026-11-21T09:00:00Z"


class Counting(io.StringIO):
    """Remembers how many blocks were written."""

    blocks = 0

    def write(self, text: str) -> int:
        self.blocks += text.count('class="entries"')
        return super().write(text)


def test_entries_are_written_as_they_come() -> None:
    """Never more than two blocks of entries are read before the first of them is written, whatever the plan's size."""
    out, ahead, number = Counting(), [0], 3 * BLOCK + 7

    def coming() -> Iterator[Entry]:
        for at in range(number):
            ahead.append(at - out.blocks * BLOCK)
            yield entry(at)

    write_html(plan_of([]).result, coming(), out)
    assert out.blocks == 4
    assert max(ahead) <= 2 * BLOCK + PRINTED


def test_a_place_is_what_it_shares_with_the_one_before_and_the_rest() -> None:
    """Counted in UTF-16 units, as JavaScript counts: a character beyond the first 65,536 counts twice."""
    places = ["s3://b/\U0001f4a3/aé/1", "s3://b/\U0001f4a3/aé/22", "s3://b/\U0001f4a4", "x", "x"]
    (block,) = blocks([entry(at, uri=place) for at, place in enumerate(places)], CREATED)
    columns = json.loads(block)
    before, found = b"", []
    for units, rest in zip(columns["shared"], columns["rest"], strict=True):
        before = before[: 2 * units] + rest.encode("utf-16-le")
        found.append(before.decode("utf-16-le"))
    assert found == places
    assert columns["shared"][1] == len("s3://b/") + 2 + len("/aé/")
    assert columns["shared"][4] == 1


def test_who_shares_a_place_names_the_row_that_counts_it() -> None:
    """Also when that row is in an earlier block; an entry with a place of its own names none."""
    (block,) = blocks(six(), CREATED)
    assert json.loads(block)["unit"] == [-1, -1, 1, 1, -1, -1]
    root = entry(BLOCK - 1)
    many = [*(entry(at) for at in range(BLOCK - 1)), root, shared(BLOCK, root, "a")]
    _, last = blocks(many, CREATED)
    assert json.loads(last)["unit"] == [BLOCK - 1]


def test_an_artifact_stands_once_in_the_file() -> None:
    """With its project and the pipeline that its name says; blocks after the first name only new ones."""
    first, last = map(json.loads, blocks((entry(at) for at in range(BLOCK + 3)), CREATED))
    assert first["artifacts"] == [["default", "", f"train::output_{at}"] for at in range(3)]
    assert last["artifacts"] == []
    assert last["artifact"] == [(BLOCK + at) % 3 for at in range(3)]


def test_json_cannot_leave_its_script_element() -> None:
    """It has no angle bracket, ampersand or line separator, and says the same."""
    hostile = "</script><!--<script>&amp;\u2028\u2029\"'\\"
    written = script_json({"a": hostile})
    assert not re.search("[<>&\u2028\u2029]", written)
    assert json.loads(written) == {"a": hostile}
