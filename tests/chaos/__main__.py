"""The chaos suite: ``python -m tests.chaos`` (or ``make chaos``). See ``docs/explanation/chaos.md``.

Writers link, load, cache, save, unlink, drop runs and register folders in a catalog while a sweep of it is killed, cut off
from its database and resumed; then everything is audited. Exit status 1: a violation, or a planted flaw that was not seen.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos.campaign import MUTANTS, SETUPS, Campaign, Tally
from tests.chaos.world import MODES

COLUMNS = {
    "trials": (),
    "sweeper kills": ("kills",),
    "database kills": ("restarts",),
    "faulted COMMITs": ("faulted",),
    "links": ("link: linked", "cache: linked"),
    "loads": ("load: linked",),
    "contested": ("contested",),
    "saved": ("save: saved",),
    "registered": ("register: registered",),
    "swept": ("entries: deleted",),
    "spared": ("entries: referenced", "entries: protected", "entries: changed"),
    "key refusals": ("writers: key refused",),
    "found gone": ("writers: gone",),
    "deadlocks": ("writers: deadlock",),
}
"""Heading -> the counts that it is the sum of."""


def main() -> int:
    """Read the command line, run, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=25, help="begin nothing new after this long (flaws excepted)")
    parser.add_argument("--trials", type=int, default=10**9, help="the most of each kind")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--engine", choices=("sqlite", "mariadb"))
    parser.add_argument("--mode", choices=tuple(MODES))
    parser.add_argument("--only", default="", help="only kinds whose name holds this")
    parser.add_argument("--no-flaws", action="store_true", help="plant no flaws")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)

    def told(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    wanted = [
        s
        for s in (*SETUPS, *(() if given.no_flaws else MUTANTS))
        if given.engine in (None, s.engine) and given.mode in (None, s.mode) and given.only in s.name
    ]
    began = time.monotonic()
    sound = Campaign(given.seed, [s for s in wanted if not s.expect], told, 60 * given.minutes, given.trials).run()
    flawed = Campaign(given.seed, [s for s in wanted if s.expect], told).run()
    print(table(sound))
    print()
    print(flaws(flawed))
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes, seed {given.seed}")
    return int(any(tally.wrong for tally in (*sound, *flawed)))


def table(tallies: Sequence[Tally]) -> str:
    """What happened, a row for each kind of trial, a sum, and the kills by place."""
    total = Tally(tallies[0].setup) if tallies else None
    if total is None:
        return "no trials"
    rows = [["engine", "mode", "what", *COLUMNS, "violations"]]
    for tally in tallies:
        setup = tally.setup
        rows.append([setup.engine, setup.mode, setup.name, *_figures(tally)])
        total.trials += tally.trials
        total.counts += tally.counts
        total.points += tally.points
        total.violations += tally.violations
    rows.append(["", "", "all", *_figures(total)])
    places = ", ".join(f"{name} {times}" for name, times in total.points.most_common())
    return f"{markdown(rows)}\n\nviolations by kind: {_kinds(total.violations)}\nkills by place: {places}"


def flaws(tallies: Sequence[Tally]) -> str:
    """What was seen of each planted flaw."""
    rows = [["planted flaw", "engine", "mode", "trials", "violations seen"]]
    for tally in tallies:
        setup = tally.setup
        rows.append([setup.name, setup.engine, setup.mode, str(tally.trials), _kinds(tally.violations)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, its columns padded."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _figures(tally: Tally) -> list[str]:
    counted = [sum(tally.counts[name] for name in names) if names else tally.trials for names in COLUMNS.values()]
    return [*map(str, counted), str(tally.violations.total())]


def _kinds(violations: Counter[str]) -> str:
    return ", ".join(f"{kind} {times}" for kind, times in violations.most_common()) or "none"


if __name__ == "__main__":
    sys.exit(main())
