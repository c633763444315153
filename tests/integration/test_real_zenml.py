"""What a real ZenML of each release says of its catalog after a sweep: what was kept still loads, what went is not listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import anew
from tests.support import zenml_runner
from tests.support.catalogs import RELEASES, RealCatalog, expected_kept_reason, expected_orphans
from tests.support.cli import Cli
from tests.support.mariadb_catalogs import MariaDbCatalog

_DESCRIBE = """
import hashlib, os
from zenml.client import Client


def described(value):
    # The content of a loaded object, the same in every process.
    if isinstance(value, Path):
        files = sorted(value.rglob("*")) if value.is_dir() else [value]
        return [[f.name, hashlib.sha256(f.read_bytes()).hexdigest()] for f in files if f.is_file()]
    for convert in ("to_csv", "tolist"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    return repr(value)


loaded = {}
for identifier in given:
    try:
        loaded[identifier] = described(Client().zen_store.get_artifact_version(identifier).load())
    except Exception as error:
        loaded[identifier] = {"error": f"{type(error).__name__}"}
"""

_LOOK = _DESCRIBE + zenml_runner.LIST + "\nresult['loaded'] = loaded\n"

_WORK = """
from zenml import pipeline, save_artifact, step


@step(enable_cache=False)
def produce() -> int:
    return 41


@step(enable_cache=False)
def consume(number: int) -> int:
    save_artifact({"saved": number}, name="after_the_sweep")
    return number + 1


@pipeline(enable_cache=False)
def after():
    consume(produce())


run = after()
result["status"] = str(run.status)
result["output"] = run.steps["consume"].outputs["output"][0].load()
result["saved"] = Client().get_artifact_version("after_the_sweep").load()
"""


@dataclass(frozen=True)
class Swept:
    """A catalog before and after: what ZenML loaded and listed, the plan's entries, and the digests of all files."""

    catalog: RealCatalog
    orphans: set[str]
    kept: set[str]
    entries: list[dict[str, Any]]
    before: dict[str, Any]
    files_before: dict[str, str]
    files_after: dict[str, str]
    after: dict[str, Any]


@pytest.fixture(params=[*RELEASES, "0.70.0-mariadb", "0.98.0-mariadb"])
def real_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """Each release, and on MariaDB the oldest and the newest."""
    return anew(request, tmp_path)


@pytest.fixture
def swept(real_catalog: RealCatalog, cli: Cli, tmp_path: Path) -> Swept:
    """Loaded by ZenML, marked and swept by the command line, and loaded by ZenML again; 0.98.0 runs a pipeline as well."""
    release, config = real_catalog.release, real_catalog.config
    orphans, kept = expected_orphans(real_catalog), set(expected_kept_reason(real_catalog))
    before = zenml_runner.run(release, config, _LOOK, sorted(kept))
    plan = tmp_path / "plan.json"
    cli.done("mark", "--catalog", real_catalog.url, "--no-grace", "--out", plan)
    entries = cli.json("show", plan, "--entries", 10_000)["entries"]
    files_before = real_catalog.file_digests()
    cli.done("sweep", plan, "--yes", "--catalog", real_catalog.url)
    files_after = real_catalog.file_digests()
    work = _WORK if release == "0.98.0" else ""
    after = zenml_runner.run(release, config, _LOOK + work, sorted(kept))
    return Swept(real_catalog, orphans, kept, entries, before, files_before, files_after, after)


def test_zenml_sees_exactly_the_orphans_gone(swept: Swept) -> None:
    """Every kept version that loaded before loads the same now; no swept one is listed; no file outside the plan changed."""
    before, after = swept.before["loaded"], swept.after["loaded"]
    intact = {i for i, content in before.items() if not (isinstance(content, dict) and "error" in content)}
    assert len(intact) >= len(swept.kept) - 1, "the version in the deleted store is the only one that ZenML cannot load"
    assert {i: after[i] for i in intact} == {i: before[i] for i in intact}
    assert after.keys() - intact == before.keys() - intact

    assert {entry["id"] for entry in swept.entries} == swept.orphans
    assert swept.orphans <= set(swept.before["versions"])
    assert set(swept.after["versions"]) == swept.kept
    truth = swept.catalog.by_id
    assert set(swept.after["unused"]) == {i for i in swept.kept if truth[i]["api_only_unused"]}

    emptied = {truth[i]["artifact_id"] for i in swept.orphans} - {truth[i]["artifact_id"] for i in swept.kept}
    assert emptied <= set(swept.before["artifacts"])
    gone = set(swept.before["artifacts"]) - set(swept.after["artifacts"])
    if swept.catalog.release == "0.98.0" or isinstance(swept.catalog, MariaDbCatalog):
        assert gone == emptied, "artifacts without versions are gone, the others are not"
    else:
        assert gone <= emptied, "an emptied artifact may stay where its release does not enforce the foreign key"

    places = [Path(entry["uri"]).relative_to(swept.catalog.root) for entry in swept.entries]
    outside = {
        name: digest
        for name, digest in swept.files_before.items()
        if not any(Path(name).is_relative_to(place) for place in places) and not name.endswith("zenml.db")
    }
    assert {n: d for n, d in swept.files_after.items() if not n.endswith("zenml.db")} == outside
    assert len(outside) < len(swept.files_before) - 1
    if swept.catalog.release == "0.98.0":
        assert swept.after["status"] == "completed"
        assert (swept.after["output"], swept.after["saved"]) == (42, {"saved": 41})


@pytest.mark.parametrize("flag", ["--only-metadata", "--only-artifact"])
def test_zenml_still_lists_and_loads_after_half_a_sweep(
    newest: RealCatalog, cli: Cli, tmp_path: Path, flag: str
) -> None:
    """Rows without bytes, or bytes without rows: ``artifact list`` works, and what was kept loads."""
    orphans, kept = expected_orphans(newest), set(expected_kept_reason(newest))
    sample = sorted(newest.ids("run4_kept", "model_only_manual", "second_run_kept"))
    assert set(sample) <= kept
    cli.done("prune", "--catalog", newest.url, "--no-grace", "--yes", "--drain", "0", flag)
    look = zenml_runner.run("0.98.0", newest.config, _LOOK, [*sample, min(orphans)])
    assert set(look["versions"]) == (kept if flag == "--only-metadata" else kept | orphans)
    errors = {i for i, content in look["loaded"].items() if isinstance(content, dict) and "error" in content}
    assert errors == {min(orphans)}
