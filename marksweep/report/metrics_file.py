"""A Prometheus text file of one run, for the textfile collector of node_exporter.

Needs the extra ``otel`` (prometheus_client). The file is always whole: it is written beside its name and renamed.
Names follow https://prometheus.io/docs/practices/naming/; no label is per entry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from marksweep.report.counts import OUTCOMES, RunCounts
from marksweep.store.tuning import Meter

PERIOD = 15.0
"""Seconds between two writes while the run is under way."""
PATIENCE = 2.0
"""Seconds that the end of a command waits for a file system that does not answer."""


class MetricsFile(Collector):
    """Writes *path* while a run is under way and when it is over. *lost* is called once if that fails; nothing else is.

    ``mode`` and ``server_id`` become labels; set them as soon as they are known.
    """

    def __init__(
        self, path: Path, command: str, counts: RunCounts, lost: Callable[[], None], *, period: float = PERIOD
    ) -> None:
        self.mode = self.server_id = ""
        self.meter = Meter()
        self._path = path
        self._command = command
        self._counts = counts
        self._lost: Callable[[], None] | None = lost
        self._period = period
        self._began = time.time()
        self._status: int | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Write now, and again and again from a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._again, name="marksweep-metrics", daemon=True)
            self._thread.start()

    def end(self, status: int) -> None:
        """Write for the last time: the command ends with *status*. Waits ``PATIENCE`` at most."""
        self._status = status
        self._over.set()
        self.begin()
        assert self._thread is not None
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._say()

    def describe(self) -> list[Metric]:
        """Nothing: the registry is ours alone, and what is collected needs no check against others."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        counts, meter, over = self._counts, self.meter, self._status is not None
        now = time.time()
        yield self._gauge("running", "1 while the command runs, 0 when it has ended.", 0 if over else 1)
        yield self._gauge("start_timestamp_seconds", "When the command began.", self._began)
        yield self._gauge("duration_seconds", "How long it has run.", now - self._began)
        if self._status is not None:
            yield self._gauge("end_timestamp_seconds", "When the command ended.", now)
            yield self._gauge("exit_status", "The exit status with which it ended.", self._status)
        if counts.planned_entries is not None:
            yield self._gauge("planned_entries", "Entries of the plan.", counts.planned_entries)
        if counts.planned_bytes is not None:
            yield self._gauge("planned_bytes", "Bytes of the plan's entries.", counts.planned_bytes)
        yield self._counter("versions_read", "Versions read from the catalog.", counts.versions)
        yield self._counter("places_sized", "Places whose objects were listed by mark.", counts.measured)
        yield self._counter("sized_bytes", "Bytes found there.", counts.measured_bytes)
        outcomes = {name: counts.outcomes[name] for name in OUTCOMES}
        yield self._by("entries", "Entries by what became of them in this run.", "outcome", outcomes)
        yield self._counter("deleted_objects", "Objects that the stores confirmed as deleted.", counts.objects)
        yield self._counter("freed_bytes", "Bytes that the stores confirmed as deleted.", counts.bytes)
        requests = {kind: meter.requests[kind] for kind in ("list", "delete", "other")}
        yield self._by("store_requests", "Requests to the stores, repeated ones included.", "kind", requests)
        yield self._counter("store_retries", "Requests that were sent again.", meter.retries)
        yield self._counter("store_refusals", "How often a store said slow down.", meter.refusals)
        yield self._gauge("store_slowed_places", "Places where a store is slowed down now.", len(meter.throttled))

    @property
    def _labels(self) -> dict[str, str]:
        return {"command": self._command, "mode": self.mode, "server_id": self.server_id}

    def _gauge(self, name: str, meaning: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"marksweep_{name}", meaning, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _counter(self, name: str, meaning: str, value: float) -> Metric:
        family = CounterMetricFamily(f"marksweep_{name}", meaning, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _by(self, name: str, meaning: str, label: str, values: dict[str, int]) -> Metric:
        family = CounterMetricFamily(f"marksweep_{name}", meaning, labels=[*self._labels, label])
        for key, value in values.items():
            family.add_metric([*self._labels.values(), key], value)
        return family

    def _again(self) -> None:
        self._write()
        while not self._over.wait(self._period):
            self._write()
        self._write()

    def _write(self) -> None:
        try:
            write_to_textfile(str(self._path), self._registry)
        except OSError:
            self._say()

    def _say(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()
