"""The sweep's side of the claim bench: claims through the catalog port, and whole sweeps, each for a while."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import sqlalchemy as sa

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest, ClaimRules
from marksweep.catalog.zenml import mysql
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import Place
from marksweep.cli.wire import database_clock
from marksweep.model.entry import Entry
from marksweep.model.instant import from_text
from marksweep.model.outcome import Mode
from marksweep.sweep.journal import Intended, Journal
from marksweep.sweep.journal_reader import journal_path

_REPOSITORY = Path(__file__).parent.parent.parent
_INTERRUPTED = 130
_LATE = 120
"""Seconds that a sweep may take to begin, and to end when it is interrupted."""


@dataclass(slots=True)
class Done:
    """What one load did between two moments of the monotonic clock; ``holds`` are the seconds that each claim held locks."""

    began: float = 0.0
    ended: float = 0.0
    rows: int = 0
    contested: int = 0
    claims: int = 0
    statements: int = 0
    cpu: float = 0.0
    holds: list[float] = field(default_factory=list)


class Statements:
    """Watches every SQLAlchemy engine of this process: how many statements, and from the first lock to the commit's end."""

    def __init__(self) -> None:
        self.count = 0
        self.holds: list[float] = []
        self._locked: float | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        sa.event.listen(sa.Engine, "before_cursor_execute", self._before)
        sa.event.listen(sa.Engine, "after_cursor_execute", self._after)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", self._before)
            sa.event.remove(sa.Engine, "after_cursor_execute", self._after)

    def _before(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.count += 1
        if self._locked is None and "FOR UPDATE" in statement:
            self._locked = time.monotonic()

    def _after(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "BEGIN IMMEDIATE":
            self._locked = time.monotonic()
        elif statement in ("COMMIT", "ROLLBACK") and self._locked is not None:
            self.holds.append(time.monotonic() - self._locked)
            self._locked = None


class Claims:
    """Claims the entries of a plan through the port, with the real journal, as a sweep of rows and bytes does.

    Starts behind *first*, as whole sweeps take the others. *locks_skipped*: as on a server that has SKIP LOCKED, or not.
    """

    def __init__(self, url: str, entries: Sequence[Entry], first: int, folder: Path) -> None:
        self._url, self._entries, self.position = url, entries, first
        self._folder, self._journals = folder, 0

    def run(self, batch: int | None, seconds: float, most: int, shared: Any, *, locks_skipped: bool = True) -> Done:
        """Claims of *batch* entries (None: as many as the catalog says) for so many *seconds*, or *most* entries."""
        server = nullcontext() if locks_skipped else patch.dict(mysql._SKIP_LOCKED_SINCE, mariadb=(99,))
        with server, closing(ZenmlCatalog(Place(self._url, None), writes=True)) as catalog:
            self._journals += 1
            clock = database_clock(catalog)
            with closing(Journal(self._folder / f"claims-{self._journals}.journal", {}, clock)) as journal:
                return self._run(catalog, journal, batch, seconds, most, shared)

    def _run(
        self, catalog: ZenmlCatalog, journal: Journal, batch: int | None, seconds: float, most: int, shared: Any
    ) -> Done:
        now = catalog.now()
        day = timedelta(days=1)
        rules = ClaimRules(Mode.BOTH, None, since=now - day, artifacts_before=now - day)
        catalog.recheck(
            self._requests(self._entries[:1]), rules
        )  # reads all JSON once, as every sweep does at its start
        statements, done, last = Statements(), Done(), self.position + most
        with statements.watched():
            done.began, cpu = time.monotonic(), time.thread_time()
            while time.monotonic() < done.began + seconds and self.position < last:
                size = min(batch or catalog.capabilities().claim_batch, len(self._entries) - self.position)
                if not size:
                    raise RuntimeError("there are not enough orphans: give more --versions or fewer --seconds")
                taken = self._entries[self.position : self.position + size]
                self.position += size
                shared.value = self.position
                self._claim(catalog, journal, taken, rules, done)
            done.ended, done.cpu = time.monotonic(), time.thread_time() - cpu
        done.statements, done.holds = statements.count, statements.holds
        return done

    def _claim(
        self, catalog: ZenmlCatalog, journal: Journal, taken: Sequence[Entry], rules: ClaimRules, done: Done
    ) -> None:
        by_id = {e.id: e for e in taken}

        def intent(answers: Sequence[Claimed]) -> None:
            claimed = [a for a in answers if a.answer is ClaimAnswer.CLAIMED]
            journal.intend(done.claims, [Intended(by_id[a.id], a.id, (), a.image) for a in claimed])

        answers = catalog.claim(self._requests(taken), rules, intent)
        claimed = [a.id for a in answers if a.answer is ClaimAnswer.CLAIMED]
        journal.advance(claimed, "claimed")
        done.claims += 1
        done.rows += len(claimed)
        done.contested += sum(a.answer in (ClaimAnswer.BUSY, ClaimAnswer.REFERENCED) for a in answers)

    def _requests(self, entries: Sequence[Entry]) -> list[ClaimRequest]:
        return [ClaimRequest(e.id, e.uri, from_text(e.updated), e.id) for e in entries]


class Command:
    """The program itself on one catalog: ``mark --only-metadata`` once, then ``sweep`` as often as one likes."""

    def __init__(self, url: str, local_stores: Path, folder: Path) -> None:
        self._catalog = ("--catalog", url, "--local-stores", str(local_stores))
        self._folder = folder
        self.plan = folder / "plan.json"

    def mark(self) -> list[Entry]:
        """Make the plan; its entries."""
        self._start("mark", "--only-metadata", "--no-size", "--max-share", "100", "--out", str(self.plan)).wait()
        if not self.plan.exists():
            raise RuntimeError(f"no plan was made: {(self._folder / 'mark.log').read_text()[-2000:]}")
        return msgspec.convert(msgspec.json.decode(self.plan.read_bytes())["entries"], list[Entry])

    def sweep(self, seconds: float, shared: Any) -> Done:
        """Sweep for so many seconds from its first claim on, and interrupt it."""
        process = self._start("sweep", str(self.plan), "--yes", "--quiet")
        done, before = Done(), self._progress()
        until = time.monotonic() + _LATE
        while self._progress() == before:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise RuntimeError(f"the sweep did not begin: {(self._folder / 'sweep.log').read_text()[-2000:]}")
            time.sleep(0.05)
        rows, claims = self._progress()
        done.began = time.monotonic()
        while time.monotonic() < done.began + seconds and process.poll() is None:
            time.sleep(0.2)
            shared.value = self._progress()[0]
        swept, claimed = self._progress()
        done.ended, done.rows, done.claims = time.monotonic(), swept - rows, claimed - claims
        process.send_signal(signal.SIGINT)
        if process.wait(_LATE) not in (0, 3, 11, _INTERRUPTED):
            raise RuntimeError(f"the sweep failed: {(self._folder / 'sweep.log').read_text()[-2000:]}")
        return done

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "MARKSWEEP_CONFIG_DIR": str(self._folder / "config"), "PYTHONPATH": str(_REPOSITORY),
        }  # fmt: skip
        with (self._folder / f"{command}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "marksweep", command, *arguments, *self._catalog],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def _progress(self) -> tuple[int, int]:
        """How many entries the journal has as deleted, and in how many claims."""
        journal = journal_path(self.plan)
        if not journal.exists():
            return 0, 0
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as rows:
            try:
                query = "SELECT count(*), coalesce(max(batch), 0) FROM entry WHERE state = 'deleted'"
                swept, claims = rows.execute(query).fetchone()
            except sqlite3.OperationalError:  # it is being made
                return 0, 0
            return int(swept), int(claims)
