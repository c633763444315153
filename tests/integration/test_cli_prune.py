"""``marksweep prune``: the drop-in for ``zenml artifact prune``, through the very same two phases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.catalogs import RealCatalog, expected_orphans
from tests.support.cli import Cli

PLANS = Path("state", "marksweep", "plans")


def test_prune_yes_does_it_all(cli: Cli, real_catalog: RealCatalog) -> None:
    """-y: marks, shows, sweeps; exactly the orphans are gone, and the plan is kept beside its journal and receipt."""
    orphans = expected_orphans(real_catalog)
    ended = cli.done("prune", "--catalog", real_catalog.url, "-y", "--no-grace")
    assert f"{len(orphans)} of {len(orphans)} entries deleted" in ended.out
    assert "  danger    --no-grace" in ended.out
    assert real_catalog.existing_ids() == set(real_catalog.by_id) - orphans
    assert not [i for i in orphans if real_catalog.files_of(i)]
    kept = sorted(path.name.partition(".plan.json")[2] for path in (cli.home / PLANS).iterdir())
    assert kept == ["", ".journal", ".lock", ".receipt.json"]
    plan = next((cli.home / PLANS).glob("*.plan.json"))
    assert cli.json("status", plan)["books"]["deleted"] == len(orphans)


@pytest.mark.parametrize(
    ("flag", "mode"),
    [
        ("-m", "only_metadata"),
        ("--only-metadata", "only_metadata"),
        ("-a", "only_artifact"),
        ("--only-artifact", "only_artifact"),
    ],
)
def test_prune_has_zenmls_modes(cli: Cli, newest: RealCatalog, flag: str, mode: str) -> None:
    """-a and -m as in ``zenml artifact prune``."""
    orphans = expected_orphans(newest)
    files = {i: newest.files_of(i) for i in orphans}
    result = cli.json("prune", "--catalog", newest.url, "-y", "--no-grace", flag, "--drain", "0")
    assert result["sweep"]["mode"] == mode
    assert result["sweep"]["books"]["deleted"] == len(orphans)
    assert bool(newest.existing_ids() & orphans) == (mode == "only_artifact")
    assert {i: newest.files_of(i) for i in orphans} == (
        files if mode == "only_metadata" else {i: set() for i in orphans}
    )


def test_prune_ignores_errors_with_i(cli: Cli, newest: RealCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """-i: goes on past an entry that fails; what failed is finished by sweeping the plan that was kept."""
    unlink, on = os.unlink, [True]

    def refuse(target: object, *, dir_fd: int | None = None) -> None:
        if on and str(target) == "data.json":
            raise PermissionError(13, os.strerror(13))
        unlink(target, dir_fd=dir_fd)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", refuse)
    result = cli.json("prune", "--catalog", newest.url, "-y", "-i", "--no-grace", status=12)
    assert result["sweep"]["books"]["failed"] > 0
    assert result["sweep"]["books"]["not_attempted"] == 0
    on.clear()
    finishes = f"`marksweep sweep {result['plan']['path']}` finishes it"
    again = cli.done("prune", "--catalog", newest.url, "--dry-run", "--no-grace")
    assert finishes in again.flat, "another prune makes another plan: it says what the first one left"
    done = cli.json("sweep", result["plan"]["path"], "--yes", "--catalog", newest.url)
    assert (done["books"]["failed"], done["books"]["deleted"]) == (0, 27)
    assert finishes not in cli.done("prune", "--catalog", newest.url, "--dry-run", "--no-grace").flat


def test_prune_dry_run_stops_after_showing(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Without --yes and without a terminal, too; the plan is left to be looked at, approved and swept."""
    before, out = newest.file_digests(), tmp_path / "pruned.json"
    ended = cli.done("prune", "--catalog", newest.url, "--dry-run", "--no-grace", "--out", out)
    assert "27 entries" in ended.out
    assert "Nothing was deleted." in ended.out
    assert newest.file_digests() == before
    assert not Path(f"{out}.journal").exists()
    cli.done("verify", out)
    assert cli.json("sweep", out, "--yes", "--catalog", newest.url)["books"]["deleted"] == 27


def test_prune_takes_every_filter(cli: Cli, newest: RealCatalog) -> None:
    """The filters of mark, with the same meaning."""
    second = {i for i in expected_orphans(newest) if newest.by_id[i]["project"] == "second"}
    raw = {i for i in second if newest.by_id[i]["name"] == "raw"}
    options = ("--no-grace", "--project", "second", "--exclude-artifact", "raw")
    result = cli.json("prune", "--catalog", newest.url, "--yes", *options)
    assert result["plan"]["entries"] == len(second - raw)
    assert newest.existing_ids() == set(newest.by_id) - (second - raw)


def test_prune_never_replaces_a_plan(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """--out names a new file."""
    before = newest.file_digests()
    cli("prune", "--catalog", newest.url, "--yes", "--no-grace", "--out", plan).refused(2, "exists already")
    assert newest.file_digests() == before


def test_prune_with_nothing_to_do_asks_nothing(cli: Cli, newest: RealCatalog) -> None:
    """By default everything in the young catalog is too young: 0, and no sweep."""
    result = cli.json("prune", "--catalog", newest.url, "--yes", "--min-age", "36500d")
    assert (result["plan"]["entries"], result["sweep"]) == (0, None)
    assert "Nothing to do" in cli.done("prune", "--catalog", newest.url, "--yes", "--min-age", "36500d").out
