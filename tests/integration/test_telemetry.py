"""What programs are told: JSON Lines, spans and metrics over OTLP to a real receiver, a Prometheus file. Never a secret."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from marksweep.cli.main import app
from marksweep.report import metrics_file, otel
from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli

CANARY = "c4n4ry-s3cr3t"
ENTRIES, OBJECTS, BYTES = 27, 34, 6216
"""What the catalog of ZenML 0.98.0 has to sweep without a grace period."""


@dataclass
class Receiver:
    """A collector of OTLP over HTTP: what was posted to it, by path."""

    posted: list[tuple[str, bytes]] = field(default_factory=list)
    url: str = ""

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.posted if path == "/v1/traces"]
        return [s for r in requests for resource in r.resource_spans for sc in resource.scope_spans for s in sc.spans]

    def resource(self) -> dict[str, str]:
        request = ExportTraceServiceRequest.FromString(next(b for p, b in self.posted if p == "/v1/traces"))
        return {a.key: a.value.string_value for a in request.resource_spans[0].resource.attributes}

    def metrics(self) -> dict[str, dict[str, int]]:
        """The last value of each counter, by the attribute that only it has (or an empty string)."""
        own = ("marksweep.outcome", "marksweep.kind")
        found: dict[str, dict[str, int]] = {}
        for path, body in self.posted:
            if path == "/v1/metrics":
                request = ExportMetricsServiceRequest.FromString(body)
                for metric in request.resource_metrics[0].scope_metrics[0].metrics:
                    for point in metric.sum.data_points:
                        key = next((a.value.string_value for a in point.attributes if a.key in own), "")
                        found.setdefault(metric.name, {})[key] = point.as_int
        return found


@pytest.fixture(autouse=True)
def nobody_sends_still() -> None:
    """A command of the test before may have left threads that wait for its collector: in a process of its own it ends them."""
    for thread in threading.enumerate():
        if thread.name == "marksweep-otel" or thread.name.startswith("Otel"):
            thread.join(30)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """On a port of this machine's own, for one test."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def catalog(tmp_path: Path) -> RealCatalog:
    return unpacked("0.98.0", tmp_path)


Run = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def run(cli: Cli) -> Run:
    """The program with JSON Lines on stderr: its status, and the lines, each of which must be one."""

    def invoke(*words: object, log: str = "json", **environ: str) -> tuple[int, list[dict[str, Any]]]:
        everything = {**cli.environment(), "AWS_SECRET_ACCESS_KEY": CANARY, **environ}
        with mock.patch.dict(os.environ, everything, clear=True):
            found = CliRunner().invoke(app, ["--log-format", log, *map(str, words)], catch_exceptions=False)
        text = found.stderr_bytes.decode()
        assert CANARY not in text + found.stdout
        assert text.isprintable() or "\n" in text
        lines = [json.loads(line) for line in text.splitlines()] if log == "json" else [{"text": text}]
        return found.exit_code, lines

    return invoke


def events(lines: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == event]


def marked(run: Run, catalog: RealCatalog, plan: Path, *options: object, **environ: str) -> list[dict[str, Any]]:
    words = ("mark", "--catalog", catalog.url, "--no-grace", "--out", plan, *options)
    status, lines = run(*words, **environ)
    assert status == 0, lines
    return lines


def test_a_mark_and_a_sweep_are_told_as_lines(run: Run, catalog: RealCatalog, tmp_path: Path) -> None:
    """stderr is JSON, line by line: began, phases, batches with their sums, what was kept, the end with its books."""
    plan, log = tmp_path / "plan.json", tmp_path / "log.jsonl"
    lines = marked(run, catalog, plan)
    assert [line["phase"] for line in events(lines, "phase")] == ["survey", "examine", "measure", "write"]
    assert {"time", "level", "event", "command", "plan"} <= set(lines[0])
    assert (lines[0]["event"], lines[0]["command"], lines[0]["plan"]) == ("command-started", "mark", None)
    (end,) = events(lines, "finished")
    assert (end["status"], end["entries"], end["plan"] is None) == (0, ENTRIES, False)

    victim = next(iter(json.loads(plan.read_text())["entries"]))
    Path(victim["uri"], "late").write_text("somebody wrote this")
    sweep = ("sweep", plan, "--catalog", catalog.url, "--yes")
    status, lines = run(*sweep, MARKSWEEP_LOG_FILE=str(log))
    assert status == 11
    assert [json.loads(line) for line in log.read_text().splitlines()] == lines
    (kept,) = events(lines, "entry-kept")
    assert (kept["id"], kept["uri"], kept["code"], kept["level"]) == (victim["id"], victim["uri"], "changed", "warning")
    deleted = events(lines, "batch-deleted")
    assert sum(line["entries"] for line in deleted) == ENTRIES - 1 == events(lines, "batch-claimed")[0]["entries"]
    assert sum(line["bytes"] for line in deleted) == BYTES - victim["bytes"]
    assert {line["plan"] for line in lines[1:]} == {end["plan"]}
    assert lines[-1]["event"] == "finished"
    assert (lines[-1]["books"]["changed"], lines[-1]["books"]["deleted"]) == (1, ENTRIES - 1)


