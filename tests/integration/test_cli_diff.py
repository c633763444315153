"""``marksweep diff`` on real catalogs: what came, what went and why, and whether the same plan would come out today."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import on_sqlite
from tests.support.catalogs import RealCatalog, expected_orphans
from tests.support.cli import Cli
from tests.support.zenml_database import copy_row, editing

Files = Callable[[], dict[str, str]]


def hexed(identifier: str) -> str:
    return identifier.replace("-", "")


def marked(cli: Cli, real: RealCatalog, out: Path, *options: object) -> set[str]:
    """A new plan at *out*: the ids of its entries."""
    cli.done("mark", "--catalog", real.url, "--no-grace", "--quiet", "--out", out, *options)
    return {entry["id"] for entry in cli.json("show", out, "--entries", 1000)["entries"]}


def fates(document: Any) -> dict[str, int]:
    return {fate: tally["entries"] for fate, tally in document["difference"]["totals"].items()}


def link(real: RealCatalog, *ids: str) -> tuple[str, str]:
    """Make each of *ids* an input of one step: its name, and that of its run."""
    with editing(real.database) as database:
        for identifier in ids:
            row = copy_row(database, "step_run_input_artifact", artifact_id=hexed(identifier))
        step = database.execute(
            "SELECT s.name, r.name FROM step_run s JOIN pipeline_run r ON r.id = s.pipeline_run_id WHERE s.id = ?",
            (row["step_id"],),
        ).fetchone()
        return str(step[0]), str(step[1])


@on_sqlite
def test_two_plans_differ_by_what_their_policies_let_in(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Counted, named and added up by artifact; what changed in the policy stands there in words, in every form."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    before = marked(cli, newest, one, "--exclude-artifact", "raw")
    now = marked(cli, newest, two, "--exclude-artifact", "unlinked_*", "--only-metadata")
    found = cli.json("diff", one, two, "--entries", 1000, "--detailed-exitcode", status=10)
    assert fates(found) == {
        "new": len(now - before), "gone": len(before - now), "same": len(now & before), "changed": 0,
    }  # fmt: skip
    assert before - now
    assert now - before
    for fate, ids in (("new", now - before), ("gone", before - now)):
        assert {entry["id"] for entry in found["entries"][fate]} == ids
    names = {newest.by_id[i]["name"] for i in before ^ now}
    assert {artifact["artifact"] for artifact in found["difference"]["artifacts"]} == names
    assert sum(artifact["new"] for artifact in found["difference"]["artifacts"]) == len(now - before)
    told = found["difference"]["facts"]
    facts = {fact["name"]: (fact["before"], fact["now"]) for fact in told if fact["part"] != "store"}
    assert {fact["now"] for fact in told if fact["part"] == "store"} == {"local, nobody knows whether it can be undone"}
    assert facts == {
        "exclude_artifacts": ("not artifacts raw", "not artifacts unlinked_*"),
        "mode": ("both artifact and metadata", "only metadata: the bytes stay"),
    }
    assert found["reasons"] is None
    shown = cli.done("diff", one, two).flat
    assert f"{len(now - before)} newly orphaned · {len(before - now)} no longer orphaned" in shown
    assert "exclude_artifacts: not artifacts raw -> not artifacts unlinked_*" in shown
    comment = cli("diff", one, two, "--format", "markdown", "--max-chars", 4000, "--entries", 50).out
    assert len(comment) <= 4000
    assert f"| **newly orphaned** | {len(now - before)} |" in comment
    assert "not shown" in comment


def test_the_catalog_is_asked_why_versions_are_no_longer_orphaned(
    cli: Cli, newest: RealCatalog, tmp_path: Path
) -> None:
    """By the names of step and run if linked, gone if somebody deleted it, the rule that keeps it, or swept by that plan."""
    one, two, three = (tmp_path / f"{name}.json" for name in ("one", "two", "three"))
    before = marked(cli, newest, one)
    versions = sorted(
        (v for v in newest.truth if v["id"] in before and v["name"] == "unlinked_0"), key=lambda v: v["id"]
    )
    linked, deleted = versions[0]["id"], versions[1]["id"]
    step, run = link(newest, linked)
    with editing(newest.database) as database:
        database.execute("DELETE FROM artifact_version WHERE id = ?", (hexed(deleted),))
    filtered = before - marked(cli, newest, two, "--exclude-artifact", "raw") - {linked, deleted}
    found = cli.json("diff", one, two, "--why", "--catalog", newest.url, "--entries", 1000)
    why = {entry["id"]: entry["why"] for entry in found["entries"]["gone"]}
    assert set(why) == {linked, deleted, *filtered}
    assert why[linked]["reason"] == "referenced"
    assert f"input of step {step} of run {run} (pipeline " in why[linked]["detail"]
    assert [r["kind"] for r in why[linked]["references"]] == ["step_input"]
    assert why[linked]["references"][0]["since"].startswith("2026-")
    assert why[deleted]["reason"] == "absent"
    assert {why[i]["reason"] for i in filtered} == {"kept"}
    assert why[min(filtered)]["detail"] == "filtered: its artifact's name matches --exclude-artifact 'raw'"
    assert {r["reason"]: r["entries"] for r in found["reasons"]} == {
        "referenced": 1, "absent": 1, "kept": len(filtered),
    }  # fmt: skip
    shown = cli.done("diff", one, two, "--why", "--catalog", newest.url).flat
    assert f"referenced: input of step {step} of run {run}" in shown

    swept = cli.json("sweep", one, "--yes", "--catalog", newest.url, status=11)["books"]["deleted"]
    assert marked(cli, newest, three) == set()
    found = cli.json("diff", one, three, "--why", "--catalog", newest.url, "--entries", 1)
    assert {r["reason"]: r["entries"] for r in found["reasons"]} == {"swept": swept, "referenced": 1, "absent": 1}


@on_sqlite
def test_a_sweep_that_keeps_the_rows_moved_nothing(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Only-artifact: the journal says that it was swept; without the journal, the rule about such rows is what keeps them."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    before = marked(cli, newest, one, "--only-artifact")
    assert cli("sweep", one, "--yes", "--catalog", newest.url, "--drain", "0").status == 0
    marked(cli, newest, two, "--only-artifact")
    ask = ("diff", one, two, "--why", "--catalog", newest.url)
    (swept,) = cli.json(*ask)["reasons"]
    assert (swept["reason"], swept["entries"]) == ("swept", len(before))
    Path(f"{one}.journal").unlink()
    (kept,) = cli.json(*ask)["reasons"]
    assert (kept["reason"], kept["entries"]) == ("kept", len(before))


@on_sqlite
def test_drift_is_what_a_mark_would_plan_otherwise_today(
    cli: Cli, newest: RealCatalog, plan: Path, snapshot: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same plan comes out, or what differs is named; neither the catalog nor any folder holds more than before."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    ask = ("diff", plan, "--now", "--catalog", newest.url, "--detailed-exitcode")
    files = snapshot()
    around = sorted(path.name for path in plan.parent.iterdir())
    found = cli.json(*ask)
    assert fates(found) == {"new": 0, "gone": 0, "changed": 0, "same": len(expected_orphans(newest))}
    assert found["difference"]["facts"] == []
    assert found["difference"]["now"]["path"] is None
    assert "The two plans hold the same entries." in cli.done(*ask).flat
    assert snapshot() == files
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in plan.parent.iterdir()) == around

    orphans = sorted(expected_orphans(newest))
    linked, touched = (
        next(i for i in orphans if newest.files_of(i)),
        next(i for i in reversed(orphans) if newest.files_of(i)),
    )
    step, _ = link(newest, linked)
    file = newest.root / min(newest.files_of(touched))
    file.write_bytes(file.read_bytes() + b"more")
    found = cli.json(*ask, status=10)
    assert [entry["id"] for entry in found["entries"]["gone"]] == [linked]
    assert f"input of step {step}" in found["entries"]["gone"][0]["why"]["detail"]
    (changed,) = found["entries"]["changed"]
    assert changed["id"] == touched
    assert "its objects were written since" in changed["changes"]
    without = cli.json(*ask, "--no-size", status=10)
    assert fates(without)["changed"] == 0
    assert any("--no-size" in remark for remark in without["remarks"])


@on_sqlite
def test_drift_of_a_second_look_needs_the_first(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """A plan made with ``--seen-in`` is compared with one that is made with the same, and with no other."""
    with editing(newest.database) as database:
        database.execute("UPDATE artifact SET name = name")
    second = tmp_path / "second.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("marksweep.cli.wire.agreed_time", _later)
        marked(cli, newest, second, "--seen-in", plan)
        ask = ("diff", second, "--now", "--catalog", newest.url)
        cli(*ask).refused(2, "and --seen-in gives none", "give --seen-in the plan that it was made with")
        cli(*ask, "--seen-in", second).refused(2, "and --seen-in gives sha256:")
        assert fates(cli.json(*ask, "--seen-in", plan, "--no-size"))["same"] == len(expected_orphans(newest))
    cli("diff", plan, "--now", "--catalog", newest.url, "--seen-in", plan).refused(2, "was made without --seen-in")


def _later(catalog: Any, local: object) -> Any:
    from datetime import timedelta

    return catalog.now() + timedelta(seconds=2)


@on_sqlite
def test_plans_of_two_catalogs_may_be_looked_at_but_not_asked_about(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path
) -> None:
    """A look refuses nothing and says so; what needs the catalog is refused when it is another one."""
    with sqlite3.connect(newest.database) as database:
        database.execute("UPDATE server_settings SET id = ?", ("f" * 32,))
    database.close()
    other = tmp_path / "other.json"
    marked(cli, newest, other)
    found = cli.json("diff", plan, other)
    assert found["difference"]["same_catalog"] is False
    assert "server_id" in {fact["name"] for fact in found["difference"]["facts"]}
    assert "! The two plans were made for different catalogs" in cli.done("diff", plan, other).flat
    cli("diff", plan, other, "--why", "--catalog", newest.url).refused(23, "was made for another catalog")
    cli("diff", plan, "--now", "--catalog", newest.url).refused(23, "was made for another catalog")


@on_sqlite
def test_what_cannot_be_compared_is_refused(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """One plan alone, both at once, options that are about a mark, no plan, and a plan that nobody trusts signed."""
    cli("diff", plan).refused(2, "diff compares two plans")
    cli("diff", plan, plan, "--now").refused(2, "diff compares two plans")
    cli("diff", plan, plan, "--no-size").refused(2, "--no-size is about a new mark")
    cli("diff", plan, plan, "--seen-in", plan).refused(2, "--seen-in is about a new mark")
    cli("diff", plan, tmp_path / "none.json").refused(2, "cannot be opened")
    (tmp_path / "signers").write_text("")
    cli("diff", plan, plan, "--trust", tmp_path / "signers").refused(20, "not trusted")
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(plan.read_bytes().replace(b'"objects":3', b'"objects":4', 1))
    cli("diff", plan, damaged).refused(20, "changed after it was signed")
    assert "no longer" in cli.done("diff", plan, plan).flat
