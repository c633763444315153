"""``marksweep log``: what became of each plan of a folder, and nothing that nobody proved."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from marksweep.model.outcome import Deleted, Kept, KeptBecause, Mode
from marksweep.plan.approvals import approve
from marksweep.plan.document import instant
from marksweep.plan.receipt import Outcomes, Receipt, receipt_path, write_receipt
from marksweep.plan.verify import review
from marksweep.report.log_documents import LogResult
from marksweep.report.render import render
from marksweep.sweep.journal import Journal
from marksweep.sweep.journal_reader import journal_path
from marksweep.sweep.lock import held
from tests.support.cli import Cli
from tests.unit.plan.support import ALICE, CAROL, MALLORY, PLANNER, TRUST, draft, six, write_plan

NOW = datetime.now(UTC).replace(microsecond=0)
SIX = sum(e.bytes or 0 for e in six())
DAY = timedelta(days=1)


def made(path: Path, *, ago: timedelta, by: Any = PLANNER, expires: timedelta = 14 * DAY) -> str:
    """A plan of six entries that was made so long *ago*; its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = draft(six())
    facts = msgspec.structs.replace(
        header.plan, id=path.stem, created=instant(NOW - ago), expires=instant(NOW - ago + expires)
    )
    found = write_plan(path, msgspec.structs.replace(header, plan=facts), six(), by)
    return found.digest


def receipt(path: Path, digest: str, by: Any = CAROL, *, left: int = 0, at: datetime = NOW) -> None:
    """The receipt of a sweep that deleted all six but *left*."""
    outcomes = Outcomes(
        planned=6, deleted=5 - left, gone=0, referenced=1, changed=0, protected=0, failed=0, not_attempted=left,
        objects=9, bytes=7000, left=0, restored=0,
    )  # fmt: skip
    found = Receipt(
        plan=path.stem, plan_digest=digest, mode=Mode.BOTH, tool="marksweep 0.1.0", started=instant(at - DAY),
        finished=instant(at), outcomes=outcomes, journal="sha256:" + "0" * 64,
    )  # fmt: skip
    write_receipt(path, found, by)


def journal(path: Path, digest: str, deleted: int) -> None:
    """The journal of a sweep that got so far; its first entry is kept."""
    found = Journal(journal_path(path), {"plan": digest, "plan_id": "x"}, lambda: datetime.now(UTC))
    first, *rest = six()
    found.settle([(first, first.id, Kept(KeptBecause.CHANGED))])
    found.settle([(e, e.id, Deleted(2, 500)) for e in rest[:deleted]])
    found.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a plan in each state below plans/, and one at its top."""
    top = tmp_path_factory.mktemp("repository")
    (top / "signers").write_text(TRUSTED)
    plans = top / "plans"
    made(top / "plan.json", ago=timedelta(hours=1))
    made(plans / "approved.plan.json", ago=DAY)
    with review(plans / "approved.plan.json", TRUST, NOW) as plan:
        approve(plan, ALICE, "alice@example.org")
    receipt(plans / "swept.plan.json", made(plans / "swept.plan.json", ago=2 * DAY))
    receipt(plans / "partly.plan.json", made(plans / "partly.plan.json", ago=3 * DAY, expires=DAY), left=2)
    journal(plans / "going.plan.json", made(plans / "going.plan.json", ago=4 * DAY), deleted=3)
    made(plans / "2026" / "old.plan.json", ago=40 * DAY)
    made(plans / "mallory.plan.json", ago=5 * DAY, by=MALLORY)
    changed = plans / "changed.plan.json"
    made(changed, ago=6 * DAY)
    changed.write_bytes(changed.read_bytes().replace(b'"version":"1"', b'"version":"9"', 1))
    (plans / "empty.plan.json").write_text("{}\n")
    (plans / "notes.json").write_text('{"format":"something/1"}\n')
    made(plans / ".hidden" / "h.plan.json", ago=DAY)
    return top


TRUSTED = "".join(
    f"{name} {options}{key.public.line}\n"
    for name, options, key in (
        ("ci@example.org", 'namespaces="marksweep-plan@marksweep.dev" ', PLANNER),
        ("alice@example.org", 'namespaces="marksweep-approve@marksweep.dev" ', ALICE),
        ("carol@example.org", "", CAROL),
    )
)


@pytest.fixture
def user(cli: Cli, world: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Somebody at the top of that repository."""
    monkeypatch.chdir(world)
    return cli.with_environ(MARKSWEEP_TRUST="signers")


def lines(user: Cli, *arguments: object) -> dict[str, Any]:
    """The plans by the stem of their names, in the order of the listing."""
    found = user.json("log", *arguments)["plans"]
    return {Path(line["path"]).name.partition(".")[0]: line for line in found}


