"""What stands above the question."""

from __future__ import annotations

import unicodedata

import pytest

from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.document import StoreFacts
from marksweep.report.confirm import approval, confirmation
from marksweep.report.overview_documents import Severity
from tests.unit.report.samples import hostile, plan, show_result

NO_UNDO = "! The local store has no undo: deleted bytes cannot be brought back."
ROWS = "! Removed rows come back only by `marksweep restore`, as far as the bytes do."


@pytest.mark.parametrize(
    ("mode", "said", "unsaid"),
    [
        (Mode.BOTH, ["27 versions: bytes and rows, 81 objects, 3.2 GiB", "looked at again first", NO_UNDO, ROWS], []),
        (Mode.ONLY_ARTIFACT, ["the bytes of 27 versions: 81 objects, 3.2 GiB", "The rows stay", NO_UNDO], [ROWS]),
        (Mode.ONLY_METADATA, ["the rows of 27 versions", "The bytes stay", ROWS], [NO_UNDO, "3.2 GiB", "s3://"]),
    ],
)
def test_it_says_what_goes_and_what_does_not_come_back(mode: Mode, said: list[str], unsaid: list[str]) -> None:
    """Per mode: how much, what stays, and whether it can be undone."""
    shown = confirmation(plan(mode=mode)).plain
    for phrase in ["zenml 0.98.0 on sqlite, server 8f0e5a51", "plans/2026-11-21.plan.json", *said]:
        assert phrase in shown
    assert not any(phrase in shown for phrase in unsaid)
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_stores_with_versions_and_stores_nobody_knows() -> None:
    """The sentence about each kind of store stands there once."""
    stores = tuple(StoreFacts(root=f"s3://b{n}", flavor="s3", undo=Undo.VERSIONED) for n in range(3))
    shown = confirmation(plan(stores=(*stores, StoreFacts(root="gs://b", flavor="gcs", undo=Undo.UNKNOWN)))).plain
    assert shown.count("The s3 store keeps versions: deleted bytes can be brought back from them.") == 1
    assert "! Whether the gcs store has an undo is unknown: take it that it has none." in shown
    assert "s3://b2" in shown


def test_dangers_are_named_again() -> None:
    """Who did not read the plan reads them here."""
    assert (
        "! --no-grace: no minimum age and no unfinished-run rule"
        in confirmation(plan(policy=Policy(grace=False))).plain
    )


@pytest.mark.parametrize("mode", Mode)
def test_hostile_names_are_harmless(mode: Mode) -> None:
    """Nobody's name can rewrite the question."""
    shown = confirmation(hostile(plan(mode=mode))).plain
    assert not {unicodedata.category(c) for c in shown.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_who_approves_sees_what_who_sweeps_sees_and_whose_word_it_is() -> None:
    """All that stands above the question to sweep, and: who made it, who approved it, and as whom with which key."""
    whole = show_result().overview
    shown = approval(
        plan(approvals=("bob@example.org",), approvals_needed=2), whole, "SHA256:mine", "ada@example.org"
    ).plain
    unusual = [risk.text for risk in whole.risks if risk.severity is not Severity.NOTE]
    assert unusual
    assert not [text for text in unusual if " ".join(text.split()) not in " ".join(shown.split())]
    for line in confirmation(plan()).plain.splitlines()[1:]:
        assert line in shown
    for words in ("About to approve", "made by  ci@example.org", "by bob@example.org (2 needed)", "SHA256:mine",
                  "sign as  ada@example.org", "marksweep show"):  # fmt: skip
        assert words in shown, shown
    assert "by nobody yet" in approval(plan(approvals=()), whole, "SHA256:mine", "ada").plain
    harmless = approval(hostile(plan()), hostile(whole), "SHA256:mine", "ada").plain
    assert not {unicodedata.category(c) for c in harmless.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
