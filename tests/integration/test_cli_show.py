"""``marksweep show`` in its four forms: to a pipe, to a file, and what it refuses."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options

from marksweep.plan.writer import write_plan
from tests.integration.test_hostile_names import HOSTILE, harmless
from tests.support.cli import Cli
from tests.unit.plan.support import PLANNER, draft, entry

FORMS = ("terminal", "markdown", "html", "json")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed plan with every hostile name in it, in a file whose own name is one; the trust file lies beside it."""
    folder = tmp_path_factory.mktemp("plans")
    entries = [
        entry(n, artifact=name, version=name, uri=f"s3://bucket/zenml/{n:08d}/x", project=name)
        for n, name in enumerate(HOSTILE.values(), 1)
    ]
    entries += [entry(n) for n in range(100, 120)]
    path = folder / "a|b`c`<b> @team \x1b[2J.plan.json"
    write_plan(path, draft(entries), entries, PLANNER)
    (folder / "trust").write_text(f"ci@example.org {PLANNER.public.line}\n")
    return path


@pytest.fixture
def trusting(cli: Cli, plan: Path) -> Cli:
    """A user who trusts whoever made the plan."""
    return cli.with_environ(MARKSWEEP_TRUST=str(plan.parent / "trust"))


@pytest.mark.parametrize("form", FORMS)
def test_a_file_gets_what_a_pipe_gets(trusting: Cli, plan: Path, tmp_path: Path, form: str) -> None:
    """Byte for byte, in each form; the file that was there is replaced, and nothing else is left beside it."""
    piped = harmless(trusting.done("show", plan, "--format", form))
    out = tmp_path / "shown" / "plan.out"
    out.parent.mkdir()
    out.write_text("old")
    told = harmless(trusting.done("show", plan, "--format", form, "--out", out))
    assert told.out == ""
    assert out.read_bytes().decode() == piped.out
    assert os.listdir(out.parent) == ["plan.out"]


def test_json_is_the_form_json(trusting: Cli, plan: Path) -> None:
    """``--json`` is short for ``--format json``; the two differ in nothing."""
    shown = trusting.done("show", plan, "--json", "--entries", 3).out
    assert shown == trusting.done("show", plan, "--format", "json", "--entries", 3).out
    assert shown == trusting.done("show", plan, "--format", "json", "--json", "--entries", 3).out
    document = json.loads(shown)
    assert len(document["entries"]) == 3
    assert document["overview"]["artifacts"] == len(HOSTILE) + 3
    assert document["approve"][0].startswith("marksweep approve ")


def test_markdown_has_as_many_entries_as_fit(trusting: Cli, plan: Path) -> None:
    """All of a small plan; so many as asked for; and never more characters than asked for."""
    number = len(HOSTILE) + 20
    everything = trusting.done("show", plan, "--format", "markdown").out
    assert f"**All {number} entries shown.**" in everything
    assert "<h1>" not in cmarkgfm.github_flavored_markdown_to_html(everything, options=Options.CMARK_OPT_UNSAFE)
    assert f"… and {number - 2} more entries" in trusting.done("show", plan, "--format", "markdown", "--entries", 2).out
    for most in (2_000, 5_000, 12_345):
        assert len(trusting.done("show", plan, "--format", "markdown", "--max-chars", most).out) <= most


def test_what_contradicts_itself_is_refused(trusting: Cli, plan: Path, tmp_path: Path) -> None:
    """Two forms at once, part of a report, a comment without room; and the plan is never what is written to."""
    before = plan.read_bytes()
    trusting("show", plan, "--json", "--format", "html").refused(2, "ask for two forms")
    trusting("show", plan, "--format", "html", "--entries", 5).refused(2, "a report has every entry")
    assert trusting("show", plan, "--max-chars", 1_999).status == 2
    for form in (("--format", "terminal"), ("--format", "markdown"), ("--format", "html"), ("--json",)):
        trusting("show", plan, *form, "--out", plan).refused(2, "is the plan itself")
        trusting("show", plan, *form, "--out", tmp_path / "no" / "x").refused(2, "cannot be written")
    link = tmp_path / "link"
    link.symlink_to(plan)
    trusting("show", plan, "--format", "html", "--out", link).refused(2, "is the plan itself")
    assert plan.read_bytes() == before


def test_a_device_is_written_to_and_not_replaced(trusting: Cli, plan: Path) -> None:
    """``--out /dev/null`` leaves it what it is."""
    trusting.done("show", plan, "--format", "markdown", "--out", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_plan_that_changes_meanwhile_leaves_the_old_file(trusting: Cli, plan: Path, tmp_path: Path) -> None:
    """What cannot be verified is not shown, and what was shown before stays."""
    broken, out = tmp_path / "broken.json", tmp_path / "out.md"
    broken.write_bytes(plan.read_bytes().replace(b'"objects":1', b'"objects":2', 1))
    out.write_text("old")
    trusting("show", broken, "--format", "markdown", "--out", out).refused(20, "was changed after it was signed")
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "home", "out.md"]