def test_each_plan_is_listed_with_its_state_newest_first(user: Cli) -> None:
    """Every state there is, from plans, approvals, receipts and journals; what cannot be read comes last."""
    found = lines(user)
    assert {name: line["state"] for name, line in found.items()} == {
        "plan": "planned", "approved": "approved", "swept": "swept", "partly": "partly", "going": "partly",
        "old": "expired", "changed": "untrusted", "empty": "unreadable", "mallory": "untrusted",
    }  # fmt: skip
    assert list(found) == ["plan", "approved", "swept", "partly", "going", "old", "changed", "empty", "mallory"]
    assert found["approved"]["approvals"] == ["alice@example.org"]
    assert found["swept"]["signer"] == "ci@example.org"
    assert (found["swept"]["swept"]["by"], found["swept"]["swept"]["bytes"]) == ("carol@example.org", 7000)
    assert (found["partly"]["expired"], found["partly"]["swept"]["not_attempted"]) == (True, 2)
    going = found["going"]["swept"]
    assert (going["source"], going["by"], going["deleted"], going["kept"], going["bytes"]) == (
        "journal", None, 3, 1, 1500,
    )  # fmt: skip


def test_the_sum_counts_each_plan_once(user: Cli, world: Path) -> None:
    """A copy of a plan is listed, and not counted again; what cannot be believed is not counted at all."""
    copy = world / "plans" / "copy.plan.json"
    try:
        shutil.copy(world / "plans" / "swept.plan.json", copy)
        found = user.json("log", "plans")
    finally:
        copy.unlink()
    assert found["totals"] == {"plans": 9, "entries": 30, "bytes": 5 * SIX, "freed": 7000 + 7000 + 1500}


def test_only_some_states(user: Cli) -> None:
    """--state filters, may be repeated, and knows its words; the sum is of what is listed."""
    found = user.json("log", "--state", "swept", "--state", "expired")
    assert [line["state"] for line in found["plans"]] == ["swept", "expired"]
    assert found["totals"]["freed"] == 7000
    user("log", "--state", "done").refused(2, "--state 'done' is no state", "approved, planned")
    user("log", "nowhere").refused(2, "the folder nowhere cannot be read")


def test_nothing_is_believed_that_nobody_trusted_signed(user: Cli, world: Path) -> None:
    """A changed plan, a stranger's plan, a stranger's receipt, and one of another plan: each is named, none counts."""
    found = lines(user)
    assert "changed after it was signed" in found["changed"]["problem"]
    assert "is not trusted" in found["mallory"]["problem"]
    assert all(found[name]["entries"] is None and found[name]["signer"] is None for name in ("changed", "mallory"))
    plan = world / "plans" / "approved.plan.json"
    for digest, by, why in (
        (found["approved"]["digest"], MALLORY, "not trusted to sign receipts"),
        (found["swept"]["digest"], CAROL, "the receipt of another plan"),
    ):
        receipt(plan, digest, by)
        try:
            line = lines(user)["approved"]
        finally:
            receipt_path(plan).unlink()
        assert (line["state"], line["swept"]) == ("approved", None)
        assert why in line["problem"]


def test_a_journal_that_went_on_since_its_receipt_counts(user: Cli, world: Path) -> None:
    """An old receipt does not hide what a sweep has done since; a sweep that is running is said to be."""
    plan = world / "plans" / "going.plan.json"
    digest = lines(user)["going"]["digest"]
    receipt(plan, digest, left=5, at=NOW - DAY)
    try:
        with held(plan):
            line = lines(user)["going"]
    finally:
        receipt_path(plan).unlink()
    assert line["running"]
    assert (line["swept"]["source"], line["swept"]["deleted"]) == ("journal", 3)


def test_fast_says_that_nothing_is_proven(user: Cli) -> None:
    """With --fast headers alone are read: a stranger's plan looks like any other, and nobody is named as its signer."""
    found = user.json("log", "--fast")
    assert found["verified"] is False
    states = {Path(line["path"]).name.partition(".")[0]: line for line in found["plans"]}
    assert states["mallory"]["state"] == "planned"
    assert {line["signer"] for line in found["plans"]} == {None}
    assert states["swept"]["swept"]["by"] is None
    assert user("log", "--fast").out.startswith("Not verified: ")


def test_approvals_are_those_that_are_asked_for(user: Cli) -> None:
    """Of two that are asked for, one is not enough."""
    assert lines(user, "--approvals", "2")["approved"]["state"] == "planned"
    assert "1 of 2 approvals" in user("log", "--approvals", "2").out


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_a_terminal(user: Cli, width: int) -> None:
    """No line but a path is wider than the terminal; the first line of each plan is in columns; the sum comes last."""
    shown = io.StringIO()
    result = msgspec.convert(user.json("log"), LogResult)
    render(result, Console(file=shown, width=width, force_terminal=True, no_color=True, _environ={"TERM": "dumb"}))
    out = shown.getvalue().splitlines()
    assert out[0].split() == ["state", "made", "(UTC)", "entries", "bytes", "freed", "sha256"]
    assert max(map(len, out)) <= width
    assert out[-1] == "9 plans, 36 entries, 82.0 KiB planned, 15.1 KiB freed"


