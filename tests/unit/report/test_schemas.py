"""The JSON Schemas: current, valid, and true of what the program writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from marksweep.model.outcome import Mode
from marksweep.plan.receipt import Outcomes, Receipt, write_receipt
from marksweep.report.documents import ErrorResult, encode
from marksweep.report.schemas import NAMES, encoded, file_name, schema, write
from marksweep.report.text import plain
from tests.unit.plan.support import PLANNER, written
from tests.unit.report.samples import DIGEST, DOCUMENTS, hostile

SCHEMAS = Path(__file__).parents[3] / "schemas"


def errors(name: str, value: Any) -> list[str]:
    """What the schema *name* has against *value*."""
    return [error.message for error in Draft202012Validator(schema(name)).iter_errors(value)]


def plan_file(folder: Path) -> Any:
    return json.loads(written(folder / "plan.json").path.read_bytes())


def receipt_file(folder: Path) -> Any:
    outcomes = Outcomes(**dict.fromkeys(Outcomes.__struct_fields__, 0))
    receipt = Receipt(
        plan="01KAJ9", plan_digest=DIGEST, mode=Mode.BOTH, tool="marksweep 0.1.0", started="2026-11-21T12:00:00Z",
        finished="2026-11-21T12:00:01Z", outcomes=outcomes, journal=DIGEST,
    )  # fmt: skip
    return json.loads(write_receipt(folder / "plan.json", receipt, PLANNER).read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_current(name: str) -> None:
    """After a change to a struct: ``python -m marksweep.report.schemas schemas``."""
    assert (SCHEMAS / file_name(name)).read_bytes() == encoded(name)


def test_there_are_no_other_files() -> None:
    """A schema of what no longer exists is removed."""
    assert {path.name for path in SCHEMAS.iterdir()} == {file_name(name) for name in NAMES}


def test_the_command_writes_them_all_and_removes_stale_ones(tmp_path: Path) -> None:
    """``python -m marksweep.report.schemas DIR``; anything else is a usage error."""
    (tmp_path / file_name("stale")).write_text("{}")
    (tmp_path / "README.md").write_text("mine")
    command = [sys.executable, "-m", "marksweep.report.schemas"]
    subprocess.run([*command, tmp_path], check=True, timeout=60)
    assert {path.name for path in tmp_path.iterdir()} == {*map(file_name, NAMES), "README.md"}
    assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode != 0
    write(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "plan.schema.json").exists()


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_valid_closed_schema(name: str) -> None:
    """Draft 2020-12, with an id and a title; every object with named members names all of them, and allows no other."""
    found = schema(name)
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"].endswith(f"/{name}.schema.json")
    assert found["title"]
    for definition in [found, *found["$defs"].values()]:
        if "properties" in definition:
            assert definition["additionalProperties"] is False
            assert definition["required"] == list(definition["properties"])


def test_a_name_without_a_schema() -> None:
    """Is a KeyError."""
    with pytest.raises(KeyError):
        schema("nonsense")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_match_their_schemas(name: str) -> None:
    """What ``--json`` prints is valid."""
    assert errors(name, json.loads(encode(DOCUMENTS[name]))) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_broken_documents_do_not(name: str) -> None:
    """A member missing, a member too many, a member of another type: each is refused, at every level."""
    good = json.loads(encode(DOCUMENTS[name]))
    for member in good:
        assert errors(name, {k: v for k, v in good.items() if k != member})
        assert errors(name, {**good, member: {"no": "such thing"}})
    assert errors(name, {**good, "more": 1})
    other = next(n for n in DOCUMENTS if n != name)
    assert errors(name, json.loads(encode(DOCUMENTS[other])))


def test_nested_objects_are_closed_too() -> None:
    """A member too many deep inside is refused."""
    good = json.loads(encode(DOCUMENTS["mark"]))
    good["plan"]["policy"]["more"] = 1
    assert errors("mark", good)


def test_a_plan_file_matches(tmp_path: Path) -> None:
    """The whole file as one JSON document."""
    good = plan_file(tmp_path)
    assert errors("plan", good) == []
    assert len(good["entries"]) == 6


@pytest.mark.parametrize(
    "path",
    ["format", "plan.created", "plan.mode", "stores.0.undo", "totals.entries", "entries_sha256", "entries.0.reason",
     "entries.0.fingerprint", "entries.0.bytes", "signature.digest"],
)  # fmt: skip
@pytest.mark.parametrize("wrong", [-1, "nonsense", [], {}])
def test_a_broken_plan_file_does_not(tmp_path: Path, path: str, wrong: Any) -> None:
    """Formats, ranges and closed sets are checked."""
    broken = plan_file(tmp_path)
    *outer, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inside = broken
    for step in outer:
        inside = inside[step]
    inside[last] = wrong
    assert errors("plan", broken)
    del inside[last]
    assert errors("plan", broken)


def test_a_receipt_file_matches_and_a_broken_one_does_not(tmp_path: Path) -> None:
    """As for plans."""
    good = receipt_file(tmp_path)
    assert errors("receipt", good) == []
    assert errors("receipt", {**good, "format": "marksweep.plan/1"})
    good["receipt"]["outcomes"]["deleted"] = -1
    assert errors("receipt", good)


def test_documents_encode_as_utf_8_lines() -> None:
    """One indented document, ending in a newline."""
    for document in DOCUMENTS.values():
        text = encode(document).decode()
        assert text.endswith("}\n")
        assert json.loads(text)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_documents_are_json_that_a_terminal_does_not_obey(name: str) -> None:
    """C1, bidi, tags and lone surrogates (a path that is no UTF-8) stand as escapes, and read back as they were."""
    evil = hostile(DOCUMENTS[name])
    text = encode(evil).decode()
    assert plain(text.replace("\n", "")) == text.replace("\n", "")
    assert json.loads(text) == json.loads(json.dumps(msgspec.to_builtins(evil)))


def test_json_keeps_what_people_write() -> None:
    """Letters of any script stand as they are, so that ``grep`` finds them."""
    error = DOCUMENTS["error"]
    assert isinstance(error, ErrorResult)
    named = ErrorResult(error=msgspec.structs.replace(error.error, fact="模型 Ü \x7f"))
    assert b'"fact": "\xe6\xa8\xa1\xe5\x9e\x8b \xc3\x9c \\u007f"' in encode(named)
