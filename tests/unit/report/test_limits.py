"""A mode that cannot promise what the others do says so wherever its plan is shown, and before it is swept."""

from __future__ import annotations

import pytest

from marksweep.model.outcome import LIMITS, Mode
from marksweep.report.confirm import confirmation
from marksweep.report.plan_view import plan_view
from tests.unit.report import samples


@pytest.mark.parametrize("mode", Mode)
def test_what_a_mode_cannot_promise_is_said(mode: Mode) -> None:
    plan = samples.plan(mode=mode)
    shown = [str(part) for part in plan_view(plan, 100)]
    assert bool(LIMITS[mode]) is (mode is Mode.ONLY_ARTIFACT)
    for said in ("\n".join(shown), str(confirmation(plan))):
        assert ("links it only after the wait" in " ".join(said.split())) is (mode is Mode.ONLY_ARTIFACT)
