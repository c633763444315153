"""The main job on a real catalog of each release: mark, show, verify, approve, sweep, status, and nothing else is touched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from marksweep.model.verdict import TOMBSTONE
from tests.support.catalogs import RealCatalog, dashed, expected_kept_reason, expected_orphans
from tests.support.cli import Cli
from tests.support.differences import differences, expected_differences
from tests.support.zenml_database import editing


def files_of(catalog: RealCatalog, ids: Iterable[str]) -> set[str]:
    return {file for identifier in ids for file in catalog.files_of(identifier)}


def without_database(digests: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in digests.items() if not path.endswith("zenml.db")}


def test_the_forms_that_scripts_rely_on(cli: Cli, real_catalog: RealCatalog, tmp_path: Path) -> None:
    """Issue item 10, word for word, on each release; exactly the orphans go, every other file is byte-identical."""
    plan, url = tmp_path / "plan.json", real_catalog.url
    orphans, kept = expected_orphans(real_catalog), expected_kept_reason(real_catalog)
    before, doomed = real_catalog.file_digests(), files_of(real_catalog, orphans)

    cli.done("mark", "--catalog", url, "--out", plan, "--min-age", "0", "--no-grace", "--older-than", "0")
    assert real_catalog.file_digests() == before
    shown = cli.json("show", plan, "--entries", 1000)
    assert {entry["id"] for entry in shown["entries"]} == orphans
    assert shown["plan"]["kept"] == {r: list(kept.values()).count(r) for r in sorted(set(kept.values()))}
    assert shown["plan"]["versions_in_catalog"] == len(real_catalog.truth)
    assert differences(real_catalog, orphans) == expected_differences(real_catalog.release)
    cli.done("show", plan)
    cli.done("verify", plan)
    cli.json("verify", plan)
    cli.done("keys", "create", "--out", tmp_path / "ann", "--as", "ann@example.org")
    cli.done("approve", plan, "--yes", "--key", tmp_path / "ann")
    cli.done("status", plan)
    assert real_catalog.file_digests() == before

    swept = cli.done("sweep", plan, "--yes", "--catalog", url)
    assert f"{len(orphans)} of {len(orphans)} entries deleted" in swept.out
    assert real_catalog.existing_ids() == set(kept)
    after = real_catalog.file_digests()
    assert without_database(after) == {p: d for p, d in without_database(before).items() if p not in doomed}
    assert not [i for i in orphans if Path(real_catalog.by_id[i]["uri"]).exists()], "empty folders are gone, too"

    again = cli.json("sweep", plan, "--yes", "--catalog", url)
    assert again["settled_before"] == again["books"]["planned"] == again["books"]["deleted"] == len(orphans)
    assert again["status"] == 0
    assert "nothing left to do" in cli.done("sweep", plan, "--yes", "--catalog", url).out
    assert without_database(real_catalog.file_digests()) == without_database(after)
    status = cli.json("status", plan)
    assert (status["books"]["deleted"], status["books"]["not_attempted"], status["running"]) == (len(orphans), 0, False)

    one = next(iter(kept))
    assert cli.json("explain", one, "--catalog", url)["versions"][0]["verdict"] == kept[one]
    uri = real_catalog.by_id[one]["uri"]
    assert one in {v["id"] for v in cli.json("explain", uri, "--catalog", url)["versions"]}
    cli("explain", next(iter(orphans)), "--catalog", url).refused(2, "no version with the id")
    nothing = cli.json("prune", "--catalog", url, "--yes", "--no-grace")
    assert nothing["plan"]["entries"] == 0


def test_every_verdict_can_be_explained(cli: Cli, newest: RealCatalog) -> None:
    """The verdict of explain is the one that mark counts, with the references where those keep the version."""
    kept = expected_kept_reason(newest)
    names = sorted({version["name"] for version in newest.truth})[::3]
    found = {}
    for name in names:
        for version in cli.json("explain", name, "--catalog", newest.url, "--no-grace")["versions"]:
            found[version["id"]] = version
    assert found.keys() == {version["id"] for version in newest.truth if version["name"] in names}
    assert {i: v["verdict"] for i, v in found.items()} == {i: kept.get(i, "orphan") for i in found}
    assert len({v["verdict"] for v in found.values()}) >= 3
    for version in found.values():
        assert (version["verdict"] == "referenced") == bool(version["references"]), version
        assert all(reference["holder"] for reference in version["references"]), version


def test_a_dry_run_changes_nothing(cli: Cli, real_catalog: RealCatalog, tmp_path: Path) -> None:
    """Not a file, not a byte of the database, no journal, no lock, no receipt; and it says what a sweep would do."""
    plan = tmp_path / "plan.json"
    cli.done("mark", "--catalog", real_catalog.url, "--no-grace", "--out", plan)
    before, beside = real_catalog.file_digests(), {path.name for path in tmp_path.iterdir()}
    result = cli.json("sweep", plan, "--dry-run", "--catalog", real_catalog.url)
    shown = cli.done("sweep", plan, "--dry-run", "--catalog", real_catalog.url)
    pruned = cli.json("prune", "--dry-run", "--no-grace", "--catalog", real_catalog.url)
    assert real_catalog.file_digests() == before
    assert {path.name for path in tmp_path.iterdir()} == beside
    assert result["books"]["deleted"] == result["books"]["planned"] == pruned["plan"]["entries"]
    assert (result["receipt"], pruned["sweep"]) == (None, None)
    assert "Nothing was deleted." in shown.out
    actual = cli.json("sweep", plan, "--yes", "--catalog", real_catalog.url)
    assert actual["books"] == result["books"], "what the dry run promised is what the sweep did"


def test_only_metadata_leaves_every_file(cli: Cli, real_catalog: RealCatalog, tmp_path: Path) -> None:
    """-m: the rows go, no byte of any file does; the mode is the plan's, no option of sweep can widen it."""
    plan, orphans = tmp_path / "plan.json", expected_orphans(real_catalog)
    before = without_database(real_catalog.file_digests())
    cli.done("mark", "--catalog", real_catalog.url, "--no-grace", "-m", "--out", plan)
    assert cli.json("show", plan)["plan"]["mode"] == "only_metadata"
    assert cli("sweep", plan, "--yes", "--catalog", real_catalog.url, "-a").status == 2
    result = cli.json("sweep", plan, "--yes", "--catalog", real_catalog.url)
    assert (result["mode"], result["books"]["deleted"], result["books"]["bytes"]) == ("only_metadata", len(orphans), 0)
    assert without_database(real_catalog.file_digests()) == before
    assert not real_catalog.existing_ids() & orphans


