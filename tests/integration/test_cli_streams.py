"""Where things are written: results to standard output, everything else to standard error; colours only for terminals."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from marksweep.cli import sweeping
from marksweep.cli.screen import Screen
from marksweep.report.progress import SweepProgress
from tests.conftest import anew
from tests.integration.conftest import NEWEST
from tests.support.catalogs import RealCatalog
from tests.support.cli import Cli, Ended, check, errors

MARKSWEEP = (sys.executable, "-m", "marksweep")


@pytest.fixture(params=NEWEST[:1])
def newest(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """On SQLite unless a test asks for more: most of this does not look at the database."""
    return anew(request, tmp_path)


def run(cli: Cli, *arguments: object, **options: Any) -> Ended:
    """The program as a process of its own, its output going to pipes."""
    words = tuple(map(str, arguments))
    done = subprocess.run(
        [*MARKSWEEP, *words], env=cli.environment(), capture_output=True, text=True, check=False, timeout=60, **options
    )
    ended = Ended(words, done.returncode, done.stdout, done.stderr)
    check(ended)
    return ended


def on_terminal(cli: Cli, *arguments: object, typed: str = "", after: str = "Delete?") -> tuple[int, str]:
    """The program with a terminal: its status, and all that it wrote there. *typed* is sent when *after* was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*MARKSWEEP, *map(str, arguments)], cli.environment())
    shown, until, again = b"", time.monotonic() + 60, typed if typed in ("\x03", "\x04") else ""
    try:
        while time.monotonic() < until:
            if not select.select([terminal], [], [], 1)[0]:
                if again and not typed:  # a key may come before the program listens for it: a person presses it again
                    os.write(terminal, again.encode())
                continue
            try:
                octets = os.read(terminal, 65536)
            except OSError:  # the end, as Linux says it
                break
            if not octets:
                break
            shown += octets
            if typed and after.encode() in shown:
                time.sleep(0.2)  # the question is shown before its answer is waited for
                os.write(terminal, typed.encode())
                typed = ""
    finally:
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, shown.decode()


def test_a_process_of_its_own_behaves_like_the_command_in_the_tests(
    cli: Cli, newest: RealCatalog, tmp_path: Path
) -> None:
    """stdout is the result and nothing else, stderr the rest; statuses come through; an absent key is told of once."""
    out = tmp_path / "plan.json"
    marked = run(cli, "mark", "--catalog", newest.url, "--no-grace", "--detailed-exitcode", "--out", out, "--json")
    assert marked.status == 10
    assert not errors("mark", marked.json)
    assert "A signing key was made" in marked.err
    assert not errors("plan", json.loads(out.read_bytes()))
    swept = run(cli, "sweep", out, "--yes", "--catalog", newest.url)
    assert swept.status == 0
    assert "27 of 27 entries deleted" in swept.out
    receipt = json.loads(Path(f"{out}.receipt.json").read_bytes())
    assert not errors("receipt", receipt)
    assert run(cli, "prune", "--catalog", newest.url, stdin=subprocess.DEVNULL).status == 2


