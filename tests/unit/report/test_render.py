"""What each document looks like: harmless, within its width, and with the words that matter."""

from __future__ import annotations

import io
import re
import unicodedata

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.model.verdict import KeptReason
from marksweep.plan.document import StoreFacts
from marksweep.report import documents as d
from marksweep.report import overview_documents as o
from marksweep.report.render import VIEWS, render
from marksweep.report.trust_documents import KeyResult, TrustFacts
from marksweep.report.words import KEPT
from marksweep.sweep.canary_record import CanaryState
from tests.unit.report.samples import (
    DOCUMENTS,
    EXPLAINED,
    FAILED,
    HARMED,
    LINE,
    canary,
    hostile,
    overview,
    plan,
    show_result,
    status,
    swept,
)

NO_REQUESTS = d.RequestFacts(list=0, delete=0, other=0, repeated=0, slowed=0)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def piped(document: d.Document) -> str:
    """What a pipe gets."""
    console = Console(file=io.StringIO(), force_terminal=False)
    render(document, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def marked(**changes: object) -> d.MarkResult:
    """A mark whose plan has these *changes*."""
    return d.MarkResult(plan=plan(**changes), warnings=(), requests=NO_REQUESTS, seconds=0.2)


def on_terminal(document: d.Document, width: int = 80) -> str:
    """What a colour terminal gets."""
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, color_system="standard", _environ={"TERM": "xterm"}
    )
    render(document, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def squeezed(document: d.Document) -> str:
    """What a pipe gets, runs of spaces and line ends as one space: for sentences that may be wrapped."""
    return re.sub(r"\s+", " ", piped(document))


def harmless(text: str) -> bool:
    """Nothing in *text*, besides line ends, that a terminal obeys or a reader cannot see."""
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text.replace("\n", ""))


