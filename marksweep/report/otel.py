"""Spans and metrics of one run, through the OpenTelemetry SDK and its standard ``OTEL_*`` environment variables.

Needs the extra ``otel``. Sent over OTLP/HTTP by threads of the SDK: the phases never wait for a collector, and the end
of a command waits two seconds at most. Attributes are counts, modes and ids; names, URIs and messages are left out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from marksweep import __version__
from marksweep.mark import observer as mark
from marksweep.report.counts import OUTCOMES, RunCounts
from marksweep.store.tuning import Meter
from marksweep.sweep import observer as sweep
from marksweep.sweep.observer import BatchStep

PATIENCE = 2.0
"""Seconds that the end of a command waits for what is not sent yet."""
_SCOPE = "marksweep"


class _Unsent(logging.Handler):
    """Hears what the SDK complains of, which may name a collector's address: says once that something is not sent."""

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._lost: Callable[[], None] | None = lost

    def emit(self, record: logging.LogRecord) -> None:
        self.say()

    def say(self) -> None:
        """Say it, unless it was said."""
        lost, self._lost = self._lost, None
        if lost is not None:
            lost()


class OtelRun(mark.Silent, sweep.Silent):
    """One command as a trace: a span for it, and below it one for each phase of a mark and each step of a batch.

    *lost* is called once if something cannot be sent. ``attributes`` are added to every span and metric from then on.
    """

    def __init__(self, command: str, environ: Mapping[str, str], counts: RunCounts, lost: Callable[[], None]) -> None:
        logger = logging.getLogger("opentelemetry")
        self._unsent = _Unsent(lost)
        logger.handlers, logger.propagate = [self._unsent], False
        self.meter = Meter()
        self.attributes: dict[str, str] = {"marksweep.command": command}
        self._counts = counts
        named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        about = {"service.version": __version__, **({} if named else {"service.name": "marksweep"})}
        resource = Resource.create(about)
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
        readers = []
        if _exports(environ, "OTEL_TRACES_EXPORTER"):
            self._tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        if _exports(environ, "OTEL_METRICS_EXPORTER"):
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        self._metering = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._tracer = self._tracing.get_tracer(_SCOPE, __version__)
        self._root: Span = self._tracer.start_span(f"marksweep {command}", attributes=self.attributes)
        self._phase: Span | None = None
        self._measuring = False
        self._instruments()

    def know(self, **attributes: str) -> None:
        """Add to what every span and metric says from now on, and to the command's own span."""
        for name, value in attributes.items():
            self.attributes[f"marksweep.{name}"] = value
            self._root.set_attribute(f"marksweep.{name}", value)

    def marking(self) -> None:
        """A mark begins."""
        self._next("mark.survey")

    def comparing(self) -> None:
        self._next("mark.examine", versions=self._counts.versions)

    def sizing(self, entries: int) -> None:
        self._next("mark.measure", places=entries)

    def writing(self) -> None:
        self._next("mark.write")

    def pause(self) -> None:
        """A mark is over, or was given up; a sweep may follow."""
        self._next(None)

    def planned(self, entries: int, bytes_: int | None, settled: int) -> None:
        """A sweep begins."""
        self._root.set_attributes({"marksweep.entries": entries, "marksweep.settled_before": settled})

    def batch(self, step: BatchStep, began: float, entries: int, objects: int, bytes_: int) -> None:
        now = time.time_ns()
        since = now - int((time.monotonic() - began) * 1e9)
        span = self._span(f"sweep.{step}", since)
        span.set_attribute("marksweep.entries", entries)
        if step != "claim":
            span.set_attributes({"marksweep.objects": objects, "marksweep.bytes": bytes_})
        span.end(now)

    def end(self, status: int, code: str | None) -> None:
        """The command ends with *status*; *code* is that of its error, if it failed. Waits ``PATIENCE`` at most."""
        self._next(None)
        self._root.set_attribute("marksweep.exit_status", status)
        if code is not None:
            self._root.set_attribute("error.type", code)
            self._root.set_status(Status(StatusCode.ERROR))
        self._root.end()
        deadline = time.monotonic() + PATIENCE
        threads = [
            threading.Thread(target=shutdown, daemon=True, name="marksweep-otel")
            for shutdown in (self._tracing.shutdown, self._metering.shutdown)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            self._unsent.say()

    def _next(self, name: str | None, **facts: int) -> None:
        if self._phase is not None:
            if self._measuring:
                self._phase.set_attribute("marksweep.sized", self._counts.measured)
                self._phase.set_attribute("marksweep.bytes", self._counts.measured_bytes)
            self._phase.end()
        self._phase, self._measuring = None, name == "mark.measure"
        if name is not None:
            self._phase = self._span(name, time.time_ns())
            self._phase.set_attributes({f"marksweep.{key}": value for key, value in facts.items()})

    def _span(self, name: str, since: int) -> Span:
        above = set_span_in_context(self._root)
        return self._tracer.start_span(name, above, start_time=since, attributes=self.attributes)

    def _instruments(self) -> None:
        meter = self._metering.get_meter(_SCOPE, __version__)

        def counter(
            name: str, unit: str, meaning: str, values: Callable[[], Iterable[tuple[int, dict[str, str]]]]
        ) -> None:
            def observe(_: CallbackOptions) -> Iterable[Observation]:
                return [Observation(value, {**self.attributes, **more}) for value, more in values()]

            meter.create_observable_counter(f"marksweep.{name}", [observe], unit, meaning)

        counts = self._counts
        counter("versions.read", "{version}", "Versions read from the catalog.", lambda: [(counts.versions, {})])
        counter(
            "entries", "{entry}", "Entries by what became of them.",
            lambda: [(counts.outcomes[name], {"marksweep.outcome": name}) for name in OUTCOMES],
        )  # fmt: skip
        counter("deleted.objects", "{object}", "Objects confirmed as deleted.", lambda: [(counts.objects, {})])
        counter("freed", "By", "Bytes confirmed as deleted.", lambda: [(counts.bytes, {})])
        counter(
            "store.requests", "{request}", "Requests to the stores, by kind.",
            lambda: [(self.meter.requests[kind], {"marksweep.kind": kind}) for kind in ("list", "delete", "other")],
        )  # fmt: skip
        counter("store.retries", "{request}", "Requests sent again.", lambda: [(self.meter.retries, {})])
        counter("store.refusals", "{refusal}", "Times a store said slow down.", lambda: [(self.meter.refusals, {})])


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for anything: an OTLP endpoint, or an exporter by name."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    endpoints = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    )
    exporters = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
    named = [environ[name] for name in exporters if environ.get(name)]
    return any(environ.get(name) for name in endpoints) or any("otlp" in name for name in named)


def _exports(environ: Mapping[str, str], variable: str) -> bool:
    """Whether what *variable* is about goes out over OTLP, the standard's default."""
    return "otlp" in [name.strip() for name in (environ.get(variable) or "otlp").split(",")]