def test_quiet_says_nothing_on_standard_error(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """But for errors."""
    out = tmp_path / "plan.json"
    cli.done("keys", "create")
    assert cli.done("mark", "--catalog", newest.url, "--no-grace", "--out", out, "--quiet").err == ""
    assert cli.done("explain", "raw", "--catalog", newest.url, "--quiet").err == ""
    assert cli.done("sweep", out, "--yes", "--catalog", newest.url, "--quiet").err == ""
    assert "error[usage]" in cli("mark", "--catalog", newest.url, "--out", out, "--quiet").err


@pytest.mark.parametrize("newest", NEWEST, indirect=True)
def test_json_of_every_command_fits_its_schema_and_stands_alone(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """The harness validates each; here each is asked for, and nothing but the document is on standard output."""
    plan = tmp_path / "plan.json"
    cli.json("keys", "create")
    cli.json("keys", "show")
    other = tmp_path / "other"
    line = cli.json("keys", "create", "--out", other, "--as", "b@example.org")["allowed_signers_line"]
    cli.json("keys", "trust", line)
    cli.json("mark", "--catalog", newest.url, "--no-grace", "--out", plan)
    shown = cli.json("show", plan, "--entries", 1000)
    assert len(shown["entries"]) == shown["plan"]["entries"] == 27
    cli.json("approve", plan, "--yes", "--key", other, "--as", "b")
    assert cli.json("verify", plan, "--approvals", 1)["approvals"] == ["b@example.org"]
    assert cli.json("status", plan)["started"] is None
    assert cli.json("sweep", plan, "--dry-run", "--catalog", newest.url)["dry_run"] is True
    assert cli.json("sweep", plan, "--yes", "--catalog", newest.url)["receipt"] == f"{plan}.receipt.json"
    assert cli.json("status", plan)["books"]["deleted"] == 27
    assert len(cli.json("explain", "raw", "--catalog", newest.url)["versions"]) >= 2
    assert cli.json("prune", "--yes", "--catalog", newest.url, "--no-grace")["sweep"] is None
    assert cli.json("show", tmp_path / "none", status=2)["error"]["deleted"] == "nothing was deleted"


def test_errors_with_json_are_documents_on_standard_output(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """So that a script reads one stream, whatever happened."""
    refused = cli("sweep", plan, "--catalog", newest.url, "--json")
    assert refused.status == 2
    assert refused.err == ""
    assert refused.json["error"]["remedy"] == "add --yes"


@pytest.mark.parametrize("quiet", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "300"}])
def test_no_escape_bytes_reach_a_pipe(cli: Cli, newest: RealCatalog, plan: Path, quiet: dict[str, str]) -> None:
    """The harness looks at every output; here the environment asks for it, too."""
    user = cli.with_environ(**quiet)
    for arguments in (("show", plan), ("status", plan), ("explain", "raw", "--catalog", newest.url), ("--help",)):
        ended = user.done(*arguments)
        assert "\x1b" not in ended.out + ended.err


def test_a_terminal_is_asked_and_no_means_no(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """The question names the catalog, the totals and that there is no undo; "n" ends with 130 and deletes nothing."""
    before = newest.file_digests()
    status, shown = on_terminal(cli, "sweep", plan, "--catalog", newest.url, typed="n\n")
    assert status == 130, shown
    text = " ".join(shown.split())
    for word in (
        "27 versions",
        "6.1 KiB",
        "zenml 0.98.0 on sqlite",
        "--no-grace",
        "has no undo",
        "nothing was deleted",
    ):
        assert word in text, shown
    assert "\x1b[" in shown, "a terminal is given colours"
    assert newest.file_digests() == before


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_leaving_the_question_means_no(cli: Cli, newest: RealCatalog, plan: Path, key: str) -> None:
    """Ctrl-C or Ctrl-D at the question: 130, nothing is deleted, and no traceback."""
    before = newest.file_digests()
    status, shown = on_terminal(cli, "sweep", plan, "--catalog", newest.url, typed=key)
    assert status == 130
    assert "not confirmed" in shown
    assert "Traceback" not in shown
    assert newest.file_digests() == before


def test_a_finished_plan_is_not_asked_about(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """There is nothing left that a person could say no to."""
    cli("sweep", plan, "--yes", "--catalog", newest.url)
    ended = cli("sweep", plan, "--catalog", newest.url)
    assert ended.status == 0
    assert "nothing left to do" in ended.out


def test_a_terminal_without_colours_and_yes_means_yes(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """NO_COLOR: emphasis and the progress line may move the cursor, but nothing has a colour."""
    user = cli.with_environ(NO_COLOR="1")
    status, shown = on_terminal(user, "sweep", plan, "--catalog", newest.url, typed="y\n")
    assert status == 0, shown
    assert "27 of 27 entries deleted" in shown
    colours = [
        code for code in shown.split("\x1b[")[1:] for number in code.partition("m")[0].split(";") if number in COLOURS
    ]
    assert not colours, colours


COLOURS = {str(number) for number in (*range(30, 50), *range(90, 108))}


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "COMP_WORDS"), ("zsh", "#compdef marksweep"), ("fish", "complete")]
)
def test_the_completion_scripts_are_printed(cli: Cli, shell: str, word: str) -> None:
    """``marksweep --show-completion SHELL``, as typer does it."""
    user = cli.with_environ(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    ended = user.done("--show-completion", shell)
    assert word in ended.out
    assert "marksweep" in ended.out


def test_help_and_version_come_fast_and_load_no_adapter(cli: Cli) -> None:
    """A shell that completes a word does not wait for SQLAlchemy or s3fs."""
    code = (
        "import sys\nfrom marksweep.cli.main import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    assert end.code in (0, None), end.code\n"
        "slow = {'sqlalchemy', 's3fs', 'fsspec', 'gcsfs', 'botocore', 'cryptography', 'anyio'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    for argument in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, argument], env=cli.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "marksweep" in done.stdout


def test_every_command_has_help(cli: Cli) -> None:
    """And the bare program shows it."""
    for command in ("mark", "show", "verify", "approve", "sweep", "status", "explain", "prune", "demo", "keys"):
        assert "Usage: marksweep" in cli.done(command, "-h").flat
    for command in ("create", "show", "trust"):
        assert f"keys {command}" in cli.done("keys", command, "--help").flat


def test_a_reader_that_goes_away_is_no_bug(cli: Cli, plan: Path) -> None:
    """``marksweep show plan.json | head -1``."""
    with subprocess.Popen(
        [*MARKSWEEP, "show", str(plan), "--entries", "27"],
        env=cli.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()
    assert "Traceback" not in said, said
    assert "bug" not in said, said


def unread() -> int:
    """A descriptor that takes nothing: the end of a pipe whose reader went away."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_an_unread_standard_error_changes_no_outcome(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """The status is the one that the command would have had, and standard output still gets its document."""

    def ends(*arguments: object) -> tuple[int, str]:
        error = unread()
        done = subprocess.run(
            [*MARKSWEEP, *map(str, arguments)], env=cli.environment(), stdout=subprocess.PIPE, stderr=error, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        os.close(error)
        return done.returncode, done.stdout

    assert ends("verify", tmp_path / "none.json") == (2, "")
    assert ends("verify", plan, "--approvals", 1) == (21, "")
    trash = ("--trash", tmp_path / "trash")  # of which it tells people
    status, out = ends("sweep", plan, "--yes", "--catalog", newest.url, *trash, "--json")
    assert (status, json.loads(out)["books"]["deleted"]) == (0, 27)


def test_progress_that_nobody_reads_leaves_the_other_stream_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich would turn standard output to /dev/null when standard error is a pipe without a reader."""
    stream = os.fdopen(unread(), "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", stream)
    before = os.fstat(sys.stdout.fileno())
    with SweepProgress(Screen().err, every=0.001) as progress:
        assert progress._thread is not None
        progress._thread.join(10)
        assert not progress._thread.is_alive()  # it has tried, and given up
    assert os.path.samestat(os.fstat(sys.stdout.fileno()), before)
    with suppress(BrokenPipeError):  # what it could not write is still there
        stream.close()


def test_ctrl_c_at_the_receipt_says_what_was_deleted(
    cli: Cli, newest: RealCatalog, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that waits to be touched can be given up; the next run writes the receipt."""

    def given_up(*_: object) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "leave_receipt", given_up)
        ended = cli("sweep", plan, "--yes", "--catalog", newest.url)
    assert ended.status == 130
    assert "27 of 27 entries were deleted" in ended.flat
    assert "27 of 27 entries deleted" in cli.done("sweep", plan, "--yes", "--catalog", newest.url).flat
    assert Path(f"{plan}.receipt.json").exists()
