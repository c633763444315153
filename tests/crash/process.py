"""The sweep as its users run it, in a process of its own, to be killed at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from marksweep.sweep.books import Books, books
from marksweep.sweep.journal_reader import JournalReader, journal_path
from marksweep.sweep.lock import lock_path
from tests.crash.nursery import REPOSITORY, Child, Nursery, Run


@dataclass(frozen=True)
class SweepCommand:
    """``marksweep sweep`` of one plan, beside which are its key and whom to trust (see ``world.mark``)."""

    plan: Path
    url: str
    batch: int
    local_stores: Path

    def start(self, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start it; its output goes to *log*."""
        run = self.run(log)
        with Path(run.log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "marksweep", *run.argv],
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | run.environment,
                stdout=output, stderr=subprocess.STDOUT, cwd=run.folder,
            )  # fmt: skip

    def run(self, log: Path | None = None) -> Run:
        """What it is started with."""
        folder = self.plan.parent
        argv = [
            "sweep", str(self.plan), "--yes", "--quiet", "--catalog", self.url, "--batch-size", str(self.batch),
            "--trust", str(folder / "allowed_signers"), "--key", str(folder / "key"),
            "--drain", "0", "--local-stores", str(self.local_stores),
        ]  # fmt: skip
        return Run(
            argv, {"MARKSWEEP_CONFIG_DIR": str(folder / "config")}, str(folder), str(log or folder / "sweep.log")
        )

    def finish(self) -> tuple[int, str]:
        """Run it to its end; return the exit status and what it printed."""
        log = self.plan.parent / "last.log"
        log.unlink(missing_ok=True)
        return self.start(log).wait(timeout=240), log.read_text()

    def wait_until_under_way(self, process: subprocess.Popen[bytes] | Child, patience: float = 60) -> bool:
        """Wait until *process* holds the plan's lock: it has read the plan and the catalog, and begins. False if it ended."""
        mark = f"process {process.pid} on "
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                if lock_path(self.plan).read_text().startswith(mark):
                    return True
            except FileNotFoundError:
                pass
            if process.poll() is not None:
                return False
            time.sleep(0.002)
        raise TimeoutError(f"the sweep did not begin within {patience} s")

    def books(self, planned: int) -> Books:
        """What the journal says now, read from a copy: reading a killed process's journal in place would mend it."""
        copy = self.plan.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        source = journal_path(self.plan)
        for suffix in ("", "-wal"):
            if Path(f"{source}{suffix}").exists():
                shutil.copy(f"{source}{suffix}", copy)
        if not source.exists():
            return books(planned, [])
        reader = JournalReader(sqlite3.connect(copy / source.name))
        try:
            return books(planned, reader.tallies())
        except sqlite3.OperationalError:  # killed before it made its tables
            return books(planned, [])
        finally:
            reader.close()


@dataclass
class Killer:
    """Kills a sweep again and again, at moments spread so that *kills* of them fit into it."""

    nursery: Nursery
    command: SweepCommand
    planned: int
    kills: int
    rng: random.Random
    under_way: int = 0
    with_work: int = 0
    in_doubt: int = 0
    rate: float = 100.0
    """Entries per second, as measured so far."""
    opening: float = 0.15
    """Seconds from the lock to the first entry, about: longer on a busy machine."""

    def strike(self) -> bool:
        """Start the sweep, let it run for a random time, kill it. False when it ended by itself."""
        before = self._begun()
        process = self.nursery.start(self.command.run())
        try:
            if not self.command.wait_until_under_way(process):
                return False
            left, to_come = self.planned - before, max(1, self.kills - self.under_way)
            working = min(0.75, 1.5 * left / to_come / self.rate)
            delay = self.rng.uniform(0, self.opening + working)
            time.sleep(delay)  # the first part of it goes into opening stores, and what was left is resumed
            process.kill()
            if process.wait() != -signal.SIGKILL:
                return False
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.under_way += 1
        after = self.command.books(self.planned)
        done = self._begun() - before
        self.with_work += done > 0
        self.in_doubt += after.in_doubt > 0
        self.opening = self.opening + 0.2 if not done else max(0.15, self.opening - 0.05)
        self.rate = max(20.0, 0.8 * self.rate + 0.2 * done / max(delay, 0.02))
        return True

    def _begun(self) -> int:
        found = self.command.books(self.planned)
        return found.deleted + found.gone + found.kept + found.in_doubt