def test_only_artifact_leaves_every_row(cli: Cli, real_catalog: RealCatalog, tmp_path: Path) -> None:
    """-a: the bytes go, the rows stay and say that theirs are gone; a later mark keeps such rows for that reason."""
    plan, orphans = tmp_path / "plan.json", expected_orphans(real_catalog)
    before, doomed = without_database(real_catalog.file_digests()), files_of(real_catalog, orphans)
    cli.done("mark", "--catalog", real_catalog.url, "--no-grace", "-a", "--out", plan)
    assert "links it only after the wait" in json.loads(plan.read_bytes())["plan"]["limits"]
    result = cli.json("sweep", plan, "--yes", "--catalog", real_catalog.url, "--drain", "0")
    assert (result["mode"], result["books"]["deleted"]) == ("only_artifact", len(orphans))
    assert without_database(real_catalog.file_digests()) == {p: d for p, d in before.items() if p not in doomed}
    with contextlib.closing(real_catalog.connect()) as database:
        uris = {dashed(i): uri for i, uri in database.execute("SELECT id, uri FROM artifact_version")}
    assert uris.keys() == real_catalog.by_id.keys()
    assert {i for i, uri in uris.items() if uri.startswith(TOMBSTONE)} == orphans
    assert all(uris[i] == version["uri"] for i, version in real_catalog.by_id.items() if i not in orphans)
    later = cli.json("mark", "--catalog", real_catalog.url, "--no-grace", "--out", tmp_path / "later.json")
    assert later["plan"]["entries"] == 0
    assert later["plan"]["kept"]["bytes_deleted"] == len(orphans)


