"""A pipeline beside the sweep: it does to the catalog what ZenML does, statement by statement, and logs what it was told.

It aims at the versions in flight, which the sweeper's instruments name. A line of its log is on disk only after the server
acknowledged what it says; what it is about to take away again is logged before it tries.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.chaos.jobs import Job
from tests.chaos.session import Refused, Session

TOMBSTONE = "marksweep-deleted:"
INPUTS, OUTPUTS = "step_run_input_artifact", "step_run_output_artifact"
WEIGHTS = {"link": 40, "load": 25, "cache": 10, "save": 8, "register": 7, "unlink": 8, "drop run": 2}
"""How often each thing is done, in a hundred."""
TURN = 0.003
"""Seconds between two looks at what is in flight."""


@dataclass(frozen=True)
class Given:
    """What a writer works with. Ids are 32 hex digits.

    ``plan`` are the planned versions in plan order, ``runs`` maps its own runs to their steps. ``dwell``: the most seconds
    between reading a row and linking it; ``deadline``: it gives up if that took longer (None: never). ``budget``: how many
    planned versions it may link; ``eager``: the chance that it acts on what comes into flight.
    """

    url: str
    seed: int
    manifest: str
    plan: Sequence[str]
    runs: Mapping[str, Sequence[str]]
    store: str
    flight: str
    log: str
    stop: str
    dwell: float
    deadline: float | None
    budget: int
    eager: float


class Writer:
    """One of them."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.rng = random.Random(given.seed)
        self.session = Session(given.url, Path(given.stop))
        self.manifest: dict[str, tuple[str, dict[str, str]]] = json.loads(Path(given.manifest).read_text())
        """Id -> URI, and the digests of the files below it."""
        self.places = {id_: number for number, id_ in enumerate(given.plan)}
        self.others = [id_ for id_ in self.manifest if id_ not in self.places]
        self.runs = {run: list(steps) for run, steps in given.runs.items()}
        self.linked: set[str] = set()
        self.links: list[tuple[str, str, str]] = []
        """(table, name, step) of links of its own."""
        self.pattern = self.session.row("artifact_version", self.others[0])
        self._seen = ""
        self._flight: list[str] = []
        self._log = os.open(given.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def work(self) -> None:
        """Until told to stop."""
        stop = Path(self.given.stop)
        while not stop.exists():
            fresh = self._look()
            try:
                if fresh and self.rng.random() < self.given.eager:
                    time.sleep(self.rng.uniform(0, 0.03))
                    self._act(self.rng.choice(self._flight), contested=True)
                elif self.rng.random() < (0.06 if self.given.dwell else 0.02):
                    self._act(self._ahead(), contested=bool(self.given.dwell))
            except Refused as refused:
                self._note(do=refused.doing, out=refused.kind)
            time.sleep(TURN)
        self.session.close()

    def _look(self) -> bool:
        """Whether something else is in flight than before."""
        try:
            seen, *ids = Path(self.given.flight).read_text().split("\n")
        except FileNotFoundError:
            return False
        fresh, self._seen = seen != self._seen, seen
        self._flight = [i.replace("-", "") for i in ids]
        return fresh and bool(ids)

    def _ahead(self) -> str:
        """A version that is about to come into flight, or any."""
        now = max((self.places.get(i, 0) for i in self._flight), default=0)
        near = self.given.plan[now + 1 : now + 7]
        draw = self.rng.random()
        if near and draw < 0.3:
            return self.rng.choice(near)
        planned = draw < (0.9 if self.given.dwell else 0.4)
        return str(self.rng.choice(self.given.plan if planned else self.others))

    def _act(self, target: str, *, contested: bool) -> None:
        do = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        self.session.doing = do
        match do:
            case "save":
                self._save(target)
            case "register":
                self._register(target)
            case "unlink" if self.links:
                self._unlink()
            case "drop run" if len(self.runs) > 1:
                self._drop_run()
            case "link" | "load" | "cache":
                budget = self.given.budget if contested else self.given.budget // 3
                if target in self.places and target not in self.linked and len(self.linked) >= budget:
                    target, contested = self.rng.choice(self.others), False
                self._refer(do, target, contested=contested)
            case _:
                return

    def _refer(self, do: str, id_: str, *, contested: bool) -> None:
        """Read the row, link it, commit, and only then read the bytes, as ZenML does.

        ``load`` (``Client.get_artifact_version``) reads in a transaction of its own; the others in that of the link.
        """
        session, table = self.session, OUTPUTS if do == "cache" else INPUTS
        run = self.rng.choice(list(self.runs))
        step, name = self.rng.choice(self.runs[run]), f"chaos_{uuid.uuid4().hex}"
        began = time.monotonic()
        session.begin_to_read()
        found = session.one("SELECT uri FROM artifact_version WHERE id = ?", id_)
        if do == "load" or found is None:
            session.end()
        if found is None:
            self._note(do=do, out="gone", contested=contested)
            return
        if self.given.dwell:
            time.sleep(self.rng.uniform(0, self.given.dwell))
        session.begin_to_write()
        row = {"name": name, "type": "manual", "input_index": 0, "step_id": step, "artifact_id": id_}
        session.insert(table, row if table == INPUTS else {k: row[k] for k in ("name", "step_id", "artifact_id")})
        took = time.monotonic() - began
        if self.given.deadline is not None and took > self.given.deadline:
            session.roll_back()
            self._note(do=do, out="too slow", contested=contested)
            return
        session.commit()
        took = time.monotonic() - began
        marked = found[0].startswith(TOMBSTONE)
        late = self.given.deadline is not None and took > 2 * self.given.deadline
        self._note(
            do=do, out="linked", id=id_, table=table, name=name, step=step, run=run, marked=marked, late=late,
            contested=contested, took=round(took, 3),
        )  # fmt: skip
        self.links.append((table, name, step))
        if id_ in self.places:
            self.linked.add(id_)
        if marked:
            self._note(do=do, out="saw the mark")
        elif missing := self._missing(id_):
            self._note(do=do, out="unreadable", id=id_, missing=missing, late=late)

    def _missing(self, id_: str) -> list[str]:
        """The files of a version that cannot be read as they were written."""
        uri, files = self.manifest[id_]
        missing = []
        for name, digest in files.items():
            try:
                whole = sha256(Path(uri, name).read_bytes()).hexdigest() == digest
            except FileNotFoundError:
                whole = False
            if not whole:
                missing.append(name)
        return missing

    def _save(self, target: str) -> None:
        """A new version of the artifact that *target* is one of: bytes first, then the row, the link much later."""
        id_ = uuid.uuid4().hex
        artifact = self.session.one("SELECT artifact_id FROM artifact_version WHERE id = ?", target)
        self.session.end()
        uri = f"{self.given.store}/chaos/{id_}"
        content = f'{{"saved": "{id_}"}}'.encode()
        Path(uri).mkdir(parents=True)
        Path(uri, "data.json").write_bytes(content)
        files = {"data.json": sha256(content).hexdigest()}
        self._note(do="save", out="trying", id=id_, uri=uri)
        self._insert_version(id_, uri, "step_output", artifact[0] if artifact else self.pattern["artifact_id"])
        self.manifest[id_] = (uri, files)
        self.others.append(id_)
        self._note(do="save", out="saved", id=id_, uri=uri, files=files)

    def _register(self, target: str) -> None:
        """``register_artifact``: somebody declares that the folder of *target*, which exists, is a version too."""
        if target not in self.places or self._missing(target):
            return
        id_, uri = uuid.uuid4().hex, self.manifest[target][0]
        self._note(do="register", out="trying", id=id_, uri=uri)
        self._insert_version(id_, uri, "preexisting", self.pattern["artifact_id"])
        at = time.monotonic()
        if self._missing(target):
            self._note(do="register", out="too late", id=id_, uri=uri)
        else:
            self._note(do="register", out="registered", id=id_, uri=uri, target=target, at=at)

    def _insert_version(self, id_: str, uri: str, kind: str, artifact: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        changes = {"created": now, "updated": now, "version": f"chaos-{id_}", "version_number": None}
        row = self.pattern | changes | {"id": id_, "uri": uri, "save_type": kind, "artifact_id": artifact}
        self.session.begin_to_write()
        self.session.insert("artifact_version", row)
        self.session.commit()

    def _unlink(self) -> None:
        """Take one of its own links away again."""
        table, name, step = self.links.pop(self.rng.randrange(len(self.links)))
        self._note(do="unlink", out="trying", name=name)
        self.session.begin_to_write()
        self.session.run(f"DELETE FROM {table} WHERE step_id = ? AND name = ?", step, name)
        self.session.commit()
        self._note(do="unlink", out="done")

    def _drop_run(self) -> None:
        """Delete a pipeline run; the database takes its steps and their links along."""
        run = self.rng.choice(list(self.runs))
        steps = self.runs.pop(run)
        self.links = [link for link in self.links if link[2] not in steps]
        self._note(do="drop run", out="trying", run=run)
        self.session.begin_to_write()
        self.session.run("DELETE FROM pipeline_run WHERE id = ?", run)
        self.session.commit()
        self._note(do="drop run", out="done")

    def _note(self, **line: Any) -> None:
        os.write(self._log, json.dumps(line).encode() + b"\n")
        os.fsync(self._log)


def run(job: Job) -> None:
    """Work until told to stop."""
    Writer(Given(**job.given)).work()
