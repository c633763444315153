"""``sweep --canary N`` as its users see it, on a real catalog."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from marksweep.model.store import KeyOutcome, StoredObject
from marksweep.store.local import LocalStore
from marksweep.sweep import canary
from marksweep.sweep.journal_reader import JournalReader
from tests.support.catalogs import RealCatalog
from tests.support.cli import Cli


class Fault:
    """The store loses a file of a live version along with the first that it deletes: *victim*, beside the canary."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plan: Path) -> None:
        self._journal = Path(f"{plan}.journal")
        self.victim: Path | None = None
        self.content = b""
        delete = LocalStore.delete

        async def and_more(store: LocalStore, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
            if objects and self.victim is None:
                self.strike()
            return await delete(store, objects)

        monkeypatch.setattr(LocalStore, "delete", and_more)
        monkeypatch.setattr(canary, "PAUSE", 0.0)

    def strike(self) -> None:
        with contextlib.closing(sqlite3.connect(self._journal)) as database:
            found = JournalReader(database).canary()
        assert found is not None
        place = Path(found.witnesses[0].uri)
        self.victim = place if place.is_file() else next(path for path in place.rglob("*") if path.is_file())
        self.content = self.victim.read_bytes()
        self.victim.unlink()


def test_a_canary_that_passes_is_told(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Everything is swept; the result says how many went first and how many live versions were compared."""
    result = cli.json("sweep", plan, "--yes", "--catalog", newest.url, "--canary", 5)
    first = result["canary"]
    assert (first["state"], first["entries"], first["harmed"]) == ("passed", 5, [])
    assert 1 <= first["witnesses"] <= first["beside"]
    assert result["books"]["deleted"] == result["books"]["planned"] == 27
    compared = f"{first['witnesses']} of the {first['beside']} live versions beside them were compared, unharmed"
    told = f"canary: 5 entries went first; {compared}"
    for command in (("sweep", plan, "--yes", "--catalog", newest.url, "--canary", 5), ("status", plan)):
        assert told in cli.done(*command).flat
    assert cli.json("status", plan)["canary"] == first


def test_without_the_option_there_is_none(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Null in every document; also of a dry run, which deletes nothing and so needs no canary."""
    assert cli.json("status", plan)["canary"] is None
    assert cli.json("sweep", plan, "--dry-run", "--catalog", newest.url, "--canary", 5)["canary"] is None
    assert cli.json("sweep", plan, "--yes", "--catalog", newest.url)["canary"] is None
    assert cli.json("status", plan)["canary"] is None


def test_26_a_canary_that_does_harm_halts_the_sweep(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the version, and says what was deleted; status and receipt do, too; nothing goes on by itself."""
    fault = Fault(monkeypatch, plan)
    before = newest.existing_ids()
    sweep = ("sweep", plan, "--yes", "--catalog", newest.url)
    halted = cli(*sweep, "--canary", 4)
    assert halted.status == 26, halted
    assert fault.victim is not None
    (harmed,) = [v for v in newest.truth if fault.victim.is_relative_to(v["uri"])]
    assert harmed["id"] not in {e["id"] for e in cli.json("show", plan, "--entries", 100)["entries"]}
    for words in (
        "error[guard-refused]",
        "live versions beside the canary's 4 entries lost or changed bytes",
        harmed["id"],
        harmed["uri"],
        "--canary-cleared",
    ):
        assert "".join(words.split()) in "".join(halted.flat.split()), (words, halted)
    gone = before - newest.existing_ids()
    assert 1 <= len(gone) <= 4
    assert f"{len(gone)} of 27 entries were deleted" in halted.flat
    receipt = json.loads(Path(f"{plan}.receipt.json").read_bytes())["receipt"]
    assert receipt["outcomes"]["deleted"] == len(gone)
    assert receipt["outcomes"]["not_attempted"] == 27 - len(gone)
    after = newest.file_digests()
    for again in (sweep, (*sweep, "--canary", 4), (*sweep, "--ignore-errors")):
        error = cli.json(*again, status=26)["error"]
        assert error["code"] == "guard-refused"
        assert error["deleted"].startswith(f"{len(gone)} of 27 entries were deleted")
    assert newest.file_digests() == after
    shown = cli.json("status", plan)["canary"]
    assert shown["state"] == "halted"
    assert [(h["id"], h["objects_before"] - h["objects_after"]) for h in shown["harmed"]] == [(harmed["id"], 1)]
    told = cli.done("status", plan).flat
    assert "halted by its canary" in told
    assert "resume" not in told
    fault.victim.write_bytes(fault.content)
    result = cli.json(*sweep, "--canary-cleared")
    assert (result["canary"]["state"], result["books"]["deleted"]) == ("cleared", 27)
    assert "a person cleared that" in cli.done("status", plan).flat


def test_a_halted_sweep_can_still_be_rehearsed(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking is not sweeping: whoever looks into a halt may ask what would happen."""
    Fault(monkeypatch, plan)
    assert cli("sweep", plan, "--yes", "--catalog", newest.url, "--canary", 4).status == 26
    cli.done("sweep", plan, "--dry-run", "--catalog", newest.url)


def test_2_a_canary_of_a_sweep_without_bytes(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Only-metadata deletes no bytes, so there is nothing to compare: refused before anything is written."""
    path = tmp_path / "metadata.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--only-metadata", "--out", path)
    refused = cli("sweep", path, "--yes", "--catalog", newest.url, "--canary", 5)
    refused.refused(2, "--canary compares bytes", "only-metadata", "leave --canary out")
    assert not Path(f"{path}.journal").exists()
    assert cli("sweep", path, "--yes", "--catalog", newest.url, "--canary", 0).status == 2


def test_only_artifact_drains_twice(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """The canary's bytes go after a drain of their own; the rest is not even marked before that."""
    path = tmp_path / "artifact.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--only-artifact", "--out", path)
    result = cli.json("sweep", path, "--yes", "--catalog", newest.url, "--canary", 5, "--drain", "0")
    assert result["canary"]["state"] == "passed"
    assert result["books"]["deleted"] == result["books"]["planned"]
