"""Every exit status of the design, from the command that ends with it: the fact, the remedy, and what was deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from marksweep.catalog.zenml import sqlite_file
from marksweep.sweep import lock
from tests.integration.conftest import NEWEST, on_sqlite
from tests.support.catalogs import RealCatalog, expected_orphans
from tests.support.cli import Cli
from tests.support.mariadb import MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog
from tests.support.mariadb_load import clone
from tests.support.zenml_database import copy_row, database_of, digest, editing

Files = Callable[[], dict[str, str]]


@pytest.fixture
def untouched(snapshot: Files, plan: Path) -> Iterator[None]:
    """After the test, every file of the catalog is as it was when the plan had been made."""
    before = snapshot()
    yield
    assert snapshot() == before


def expired(cli: Cli, newest: RealCatalog, path: Path) -> Path:
    """A plan whose time is over: one second is the shortest there is."""
    import time

    cli.done("mark", "--catalog", newest.url, "--no-grace", "--expires", "1s", "--out", path)
    time.sleep(1.1)
    return path


def test_10_is_only_for_mark_with_detailed_exitcode(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """10 says "the plan has entries" to scripts that asked for it; an empty plan ends with 0 either way."""
    everything = ("mark", "--catalog", newest.url, "--no-grace", "--detailed-exitcode")
    assert cli(*everything, "--out", tmp_path / "a.json").status == 10
    assert cli.json(*everything, "--out", tmp_path / "b.json", status=10)["plan"]["entries"] == 27
    assert cli(*everything, "--project", "no-such", "--out", tmp_path / "c.json").status == 0
    assert cli("mark", "--catalog", newest.url, "--no-grace", "--out", tmp_path / "d.json").status == 0


@pytest.mark.usefixtures("untouched")
def test_2_a_sweep_that_nobody_can_confirm(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Without --yes and without a terminal nothing is asked and nothing is deleted; not even a journal is begun."""
    cli("sweep", plan, "--catalog", newest.url).refused(2, "error[usage]", "no terminal to ask at", "add --yes")
    cli("prune", "--catalog", newest.url, "--no-grace").refused(2, "no terminal to ask at", "add --yes")
    assert {path.name for path in plan.parent.iterdir()} == {"home", "plan.json", newest.root.name}


