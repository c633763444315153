"""A unit whose one version is being linked while another one is in use: nobody's bytes go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest, ClaimRules, Intent
from marksweep.sweep import engine
from tests.crash.invariants import check
from tests.crash.world import World, make_world

pytestmark = pytest.mark.usefixtures("quick_catalog")


class Linking:
    """A catalog in which somebody holds the row *busy* during the first claim that asks for it, and then lets go."""

    def __init__(self, real: Any, busy: str) -> None:
        self._real, self._busy, self.held = real, busy, False

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._real, attribute)

    def claim(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        if self.held or self._busy not in {r.id for r in requests}:
            return self._real.claim(requests, rules, intent)  # type: ignore[no-any-return]
        self.held = True
        busy = Claimed(self._busy, ClaimAnswer.BUSY, "somebody else holds its row")
        others = [r for r in requests if r.id != self._busy]
        return [*self._real.claim(others, rules, lambda answers: intent([*answers, busy])), busy]


def test_a_busy_version_is_kept_with_the_rest_of_its_unit(fast_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is linked, the other cannot be locked: asked for again, alone, it would take the linked one's bytes along."""
    monkeypatch.setattr(engine, "BUSY_PAUSES", (0.0,))
    world = make_world(fast_folder / "world")
    made: list[Linking] = []

    def linking(real: Any) -> Linking:
        made.append(Linking(real, free_half_of_a_linked_unit(world)))
        return made[-1]

    world.sweep(around_catalog=linking)
    assert made[0].held
    check(world.before, world.observe(), world.expected)


def free_half_of_a_linked_unit(world: World) -> str:
    """The unreferenced one of two entries with one URI, of which the other is linked again."""
    kept = [e for e in world.expected.plan if e.id in world.expected.kept]
    (pair,) = [(a, b) for a in kept for b in kept if a.uri == b.uri and a.id < b.id]
    linked = {row["artifact_id"] for row in world.before.tables["step_run_input_artifact"]}
    (free,) = [e.id for e in pair if e.id.replace("-", "") not in linked]
    return free