def test_no_size_still_sweeps_exactly(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Without sizes the stores are not listed while marking; the sweep lists them itself."""
    plan, orphans = tmp_path / "plan.json", expected_orphans(newest)
    before, doomed = without_database(newest.file_digests()), files_of(newest, orphans)
    marked = cli.json("mark", "--catalog", newest.url, "--no-grace", "--no-size", "--out", plan)
    assert (marked["plan"]["objects"], marked["plan"]["bytes"]) == (None, None)
    assert "--no-size" in cli.done("show", plan).out
    cli.json("sweep", plan, "--yes", "--catalog", newest.url)
    assert without_database(newest.file_digests()) == {p: d for p, d in before.items() if p not in doomed}


def test_a_plan_that_was_moved_is_still_the_plan(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Its bytes count, not its name: it can be committed, copied, approved elsewhere, and swept."""
    plan, other = tmp_path / "plan.json", tmp_path / "elsewhere"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--out", plan)
    cli.done("keys", "create", "--out", tmp_path / "key", "--as", "ann@example.org")
    cli.done("keys", "trust", f"{tmp_path / 'key'}.pub", "--as", "ann@example.org")
    cli.done("approve", plan, "--yes", "--key", tmp_path / "key", "--as", "ann")
    other.mkdir()
    shutil.copyfile(plan, other / "renamed.json")
    shutil.copytree(f"{plan}.approvals", other / "renamed.json.approvals")
    result = cli.json("sweep", other / "renamed.json", "--approvals", 1, "--yes", "--catalog", newest.url)
    assert result["books"]["deleted"] == 27
    assert not Path(f"{plan}.journal").exists()
    again = cli("sweep", plan, "--yes", "--catalog", newest.url, "--json").json["books"]
    assert (again["planned"], again["deleted"], again["failed"]) == (27, 0, 0), "a second copy finds nothing to delete"


def test_the_receipt_binds_the_plan_and_balances(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Its digest is that of the plan's signed bytes, and its books add up."""
    cli.done("sweep", plan, "--yes", "--catalog", newest.url)
    receipt = json.loads(Path(f"{plan}.receipt.json").read_bytes())["receipt"]
    signed = b"".join(plan.read_bytes().splitlines(keepends=True)[:-1])
    assert receipt["plan_digest"] == "sha256:" + hashlib.sha256(signed).hexdigest()
    books = receipt["outcomes"]
    parts = ("deleted", "gone", "referenced", "changed", "protected", "failed", "not_attempted")
    assert books["planned"] == sum(books[name] for name in parts) == 27
    header = json.loads(plan.read_bytes())["totals"]
    assert (books["objects"], books["bytes"]) == (header["objects"], header["bytes"])


def test_a_version_that_vanished_is_gone_not_deleted(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Somebody ran `zenml artifact version delete` meanwhile: its bytes, if any are left, are not ours to delete."""
    entry = next(e for e in cli.json("show", plan, "--entries", 100)["entries"] if e["artifact"] == "tagged_unlinked")
    with editing(newest.database) as database:
        database.execute("DELETE FROM artifact_version WHERE id = ?", (entry["id"].replace("-", ""),))
    left = newest.files_of(entry["id"])
    result = cli.json("sweep", plan, "--yes", "--catalog", newest.url)
    assert (result["books"]["gone"], result["books"]["deleted"]) == (1, 26)
    assert newest.files_of(entry["id"]) == left != set()


@pytest.mark.parametrize("batch", [1, 7])
def test_any_batch_size_gives_the_same_result(cli: Cli, newest: RealCatalog, plan: Path, batch: int) -> None:
    """Entries are claimed so many at a time; what remains is the same."""
    kept = set(expected_kept_reason(newest))
    cli.done("sweep", plan, "--yes", "--catalog", newest.url, "--batch-size", batch)
    assert newest.existing_ids() == kept
