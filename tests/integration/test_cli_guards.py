"""The guards at the command line, on a real catalog: clocks, collapsed tables, jumps, second looks, restored databases."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marksweep.sweep.journal_reader import journal_path
from tests.integration.test_cli_statuses import Refusal
from tests.support.catalogs import RealCatalog, expected_orphans
from tests.support.cli import Cli
from tests.support.mariadb import MariaDbServer, program
from tests.support.mariadb_catalogs import in_mariadb
from tests.support.zenml_database import copy_row, database_of, editing

Files = Callable[[], dict[str, str]]


@pytest.fixture
def untouched(snapshot: Files, plan: Path) -> Iterator[None]:
    """After the test, every file of the catalog is as it was when the plan had been made."""
    before = snapshot()
    yield
    assert snapshot() == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("ahead", [-1, 1])
def test_clocks_that_are_apart_refuse_all_that_rests_on_them(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """mark, prune, sweep and its rehearsal, with this machine's clock 6 minutes off the database's; 4 are nothing."""

    def set_off(minutes: int) -> None:
        monkeypatch.setattr("marksweep.cli.wire.utc_now", lambda: datetime.now(UTC) + timedelta(minutes=minutes))

    out = tmp_path / "out.json"
    commands = (
        ("mark", "--catalog", newest.url, "--no-grace", "--out", out),
        ("prune", "--catalog", newest.url, "--no-grace", "--out", out, "--yes"),
        ("prune", "--catalog", newest.url, "--no-grace", "--out", out, "--dry-run"),
        ("sweep", plan, "--catalog", newest.url, "--yes"),
        ("sweep", plan, "--catalog", newest.url, "--dry-run"),
    )
    set_off(6 * ahead)
    for command in commands:
        cli(*command).refused(26, "error[guard-refused]", "apart (h:mm:ss)", "at most 0:05:00", "set the clock")
    assert not out.exists()
    assert not journal_path(plan).exists()
    set_off(4 * ahead)
    cli.done(*commands[0])
    cli.done(*commands[-1])


def lose(catalog: RealCatalog, table: str, leave: int, column: str = "id") -> int:
    """Rows of *table* go, by *column*, until about *leave* are there; return how many there are."""
    with editing(catalog.database) as database:
        values = [row[0] for row in database.execute(f"SELECT {column} FROM {table} ORDER BY 1")]
        for value in dict.fromkeys(values[leave:]):
            database.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.mark.parametrize(
    ("table", "column", "leave"),
    [
        ("step_run_input_artifact", "artifact_id", 0),
        ("hook_invocation_output_artifact", "artifact_version_id", 0),
        ("artifact_version", "id", 34),
    ],
)
def test_a_catalog_that_collapsed_since_the_mark_is_not_swept(
    cli: Cli, newest: RealCatalog, plan: Path, snapshot: Files, table: str, column: str, leave: int
) -> None:
    """Neither swept nor rehearsed, and no journal is begun; when the rows are back, or in a new plan, all is well."""
    whole = database_of(newest.database).keep()
    had = cli.json("show", plan)["plan"]["catalog"]["rows"][table]
    lose(newest, table, leave, column)
    before = snapshot()
    for more in (("--yes",), ("--dry-run",)):
        ended = cli("sweep", plan, "--catalog", newest.url, *more)
        word = f"{table} held {had} rows, should hold about {had}, and holds {leave}"
        ended.refused(26, "error[guard-refused]", "lost rows since the plan was made", word, "make a new plan")
    assert snapshot() == before
    assert not journal_path(plan).exists()
    again = plan.with_name("again.json")
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--quiet", "--out", again)
    cli.done("sweep", again, "--catalog", newest.url, "--dry-run")
    database_of(newest.database).restore(whole)
    books = cli.json("sweep", plan, "--catalog", newest.url, "--yes")["books"]
    assert books["deleted"] == books["planned"] > 0


def test_a_table_may_shrink_a_little(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """Somebody deletes runs and half of the versions: that is life."""
    assert lose(newest, "step_run_input_artifact", 1, "artifact_id") < 10
    lose(newest, "artifact_version", (len(newest.by_id) + 1) // 2)
    assert cli("sweep", plan, "--catalog", newest.url, "--dry-run").status in (0, 11)


def half_swept(cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that claimed every entry, and could not delete all of the bytes: the next one can."""
    refusal = Refusal(monkeypatch, "data.json")
    result = cli.json("sweep", plan, "--yes", "--catalog", newest.url, "-i", "--drain", "0", status=12)
    assert result["books"]["not_attempted"] == 0
    assert result["books"]["failed"]
    refusal.on = False