@pytest.mark.usefixtures("untouched")
def test_2_a_plan_that_is_not_there(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Every command that takes a plan says which one it cannot open."""
    missing = tmp_path / "missing.json"
    for command in ("show", "verify", "approve", "status"):
        cli(command, missing).refused(2, "cannot be opened", "No such file")
    cli("sweep", missing, "--yes", "--catalog", newest.url).refused(2, "cannot be opened")


@pytest.mark.usefixtures("untouched")
def test_2_mark_never_replaces_a_plan_unless_forced(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Somebody may have approved it; and the refusal comes at once, not when the catalog was read for an hour."""
    before = plan.read_bytes()
    again = ("mark", "--catalog", newest.url, "--no-grace", "--out", plan)
    refused = cli(*again)
    refused.refused(2, "exists already", "replace that plan with --force")
    assert "versions" not in refused.err
    assert plan.read_bytes() == before
    assert cli(*again, "--force").status == 0
    assert plan.read_bytes() != before


def test_2_force_spares_a_plan_whose_sweep_has_begun(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """The journal belongs to the plan's bytes: whoever replaced them could not resume."""
    cli.done("sweep", plan, "--yes", "--catalog", newest.url)
    before = plan.read_bytes()
    ended = cli("mark", "--catalog", newest.url, "--no-grace", "--out", plan, "--force")
    ended.refused(2, "has a journal", "another file")
    assert plan.read_bytes() == before


@pytest.mark.usefixtures("untouched")
def test_2_mark_says_at_once_that_there_is_no_folder(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Before the catalog is read."""
    nowhere = tmp_path / "none" / "plan.json"
    cli("mark", "--catalog", newest.url, "--out", nowhere).refused(2, "there is no folder")
    cli("prune", "--catalog", newest.url, "--yes", "--out", nowhere).refused(2, "there is no folder")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("beside", ["plan.json.lock", "plan.json.journal"])
def test_2_a_sweep_that_cannot_write_beside_its_plan(cli: Cli, newest: RealCatalog, plan: Path, beside: str) -> None:
    """No lock, no journal, no sweep: told as a fact with a remedy. Root may write anywhere, so a folder is in the way."""
    (plan.parent / beside).mkdir()
    ended = cli("sweep", plan, "--yes", "--catalog", newest.url)
    ended.refused(2, "cannot be written beside", "make its folder writable")


@pytest.mark.usefixtures("untouched")
def test_a_plan_in_a_read_only_place_can_be_read_and_rehearsed(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """show, verify, status and sweep --dry-run write nothing beside the plan; sweep does, and says that it cannot."""
    opened = os.open

    def refuse(path: object, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(plan)):
            raise OSError(30, os.strerror(30), str(path))
        return opened(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(lock.os, "open", refuse)
    for command in ("show", "verify", "status"):
        cli.done(command, plan)
    cli.done("sweep", plan, "--dry-run", "--catalog", newest.url)
    cli("sweep", plan, "--yes", "--catalog", newest.url).refused(2, "Read-only file system", "writable")
    assert {path.name for path in plan.parent.iterdir()} == {"home", "plan.json", newest.root.name}


@on_sqlite  # where one lock is for the whole database; rows that somebody holds on MariaDB are left alone
def test_3_a_database_that_stays_locked(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer that does not let go makes the sweep incomplete; running it again finishes it."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.2)
    writer = sqlite3.connect(newest.database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    ended = cli("sweep", plan, "--yes", "--catalog", newest.url)
    assert ended.status == 3, ended
    for word in ("error[incomplete]", "stayed locked by another writer", "it resumes", "0 of 27 entries were deleted"):
        assert word in ended.flat, ended
    writer.execute("ROLLBACK")
    writer.close()
    assert cli.json("sweep", plan, "--yes", "--catalog", newest.url)["books"]["deleted"] == 27


def test_11_what_changed_or_is_used_again_is_kept(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Entries that are not as planned stay, with the reason; the others go; a later run adds nothing."""
    lines = {e["id"]: e for e in cli.json("show", plan, "--entries", 100)["entries"]}
    changed = next(i for i, e in lines.items() if e["artifact"] == "unlinked_0")
    linked = next(i for i, e in lines.items() if e["artifact"] == "raw")
    touched = Path(lines[changed]["uri"]) / "data.json"
    touched.write_text("rewritten")
    with editing(newest.database, foreign_keys=True) as database:
        step = database.execute("SELECT id FROM step_run").fetchone()[0]
        again = {"step_id": step, "artifact_id": linked.replace("-", ""), "name": "again"}
        copy_row(database, "step_run_input_artifact", **again)
    result = cli.json("sweep", plan, "--yes", "--catalog", newest.url, status=11)
    assert (result["books"]["deleted"], result["books"]["referenced"], result["books"]["changed"]) == (25, 1, 1)
    assert {(line["id"], line["code"]) for line in result["lines"]} == {(changed, "changed"), (linked, "referenced")}
    assert touched.read_text() == "rewritten"
    assert any(Path(lines[linked]["uri"]).iterdir())
    assert {changed, linked} <= newest.existing_ids()
    ended = cli("sweep", plan, "--yes", "--catalog", newest.url)
    assert ended.status == 11, ended
    assert "kept: changed" in ended.out
    assert "kept: referenced" in ended.out


class Refusal:
    """The system refuses to unlink files of one name, wherever they are (root may do anything, so it is played)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.on = True
        unlink = os.unlink

        def refuse(target: object, *, dir_fd: int | None = None) -> None:
            if self.on and str(target) == name:
                raise PermissionError(13, os.strerror(13))
            unlink(target, dir_fd=dir_fd)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "unlink", refuse)


def test_12_stops_at_the_first_failure_and_says_how_far_it_came(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --ignore-errors no new entries are taken; once the store allows it, the same command ends with 0."""
    refusal = Refusal(monkeypatch, "data.json")
    sweep = ("sweep", plan, "--yes", "--catalog", newest.url)
    stopped = cli.json(*sweep, "--batch-size", 1, status=12)
    assert stopped["books"]["failed"] >= 1
    assert stopped["books"]["not_attempted"] > 0
    assert {line["code"] for line in stopped["lines"]} == {"EACCES"}
    shown = cli("sweep", plan, "--yes", "--catalog", newest.url, "--batch-size", 1)
    assert shown.status == 12
    assert "Not everything is done. Run the same command again: it resumes." in shown.flat
    assert cli.json("status", plan)["books"]["failed"] >= 1
    refusal.on = False
    done = cli.json(*sweep)
    assert (done["books"]["deleted"], done["books"]["failed"]) == (27, 0)
    assert newest.existing_ids() == set(newest.by_id) - expected_orphans_before(newest, done)


def expected_orphans_before(newest: RealCatalog, done: dict[str, object]) -> set[str]:
    """The ids that are gone; as many as the books say, all of them orphans by the ground truth's own word."""
    gone = set(newest.by_id) - newest.existing_ids()
    assert len(gone) == done["books"]["deleted"]  # type: ignore[index]
    assert all(newest.by_id[i]["orphan"] for i in gone)
    return gone


def test_12_ignore_errors_goes_on(cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every entry is tried; those that failed have lost their row, and are finished by the next run."""
    refusal = Refusal(monkeypatch, "data.json")
    orphans = expected_orphans(newest)
    failing = {i for i in orphans if any(f.endswith("/data.json") for f in newest.files_of(i))}
    assert 0 < len(failing) < len(orphans)
    result = cli.json("sweep", plan, "--yes", "--catalog", newest.url, "--batch-size", 1, "-i", status=12)
    assert (result["books"]["failed"], result["books"]["not_attempted"]) == (len(failing), 0)
    assert result["books"]["deleted"] == len(orphans) - len(failing)
    assert not newest.existing_ids() & orphans
    refusal.on = False
    done = cli.json("sweep", plan, "--yes", "--catalog", newest.url)
    assert (done["books"]["deleted"], done["settled_before"]) == (len(orphans), len(orphans) - len(failing))
    assert not [f for i in orphans for f in newest.files_of(i)]


@pytest.mark.usefixtures("untouched")
def test_20_a_changed_plan_or_an_unknown_key(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """One byte, or a signature by somebody whom this user does not trust."""
    changed = tmp_path / "changed.json"
    changed.write_bytes(plan.read_bytes().replace(b'"entries":27', b'"entries":26', 1))
    stranger = Cli(tmp_path / "stranger")
    for command in (("show",), ("verify",), ("approve",), ("status",), ("sweep", "--yes", "--catalog", newest.url)):
        cli(command[0], changed, *command[1:]).refused(
            20, "error[signature-refused]", "was changed after it was signed"
        )
        stranger(command[0], plan, *command[1:]).refused(20, "is not trusted", "marksweep keys trust")
    assert cli.json("verify", changed, status=20)["error"]["code"] == "signature-refused"


@pytest.mark.usefixtures("untouched")
def test_21_approvals_are_missing(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """The planner cannot approve; a trusted colleague can."""
    cli("approve", plan).refused(2, "whoever made a plan never counts as its approver")
    sweep = ("sweep", "--catalog", newest.url)
    for command in (("verify",), (*sweep, "--yes"), (*sweep, "--dry-run")):
        ended = cli(command[0], plan, *command[1:], "--approvals", 1)
        ended.refused(21, "error[approvals-missing]", "has 0 of 1 approvals", "ask 1 more")
    colleague = tmp_path / "colleague"
    cli.done("keys", "create", "--out", colleague, "--as", "ann@example.org")
    cli.done("keys", "trust", f"{colleague}.pub", "--as", "ann@example.org")
    cli.done("approve", plan, "--yes", "--key", colleague, "--as", "ann")
    assert cli.json("verify", plan, "--approvals", 1)["approvals"] == ["ann@example.org"]
    cli("verify", plan, "--approvals", 2).refused(21, "has 1 of 2 approvals (ann@example.org)")


@pytest.mark.usefixtures("untouched")
def test_22_an_expired_plan_can_be_looked_at_and_no_more(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """show and status work, and say so; verify, approve and sweep end with 22."""
    old = expired(cli, newest, tmp_path / "old.json")
    assert "expired" in cli.done("show", old).out
    assert cli.json("show", old)["plan"]["expired"] is True
    cli.done("status", old)
    sweep = ("sweep", "--catalog", newest.url)
    for command in (("verify",), ("approve",), (*sweep, "--yes"), (*sweep, "--dry-run")):
        cli(command[0], old, *command[1:]).refused(22, "error[plan-expired]", "expired at", "make a new plan")


@on_sqlite
def test_23_a_copy_of_the_database_is_not_the_database(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path
) -> None:
    """A copy would lose rows while the original keeps pointing at deleted bytes. Who moved it can say so."""
    before = newest.file_digests()
    copy = tmp_path / "copy.db"
    shutil.copyfile(newest.database, copy)
    url = f"sqlite:///{copy}"
    for more in (("--yes",), ("--dry-run",)):
        ended = cli("sweep", plan, "--catalog", url, "--local-stores", newest.config / "local_stores", *more)
        ended.refused(
            23, "error[other-catalog]", "another instance", "--accept-instance sha256:", "never sweep from a copy"
        )
    word = ended.flat.partition("--accept-instance ")[2].partition(";")[0]
    wrong = "sha256:" + "0" * 64
    cli("sweep", plan, "--catalog", url, "--yes", "--accept-instance", wrong).refused(23)
    assert newest.file_digests() == before
    newest.database.unlink()  # now it was moved
    moved = cli.json(
        "sweep", plan, "--catalog", url, "--yes", "--local-stores", newest.config / "local_stores",
        "--accept-instance", word,
    )  # fmt: skip
    assert moved["books"]["deleted"] == 27


@pytest.mark.parametrize("newest", NEWEST[1:], indirect=True)
def test_23_a_dump_that_was_restored_is_not_the_database(
    cli: Cli, newest: MariaDbCatalog, plan: Path, mariadb: MariaDbServer
) -> None:
    """The same rows in another database of the same server: its bytes may be the original's."""
    restored = clone(mariadb, newest.db)
    before, rows = newest.file_digests(), digest(restored)
    for more in (("--yes",), ("--dry-run",)):
        ended = cli("sweep", plan, "--catalog", restored.url, *more)
        ended.refused(23, "error[other-catalog]", "another instance", "--accept-instance sha256:")
    assert (newest.file_digests(), digest(restored)) == (before, rows)
    word = ended.flat.partition("--accept-instance ")[2].partition(";")[0]
    moved = cli.json("sweep", plan, "--catalog", restored.url, "--yes", "--accept-instance", word)
    assert moved["books"]["deleted"] == 27
    assert newest.file_digests()["zenml.db"] == before["zenml.db"]
    mariadb.drop_database(restored.name)


@pytest.mark.usefixtures("untouched")
def test_23_another_catalog(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """The server's id, the schema and the dialect must be those of the plan; --accept-instance does not help."""
    kept = database_of(newest.database).keep()
    with editing(newest.database) as database:
        database.execute("UPDATE server_settings SET id = replace(id, substr(id, 1, 4), 'ffff')")
    ended = cli("sweep", plan, "--yes", "--catalog", newest.url)
    ended.refused(23, "another catalog", "server id")
    database_of(newest.database).restore(kept)


@pytest.mark.usefixtures("untouched")
def test_24_a_file_that_is_no_plan(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """Whatever it is: another file, half a plan, an empty one, a folder."""
    whole = plan.read_bytes()
    bad = (
        (24, b""),
        (24, b"{}"),
        (24, b"PK\x03\x04"),
        (24, b"\xff" * 100),
        (20, whole + b"\n"),
        (20, whole[:9000] + b"\n"),
    )
    for number, (status, octets) in enumerate(bad):
        path = tmp_path / f"bad-{number}.json"
        path.write_bytes(octets)
        for command in (("show",), ("verify",), ("status",), ("sweep", "--yes", "--catalog", newest.url)):
            cli(command[0], path, *command[1:]).refused(status)
    cli("show", tmp_path).refused(2)


@on_sqlite
@pytest.mark.usefixtures("untouched")
def test_25_a_database_that_is_none_of_zenmls(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """Absent, empty, foreign or no database at all: refused with a remedy, and never created."""
    absent, empty, text, foreign = (tmp_path / f"{name}.db" for name in ("absent", "empty", "text", "foreign"))
    empty.touch()
    text.write_text("this is not a database, whatever its name says")
    with contextlib.closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
    for path in (absent, empty, text, foreign):
        url, out = f"sqlite:///{path}", tmp_path / f"{path.stem}.json"
        before = path.read_bytes() if path.exists() else None
        cli("mark", "--catalog", url, "--out", out).refused(25, "error[catalog-not-understood]")
        cli("explain", "x", "--catalog", url).refused(25)
        cli("prune", "--yes", "--catalog", url).refused(25)
        cli("sweep", plan, "--yes", "--catalog", url).refused(25)
        assert (path.read_bytes() if path.exists() else None) == before
        assert not out.exists()
    cli("mark").refused(25, "no ZenML database was found", "--catalog")


def test_25_a_table_that_marksweep_does_not_know(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """A newer release may refer to versions from a new table: mark and sweep stop, naming it."""
    with editing(newest.database) as database:
        database.execute("CREATE TABLE gizmo (id CHAR(32), version_id CHAR(32) REFERENCES artifact_version (id))")
    before = newest.file_digests()
    cli("mark", "--catalog", newest.url).refused(25, "gizmo")
    cli("sweep", plan, "--yes", "--catalog", newest.url).refused(25, "gizmo")
    assert newest.file_digests() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("cap", "word"),
    [("--max-entries", "27 entries"), ("--max-bytes", "bytes"), ("--max-share", "27 of the catalog's 70 versions")],
)
def test_26_a_cap_refuses(cli: Cli, newest: RealCatalog, tmp_path: Path, cap: str, word: str) -> None:
    """0 allows none; no plan is written. A plan without entries is within every cap."""
    out = tmp_path / "capped.json"
    refused = cli("mark", "--catalog", newest.url, "--no-grace", cap, 0, "--out", out)
    refused.refused(26, "error[guard-refused]", cap, word)
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
    cli("prune", "--catalog", newest.url, "--no-grace", cap, 0, "--yes").refused(26, cap)
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--project", "no-such", cap, 0, "--out", out)


@pytest.mark.usefixtures("untouched")
def test_26_a_journal_of_another_plan(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """It is bound to the plan's digest: a journal that was left from another plan is refused, not used."""
    other = tmp_path / "other.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--project", "no-such", "--out", other)
    cli.done("sweep", other, "--yes", "--catalog", newest.url)
    Path(f"{other}.journal").rename(f"{plan}.journal")
    cli("sweep", plan, "--yes", "--catalog", newest.url).refused(26, "belongs to another sweep", "move it away")
    cli("status", plan).refused(26)


def test_27_a_store_that_is_not_there(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """A folder that is not mounted is no empty folder: nothing is swept while it is away."""
    (newest.root / "store2").rename(newest.root / "away")
    before = newest.file_digests()
    cli("sweep", plan, "--yes", "--catalog", newest.url).refused(
        27, "error[store-refused]", "store2", "0 of 27 entries"
    )
    cli("sweep", plan, "--dry-run", "--catalog", newest.url).refused(27, "store2", "nothing was deleted")
    assert newest.file_digests() == before
    (newest.root / "away").rename(newest.root / "store2")
    assert cli.json("sweep", plan, "--yes", "--catalog", newest.url)["books"]["deleted"] == 27


@pytest.mark.usefixtures("untouched")
def test_30_another_process_holds_the_lock(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """It is named; status says "running"; showing and rehearsing need no lock."""
    hold = (
        "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "f.write(f'process {os.getpid()} on elsewhere'); f.flush(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, f"{plan}.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        ended = cli("sweep", plan, "--yes", "--catalog", newest.url)
        ended.refused(30, "error[locked]", f"process {holder.pid} on elsewhere", "marksweep status")
        assert cli.json("sweep", plan, "--yes", "--catalog", newest.url, status=30)["error"]["code"] == "locked"
        assert cli.json("status", plan)["running"] is True
        cli.done("status", plan)
        cli.done("show", plan)
        cli.done("sweep", plan, "--dry-run", "--catalog", newest.url)
    assert cli.json("status", plan)["running"] is False
