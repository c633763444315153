"""``marksweep`` in a child of the zygote: the real command line, with instruments around its ports and, if asked, a flaw.

The instruments change nothing that marksweep does. They kill the process at a named point, tell the writers which versions
are in flight, and note when places were looked at and when files went (for the judgement of folders registered meanwhile).
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from marksweep.catalog.port import ClaimRequest, ClaimRules, Intent
from marksweep.catalog.zenml import mysql, sqlite  # noqa: F401 -- imported once, for all children
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.cli import identity, main, marking, receipts, status, summaries, sweeping, wire  # noqa: F401 -- the same
from marksweep.store import local, local_fs  # noqa: F401 -- the same
from marksweep.sweep.journal import Journal
from tests.chaos.jobs import Job
from tests.chaos.mutants import MUTANTS

TOUCHES: dict[str, tuple[Any, str]] = {
    "claim": (ZenmlCatalog, "claim"),
    "second look": (ZenmlCatalog, "settle"),
    "presence": (ZenmlCatalog, "presence"),
    "overlap": (ZenmlCatalog, "overlapping"),
    "intend": (Journal, "intend"),
    "advance": (Journal, "advance"),
    "outcome": (Journal, "settle"),
    "forget": (Journal, "abort"),
    "receipt": (receipts, "write_receipt"),
}
"""Where the process touches the outside world; COMMIT, and the unlinking of each file, are added to these."""
POINTS = tuple(f"{when} {name}" for name in (*TOUCHES, "commit", "delete") for when in ("before", "after"))


class Fuse:
    """Ends the process, as ``kill -9`` does, when it passes the *nth* time by the point *name*."""

    def __init__(self, name: str, nth: int) -> None:
        assert name in POINTS, name
        self.name, self._left = name, nth
        self._lock = threading.Lock()

    def passes(self, name: str) -> None:
        if name == self.name:
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


def warm_up() -> None:
    """Import what the command line imports late."""
    import asyncio  # noqa: F401

    import anyio._backends._asyncio  # noqa: F401

    from marksweep.catalog.zenml import discover, mysql_url  # noqa: F401
    from marksweep.cli import screen  # noqa: F401


def run(job: Job) -> None:
    """Be marksweep, to its end."""
    os.environ.update(job.environment)
    os.chdir(Path(job.log).parent)
    random.seed(os.urandom(8))
    for name in job.weaken:
        MUTANTS[name]()
    fuse = Fuse(*job.point) if job.point else None
    if job.events:
        _note_events(os.open(job.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    _instrument(fuse.passes if fuse else lambda name: None)
    if job.flight:
        _show_flight(Path(job.flight))
    sys.argv = ["marksweep", *job.argv]
    main.main()


def _instrument(passes: Callable[[str], None]) -> None:
    for name, (owner, attribute) in TOUCHES.items():
        setattr(owner, attribute, _touched(getattr(owner, attribute), name, passes))
    execute = sa.Connection.exec_driver_sql
    commit = _touched(execute, "commit", passes)

    def exec_driver_sql(connection: sa.Connection, statement: str, *args: Any, **kwargs: Any) -> Any:
        return (commit if statement == "COMMIT" else execute)(connection, statement, *args, **kwargs)

    sa.Connection.exec_driver_sql = exec_driver_sql  # type: ignore[method-assign,assignment]
    delete = _touched(local_fs.delete_objects, "delete", passes)

    def one_by_one(root: int, objects: Sequence[Any]) -> list[Any]:
        return [answer for one in objects for answer in delete(root, [one])]

    setattr(local_fs, "delete_objects", one_by_one)  # noqa: B010 -- as all of these are set


def _touched(real: Callable[..., Any], name: str, passes: Callable[[str], None]) -> Callable[..., Any]:
    @functools.wraps(real)
    def touch(*args: Any, **kwargs: Any) -> Any:
        passes(f"before {name}")
        answer = real(*args, **kwargs)
        passes(f"after {name}")
        return answer

    return touch


def _show_flight(file: Path) -> None:
    """Before each claim and second look, write which versions it is about: a line with a number, and one for each id."""
    numbers = iter(range(time.monotonic_ns(), sys.maxsize))
    scratch = file.with_suffix(".new")

    def told(real: Callable[..., Any]) -> Callable[..., Any]:
        def tell(catalog: ZenmlCatalog, requests: Sequence[ClaimRequest], rules: ClaimRules, intent: Intent) -> Any:
            scratch.write_text("\n".join([str(next(numbers)), *(r.id for r in requests)]))
            scratch.replace(file)
            return real(catalog, requests, rules, intent)

        return tell

    for attribute in ("claim", "settle"):
        setattr(ZenmlCatalog, attribute, told(getattr(ZenmlCatalog, attribute)))


def _note_events(log: int) -> None:
    """Note when the places of versions were looked at, and when a file was about to go; the clock is the machine's."""
    overlapping, delete = ZenmlCatalog.overlapping, local_fs.delete_objects

    def looked(catalog: ZenmlCatalog, uris: Any, since: Any) -> Any:
        _note(log, at=time.monotonic(), looked=list(uris))
        return overlapping(catalog, uris, since)

    def deleted(root: int, objects: Sequence[Any]) -> Any:
        with suppress(OSError):
            place = os.readlink(f"/proc/self/fd/{root}")
            _note(log, at=time.monotonic(), deleted=[f"{place}/{o.key}" for o in objects])
        return delete(root, objects)

    ZenmlCatalog.overlapping = looked  # type: ignore[method-assign,assignment]
    setattr(local_fs, "delete_objects", deleted)  # noqa: B010 -- as all of these are set


def _note(log: int, **event: Any) -> None:
    os.write(log, json.dumps(event).encode() + b"\n")