def test_every_result_has_a_view() -> None:
    """What a command can print, a terminal can show."""
    assert set(VIEWS) == set(d.RESULTS.values())
    assert set(DOCUMENTS) == set(d.RESULTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_pipe_gets_plain_lines(name: str) -> None:
    """No escape sequences, no boxes, no spaces at the ends of lines."""
    shown = piped(DOCUMENTS[name])
    assert harmless(shown)
    assert not re.search(r" $|[\u2500-\u257f]", shown, re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_text_is_harmless_everywhere(name: str) -> None:
    """Whatever stands in a catalog, a plan, a store's answer or a path: no control character of it gets through."""
    evil = hostile(DOCUMENTS[name])
    assert harmless(piped(evil))
    terminal = on_terminal(evil)
    assert harmless(ANSI.sub("", terminal))
    assert r"\x1b[2J" in terminal.replace("\n", "")
    assert "[red]:boom:[/red]" in re.sub(r"\s", "", piped(evil))


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_terminal_gets_what_fits(name: str, width: int) -> None:
    """Only what is there to be copied (paths, URIs, commands, keys) may be longer than the terminal or 100 columns."""
    for line in ANSI.sub("", on_terminal(DOCUMENTS[name], width)).splitlines():
        copied = "s3://" in line or "marksweep " in line or "ssh-ed25519" in line or ".plan.json" in line
        assert copied or cell_len(line) <= min(width, 100), line


def test_the_meanings_of_kept_reasons_fit_into_80_columns() -> None:
    """Each reason is explained, shortly enough for one line of the table."""
    assert set(KEPT) == set(KeptReason)
    assert all(len(meaning) <= 47 for meaning in KEPT.values())
    everything = plan(kept={reason.value: 12_345_678 for reason in KeptReason})
    for line in ANSI.sub("", on_terminal(show_result(plan=everything, approve=()))).splitlines():
        assert len(line) <= 80
    assert all(
        meaning in ANSI.sub("", on_terminal(show_result(plan=everything, approve=()))) for meaning in KEPT.values()
    )


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colours; bold and dim are no colours."""
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", on_terminal(DOCUMENTS["mark"]))
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    render(DOCUMENTS["mark"], console)
    assert isinstance(console.file, io.StringIO)
    assert not re.search(r"\x1b\[(?:[0-9]+;)*(?:3|4|9|10)[0-9](?:;[0-9]+)*m", console.file.getvalue())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_our_marks_is_no_error(encoding: str) -> None:
    """Under LANG=C and its like, what cannot be encoded is replaced or escaped."""
    out = io.BytesIO()
    console = Console(file=io.TextIOWrapper(out, encoding=encoding), force_terminal=False)
    for document in DOCUMENTS.values():
        render(document, console)
    render(d.ExplainResult(versions=(msgspec.structs.replace(EXPLAINED, artifact="模"),)), console)
    shown = out.getvalue().decode(encoding)
    assert "27 entries - 81 objects" in shown
    assert "  x  referenced" in shown
    assert r"\u6a21 7: kept" in shown


def test_mark_says_what_would_go_and_what_to_do_next() -> None:
    """Totals, mode, who, when, catalog, undo per store, reasons, warnings, and the three commands that follow."""
    shown = squeezed(DOCUMENTS["mark"])
    for phrase in (
        "Plan 01KAJ9Q6T0V3F7W4M2N8B5C1XZ · 27 entries · 81 objects · 3.2 GiB · both artifact and metadata",
        "made 2026-11-21 09:00 UTC by ci@example.org (marksweep 0.1.0)",
        "expires 2026-12-05 09:00 UTC, 14 days after it was made",
        "zenml 0.98.0 on sqlite, server 8f0e5a51-2c0f-4a11-9d5e-0c7f6a3e9b12",
        "s3://ml-artifacts/zenml (s3): versioned: can be undone",
        "/srv/zenml/artifacts (local): cannot be undone",
        "minimum age 1 day; only older than 30 days; keep the newest 3 of each artifact; only projects default; not tags prod*",
        "approved by alice@example.org, bob@example.org",
        "train::model_checkpoint default 12 2.6 GiB",
        "and 2 entries of other artifacts",
        "kept: 90,085 of the catalog's 90,112 versions",
        "too_young 30 younger than the minimum age or --older-than",
        "1 warning ! store 'old' cannot be reached",
        "Nothing was deleted.",
        "review marksweep show plans/2026-11-21.plan.json",
        "approve (others) marksweep approve plans/2026-11-21.plan.json",
        "rehearse marksweep sweep plans/2026-11-21.plan.json --dry-run",
        "delete marksweep sweep plans/2026-11-21.plan.json",
    ):
        assert phrase in shown
    assert "!" not in shown.replace("! store", "")


def test_what_makes_a_plan_dangerous_is_red() -> None:
    """--no-grace, --ignore-model-links, --include-registered, expiry and a store without undo stand out."""
    policy = Policy(grace=False, ignore_model_links=True, include_registered=True)
    shown = on_terminal(marked(policy=policy, expired=True))
    for phrase in (
        "! --no-grace: no minimum age and no unfinished-run rule",
        "! --ignore-model-links: versions that only model versions refer to are planned",
        "! --include-registered: data that ZenML did not write is planned",
        "! expired on 2026-12-05 09:00 UTC: no sweep takes it; make a new plan",
        "cannot be undone",
    ):
        assert f"\x1b[1;31m{phrase}\x1b[0m" in shown
    assert "minimum age 1 day" not in squeezed(marked(policy=policy))


def test_what_a_reviewer_should_know_comes_first() -> None:
    """Each risk begins with its severity as a word, in its colour, above everything but the totals."""
    shown = on_terminal(show_result())
    assert shown.index("danger") < shown.index("caution") < shown.index("note") < shown.index("made")
    for severity, style, sentence in (
        ("danger", "1;31", "2 entries, 9.5 MiB, cannot be undone: /srv/zenml/artifacts"),
        ("caution", "33", "4 entries less than 7 days old"),
        ("note", "2", "1 entry without any object: of those only the rows go"),
    ):
        assert re.search(rf"\x1b\[{style}m{severity} *\x1b\[0m.*\x1b\[{style}m{re.escape(sentence)}\x1b\[0m", shown)


def test_a_plan_as_a_whole() -> None:
    """Artifacts, ages and sizes with bars for their bytes; empty bars are left out; each store with what lies in it."""
    shown = squeezed(show_result())
    for phrase in (
        "biggest of 4 artifacts", "train::step::model_checkpoint default 12 2.6 GiB ████████████████ ",
        "features::engineer::a_rather_long_output_name default 9 562.7 MiB ████ ", "and 2 entries of other artifacts",
        "1 to 7 days 4 9.5 MiB █ ", "180 to 365 days 23 3.2 GiB ████████████████ ", "in another's place 2 0 B ",
        "s3://ml-artifacts/zenml (s3): versioned: can be undone; 25 entries, 3.2 GiB",
        "to approve it marksweep approve plans/2026-11-21.plan.json or with nothing but OpenSSH:",
    ):  # fmt: skip
        assert phrase in shown
    assert "under a day" not in shown
    unsized = squeezed(show_result(overview=overview(ages=(o.Slice(label="1 to 7 days", entries=4, bytes=None),))))
    assert "1 to 7 days 4 unknown ████████████████" in unsized, "bars of entries, where bytes are unknown"
    assert "to approve it" not in squeezed(show_result(approve=()))


def test_a_plan_without_sizes_says_so() -> None:
    """--no-size: unknown is not nought."""
    shown = squeezed(marked(policy=Policy(sizes=False), objects=None, bytes=None))
    assert "27 entries · unknown objects · unknown" in shown
    assert "! --no-size: the objects were not looked at" in shown


def test_an_empty_plan_says_nothing_to_do() -> None:
    """No hint to sweep it, either."""
    empty = plan(entries=0, objects=0, bytes=0, groups=(), stores=())
    for document in (
        d.MarkResult(plan=empty, warnings=(), requests=NO_REQUESTS, seconds=0.2),
        d.PruneResult(plan=empty, overview=overview(risks=()), sweep=None),
    ):
        shown = squeezed(document)
        assert "Nothing to do: under this policy, no version in the catalog is an orphan." in shown
        assert "marksweep sweep" not in shown
        assert "biggest artifacts" not in shown


def test_every_filter_is_named() -> None:
    """A reviewer sees each choice, long lists cut."""
    policy = Policy(
        artifacts=tuple(f"a{n}" for n in range(20)), tags=("t",), stores=("st",), pins=("p",), exclude_artifacts=("x*",),
        keep_artifacts=True, max_entries=1, max_bytes=1024, max_share=5,
    )  # fmt: skip
    shown = squeezed(marked(policy=policy))
    for phrase in (
        "only artifacts a0, a1, a2, a3, a4, a5, a6, a7 and 12 more", "not artifacts x*", "only tags t", "only stores st",
        "pinned p", "empty artifacts stay", "at most 1 entry", "at most 1.0 KiB", "at most 5 % of the catalog",
    ):  # fmt: skip
        assert phrase in shown


def test_show_lists_entries_with_whole_ids_and_uris() -> None:
    """What is reviewed is never shortened."""
    shown = piped(DOCUMENTS["show"])
    assert "entries, the first 1 of 27" in shown
    assert "0000001b-52e6-4f2a-8269-a6a36513270e  s3://ml-artifacts/zenml/train/model_checkpoint/0000001b-52e6" in shown
    assert "… and 26 more" in shown


def test_an_entry_planned_for_another_reason_says_so() -> None:
    """Entries that only model links referred to are marked."""
    show = DOCUMENTS["show"]
    assert isinstance(show, d.ShowResult)
    entry = msgspec.structs.replace(show.entries[0], reason="model_links_ignored")
    assert "model_links_ignored" in piped(show_result(entries=(entry,)))


def test_the_books_of_a_sweep() -> None:
    """Every column of the sum is there, with the lines that explain it and the command that resumes."""
    shown = squeezed(DOCUMENTS["sweep"])
    for phrase in (
        "Sweep of plans/2026-11-21.plan.json: 1 failed · 25 of 27 entries deleted, 3.2 GiB freed",
        "deleted 25 3.2 GiB in 81 objects, and their rows", "already gone 0", "kept: referenced 1", "kept: changed 0",
        "kept: protected 0", "failed 1", "not attempted 0", "planned 27 the sum of the above",
        "failed: AccessDenied s3://ml-artifacts/zenml/train/output/0000001b",
        "the store refused 3 keys: s3:DeleteObject is not allowed", "receipt plans/2026-11-21.plan.json.receipt.json",
        "Took 4.2 s.", "Run the same command again: it resumes.", "resume marksweep sweep plans/2026-11-21.plan.json",
    ):  # fmt: skip
        assert phrase in shown


def test_a_done_sweep_needs_nothing_more() -> None:
    """Done is done."""
    shown = squeezed(swept())
    assert ": done · 27 of 27 entries deleted, 3.2 GiB freed" in shown
    assert "resume" not in shown
    assert "Took 4.2 s." in shown
    assert "Took 4.2 s. Earlier runs had settled 20 entries." in squeezed(swept(settled_before=20))
    kept = squeezed(swept(books={"deleted": 26, "changed": 1}, lines=(LINE,)))
    assert ": done, 1 kept" in kept
    assert "What was kept stays kept under this plan" in kept


def test_an_incomplete_sweep_says_how_to_go_on() -> None:
    """Not attempted, in doubt, and objects that somebody wrote meanwhile."""
    shown = squeezed(swept(books={"deleted": 20, "not_attempted": 7, "in_doubt": 2, "left": 1}))
    assert ": incomplete · 20 of 27 entries deleted" in shown
    assert "! 2 entries were begun and have no outcome yet" in shown
    assert "! 1 object appeared under swept URIs meanwhile, left alone" in shown
    assert "Run the same command again: it resumes." in shown


def test_books_that_do_not_balance_are_called_a_bug() -> None:
    """The sum is checked, not only shown."""
    assert "yet the above add up to 20: this is a bug" in squeezed(swept(books={"deleted": 20}))


def test_only_metadata_claims_no_bytes() -> None:
    """Rows went, bytes stay: nothing is said to be freed."""
    shown = squeezed(swept(mode=Mode.ONLY_METADATA, books={"objects": 0, "bytes": 0}))
    assert "deleted 27 rows; the bytes stay" in shown
    assert "freed" not in shown
    assert "; the rows stay" in squeezed(swept(mode=Mode.ONLY_ARTIFACT))


def test_a_dry_run_is_in_the_conditional() -> None:
    """Nothing was deleted, and it says so."""
    shown = squeezed(swept(dry_run=True, receipt=None, books={"deleted": 26, "referenced": 1}, lines=(LINE,)))
    assert "Dry run of plans/2026-11-21.plan.json · a sweep now would delete 26 of 27 entries" in shown
    assert "would be deleted 26" in shown
    assert "Nothing was deleted." in shown
    assert "receipt" not in shown


def test_many_lines_are_cut() -> None:
    """A terminal shows the first few; the document has more."""
    shown = piped(swept(books={"deleted": 0, "failed": 27}, lines=(FAILED,) * 27))
    assert shown.count("failed: AccessDenied") == 20
    assert "… and 7 more: add --json to see them" in shown


@pytest.mark.parametrize(
    ("changes", "state", "hint"),
    [
        ({}, ": running", None),
        ({"running": False}, ": stopped before its end", "resume marksweep sweep"),
        ({"running": False, "books": {}}, ": finished", None),
        ({"running": False, "books": {"deleted": 26, "failed": 1}}, ": 1 failed", "resume marksweep sweep"),
        (
            {"running": False, "started": None, "books": {"deleted": 0, "not_attempted": 27}},
            ": not begun",
            "begin marksweep sweep",
        ),
    ],
)
def test_status(changes: dict[str, object], state: str, hint: str | None) -> None:
    """Running, stopped, finished or not begun; and what to do about it."""
    shown = squeezed(status(lines=(), **changes))
    assert state in shown
    assert hint in shown if hint else "marksweep sweep" not in shown
    if not changes:
        assert "progress 10 of 27 entries, 37 %" in shown
        assert "rate 240.2 entries a second" in shown


@pytest.mark.parametrize(
    ("source", "branch", "option"),
    [
        ("/home/ada/plans/.marksweep", True, " --trust git:origin/main"),
        ("git:release at 51b2e3b121c8", False, " --trust git:release"),
        ("signers", False, " --trust signers"),
    ],
)
def test_the_sweep_that_is_suggested_says_whom_to_trust(source: str, branch: bool, option: str) -> None:
    """A sweep takes no trust from the work tree, so that the command without an option would be refused."""
    trusted = TrustFacts(source=source, policy=None, own=False, branch=branch)
    command = "marksweep sweep plans/2026-11-21.plan.json"
    assert command + option in squeezed(status(running=False, trusted=trusted))
    mark = squeezed(msgspec.structs.replace(marked(), trusted=trusted))
    assert f"{command}{option} --dry-run" in mark
    assert "approve plans/2026-11-21.plan.json" + ("" if branch else option) in mark


def test_a_canary_is_told_in_results_and_status() -> None:
    """How it ended; a halt names who lost bytes, and proposes no resume."""
    passed = "canary: 5 entries went first; 9,876 of the 43,210 live versions beside them were compared, unharmed"
    assert passed in squeezed(swept(canary=canary()))
    assert passed in squeezed(status(canary=canary()))
    for state, told in (
        (CanaryState.DRAWN, "5 entries first; then 9,876 of the 43,210 live versions beside them are compared"),
        (CanaryState.VOID, "5 entries went first; none was deleted, so it has shown nothing"),
    ):
        assert told in squeezed(status(canary=canary(state=state)))
    alone = canary(beside=4, witnesses=0)
    assert "5 entries went first; nothing with bytes lives beside them" in squeezed(swept(canary=alone))
    halted = squeezed(status(running=False, lines=(), canary=canary(state=CanaryState.HALTED, harmed=(HARMED,) * 27)))
    assert ": halted by its canary" in halted
    assert "3 objects, 6.2 MiB before; 2 objects, 6.2 MiB now" in halted
    assert halted.count(HARMED.id) == 20
    assert "… and 7 more" in halted
    assert "marksweep sweep" not in halted
    assert "canary" not in squeezed(swept())


def test_explain_shows_the_verdict_and_every_rule() -> None:
    """The headline is the verdict; below stand the references and each rule's answer."""
    shown = squeezed(DOCUMENTS["explain"])
    for phrase in (
        "2 versions, 1 orphan",
        "train::model_checkpoint 7: kept, referenced (a step, run, model or config refers to it)",
        "step_input step 'evaluate' of run 'training-2026-10-01'",
        "✗ referenced referenced by step_input",
        "✓ pinned not pinned",
        "train::model_checkpoint 7: orphan (a plan would hold it, unless its store cannot be listed)",
        "references: none",
    ):
        assert phrase in shown
    assert "No version has that name" in squeezed(d.ExplainResult(versions=()))
    unknown = msgspec.structs.replace(EXPLAINED, verdict="a_rule_of_tomorrow")
    assert ": kept, a_rule_of_tomorrow" in squeezed(d.ExplainResult(versions=(unknown,)))


def test_verify_approve_and_keys() -> None:
    """What was proved, what was written, and how others come to trust it."""
    shown = squeezed(DOCUMENTS["verify"])
    assert "✓ plan.json is whole, signed by a trusted key, and in date" in shown
    assert "approved 1 of 1 needed: alice@example.org" in shown
    assert "9f86d081884c7d65" * 4 in shown
    approved = squeezed(DOCUMENTS["approve"])
    for words in ("✓ approved plan.json", "1 of 2 needed: alice@example.org", "does not count under the trust in use",
                  "git add plan.json.approvals/alice@example.org.sig"):  # fmt: skip
        assert words in approved
    imported = squeezed(DOCUMENTS["keys-import"])
    for words in ("✓ added to .marksweep/allowed_signers", "was there", "id_dsa.pub was not imported: it is a DSA key"):
        assert words in imported
    receipt = squeezed(DOCUMENTS["verify-receipt"])
    for words in ("signed by ci@example.org", "belongs to the plan", "a run went on after", "25 deleted, 1 referenced"):
        assert words in receipt
    keys = DOCUMENTS["keys"]
    assert isinstance(keys, KeyResult)
    assert f"\n{keys.allowed_signers_line}\n" in piped(keys)
    assert "not by you yet" in piped(keys)
    assert "SHA256:other sk-ssh-ed25519, trusted as alice@example.org" in squeezed(keys)
    assert "no key of its own" in squeezed(
        KeyResult(path=None, fingerprint=None, allowed_signers_line=None, trusted_in=None, others=keys.others)
    )
    assert "trusted in /etc/signers" in squeezed(msgspec.structs.replace(keys, trusted_in="/etc/signers"))


def test_an_error_is_a_fact_a_remedy_and_what_was_deleted() -> None:
    """In this order, each on a line of its own."""
    assert piped(DOCUMENTS["error"]).splitlines() == [
        "error[plan-expired]: the plan expired on 2026-12-05T09:00:00Z",
        "  help: make a new plan with `marksweep mark`",
        "  note: nothing was deleted",
    ]


def test_commands_are_quoted_for_a_shell() -> None:
    """A path with spaces or a quote can be copied."""
    shown = piped(d.MarkResult(plan=plan(path="my plans/it's.json"), warnings=(), requests=NO_REQUESTS, seconds=1.0))
    assert """marksweep sweep 'my plans/it'"'"'s.json'""" in shown


def test_a_store_whose_undo_is_unknown() -> None:
    """Neither promised nor denied."""
    odd = marked(stores=(StoreFacts(root="gs://b", flavor="gcs", undo=Undo.UNKNOWN),))
    assert "nobody knows whether it can be undone" in piped(odd)
