"""docs/reference/logs-and-metrics.md names every event, span and metric that there is."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.core import CounterMetricFamily

from marksweep.report.counts import OUTCOMES, RunCounts
from marksweep.report.log_documents import PlanState
from marksweep.report.metrics_file import MetricsFile
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "reference" / "logs-and-metrics.md").read_text(encoding="utf-8")


def source(*names: str) -> str:
    return "".join((ROOT / "marksweep" / name).read_text(encoding="utf-8") for name in names)


def test_every_event_is_documented() -> None:
    """Each in a row of its own with its level, and no others."""
    code = source("report/log_lines.py", "cli/telemetry.py", "cli/screen.py")
    said = set(re.findall(r'(?:write|say)\(\s*"(\w+)", "([a-z-]+)"', code))
    said |= {("info", event) for event in re.findall(r'"(batch-\w+)"', code)}
    rows = set(re.findall(r"^\| `([a-z-]+)` \| (info|warning|error) \|", PAGE, re.MULTILINE))
    assert rows == {(event, level) for level, event in said}


def test_every_span_and_attribute_is_documented() -> None:
    """Spans, counters and attributes by their names."""
    code = source("report/otel.py")
    names = set(re.findall(r'"((?:mark|sweep)\.\w+)"', code)) | {"sweep.list", "sweep.claim", "sweep.delete"}
    names |= {f"marksweep.{name}" for name in re.findall(r'counter\(\s*"([\w.]+)"', code)}
    names |= set(re.findall(r'"(marksweep\.[\w.]+)"', code))
    assert len(names) > 20
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []


def test_every_metric_is_documented(tmp_path: Path) -> None:
    """Each with its type, by the name that Prometheus gives it."""
    file = MetricsFile(tmp_path / "m.prom", "sweep", RunCounts(), lambda: None)
    file.end(0)
    for metric in file.collect():
        name = metric.name + ("_total" if isinstance(metric, CounterMetricFamily) else "")
        (row,) = [line for line in PAGE.splitlines() if line.startswith("| `marksweep_") and f"`{name}`" in line]
        assert f"| {metric.type} |" in row
    assert [name for name in OUTCOMES if f"`{name}`" not in PAGE] == []


def test_every_state_of_a_plan_is_documented() -> None:
    """In the guide that shows the listing."""
    guide = (DOCS / "how-to" / "watch-a-sweep.md").read_text(encoding="utf-8")
    assert [state for state in PlanState if f"\n| `{state}` |" not in guide] == []
