"""The chaos suite in little: every engine, every mode, every planted flaw, a few dozen kills. The rest is ``make chaos``."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.__main__ import flaws, table
from tests.chaos.campaign import MUTANTS, SETUPS, Campaign, Tally, smaller
from tests.chaos.trial import Setup

SLOWEST = ("late COMMITs, no advisory lock",)
"""Left to the whole suite."""
ON_SQLITE = ("no recheck", "late intent", "bytes before rows", "no drain", "no look at places")
"""The flaws that are planted on SQLite here; the others are on MariaDB."""


def campaign(setups: Sequence[Setup], trials: int, base: Path) -> list[Tally]:
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    return Campaign(seed, setups, print, trials=trials, base=base).run()


def test_nothing_is_lost_under_fire(mariadb_base: Path) -> None:
    """Writers aim at what is in flight, sweeps and servers are killed, COMMITs are cut off: no link, row or byte is lost."""
    tallies = campaign([smaller(s) for s in SETUPS if s.name not in SLOWEST], 1, mariadb_base)
    print(table(tallies))
    assert not [tally.setup for tally in tallies if tally.wrong]
    assert sum(tally.counts["kills"] for tally in tallies) >= 24
    assert sum(tally.counts["restarts"] for tally in tallies) >= 2
    assert sum(tally.counts["contested"] for tally in tallies) >= 20
    assert sum(tally.counts["entries: deleted"] for tally in tallies) >= 40
    assert sum(tally.counts["entries: referenced"] for tally in tallies) >= 20


def test_each_planted_flaw_is_seen(mariadb_base: Path) -> None:
    """With a rule of the protocol broken, the same suite reports harm: so it would, were marksweep like that."""
    planted = [m for m in MUTANTS if (m.engine == "sqlite") == (m.name in ON_SQLITE)]
    tallies = campaign(planted, 10**9, mariadb_base)
    print(flaws(tallies))
    assert len(tallies) == len({m.name for m in MUTANTS})
    assert not [tally.setup.name for tally in tallies if tally.wrong]
