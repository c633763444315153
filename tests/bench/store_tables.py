"""The bench of the stores as tables, with each aim beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.store_deletes import BARE, BARE_SMALL, LAYER, LOOP, S5CMD, SWEEP
from tests.bench.store_job import Run, median
from tests.bench.store_listing import Listing
from tests.bench.store_memory import LIMIT_MB, Held
from tests.bench.store_prune import Pruned
from tests.bench.store_server import written
from tests.bench.store_storm import Storm

LAYER_LIMIT, SWEEP_LIMIT, LOOP_LIMIT = 1.3, 2.0, 100.0
LISTING_LIMIT = 1.1
PRUNE_LIMIT = 30.0


class Report:
    """Prints tables and aims; remembers whether an aim was missed."""

    def __init__(self) -> None:
        self.console = Console(width=None if Console().is_terminal else 160)
        self.missed: list[str] = []

    def deletes(self, runs: Mapping[str, Sequence[Run]], own: Mapping[str, Mapping[str, int]]) -> None:
        """Part b."""
        found = {name: median(some) for name, some in runs.items()}
        limit = min(found[BARE].seconds / found[BARE].versions, found[BARE_SMALL].seconds / found[BARE_SMALL].versions)
        table = _table(
            "Deleting",
            "what",
            "seconds",
            "CPU s",
            "server CPU s",
            "versions/s",
            "objects/s",
            "peak MB",
            "times bare",
            "requests",
        )
        for name, run in found.items():
            each = run.seconds / run.versions
            objects = f"{run.objects / run.seconds:,.0f}" if run.objects else ""
            table.add_row(
                name, _spread(runs[name]), f"{run.cpu:.2f}", f"{run.server_cpu:.2f}", f"{1 / each:,.0f}", objects,
                f"{run.peak:.0f}", f"{each / limit:.2f}", written(run.requests),
            )  # fmt: skip
        self.console.print(table)
        for name, counted in own.items():
            self.console.print(f"{name} itself counts: {written(counted)}", highlight=False)
        per_version = {name: run.seconds / run.versions for name, run in found.items()}
        self._aim("store layer, times the bare client", per_version[LAYER] / limit, LAYER_LIMIT)
        self._aim("sweep, times the bare client", per_version[SWEEP] / limit, SWEEP_LIMIT)
        self._aim(
            "sweep, times as fast as ZenML's loop", per_version[LOOP] / per_version[SWEEP], LOOP_LIMIT, most=False
        )
        if S5CMD in found:
            self._aim("sweep, times as fast as s5cmd", per_version[S5CMD] / per_version[SWEEP], 1.0, most=False)

    def listings(self, listings: Sequence[Listing]) -> None:
        """Part c."""
        table = _table(
            "Listing", "garbage", "asked for", "orphans", "objects in all", "requests", "one per version", "flat",
            "times the better", "seconds", "listed", "CPU µs/listed", "bare CPU µs", "peak MB",
        )  # fmt: skip
        for found in listings:
            table.add_row(
                found.layout, found.window, f"{found.space.orphans:,}", f"{found.space.count:,}", f"{found.sent:,}",
                f"{found.per_version:,}", f"{found.flat:,}", f"{found.ratio:.2f}", f"{found.run.seconds:.2f}",
                f"{found.listed:,}", f"{found.cpu:.1f}", f"{found.bare_cpu:.1f}", f"{found.run.peak:.0f}",
            )  # fmt: skip
        self.console.print(table)
        for found in listings:
            self._aim(f"requests, {found.layout}, {found.window}, times the better", found.ratio, LISTING_LIMIT)

    def memory(self, held: Sequence[Held]) -> None:
        """Part d."""
        table = _table("Memory", "phase", "objects", "seconds", "CPU s", "peak MB")
        for found in held:
            run = found.run
            table.add_row(found.phase, f"{found.objects:,}", f"{run.seconds:.1f}", f"{run.cpu:.1f}", f"{run.peak:.0f}")
        self.console.print(table)
        for phase in dict.fromkeys(found.phase for found in held):
            peaks = [found.run.peak for found in held if found.phase == phase]
            self._aim(f"{phase}, MB more for ten times the objects", peaks[-1] - peaks[0], LIMIT_MB)

    def storm(self, storm: Storm) -> None:
        """Part e."""
        table = _table("A 503 storm", "second", "keys deleted", "refused", "limit, keys/s", "")
        for second in storm.seconds:
            raging = "half is refused" if storm.began <= second.number < storm.ended else ""
            limit = "" if second.limit is None else f"{second.limit:,.0f}"
            table.add_row(str(second.number), f"{second.deleted:,}", str(second.refused or ""), limit, raging)
        self.console.print(table)
        after = storm.recovered_after
        said = "it never recovered" if after is None else f"{after} s after the storm the rate was back"
        self.console.print(f"Nothing was lost; {storm.retries} requests were repeated; {said}.", highlight=False)
        if after is None:
            self.missed.append("the rate recovers after the storm")

    def prune(self, pruned: Pruned) -> None:
        """Part f."""
        table = _table("Pruning a local store", "what", "seconds", "CPU s", "versions/s", "peak MB")
        for name, run in (("marksweep prune", pruned.marksweep), ("zenml artifact prune", pruned.zenml)):
            if run is not None:
                rate = f"{pruned.versions / run.seconds:,.1f}"
                table.add_row(name, f"{run.seconds:.2f}", f"{run.cpu:.2f}", rate, f"{run.peak:.0f}")
        self.console.print(table)
        if pruned.times is None:
            self.console.print(f"ZenML was not measured: {pruned.why}", highlight=False)
        else:
            self._aim("prune, times as fast as ZenML's", pruned.times, PRUNE_LIMIT, most=False)

    def _aim(self, what: str, found: float, limit: float, *, most: bool = True) -> None:
        kept = found <= limit if most else found >= limit
        verdict = "kept" if kept else "MISSED"
        self.console.print(
            f"  {what}: {found:,.2f} (at {'most' if most else 'least'} {limit:g}): {verdict}", highlight=False
        )
        if not kept:
            self.missed.append(what)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column in ("asked for", "requests", "") else "right")
    return table


def _spread(runs: Sequence[Run]) -> str:
    found = sorted(run.seconds for run in runs)
    return f"{median(runs).seconds:.2f}" + (f" ({found[0]:.2f}–{found[-1]:.2f})" if len(found) > 1 else "")
