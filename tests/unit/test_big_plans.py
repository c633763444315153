"""What mark says of a plan that is too long for a forge to show, or too big for git; and where entries may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from marksweep.cli.big_plans import entries_place, size_warnings
from marksweep.errors import UsageError
from marksweep.plan.verify import verify
from tests.unit.plan.support import NOW, TRUST, entry, written


@pytest.mark.parametrize("is_card", [True, False])
def test_a_plan_above_a_margin_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_card: bool) -> None:
    """Not at the margin but above it; a card is small, and yet has too many entries to be read in a diff."""
    path = written(tmp_path / "p", [entry(number) for number in range(3)]).path
    size = path.stat().st_size
    with verify(path, TRUST, NOW) as plan:
        assert size_warnings(plan, is_card=is_card) == ()
        monkeypatch.setattr("marksweep.cli.big_plans.FORGE_SHOWS", 3)
        monkeypatch.setattr("marksweep.cli.big_plans.FORGE_CARRIES", size)
        assert size_warnings(plan, is_card=is_card) == ()
        monkeypatch.setattr("marksweep.cli.big_plans.FORGE_SHOWS", 2)
        monkeypatch.setattr("marksweep.cli.big_plans.FORGE_CARRIES", size - 1)
        long, *big = size_warnings(plan, is_card=is_card)
    assert "3 entries" in long
    assert "--format html" in long
    assert [("--entries-to" in warning) for warning in big] == ([] if is_card else [True])


def test_a_place_is_a_folder_with_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket's, or one of this machine by its absolute path; with anything else the plan is not even begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    for given, uri in (
        ("s3://bucket/plans/", "s3://bucket/plans/ID.entries.jsonl"),
        ("gs://bucket", "gs://bucket/ID.entries.jsonl"),
        ("plans", f"file://{tmp_path}/plans/ID.entries.jsonl"),
        (f"file://{tmp_path}/plans/", f"file://{tmp_path}/plans/ID.entries.jsonl"),
    ):
        found = entries_place(given, None)
        assert found is not None
        assert found.uri("ID") == uri
    assert entries_place(None, None) is None
    for given in (
        "s3://key:secret@bucket/plans",
        "https://host/secret",
        "s3://b/x?secret",
        "file://host/plans",
        "no such folder",
        "",
    ):
        with pytest.raises(UsageError) as refused:
            entries_place(given, None)
        assert "secret" not in refused.value.fact