@pytest.mark.parametrize("collapsed", [False, True])
def test_a_resumed_sweep_knows_what_it_removed_itself(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch, collapsed: bool
) -> None:
    """Half of the versions that it left may go, too, and no more. The refusal says what was deleted by then."""
    had = len(newest.by_id)
    half_swept(cli, newest, plan, monkeypatch)
    left = len(newest.existing_ids())
    leave = (left + 1) // 2 - int(collapsed)
    assert leave < had // 2 < left, "it would be a collapse, were nothing removed"
    lose(newest, "artifact_version", leave)
    for how in ("--dry-run", "--yes"):
        ended = cli("sweep", plan, "--catalog", newest.url, how)
        if collapsed:
            assert ended.status == 26, ended
            assert f"artifact_version held {had} rows, should hold about {left}, and holds {leave}" in ended.flat
            assert how == "--dry-run" or f"of {had - left} entries were deleted" in ended.flat
        else:
            assert ended.status == 0, ended


def test_a_resumed_sweep_knows_the_model_links_that_it_removed(
    cli: Cli, newest: RealCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version may have had hundreds of links: they went with it, as the plan said."""
    linked = next(iter(newest.ids("model_only_manual"))).replace("-", "")
    with editing(newest.database) as database:
        where = f"artifact_version_id = '{linked}'"
        for _ in range(300):
            copy_row(database, "model_versions_artifacts", where)
    plan = tmp_path / "linked.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--ignore-model-links", "--quiet", "--out", plan)
    half_swept(cli, newest, plan, monkeypatch)
    assert lose(newest, "model_versions_artifacts", 1000) < 10
    cli.done("sweep", plan, "--catalog", newest.url, "--dry-run")
    cli.done("sweep", plan, "--catalog", newest.url, "--yes")


def test_an_only_artifact_sweep_removed_no_rows(
    cli: Cli, newest: RealCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal holds images of rows that stay: they explain no loss."""
    plan = tmp_path / "bytes.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--only-artifact", "--quiet", "--out", plan)
    half_swept(cli, newest, plan, monkeypatch)
    had = len(newest.existing_ids())
    lose(newest, "artifact_version", had // 2 - 1)
    ended = cli("sweep", plan, "--yes", "--catalog", newest.url, "--drain", "0")
    assert ended.status == 26, ended
    assert f"should hold about {had}, and holds {had // 2 - 1}" in ended.flat


def test_mark_says_what_is_new_and_gone_since_the_plan_before(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """``--compare``: counted in the summary and in the document."""
    some, more = tmp_path / "some.json", tmp_path / "more.json"
    mark = ("mark", "--catalog", newest.url, "--no-grace")
    less = cli.json(*mark, "--exclude-artifact", "raw", "--out", some)["plan"]["entries"]
    full = cli.json(*mark, "--out", more)["plan"]["entries"]
    assert 0 < less < full == len(expected_orphans(newest))
    versions = len(newest.by_id)
    found = cli.json(*mark, "--compare", some, "--out", tmp_path / "a.json")["compared"]
    before, totals = found["before"], found["totals"]
    assert (before["entries"], before["versions_in_catalog"], before["path"]) == (less, versions, str(some))
    assert (totals["new"]["entries"], totals["gone"]["entries"], totals["same"]["entries"]) == (full - less, 0, less)
    assert [fact["name"] for fact in found["facts"]] == ["exclude_artifacts"]
    found = cli.json(*mark, "--exclude-artifact", "raw", "--compare", more, "--out", tmp_path / "b.json")["compared"]
    assert [found["totals"][fate]["entries"] for fate in ("new", "gone", "same")] == [0, full - less, less]
    shown = cli.done(*mark, "--compare", some, "--out", tmp_path / "c.json").flat
    assert f"then {less} entries ({100 * less / versions:.1f} % of the catalog)" in shown
    assert f"now {full} entries ({100 * full / versions:.1f} % of the catalog)" in shown
    assert f"newly orphaned {full - less} " in shown
    assert "exclude_artifacts: not artifacts raw -> none" in shown
    assert cli.json(*mark, "--out", tmp_path / "d.json")["compared"] is None


def test_mark_refuses_a_share_that_jumped(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """No plan is written, unless ``--max-jump`` allows it, which is signed into the plan."""
    few, out = tmp_path / "few.json", tmp_path / "out.json"
    mark = ("mark", "--catalog", newest.url, "--no-grace")
    less = cli.json(*mark, "--artifact", "raw", "--out", few)["plan"]["entries"]
    full, versions = len(expected_orphans(newest)), len(newest.by_id)
    compare = (*mark, "--compare", few, "--out", out)
    points = math.ceil(100 * (full - less) / versions)
    cli(*compare).refused(
        26, "the share of orphans jumped", f"{less} of {versions} versions (", f"{full} of {versions} versions (",
        "made with other options", f"--max-jump {points}",
    )  # fmt: skip
    cli(*compare, "--max-jump", points - 1).refused(26, f"--max-jump {points}")
    assert not out.exists()
    assert cli.json(*compare, "--max-jump", points)["plan"]["policy"]["max_jump"] == points
    assert f"at most {points} percentage points more than in the plan before" in cli.done("show", out).flat
    cli(*mark, "--max-jump", 5, "--out", tmp_path / "x.json").refused(2, "--max-jump", "add --compare PLAN")


def test_mark_refuses_references_that_collapsed_since_the_plan_before(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path
) -> None:
    """However many points are allowed; without --compare nobody knows."""
    lose(newest, "model_versions_artifacts", 0)
    mark = ("mark", "--catalog", newest.url, "--no-grace", "--max-share", "100", "--out", tmp_path / "out.json")
    ended = cli(*mark, "--compare", plan, "--max-jump", 100)
    ended.refused(26, "lost references since", "model_versions_artifacts held", "mark without --compare")
    cli.done(*mark)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("option", ["--compare", "--seen-in"])
def test_an_earlier_plan_is_whole_and_trusted(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path, option: str
) -> None:
    """Changed, or by an unknown key, which is named, it is refused; with a trust file it is taken."""
    mark = ("mark", "--catalog", newest.url, "--no-grace", "--out", tmp_path / "out.json", option)
    changed = tmp_path / "changed.json"
    changed.write_bytes(plan.read_bytes().replace(b'"entries":2', b'"entries":3', 1))
    cli(*mark, changed).refused(20, "was changed after it was signed")
    cli(*mark, tmp_path / "missing.json").refused(2, "cannot be opened")
    stranger = Cli(tmp_path / "stranger", cli.environ)
    signer = cli.json("show", plan)["plan"]["signer"]["fingerprint"]
    stranger(*mark, plan).refused(20, f"is signed by the key {signer}, which is not trusted")
    assert not (tmp_path / "out.json").exists()
    time.sleep(1.1)  # a second look is of a later second
    assert stranger.json(*mark, plan, "--trust", cli.config / "allowed_signers")["plan"]["entries"] > 0


@pytest.mark.parametrize("option", ["--compare", "--seen-in"])
def test_an_earlier_plan_is_one_of_this_catalog(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path, option: str
) -> None:
    """ZenML was set up anew: what was an orphan then says nothing."""
    with editing(newest.database) as database:
        database.execute("UPDATE server_settings SET id = replace(id, substr(id, 1, 4), 'ffff')")
    ended = cli("mark", "--catalog", newest.url, "--no-grace", "--out", tmp_path / "out.json", option, plan)
    ended.refused(23, "error[other-catalog]", f"given with {option}", "server id")


def test_a_second_look_takes_only_what_was_an_entry_before(
    cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path
) -> None:
    """New orphans, and one that moved, wait for the next plan; the plan names the digest of the first one."""
    orphans = expected_orphans(newest)
    moved = min(orphans)
    lose(newest, "step_run_output_artifact", 5, "artifact_id")
    with editing(newest.database) as database:
        elsewhere = newest.by_id[moved]["uri"].rstrip("/") + "_moved"
        database.execute("UPDATE artifact_version SET uri = ? WHERE id = ?", (elsewhere, moved.replace("-", "")))
    time.sleep(1.1)  # a second look is of a later second
    mark = ("mark", "--catalog", newest.url, "--no-grace", "--max-share", "100")
    everything = cli.json(*mark, "--out", tmp_path / "all.json")["plan"]
    assert everything["entries"] > len(orphans)
    second = tmp_path / "second.json"
    found = cli.json(*mark, "--seen-in", plan, "--out", second)["plan"]
    assert found["entries"] == len(orphans) - 1
    assert found["kept"]["first_seen"] == everything["entries"] - found["entries"]
    assert found["policy"]["seen_in"] == cli.json("show", plan)["plan"]["digest"]
    ids = {entry["id"] for entry in cli.json("show", second, "--entries", 100)["entries"]}
    assert ids == orphans - {moved}
    assert "first_seen" in cli.done("show", second).flat


def test_a_plan_from_before_a_restore_of_another_schema_is_refused(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """A backup of the time before a migration, put back in the same place: the revision tells, and the remedy says it."""
    with editing(newest.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '0.97.0'")
    for how in ("--dry-run", "--yes"):
        ended = cli("sweep", plan, "--catalog", newest.url, how)
        ended.refused(
            23, "error[other-catalog]", "its schema revision is '0.98.0', and this one's is '0.97.0'",
            "make a new plan if it was migrated, or restored from a backup since",
        )  # fmt: skip


def test_a_plan_from_before_a_restore_in_the_same_place_still_rechecks(
    cli: Cli, newest: RealCatalog, tmp_path: Path
) -> None:
    """The same server, schema and place: older rows cannot be told from newer ones, but each entry is asked again."""
    backup = database_of(newest.database).keep()
    lose(newest, "model_versions_artifacts", 3)
    plan = tmp_path / "plan.json"
    planned = cli.json("mark", "--catalog", newest.url, "--no-grace", "--max-share", "100", "--out", plan)["plan"]
    database_of(newest.database).restore(backup)
    orphans = expected_orphans(newest)
    assert len(orphans) < planned["entries"]
    books = cli.json("sweep", plan, "--catalog", newest.url, "--yes", status=11)["books"]
    assert books["deleted"] == len(orphans)
    assert books["referenced"] + books["protected"] == planned["entries"] - len(orphans)
    assert newest.existing_ids() == set(newest.by_id) - orphans


@pytest.mark.parametrize("newest", ["0.98.0-mariadb"], indirect=True)
def test_a_dump_that_was_loaded_over_the_database_is_another_instance(
    cli: Cli, newest: RealCatalog, plan: Path, mariadb: MariaDbServer
) -> None:
    """Its tables are new, under the same name on the same server: refused, and the remedy is a new plan."""
    name = newest.url.rpartition("/")[2]
    connect = (f"--socket={mariadb.socket}", "--user=root", name)
    dump = subprocess.run([program("mariadb-dump"), *connect], check=True, capture_output=True).stdout
    time.sleep(1.1)  # the server notes the second in which a table was made
    subprocess.run([program("mariadb"), *connect], input=dump, check=True, capture_output=True)
    for how in ("--dry-run", "--yes"):
        ended = cli("sweep", plan, "--catalog", newest.url, how)
        ended.refused(23, "another instance", "a restored backup", "if it was restored, make a new plan")
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--out", plan.with_name("new.json"))
    cli.done("sweep", plan.with_name("new.json"), "--catalog", newest.url, "--dry-run")


def test_the_clock_of_a_real_server_is_compared(cli: Cli, mariadb_base: Path, tmp_path: Path) -> None:
    """A server whose sessions run ten minutes ahead: nothing is played here."""
    with MariaDbServer(mariadb_base, init_connect="SET timestamp = UNIX_TIMESTAMP() + 600") as server:
        catalog = in_mariadb("0.98.0", server, tmp_path)
        ahead = cli.with_environ(ZENML_CONFIG_PATH=str(catalog.config))
        out = tmp_path / "out.json"
        refused = ahead("mark", "--catalog", catalog.url, "--no-grace", "--out", out)
        refused.refused(26, "error[guard-refused]", "apart (h:mm:ss)", "set the clock")
        server.execute("SET GLOBAL init_connect = ''")
        ahead.done("mark", "--catalog", catalog.url, "--no-grace", "--out", out)
        server.execute("SET GLOBAL init_connect = 'SET timestamp = UNIX_TIMESTAMP() - 600'")
        for how in ("--dry-run", "--yes"):
            ahead("sweep", out, "--catalog", catalog.url, how).refused(26, "apart (h:mm:ss)")
