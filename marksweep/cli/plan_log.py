"""The plans of a folder: found, looked at one by one, and what became of each."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from marksweep.cli.authority import Authority
from marksweep.errors import MarksweepError, SignatureRefused
from marksweep.plan.document import CARD_FORMAT, FORMAT, moment
from marksweep.plan.glance import Glance, claimed, glance
from marksweep.plan.receipt import Receipt, read_receipt, receipt_path, verify_receipt
from marksweep.report.log_documents import LogTotals, PlanLine, PlanState, SweptFacts
from marksweep.report.text import counted, size
from marksweep.report.ticker import Ticker
from marksweep.sweep.books import Books, books
from marksweep.sweep.journal_reader import journal_path, read_journal
from marksweep.sweep.lock import is_held

DEPTH = 5
"""Folders below the one that is asked for into which plans are looked for."""
_SUFFIXES = (".plan.json", ".card.json")
_HEADS = tuple(b'{"format":"%b/' % name.partition("/")[0].encode() for name in (FORMAT, CARD_FORMAT))


class LogProgress(Ticker):
    """How many plans were looked at, and how many bytes they have."""

    def __init__(self, console: Console, plans: int, *, quiet: bool) -> None:
        super().__init__(console, quiet=quiet)
        self._plans = plans
        self._done = 0
        self._bytes = 0

    def looked(self, path: Path) -> None:
        """The plan at *path* is done."""
        self._done += 1
        with suppress(OSError):
            self._bytes += path.stat().st_size

    def line(self) -> str:
        return f"verified {self._done:,} of {counted(self._plans, 'plan')}, {size(self._bytes)}"

    def fraction(self) -> float | None:
        return self._done / self._plans if self._plans else None


@dataclass(frozen=True, slots=True)
class Look:
    """How to look: *now*, by whose authority (None: believe the files), and how many approvals the user asks for."""

    now: datetime
    authority: Authority | None
    approvals: int


def plan_files(folder: Path, *, below: bool) -> Iterator[Path]:
    """Plans and cards in *folder*, and *below* it, by what they begin with; hidden folders and links are left out.

    A file that is named like a plan and is none comes, too: somebody should know. Raises OSError if *folder* cannot be read.
    """
    yield from _in(folder, DEPTH if below else 0)
    if not below and (folder / "plans").is_dir():
        yield from _in(folder / "plans", DEPTH)


def plan_line(path: Path, look: Look) -> PlanLine:
    """What became of the plan at *path*; what cannot be read or believed is said in it, and nothing is raised for it."""
    try:
        if look.authority is None:
            found = claimed(path)
        else:
            found = glance(path, look.authority.trust, look.now, rules=look.authority.rulebook)
        moment(found.header.plan.created)
        expired = look.now >= moment(found.header.plan.expires)
    except SignatureRefused as refused:
        return PlanLine(path=str(path), state=PlanState.UNTRUSTED, problem=refused.fact)
    except (MarksweepError, ValueError) as error:
        fact = error.fact if isinstance(error, MarksweepError) else str(error)
        return PlanLine(path=str(path), state=PlanState.UNREADABLE, problem=fact)
    problems = list(found.broken)
    swept = _swept(path, found, look, problems.append)
    plan, totals = found.header.plan, found.header.totals
    needed = max(found.approvals_needed, look.approvals)
    return PlanLine(
        path=str(path), state=_state(swept, expired, len(found.approvers), needed), expired=expired,
        running=is_held(path), id=plan.id, digest=found.digest, created=plan.created, expires=plan.expires,
        mode=plan.mode, server_id=found.header.catalog.server_id, entries=totals.entries, bytes=totals.bytes,
        signer=found.signer.principal if found.signer else None,
        fingerprint=found.signer.fingerprint if found.signer else None,
        approvals=found.approvers, approvals_needed=needed, swept=swept, problem="; ".join(problems) or None,
    )  # fmt: skip


def unfinished(folder: Path, server_id: str, now: datetime) -> Iterator[Path]:
    """Plans in *folder* for the catalog with *server_id* whose sweep was begun, can be resumed, and has not ended."""
    for journal in sorted(folder.glob("*.plan.json.journal")):
        found = plan_line(journal.with_name(journal.name.removesuffix(".journal")), Look(now, None, 0))
        if found.state is PlanState.PARTLY and found.server_id == server_id and not (found.expired or found.running):
            yield journal.with_name(journal.name.removesuffix(".journal"))


def totals(lines: list[PlanLine]) -> LogTotals:
    """The sum over *lines*; copies of one plan count once."""
    known = {line.digest: line for line in sorted(lines, key=_freed) if line.digest is not None}
    return LogTotals(
        plans=len(lines),
        entries=sum(line.entries or 0 for line in known.values()),
        bytes=sum(line.bytes or 0 for line in known.values()),
        freed=sum(_freed(line) for line in known.values()),
    )


def newest_first(lines: list[PlanLine]) -> list[PlanLine]:
    """By when they were made; what cannot be read last, by path."""
    by_path = sorted(lines, key=lambda line: line.path)
    return sorted(by_path, key=lambda line: moment(line.created).timestamp() if line.created else 0.0, reverse=True)


def _freed(line: PlanLine) -> int:
    return line.swept.bytes if line.swept is not None else 0


def _state(swept: SweptFacts | None, expired: bool, approvals: int, needed: int) -> PlanState:
    if swept is not None:
        if swept.restored and not swept.deleted:
            return PlanState.RESTORED
        return PlanState.PARTLY if swept.not_attempted or swept.failed else PlanState.SWEPT
    if expired:
        return PlanState.EXPIRED
    return PlanState.APPROVED if approvals >= max(needed, 1) else PlanState.PLANNED


def _swept(path: Path, found: Glance, look: Look, object_: Callable[[str], None]) -> SweptFacts | None:
    """By the receipt, unless the journal has gone on since; *object_* is told why one of them does not count."""
    receipt = journal = None
    try:
        receipt = _by_receipt(path, found, look)
    except MarksweepError as error:
        object_(f"its receipt does not count: {error.fact}")
    try:
        journal = _by_journal(path, found)
    except MarksweepError as error:
        object_(f"its journal does not count: {error.fact}")
    except (sqlite3.Error, ValueError) as error:
        object_(f"its journal cannot be read: {error}")
    if receipt is None or (journal is not None and moment(journal.finished) > moment(receipt.finished)):
        return journal
    return receipt


def _by_receipt(path: Path, found: Glance, look: Look) -> SweptFacts | None:
    place = receipt_path(path)
    if not os.path.lexists(place):
        return None
    by = fingerprint = None
    if look.authority is None:
        receipt = read_receipt(place, touch_required=lambda _: False).receipt
    else:
        verified = verify_receipt(place, look.authority.trust, look.now)
        receipt, by, fingerprint = verified.receipt, verified.principal, verified.fingerprint
    if receipt.plan_digest != found.digest:
        fact = f"{place} is the receipt of another plan, {receipt.plan_digest}"
        raise SignatureRefused(fact, "fetch the receipt of this plan")
    done = _of_receipt(receipt)
    return _facts(done, "receipt", receipt.started, receipt.finished, by, fingerprint)


def _by_journal(path: Path, found: Glance) -> SweptFacts | None:
    place = journal_path(path)
    if not place.is_file():
        return None
    with read_journal(place, found.digest) as journal:
        _, last = journal.times()
        if not last:
            return None
        done = books(found.header.totals.entries, journal.tallies())
        facts = _facts(done, "journal", journal.meta().get("started", ""), last, None, None)
    _check_journal(facts)
    return facts


def _check_journal(facts: SweptFacts) -> None:
    """Raise ValueError for what no sweep writes: nobody signed a journal, and whoever sends a plan can send one with it."""
    moment(facts.started)
    moment(facts.finished)
    if min(facts.deleted, facts.gone, facts.kept, facts.restored, facts.failed, facts.not_attempted, facts.bytes) < 0:
        raise ValueError("its books do not balance")


def _facts(
    done: Books, source: str, started: str, finished: str, by: str | None, fingerprint: str | None
) -> SweptFacts:
    return SweptFacts(
        source=source, started=started, finished=finished, by=by, fingerprint=fingerprint, deleted=done.deleted, gone=done.gone,
        kept=done.kept - done.restored, restored=done.restored, failed=done.failed, not_attempted=done.not_attempted,
        bytes=done.bytes,
    )  # fmt: skip


def _of_receipt(receipt: Receipt) -> Books:
    found = receipt.outcomes
    return Books(
        planned=found.planned, deleted=found.deleted, gone=found.gone, referenced=found.referenced, changed=found.changed,
        protected=found.protected, failed=found.failed, in_doubt=0, objects=found.objects, bytes=found.bytes,
        left=found.left, restored=found.restored,
    )  # fmt: skip


def _in(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_file(follow_symlinks=False):
            if entry.name.endswith(".json") and _is_plan(Path(entry.path)):
                yield Path(entry.path)
        elif depth and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            with suppress(OSError):
                yield from _in(Path(entry.path), depth - 1)


def _is_plan(path: Path) -> bool:
    if path.name.endswith(_SUFFIXES):
        return True
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError:
        return False
    return b"".join(start.removeprefix(b"\xef\xbb\xbf").split()).startswith(_HEADS)