def test_an_error_is_one_line_with_its_fact_and_remedy(run: Run, catalog: RealCatalog, tmp_path: Path) -> None:
    """What a person would read as an error, a program gets as one; --quiet leaves warnings and errors."""
    url = f"mysql+pymysql://user:{CANARY}@127.0.0.1:1/zenml"
    status, lines = run("mark", "--catalog", url, "--quiet", "--out", tmp_path / "plan.json")
    (line,) = lines
    assert status == line["status"] == 25
    assert (line["event"], line["level"], line["code"]) == ("error", "error", "catalog-not-understood")
    assert line["fact"]
    assert line["remedy"]
    assert line["deleted"] == "nothing was deleted"
    status, lines = run("status", tmp_path / "plan.json", MARKSWEEP_LOG_FILE=str(tmp_path))
    assert status == 2
    assert "give another file to --log-file" in events(lines, "error")[0]["remedy"]


def test_spans_and_metrics_reach_a_collector(
    run: Run, catalog: RealCatalog, tmp_path: Path, receiver: Receiver
) -> None:
    """One trace a command; below its span the phases of mark, and the batches of sweep with their counts; and counters."""
    otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={CANARY}"}
    plan = tmp_path / "plan.json"
    marked(run, catalog, plan, **otlp)
    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {"marksweep mark", "mark.survey", "mark.examine", "mark.measure", "mark.write"}
    root = spans["marksweep mark"]
    assert {s.parent_span_id for s in spans.values()} == {b"", root.span_id}
    assert {s.trace_id for s in spans.values()} == {root.trace_id}
    assert (
        number(spans["mark.measure"], "marksweep.sized") == number(spans["mark.measure"], "marksweep.places") == ENTRIES
    )
    assert receiver.resource()["service.name"] == "marksweep"
    assert receiver.metrics()["marksweep.versions.read"][""] >= ENTRIES

    receiver.posted.clear()
    status, _ = run("sweep", plan, "--catalog", catalog.url, "--yes", "--batch-size", "10", **otlp)
    assert status == 0
    spans_now = receiver.spans()
    assert {s.name for s in spans_now} == {"marksweep sweep", "sweep.list", "sweep.claim", "sweep.delete"}
    deletes = [s for s in spans_now if s.name == "sweep.delete"]
    assert len(deletes) >= 2
    assert sum(number(s, "marksweep.entries") for s in deletes) == ENTRIES
    assert sum(number(s, "marksweep.bytes") for s in deletes) == BYTES
    assert all(s.end_time_unix_nano > s.start_time_unix_nano for s in spans_now)
    found = receiver.metrics()
    assert (found["marksweep.entries"]["deleted"], found["marksweep.entries"]["failed"]) == (ENTRIES, 0)
    assert (found["marksweep.freed"][""], found["marksweep.deleted.objects"][""]) == (BYTES, OBJECTS)
    assert not any(CANARY.encode() in body or b"local_stores" in body for _, body in receiver.posted)


def number(span: Any, name: str) -> int:
    """An attribute of *span*."""
    found: int = next(a.value.int_value for a in span.attributes if a.key == name)
    return found


