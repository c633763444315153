"""``marksweep explain`` on real catalogs: references by name, places, what a plan and its sweep did, what is kept and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from marksweep.model.verdict import KeptReason
from tests.integration.conftest import on_sqlite
from tests.support.catalogs import RealCatalog, dashed, expected_kept_reason, expected_orphans
from tests.support.cli import Cli
from tests.support.zenml_database import editing


def named(real: RealCatalog) -> dict[str, set[str]]:
    """Per version the steps and models that refer to it, by name, by SQL of the test's own."""
    runs = (
        "SELECT l.artifact_id, s.name, r.name, p.name FROM {} l JOIN step_run s ON s.id = l.step_id"
        " JOIN pipeline_run r ON r.id = s.pipeline_run_id JOIN pipeline p ON p.id = r.pipeline_id"
    )
    models = (
        "SELECT l.artifact_version_id, m.name, v.name FROM model_versions_artifacts l"
        " JOIN model_version v ON v.id = l.model_version_id JOIN model m ON m.id = v.model_id"
    )
    found: dict[str, set[str]] = {}
    with editing(real.database) as database:
        for word, table in (("input", "step_run_input_artifact"), ("output", "step_run_output_artifact")):
            for identifier, step, run, pipeline in database.execute(runs.format(table)).fetchall():
                words = f"{word} of step {step} of run {run} (pipeline {pipeline})"
                found.setdefault(dashed(identifier), set()).add(words)
        for identifier, model, version in database.execute(models).fetchall():
            found.setdefault(dashed(identifier), set()).add(f"model {model} version {version}")
    return found


def test_references_are_told_by_name_and_since_when(cli: Cli, newest: RealCatalog) -> None:
    """Run, step and pipeline, model and version, what a visualization is pinned to: as the tables have them."""
    expected, seen = named(newest), Counter[str]()
    versions = cli.json("explain", newest.root, "--catalog", newest.url, "--no-grace", "--limit", 1000)["versions"]
    assert {version["id"] for version in versions} == set(newest.by_id)
    for version in versions:
        told = {
            r["holder"] for r in version["references"] if r["kind"] in ("step_input", "step_output", "model_version")
        }
        assert told == expected.get(version["id"], set())
        for reference in version["references"]:
            seen[reference["kind"]] += 1
            assert reference["since"] is not None, reference
            assert "None" not in reference["holder"]
    assert seen["step_output"] > 5
    told = {r["kind"]: r["holder"] for version in versions for r in version["references"]}
    assert told["curated_visualization"].startswith("a visualization of it is pinned to pipeline ")
    assert " of run " in told["hook_output"]
    assert " of pipeline " in told["configuration"]


def test_a_place_finds_who_owns_it_and_what_lies_in_it(cli: Cli, newest: RealCatalog) -> None:
    """An object's path finds its version, a folder the versions below it, counted; ``artifact@version`` finds the one."""
    url = newest.url
    identifier = next(i for i in sorted(newest.by_id) if any("/" in f for f in newest.files_of(i)))
    version = newest.by_id[identifier]
    inside = cli.json("explain", f"{version['uri']}/some/object.bin", "--catalog", url)
    assert (inside["place"], [v["id"] for v in inside["versions"]]) == ("inside", [identifier])
    assert "That lies in the place of 1 version:" in cli.done("explain", f"{version['uri']}/x", "--catalog", url).flat
    above = str(Path(version["uri"]).parent.parent)
    below = [v["id"] for v in newest.truth if v["uri"].startswith(f"{above}/")]
    assert len(below) > 1
    found = cli.json("explain", above, "--catalog", url, "--limit", 1)
    assert (found["place"], found["found"], len(found["versions"])) == ("below", len(below), 1)
    assert {v["id"] for v in cli.json("explain", f"file://{above}/", "--catalog", url)["versions"]} == set(below)
    same = {v["id"] for v in newest.truth if (v["name"], v["version"]) == (version["name"], version["version"])}
    exact = cli.json("explain", f"{version['name']}@{version['version']}", "--catalog", url)
    assert (exact["place"], {v["id"] for v in exact["versions"]}) == ("named", same)
    cli("explain", f"{version['name']}@no-such-version", "--catalog", url).refused(2, "no version with the id")
    cli("explain", "/no/such/place", "--catalog", url).refused(2, "in a version's place")
    for odd in ("/", "s3://", "file://", "//", "/a\udcff/b", f"/{'a/' * 9000}x", "%/_", "@", "@@1", "a@"):
        assert cli("explain", odd, "--catalog", url, "--limit", 0).status in (0, 2), odd


@on_sqlite
def test_a_plan_and_its_sweep_answer_for_what_they_did(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path
) -> None:
    """An entry before the sweep, deleted after it, by id, name and place; others are no entries; no other plan answers."""
    url, kept = newest.url, expected_kept_reason(newest)
    orphan = min(i for i in expected_orphans(newest) if newest.files_of(i))
    name, uri = newest.by_id[orphan]["name"], newest.by_id[orphan]["uri"]
    place = cli.json("explain", orphan, "--catalog", url, "--plan", plan)["versions"][0]
    assert (place["verdict"], place["plan"]["entry"], place["plan"]["state"]) == ("orphan", True, None)
    assert not cli.json("explain", min(kept), "--catalog", url, "--plan", plan)["versions"][0]["plan"]["entry"]

    cli.done("sweep", plan, "--yes", "--catalog", url)
    cli("explain", orphan, "--catalog", url).refused(2, "--plan PLAN, the plan that it was swept with")
    exact = f"{name}@{newest.by_id[orphan]['version']}"
    for needle in (orphan.upper().replace("-", ""), uri, f"{uri}/data.json", exact):
        gone = cli.json("explain", needle, "--catalog", url, "--plan", plan)["gone"]
        (found,) = (one for one in gone if one["id"] == orphan)
        assert (found["plan"]["state"], found["uri"], found["artifact"]) == ("deleted", uri, name)
        assert found["plan"]["at"].endswith("Z")
    assert "deleted by the sweep of the plan at" in cli.done("explain", orphan, "--catalog", url, "--plan", plan).flat
    cli("explain", "no-such-thing", "--catalog", url, "--plan", plan).refused(2, "no such entry")
    both = cli.json("explain", name, "--catalog", url, "--plan", plan)
    assert {v["id"] for v in (*both["versions"], *both["gone"])} == {v["id"] for v in newest.truth if v["name"] == name}


