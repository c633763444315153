"""Progress: counters, the one line, and when it is shown at all."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from marksweep.mark.observer import MarkObserver
from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, KeptBecause
from marksweep.report.progress import MarkProgress, SweepProgress
from marksweep.report.ticker import Ticker
from marksweep.sweep.observer import SweepObserver
from tests.unit.report.samples import HOSTILE


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def console(*, terminal: bool = False, term: str = "xterm") -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, _environ={"TERM": term})


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_they_are_observers() -> None:
    """The types say so; mypy checks this line."""
    mark: MarkObserver = MarkProgress(console())
    sweep: SweepObserver = SweepProgress(console())
    assert isinstance(mark, Ticker)
    assert isinstance(sweep, Ticker)


def test_a_sweep_s_line() -> None:
    """Entries, bytes, what was kept or failed, the rate, and the time left."""
    clock = Clock()
    sweep = SweepProgress(console(), clock=clock)
    sweep.planned(12_873, None, 200)
    assert sweep.line() == "swept 200 of 12,873 entries, 0 B"
    for _ in range(1000):
        sweep.outcome("id", "uri", Deleted(3, 3_328_599))
    clock.now += 4
    assert sweep.line() == "swept 1,200 of 12,873 entries, 3.1 GiB, 250/s, 0:47 left"
    sweep.outcome("id", "uri", Kept(KeptBecause.CHANGED))
    sweep.outcome("id", "uri", Failed("AccessDenied", "no", 1, 5))
    sweep.outcome("id", "uri", AlreadyGone())
    assert "3.1 GiB, 1 kept, 1 failed, 251/s" in sweep.line()
    assert (sweep.deleted, sweep.kept, sweep.failed, sweep.gone, sweep.done) == (1000, 1, 1, 1, 1003)
    assert (sweep.objects, sweep.bytes) == (3001, 3_328_599_005)
    assert sweep.fraction() == pytest.approx(1203 / 12_873)


def test_the_rate_is_that_of_the_last_minute() -> None:
    """After a slow start, the time left is not overestimated for ever."""
    clock = Clock()
    sweep = SweepProgress(console(), clock=clock)
    sweep.planned(10_000, None, 0)
    for tenth in range(30):
        clock.now += 10
        for _ in range(1 if tenth < 15 else 100):
            sweep.outcome("id", "uri", Deleted())
        sweep.line()
    assert "10/s" in sweep.line()


def test_resuming_and_draining_are_said() -> None:
    """What is finished first, and why nothing seems to happen."""
    clock = Clock()
    sweep = SweepProgress(console(), clock=clock)
    sweep.planned(10, None, 4)
    sweep.resumed(2)
    assert sweep.line() == "swept 4 of 10 entries, 0 B, 2 of an earlier run first"
    sweep.outcome("id", "uri", Deleted())
    sweep.outcome("id", "uri", Deleted())
    sweep.draining(60)
    clock.now += 18
    assert sweep.line() == "swept 6 of 10 entries, 0 B, waiting 0:42 before the bytes of marked rows go"
    clock.now += 60
    assert "waiting" not in sweep.line()


def test_a_canary_is_said() -> None:
    """What is done about it while nothing else is; afterwards the line is as ever."""
    sweep = SweepProgress(console(), clock=Clock())
    sweep.planned(100, None, 0)
    sweep.canary("drawing", 0, 0)
    assert sweep.line() == "swept 0 of 100 entries, 0 B, canary: looking for what lives beside it"
    sweep.canary("sweeping", 5, 1200)
    assert sweep.line() == "swept 0 of 100 entries, 0 B, canary: 5 entries first, beside 1,200 live versions"
    sweep.canary("comparing", 5, 1)
    assert sweep.line() == "swept 0 of 100 entries, 0 B, canary: comparing 1 live version"
    sweep.canary("over", 5, 1200)
    assert sweep.line() == "swept 0 of 100 entries, 0 B"


def test_a_mark_s_lines() -> None:
    """Reading, comparing, sizing; a rate for each but the second."""
    clock = Clock()
    mark = MarkProgress(console(), clock=clock)
    assert mark.line() == "read 0 versions"
    mark.surveyed(1)
    assert mark.line() == "read 1 version"
    mark.surveyed(11_999)
    clock.now += 4
    assert mark.line() == "read 12,000 versions, 3,000/s"
    assert mark.fraction() is None
    mark.comparing()
    assert mark.line() == "comparing the places of 12,000 versions"
    mark.sizing(500)
    assert mark.fraction() == 0
    mark.sized(25, 5 * 1024**3)
    clock.now += 10
    assert mark.line() == "sized 25 of 500 places, 5.0 GiB, 2.5/s, 3:10 left"


def test_warnings_are_kept_for_the_end() -> None:
    """Unaltered: whoever shows them makes them plain."""
    err = console()
    with MarkProgress(err) as mark:
        mark.warn(HOSTILE)
    assert mark.warnings == [HOSTILE]
    assert written(err) == ""


def test_a_pipe_gets_a_plain_line_now_and_then() -> None:
    """No escape sequences, whole lines."""
    err = console()
    with SweepProgress(err, every=0.05) as sweep:
        sweep.planned(100, None, 0)
        for _ in range(10):
            sweep.outcome("id", "uri", Deleted(1, 1024))
            time.sleep(0.02)
    lines = written(err).splitlines()
    assert 1 <= len(lines) <= 10
    pattern = r"swept \d+ of 100 entries, [\d.]+ K?i?B(, [\d.]+/s, 0:\d\d left)?"
    assert all(re.fullmatch(pattern, line) for line in lines), lines


def test_a_terminal_gets_one_line_that_goes_away() -> None:
    """Shown after half a second, erased at the end, with the cursor back."""
    err = console(terminal=True)
    with SweepProgress(err) as sweep:
        sweep.planned(100, None, 0)
        sweep.outcome("id", "uri", Deleted(1, 1024))
        time.sleep(1.0)
    shown = written(err)
    assert "swept 1 of 100 entries, 1.0 KiB" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
    assert shown.endswith("\x1b[2K") or "\x1b[2K" in shown[-30:]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_short_run_shows_nothing(terminal: bool) -> None:
    """Nothing flickers."""
    err = console(terminal=terminal)
    with SweepProgress(err) as sweep:
        sweep.planned(1, None, 0)
    assert written(err) == ""


def test_a_dumb_terminal_gets_plain_lines() -> None:
    """TERM=dumb cannot renew a line."""
    err = console(terminal=True, term="dumb")
    with MarkProgress(err, every=0.05) as mark:
        mark.surveyed(5)
        time.sleep(0.2)
    assert written(err).startswith("read 5 versions")
    assert "\x1b" not in written(err)


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing_and_still_counts(terminal: bool) -> None:
    """--quiet."""
    err = console(terminal=terminal)
    with SweepProgress(err, quiet=True, every=0.01) as sweep:
        sweep.planned(2, None, 0)
        sweep.outcome("id", "uri", Deleted(1, 2))
        time.sleep(0.7 if terminal else 0.1)
    assert written(err) == ""
    assert sweep.deleted == 1


def test_a_closed_stderr_does_not_stop_the_work() -> None:
    """`2>&1 | head` closes the pipe: the sweep goes on."""
    err = console()
    err.file.close()
    with SweepProgress(err, every=0.01) as sweep:
        sweep.planned(2, None, 0)
        time.sleep(0.1)
        sweep.outcome("id", "uri", Deleted(1, 2))
    assert sweep.deleted == 1


def test_an_error_passes_through() -> None:
    """The thread ends, and the exception stays what it was."""
    sweep = SweepProgress(console(terminal=True))
    with pytest.raises(KeyboardInterrupt), sweep:
        raise KeyboardInterrupt
    assert sweep._thread is not None
    assert not sweep._thread.is_alive()
