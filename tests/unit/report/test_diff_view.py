"""``diff`` and ``explain`` for people: nothing is left out unsaid, in any width, in any number of characters."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from rich.console import Console

from marksweep.model.policy import Policy
from marksweep.report.diff_documents import DiffResult
from marksweep.report.diff_facts import choice_words
from marksweep.report.diff_markdown import MAX_CHARACTERS, diff_markdown
from marksweep.report.document import Document
from marksweep.report.explain_documents import ExplainResult, KeptGroup, PlanPlace
from marksweep.report.render import render
from tests.unit.report.samples import DIFFED, DOCUMENTS, EXPLAINED, GONE, HOSTILE, KEPT, PLACE, difference, hostile


def shown(document: Document, width: int = 100) -> str:
    """What a pipe gets, each run of blanks as one."""
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    render(document, console)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def result(**changes: object) -> DiffResult:
    base = DOCUMENTS["diff"]
    assert isinstance(base, DiffResult)
    return msgspec.structs.replace(base, **changes)


def test_a_difference_says_what_came_what_went_and_why() -> None:
    """Totals then and now, fates, artifacts, headers, rows, entries."""
    told = shown(result())
    for phrase in (
        "12 newly orphaned · 5 no longer orphaned · 1 changed · 14 same", "! the first plan is the younger one",
        "then 20 entries (0.0 % of the catalog), 60 objects, 1.9 GiB, 2026-11-14 09:00 UTC",
        "now 27 entries (0.0 % of the catalog)", "train::model_checkpoint +12 -5 ~1 1.9 GiB -> 3.2 GiB",
        "… and 2 more artifacts", "older_than: only older than 60 days -> only older than 30 days",
        "grace: none -> --no-grace: no minimum age", "release: 0.97.0 -> 0.98.0",
        "s3://ml-artifacts/zenml: s3, cannot be undone -> none", "artifact_version 80,000 90,112",
        "logs no such table 3", "referenced 5 7 B something refers to it now", "newly orphaned, the first 1 of 12",
        "referenced: input of step evaluate of run nightly", "… and 11 more", "3 objects then, 4 now",
    ):  # fmt: skip
        assert phrase in told, phrase


def test_plans_of_different_catalogs_are_said_to_be() -> None:
    """Once, in both forms."""
    other = result(difference=difference(same_catalog=False))
    assert "were made for different catalogs" in shown(other)
    assert "were made for different catalogs" in diff_markdown(other)


@pytest.mark.parametrize("room", [4000, 4321, 8000, MAX_CHARACTERS])
@pytest.mark.parametrize("evil", [False, True])
def test_a_comment_fits_and_counts_what_it_leaves_out(room: int, *, evil: bool) -> None:
    """However much room there is, the totals are there, and rows that are not shown are counted."""
    entries = msgspec.structs.replace(result().entries, new=(DIFFED,) * 500)
    totals = msgspec.structs.replace(
        difference().totals, new=msgspec.structs.replace(difference().totals.new, entries=600)
    )
    document = result(entries=entries, difference=difference(totals=totals))
    text = diff_markdown(hostile(document) if evil else document, room)
    assert len(text) <= room
    assert "| **newly orphaned** | 600 |" in text
    rows = text.partition("#### Newly orphaned")[2].partition("####")[0].count("\n| <code>")
    left = re.search(r"(\d+) (?:more )?rows not shown", text.partition("Newly orphaned")[2])
    assert left is not None
    assert rows + int(left[1]) == 600


def test_names_mean_nothing_in_a_comment() -> None:
    """No character of a name that Markdown, HTML or a forge reads stands as itself; fixed text is all that does."""
    evil = (
        "</code>|<img src=x onerror=alert(1)> @team #1 :boom: [x](http://e) `::error::` **b** https://www.example.com"
    )
    named = msgspec.structs.replace(DIFFED, artifact=evil, version=evil, uri=evil)
    text = diff_markdown(result(entries=msgspec.structs.replace(result().entries, new=(named,), gone=(), changed=())))
    cells = re.findall(r"<code>(.*?)</code>", text.partition("#### Newly orphaned")[2])
    assert len(cells) == 3
    for cell in cells:
        bare = re.sub(r"&#\d+;|<!---->", "", cell)
        assert not set(bare) & set("<>|@#:[]`*&")
    assert HOSTILE not in diff_markdown(hostile(result()))
    assert all(character.isprintable() for character in text if character != "\n")


def test_every_choice_of_a_policy_has_words() -> None:
    """So that no change of a policy is shown as nothing."""
    from datetime import timedelta

    other: dict[str, object] = {
        "min_age": timedelta(days=2), "grace": False, "older_than": timedelta(days=3), "keep_latest": 4,
        "ignore_model_links": True, "include_registered": True, "keep_artifacts": True, "sizes": False,
        "all_versions": True, "max_entries": 5, "max_bytes": 6, "max_share": 7, "max_jump": 8, "seen_in": "sha256:" + "0" * 64,
    }  # fmt: skip
    for name in Policy.__struct_fields__:
        chosen = Policy(**{name: other.get(name, ("x",))})  # type: ignore[arg-type]
        assert choice_words(chosen, name), name
        assert choice_words(chosen, name) != choice_words(Policy(), name), name


def test_explain_says_what_a_plan_and_its_sweep_did() -> None:
    """Each state in words, with the time; and a version that is gone is answered from the plan."""
    for changes, phrase in (
        ({"entry": False}, "no entry of the plan"),
        ({}, "an entry; its sweep has not touched it"),
        ({"state": "deleted", "at": "2026-11-22T08:01:10Z"}, "deleted by the sweep of the plan at 2026-11-22 08:01 UTC"),
        ({"state": "gone"}, "it was gone already when the plan was swept"),
        ({"state": "kept", "code": "referenced", "detail": "by a step"}, "kept by the sweep of the plan (by a step)"),
        ({"state": "failed", "code": "denied"}, "its deletion failed (denied)"),
        ({"state": "claimed"}, "its sweep has it as claimed"),
    ):  # fmt: skip
        place: PlanPlace = msgspec.structs.replace(PLACE, **changes)
        version = msgspec.structs.replace(EXPLAINED, plan=place)
        assert phrase in shown(ExplainResult(versions=(version,), found=1)), phrase
    told = shown(ExplainResult(versions=(), gone=(GONE,)))
    assert "train::model_checkpoint 6: the catalog no longer has it" in told
    assert "deleted by the sweep of the plan at 2026-11-22 08:01 UTC plans/2026-11-21.plan.json" in told


def test_explain_says_how_it_found_what_it_shows() -> None:
    """A URI inside a place or above some, and how many more there are."""
    versions = (EXPLAINED,)
    assert "That lies in the place of 1 version:" in shown(ExplainResult(versions=versions, place="inside", found=1))
    told = shown(ExplainResult(versions=versions, place="below", found=1_234))
    assert "1,234 versions in that place, of which the first 1 follow:" in told
    assert "since 2026-10-01 08:00 UTC" in told


def test_kept_versions_are_listed_by_reason() -> None:
    """Counts, meaning, examples with the first reference by name, and how many more."""
    groups = (
        KeptGroup(reason="referenced", versions=40, first=(KEPT,)),
        KeptGroup(reason="too_young", versions=1, first=(msgspec.structs.replace(KEPT, reference=None, detail="it is new"),)),
    )  # fmt: skip
    told = shown(ExplainResult(versions=(), kept=groups, versions_in_catalog=90))
    for phrase in (
        "Kept: 41 of the catalog's 90 versions", "referenced: 40 versions a step, run, model or config refers to it",
        "step_input step 'evaluate' of run 'training-2026-10-01', since 2026-10-01 08:00 UTC", "… and 39 more",
        "too_young: 1 version", "it is new",
    ):  # fmt: skip
        assert phrase in told, phrase
