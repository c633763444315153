"""``--lag``: a database that forgot an acknowledged commit gives its rows back before their bytes go, not after."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from marksweep.catalog.port import Catalog, Claimed, ClaimRequest, ClaimRules, Intent
from tests.crash.world import World, make_world

pytestmark = pytest.mark.usefixtures("quick_catalog")


class Forgetful:
    """A catalog that brings the rows of its first claim back, a moment after the commit was acknowledged."""

    def __init__(self, catalog: Catalog, world: World, after: float) -> None:
        self._catalog, self._world, self._after = catalog, world, after
        self.back: set[str] = set()
        self.timer: threading.Timer | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._catalog, name)

    def claim(self, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Sequence[Claimed]:
        answers = self._catalog.claim(requests, rules, intent)
        images = {a.id: a.image["artifact_version"][0] for a in answers if a.image}
        if images and self.timer is None:
            self.back = set(images)
            self.timer = threading.Timer(self._after, self._restore, [list(images.values())])
            self.timer.start()
        return answers

    def _restore(self, rows: Sequence[dict[str, object]]) -> None:
        with self._world.edit() as db:
            for row in rows:
                names, marks = ", ".join(f'"{n}"' for n in row), ", ".join("?" * len(row))
                values = [v if not hasattr(v, "isoformat") else v.isoformat(" ") for v in row.values()]
                db.execute(f"INSERT INTO artifact_version ({names}) VALUES ({marks})", values)


@pytest.mark.parametrize(("lag", "whole"), [(2.0, True), (0.0, False)], ids=["with a lag", "without one"])
def test_rows_that_come_back_within_the_lag_keep_their_bytes(fast_folder: Path, lag: float, whole: bool) -> None:
    """Without it the bytes are gone by then, which is why such a server is refused."""
    world = make_world(fast_folder / "world", eventful=False)
    made: list[Forgetful] = []

    def forgetful(catalog: Catalog) -> Forgetful:
        made.append(Forgetful(catalog, world, 1.0))
        return made[0]

    world.sweep(around_catalog=forgetful, lag=timedelta(seconds=lag))
    assert made[0].timer is not None
    made[0].timer.join()
    after = world.observe()
    entries = [e for e in world.expected.plan if e.id in made[0].back]
    assert entries
    assert all(after.version(e.id) is not None for e in entries)
    assert all(after.below(e.uri) == world.before.below(e.uri) for e in entries) is whole