def test_a_collector_that_is_down_delays_nothing(
    run: Run, catalog: RealCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that refuses, or takes the connection and never answers: the command ends as ever, and says once what is lost."""
    monkeypatch.setattr(otel, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        refusing = socket.create_server(("127.0.0.1", 0))
        ports = [silent.getsockname()[1], refusing.getsockname()[1]]
        refusing.close()
        for number_, port in enumerate(ports):
            began = time.monotonic()
            url = f"http://{CANARY}@127.0.0.1:{port}"
            lines = marked(run, catalog, tmp_path / f"{number_}.json", OTEL_EXPORTER_OTLP_ENDPOINT=url)
            assert time.monotonic() - began < 5
            (warning,) = events(lines, "warning")
            assert "cannot be sent to the OpenTelemetry collector" in warning["message"]
            assert (lines[-1]["event"], lines[-1]["status"]) == ("finished", 0)


def test_without_the_variables_nothing_is_sent(
    run: Run, catalog: RealCatalog, tmp_path: Path, receiver: Receiver
) -> None:
    """Other OTEL_* variables of the machine, an exporter named none, the SDK switched off or misled: no request at all."""
    for environ in (
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ):
        assert not events(run("log", tmp_path, **environ)[1], "warning")
    status, lines = run("log", tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="-1")
    assert (status, len(events(lines, "warning"))) == (0, 1)
    assert receiver.posted == []


def test_a_prometheus_file_of_each_run(run: Run, catalog: RealCatalog, tmp_path: Path) -> None:
    """Whole, parsed by Prometheus's own parser; sums that agree with the books; labels by run and none by entry."""
    plan, prom = tmp_path / "plan.json", tmp_path / "marksweep.prom"
    marked(run, catalog, plan, "--metrics-file", prom)
    assert samples(prom)["marksweep_planned_entries"] == ENTRIES
    status, _ = run("sweep", plan, "--catalog", catalog.url, "--yes", "--metrics-file", prom)
    assert status == 0
    found = samples(prom)
    assert found["marksweep_entries_total deleted"] == ENTRIES
    assert found["marksweep_freed_bytes_total"] == BYTES
    assert (found["marksweep_exit_status"], found["marksweep_running"]) == (0, 0)
    labels = {key for family in families(prom) for sample in family.samples for key in sample.labels}
    assert labels == {"command", "mode", "server_id", "outcome", "kind"}
    server = json.loads(plan.read_text())["catalog"]["server_id"]
    assert f'command="sweep",mode="both",server_id="{server}"' in prom.read_text()
    assert sorted(path.name for path in tmp_path.glob("*.prom*")) == ["marksweep.prom"]
    status, _ = run("sweep", plan, "--catalog", catalog.url, "--approvals", "9", "--metrics-file", prom)
    assert (status, samples(prom)["marksweep_exit_status"]) == (21, 21)


def test_a_metrics_file_that_hangs_hides_no_outcome(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of a server that does not answer: the command ends with its own status, and says once what is lost."""
    answers = threading.Event()
    monkeypatch.setattr(metrics_file, "PATIENCE", 0.2, raising=False)
    monkeypatch.setattr(metrics_file, "write_to_textfile", lambda *_: answers.wait(20))
    began = time.monotonic()
    try:
        status, lines = run("prune", "--yes", "--metrics-file", tmp_path / "m.prom", "--catalog", "sqlite:////none.db")
    finally:
        answers.set()
    assert status == 25, lines
    assert time.monotonic() - began < 10
    assert "cannot be written any more" in events(lines, "warning")[-1]["message"]
    assert (lines[-1]["event"], lines[-1]["status"]) == ("finished", 25)


def families(path: Path) -> list[Any]:
    return list(text_string_to_metric_families(path.read_text()))


def samples(path: Path) -> dict[str, float]:
    """Each value by the name of its metric and what sets it apart from others of that name."""
    return {
        " ".join([s.name, *(v for k, v in s.labels.items() if k in ("outcome", "kind"))]): s.value
        for family in families(path)
        for s in family.samples
    }


def test_metrics_that_could_never_be_read_are_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that node_exporter ignores, a folder that is not there, and a missing extra: told before anything begins."""
    for path in (tmp_path / "metrics.txt", tmp_path / "nowhere" / "m.prom"):
        status, lines = run("prune", "--yes", "--metrics-file", path)
        assert status == 2
        assert "ends in .prom" in events(lines, "error")[0]["remedy"]
    monkeypatch.setitem(__import__("sys").modules, "marksweep.report.metrics_file", None)
    status, lines = run("prune", "--yes", "--metrics-file", tmp_path / "m.prom")
    assert status == 2
    assert "pip install 'marksweep[otel]'" in events(lines, "error")[0]["remedy"]


def test_words_for_people_stay_when_lines_go_to_a_file(run: Run, catalog: RealCatalog, tmp_path: Path) -> None:
    """--log-file alone changes nothing on stderr."""
    log = tmp_path / "log.jsonl"
    status, (shown,) = run("verify", tmp_path / "none.json", log="text", MARKSWEEP_LOG_FILE=str(log))
    assert status == 2
    assert shown["text"].startswith("error[usage]: ")
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == [
        "command-started",
        "error",
        "finished",
    ]