@on_sqlite
def test_the_rules_are_asked_under_the_policy_of_the_plan(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Unless filters are given: then under those."""
    path, url = tmp_path / "plan.json", newest.url
    cli.done("mark", "--catalog", url, "--no-grace", "--exclude-artifact", "raw", "--out", path)
    raw = min(i for i in expected_orphans(newest) if newest.by_id[i]["name"] == "raw")

    def verdict(*options: object) -> Any:
        return cli.json("explain", raw, "--catalog", url, *options)["versions"][0]["verdict"]

    assert verdict("--plan", path) == "filtered"
    assert verdict("--no-grace") == "orphan"
    assert verdict("--plan", path, "--no-grace") == "orphan"
    with editing(newest.database) as database:
        database.execute("UPDATE server_settings SET id = ?", ("f" * 32,))
    cli("explain", raw, "--catalog", url, "--plan", path).refused(23, "was made for another catalog")


def test_the_kept_versions_are_listed_by_reason(cli: Cli, newest: RealCatalog) -> None:
    """Every kept version once, under the reason that the ground truth implies; the counts do not depend on the limit."""
    expected, ask = expected_kept_reason(newest), ("explain", "--why-kept", "--catalog", newest.url, "--no-grace")
    whole = cli.json(*ask, "--limit", 1000)
    assert {v["id"]: g["reason"] for g in whole["kept"] for v in g["first"]} == expected
    assert whole["versions_in_catalog"] == len(newest.by_id)
    counts = Counter(expected.values())
    short = cli.json(*ask, "--limit", 2)
    assert {g["reason"]: g["versions"] for g in short["kept"]} == counts
    assert all(len(g["first"]) == min(2, g["versions"]) for g in short["kept"])
    assert [g["reason"] for g in short["kept"]] == [r for r in KeptReason if counts[r]]
    for group in short["kept"]:
        times = [v["created"] for v in group["first"]]
        assert times == sorted(times)
        assert all(v["detail"] for v in group["first"])
    (only,) = cli.json(*ask, "--reason", "registered")["kept"]
    assert (only["reason"], only["versions"]) == ("registered", counts["registered"])
    shown = cli.done(*ask, "--limit", 1).flat
    assert f"Kept: {len(expected)} of the catalog's {len(newest.by_id)} versions" in shown
    assert f"… and {counts['referenced'] - 1} more" in shown


@on_sqlite
def test_rules_about_several_versions_are_listed_too(cli: Cli, newest: RealCatalog) -> None:
    """What ``--keep-latest`` keeps, and what shares its place with something that is kept."""
    ask = ("explain", "--why-kept", "--catalog", newest.url, "--no-grace", "--limit", 1000)
    groups = {g["reason"]: g for g in cli.json(*ask, "--keep-latest", 1)["kept"]}
    assert groups["newest"]["versions"] == len(groups["newest"]["first"]) > 0
    assert {v["detail"] for v in groups["newest"]["first"]} == {"among the newest of its artifact (--keep-latest)"}
    kept = sum(g["versions"] for g in groups.values())
    assert kept == cli.json("prune", "--catalog", newest.url, "--no-grace", "--keep-latest", 1, "--dry-run")["plan"][
        "versions_in_catalog"
    ] - len(expected_orphans(newest)) + groups["newest"]["versions"]  # fmt: skip


@on_sqlite
def test_what_fits_into_no_plan_is_no_orphan_for_that(cli: Cli, newest: RealCatalog) -> None:
    """The same reason as the mark's, and not that of whatever else keeps orphans."""
    orphan = min(expected_orphans(newest))
    with editing(newest.database) as database:
        database.execute("UPDATE artifact_version SET version = ? WHERE id = ?", ("v" * 5000, orphan.replace("-", "")))
    ask = ("--catalog", newest.url, "--no-grace", "--keep-latest", 1)
    (found,) = cli.json("explain", orphan, *ask)["versions"]
    assert found["verdict"] == "unsafe_uri"
    assert [a["detail"] for a in found["answers"] if a["keeps"]] == ["its names or its URI are too long for a plan"]
    groups = cli.json("explain", "--why-kept", *ask, "--limit", 1000)["kept"]
    assert orphan in {v["id"] for g in groups if g["reason"] == "unsafe_uri" for v in g["first"]}


@on_sqlite
def test_explain_is_about_one_thing_at_a_time(cli: Cli, newest: RealCatalog) -> None:
    """A needle or --why-kept; --reason only with the latter."""
    cli("explain", "--catalog", newest.url).refused(2, "about one thing at a time")
    cli("explain", "raw", "--why-kept", "--catalog", newest.url).refused(2, "about one thing at a time")
    cli("explain", "raw", "--reason", "newest", "--catalog", newest.url).refused(2, "--reason is given without")