def test_more_than_asked_for(user: Cli) -> None:
    """--max bounds how many are looked at, and says that there are more."""
    found = user.json("log", "plans", "--max", "3")
    assert (len(found["plans"]), found["more"]) == (3, True)
    assert "There are more" in user("log", "plans", "--max", "3").out


def test_an_empty_folder(user: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, with its name; the current one has none."""
    (tmp_path / "none").mkdir()
    assert user.done("log", tmp_path / "none").out == f"No plans in {tmp_path / 'none'}.\n"
    monkeypatch.chdir(tmp_path / "none")
    assert user.with_environ(MARKSWEEP_TRUST="").done("log").out == "No plans in this folder.\n"


def test_hostile_names_do_nothing(user: Cli, tmp_path: Path) -> None:
    """A file's name and the names of approvals may hold anything; nothing of it is obeyed (the Cli checks each run)."""
    plan = tmp_path / "x" / "\x1b[2J\u202egnp.plan.json"
    made(plan, ago=DAY)
    folder = plan.with_name(plan.name + ".approvals")
    folder.mkdir()
    (folder / "\x1b]8;;http:x\x07.sig").write_text("no signature")
    for options in ((), ("--fast",), ("--json",), ("--fast", "--json")):
        user.done("log", tmp_path / "x", *options)
    assert json.loads(user("log", tmp_path / "x", "--json").out)["plans"][0]["state"] == "planned"


def forged(path: Path, digest: str, *statements: str) -> None:
    """A journal that binds itself to the plan with *digest*, and in which somebody wrote what they liked."""
    journal(path, digest, deleted=5)
    with closing(sqlite3.connect(journal_path(path))) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


LIES = {
    "more": "INSERT INTO entry (id, unit, uri, updated, state, at) SELECT 'm' || value, 'm', 'm', '', 'deleted', '2026' FROM"
    " json_each('[1,2,3]')",
    "unbound": "DELETE FROM meta WHERE name = 'started'",
    "when": "UPDATE entry SET at = 'zzz'",
    "begun": "UPDATE meta SET value = 'x' WHERE name = 'started'",
    "minus": "UPDATE entry SET objects = -5, bytes = -500",
    "huge": "UPDATE entry SET bytes = 9223372036854775807",
}


def test_a_journal_of_lies_stops_no_listing_and_sweeps_nothing(user: Cli, tmp_path: Path) -> None:
    """What cannot be a journal's word is said, and the plan is in the state that it has without it; other plans are listed."""
    for name, lie in LIES.items():
        path = tmp_path / f"{name}.plan.json"
        forged(path, made(path, ago=DAY), lie)
    good = tmp_path / "good.plan.json"
    journal(good, made(good, ago=DAY), deleted=5)
    found = lines(user, tmp_path)
    assert found.pop("good")["state"] == "swept"
    assert found.keys() == LIES.keys()
    for name, line in found.items():
        assert (line["state"], line["swept"]) == ("planned", None), name
        assert "its journal " in line["problem"], name


def test_a_time_that_does_not_exist_stops_no_fast_listing(user: Cli, tmp_path: Path) -> None:
    """With --fast nothing was verified, and so a plan may say anything."""
    path = tmp_path / "odd.plan.json"
    made(path, ago=DAY)
    created = json.loads(path.read_bytes())["plan"]["created"]
    path.write_bytes(path.read_bytes().replace(created.encode(), b"2026-99-99T99:99:99Z"[: len(created)]))
    assert lines(user, tmp_path, "--fast")["odd"]["state"] == "unreadable"


def test_what_was_brought_back_is_not_swept(user: Cli, tmp_path: Path) -> None:
    """After a restore the receipt says how many entries are back; one that brought everything back leaves nothing swept."""
    path = tmp_path / "back.plan.json"
    outcomes = Outcomes(
        planned=6, deleted=0, gone=0, referenced=0, changed=0, protected=0, failed=0, not_attempted=0, objects=0, bytes=0,
        left=0, restored=6,
    )  # fmt: skip
    facts = Receipt(
        plan="back", plan_digest=made(path, ago=DAY), mode=Mode.BOTH, tool="marksweep 0.1.0", started=instant(NOW - DAY),
        finished=instant(NOW), outcomes=outcomes, journal="sha256:" + "0" * 64,
    )  # fmt: skip
    write_receipt(path, facts, CAROL)
    print(lines(user, tmp_path)["back"], user("log", tmp_path).out)
    assert "6 brought back" in user("log", tmp_path).flat
