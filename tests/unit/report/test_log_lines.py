"""JSON Lines: one object a line, nothing that a terminal or a CI runner obeys, and progress now and then."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

from marksweep.mark.observer import MarkObserver
from marksweep.mark.observer import Several as SeveralMarks
from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, KeptBecause
from marksweep.report.counts import RunCounts
from marksweep.report.log_lines import PERIOD, LogLines, MarkLines, SweepLines
from marksweep.report.text import plain
from marksweep.store.tuning import Meter
from marksweep.sweep.observer import Several, SweepObserver
from tests.unit.report.samples import HOSTILE

NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def log(*streams: io.BytesIO) -> LogLines:
    found = LogLines("sweep", now=lambda: NOW)
    for stream in streams:
        found.to(stream)
    return found


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    """What was written since the last look."""
    text = stream.getvalue().decode()
    stream.seek(0)
    stream.truncate()
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_when_how_bad_what_and_of_which_plan() -> None:
    """The members that every line has, and its own after them."""
    stream = io.BytesIO()
    found = log(stream)
    found.write("info", "command-started", version="0.1.0")
    found.plan = "01K"
    found.write("error", "error", code="locked")
    first, second = lines(stream)
    assert first == {
        "time": "2026-11-21T12:00:00.250Z", "level": "info", "event": "command-started", "command": "sweep",
        "plan": None, "version": "0.1.0",
    }  # fmt: skip
    assert (second["plan"], second["code"]) == ("01K", "locked")


def test_hostile_values_stay_on_their_line_and_do_nothing() -> None:
    """Whatever a name holds, the line is one line of harmless text, and a JSON reader gets the name back."""
    stream = io.BytesIO()
    hostile = HOSTILE.replace("\ud800", "") + "##[error]::error::\u2029\x85"
    log(stream).write("warning", "entry-kept", uri=hostile)
    text = stream.getvalue().decode()
    assert text.count("\n") == len(text.splitlines()) == 1
    assert "##[" not in text
    assert not text.startswith("::")
    assert all(plain(character) == character for character in text[:-1])
    assert lines(stream)[0]["uri"] == hostile


def test_each_stream_gets_the_same_lines_from_its_level_on() -> None:
    """A quiet stream has what matters; one that cannot be written to any more is no reason to stop the others, or a sweep."""

    class Full(io.BytesIO):
        tried = 0

        def write(self, _: Any) -> int:
            self.tried += 1
            raise OSError(28, "No space left on device")

    everything, quiet, full = io.BytesIO(), io.BytesIO(), Full()
    found = log(full, everything)
    found.to(quiet, "warning")
    for level in ("info", "warning", "error"):
        found.write(level, level)  # type: ignore[arg-type]
    assert [line["event"] for line in lines(everything)] == ["info", "warning", "error"]
    assert [line["event"] for line in lines(quiet)] == ["warning", "error"]
    assert full.tried == 1


def test_a_sweep_is_told_step_by_step() -> None:
    """Phases, batches, and each entry that was not deleted; a canary that there was not is not told of."""
    stream, clock = io.BytesIO(), Clock()
    found = SweepLines(log(stream), Meter(), clock=clock)
    observer: SweepObserver = Several(RunCounts(), found)
    observer.planned(100, None, 10)
    observer.resumed(3)
    observer.canary("over", 0, 0)
    observer.canary("sweeping", 5, 40)
    observer.batch("list", 98.5, 50, 150, 1000)
    observer.batch("claim", 99.5, 50, 0, 0)
    observer.outcome("a", "s3://b/a", Kept(KeptBecause.REFERENCED, "by a step"))
    observer.outcome("b", "s3://b/b", Failed("AccessDenied", "no", 1, 5))
    observer.outcome("c", "s3://b/c", Deleted(1, 5))
    observer.outcome("d", "s3://b/d", AlreadyGone())
    observer.draining(60)
    told = [
        {key: value for key, value in line.items() if key not in ("time", "command", "plan")} for line in lines(stream)
    ]
    assert told == [
        {"level": "info", "event": "phase", "phase": "sweep", "entries": 100, "bytes": None, "settled": 10},
        {"level": "info", "event": "resumed", "entries": 3},
        {"level": "info", "event": "phase", "phase": "canary", "step": "sweeping", "entries": 5, "witnesses": 40},
        {"level": "info", "event": "batch-listed", "entries": 50, "objects": 150, "bytes": 1000, "seconds": 1.5},
        {"level": "info", "event": "batch-claimed", "entries": 50, "seconds": 0.5},
        {"level": "warning", "event": "entry-kept", "id": "a", "uri": "s3://b/a", "code": "referenced",
         "detail": "by a step"},
        {"level": "error", "event": "entry-failed", "id": "b", "uri": "s3://b/b", "code": "AccessDenied", "detail": "no"},
        {"level": "info", "event": "phase", "phase": "drain", "seconds": 60},
    ]  # fmt: skip


def test_progress_comes_every_ten_seconds_or_five_per_cent() -> None:
    """And not else, however often it is looked at."""
    stream, clock = io.BytesIO(), Clock()
    found = SweepLines(log(stream), Meter(), clock=clock)
    found.planned(100, 1000, 0)
    lines(stream)
    for _ in range(4):
        found.outcome("a", "u", Deleted(1, 5))
        found.look()
    assert lines(stream) == []
    found.outcome("a", "u", Deleted(1, 5))
    found.look()
    found.look()
    (line,) = lines(stream)
    assert (line["event"], line["settled"], line["entries"], line["bytes"]) == ("progress", 5, 100, 25)
    clock.now += PERIOD
    found.look()
    found.look()
    assert len(lines(stream)) == 1


def test_a_store_that_slows_down_is_told_once_and_when_it_recovered() -> None:
    """By its place and why; nothing while it stays as it is."""
    stream, meter = io.BytesIO(), Meter()
    found = MarkLines(log(stream), meter, clock=Clock())
    lines(stream)
    meter.throttled["s3://bucket"] = "SlowDown 100 keys/s"
    found.look()
    meter.throttled["s3://bucket"] = "SlowDown 50 keys/s"
    found.look()
    meter.throttled.clear()
    found.look()
    slowed, recovered = lines(stream)
    assert (slowed["event"], slowed["place"], slowed["why"]) == ("store-slowed", "s3://bucket", "SlowDown 100 keys/s")
    assert recovered["event"] == "store-recovered"


def test_a_mark_is_told_phase_by_phase() -> None:
    """Its four phases with what each has to do, and warnings, to all observers alike."""
    stream, counts = io.BytesIO(), RunCounts()
    found = MarkLines(log(stream), Meter(), clock=Clock())
    observer: MarkObserver = SeveralMarks(counts, found)
    observer.surveyed(70)
    observer.comparing()
    observer.sizing(27)
    observer.sized(20, 1000)
    observer.warn("a store has no versions")
    observer.writing()
    told = lines(stream)
    assert [line.get("phase") for line in told] == ["survey", "examine", "measure", None, "write"]
    assert (told[1]["versions"], told[2]["places"], told[3]["message"]) == (70, 27, "a store has no versions")
    assert (counts.versions, counts.places, counts.measured, counts.measured_bytes) == (70, 27, 20, 1000)
    assert found.far() == {"versions": 70, "places": 27, "sized": 20, "bytes": 1000}
