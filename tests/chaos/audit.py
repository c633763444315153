"""What must be true after a trial, asked of the database, the files, the journal and the writers' logs; never of marksweep.

``judged`` returns the violations as (kind, words). A refusal (a key that the server enforced, a version that was gone when
it was read) is none: ZenML's step fails, and nothing is corrupt.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.world import Observed, World
from tests.chaos.writer import TOMBSTONE

Violations = list[tuple[str, str]]
Lines = Sequence[Mapping[str, Any]]
SETTLED = {"deleted", "kept", "gone"}


def lines(log: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; a last one that was torn by a kill is left out."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


@dataclass(frozen=True)
class Evidence:
    """Everything there is after a trial. ``said`` are the lines of all writers, ``events`` those of all sweeps."""

    world: World
    after: Observed
    said: Lines
    events: Lines

    @cached_property
    def journal(self) -> dict[str, dict[str, Any]]:
        """Id with dashes -> what the journal says of an entry."""
        path = self.world.plan.with_name("plan.json.journal")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return {row["id"]: dict(row) for row in connection.execute("SELECT * FROM entry")}

    @cached_property
    def versions(self) -> dict[str, Mapping[str, Any]]:
        """The rows that exist now."""
        return {row["id"]: row for row in self.after.tables["artifact_version"]}

    @cached_property
    def registered(self) -> set[str]:
        """The places that somebody registered, or tried to, while the trial ran."""
        return {line["uri"] for line in self.said if line["do"] == "register" and "uri" in line}

    def whole(self, id_: str) -> bool:
        """Whether every file of a version is there as it was."""
        uri, files = self.world.manifest[id_]
        return all(self.after.files.get(f"{uri}/{name}") == digest for name, digest in files.items())

    def bare(self, id_: str) -> bool:
        """Whether no file of a version is there."""
        return not any(path.startswith(self.world.manifest[id_][0] + "/") for path in self.after.files)


def judged(evidence: Evidence) -> Violations:
    """Every violation."""
    return [
        *_links(evidence),
        *_unreadable(evidence),
        *_entries(evidence),
        *_outside(evidence),
        *_registered(evidence),
        *_books(evidence),
        *(("broken key", str(key)) for key in evidence.after.broken - evidence.world.before.broken),
    ]


def _links(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """No link that the server acknowledged has lost its row, its version or its bytes, unless the writer took it away."""
    dropped = {line["run"] for line in evidence.said if line["do"] == "drop run" and "run" in line}
    undone = {line["name"] for line in evidence.said if line["do"] == "unlink" and "name" in line}
    there = {
        (table, row["name"], row["artifact_id"])
        for table in ("step_run_input_artifact", "step_run_output_artifact")
        for row in evidence.after.tables[table]
    }
    known = evidence.world.manifest.keys()
    for line in evidence.said:
        if line["out"] != "linked" or line["run"] in dropped or line["name"] in undone:
            continue
        words = f"{line['do']} of {line['id']}"
        if line["id"] not in evidence.versions:
            yield "linked version lost", words
        elif (line["table"], line["name"], line["id"]) not in there:
            yield "link lost", words
        elif not (line["marked"] or line["late"]) and line["id"] in known and not evidence.whole(line["id"]):
            yield "linked bytes lost", words


def _unreadable(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Whoever linked a version could read it at once."""
    for line in evidence.said:
        if line["out"] == "unreadable" and not line["late"]:
            yield "unreadable after the link", f"{line['do']} of {line['id']}: {line['missing']}"


def _entries(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Every entry of the plan has exactly one outcome, and it is true; nothing is half deleted, no intent is open."""
    planned = {entry["id"]: entry for entry in evidence.world.entries}
    for id_ in evidence.journal.keys() - planned.keys():
        yield "journal", f"{id_} is not in the plan"
    before = {row["id"]: row for row in evidence.world.before.tables["artifact_version"]}
    for id_, entry in planned.items():
        row_id, found = id_.replace("-", ""), evidence.journal.get(id_)
        state = found["state"] if found else None
        if state not in SETTLED:
            yield "no outcome", f"{id_} is {state}"
            continue
        assert found is not None
        if found["keys"] not in (None, b"[]"):
            yield "intent open", f"{id_} is {state} and its keys are still held"
        row, was = evidence.versions.get(row_id), before[row_id]
        whole, bare = evidence.whole(row_id), evidence.bare(row_id)
        words = f"{id_} is {state} ({found['code']}), row {'there' if row else 'gone'}, bytes {_amount(whole, bare)}"
        if row is not None and not whole and not row["uri"].startswith(TOMBSTONE):
            yield "row without bytes", words
        elif row is None and not whole and not bare:
            yield "half deleted", words
        elif not _true(evidence, state, row, was, entry["uri"], found, row_id):
            yield "untrue outcome", words


def _amount(whole: bool, bare: bool) -> str:
    return "whole" if whole else "gone" if bare else "in part"


def _true(evidence: Evidence, state: str, row: Any, was: Any, uri: str, found: Mapping[str, Any], row_id: str) -> bool:
    whole, mode = evidence.whole(row_id), evidence.world.mode
    match state, mode:
        case "deleted", "both":
            return row is None and evidence.bare(row_id)
        case "deleted", "only-metadata":
            return row is None and whole
        case "deleted", _:
            return row is not None and row["uri"] == TOMBSTONE + uri and evidence.bare(row_id)
        case "kept", _ if row == was:
            return whole
        case "kept", _:  # claimed, and then the place turned out to be somebody else's: the bytes stay
            left = "its bytes are left" in (found["detail"] or "")
            return left and whole and uri in evidence.registered
        case _:  # nobody but the sweep deletes versions here: none can be gone
            return False


def _outside(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Nothing was touched besides the plan's entries and what the writers made or dropped themselves."""
    swept = _swept(evidence)
    dropped = {line["run"] for line in evidence.said if line["do"] == "drop run" and "run" in line}
    own = dropped | {
        step for runs in evidence.world.runs for run, steps in runs.items() if run in dropped for step in steps
    }
    artifacts = {row["artifact_id"] for row in evidence.after.tables["artifact_version"]}
    for table, rows in evidence.world.before.tables.items():
        now = Counter(_frozen(row) for row in evidence.after.tables[table])
        for row in (Counter(map(_frozen, rows)) - now).elements():
            if not _may_go(evidence, table, dict(row), swept, own, artifacts):
                yield "outside the plan", f"{table} lost {_short(row)}"
        for row in (now - Counter(map(_frozen, rows))).elements():
            if not _may_come(evidence, table, dict(row), swept):
                yield "outside the plan", f"{table} got {_short(row)}"
    places = tuple(
        f"{entry['uri']}/" for entry in evidence.world.entries
    )  # what is in these, the entries' outcomes say
    for path, digest in evidence.world.before.files.items():
        if evidence.after.files.get(path) != digest and not path.startswith(places):
            yield "outside the plan", f"a file was lost or changed: {path}"
    for path in evidence.after.files.keys() - evidence.world.before.files.keys():
        if not path.startswith(f"{evidence.world.store}/chaos/"):
            yield "outside the plan", f"a file appeared: {path}"
    for line in evidence.said:
        if line["do"] == "save" and line["out"] == "saved":
            files = (evidence.after.files.get(f"{line['uri']}/{name}") == d for name, d in line["files"].items())
            if line["id"] not in evidence.versions or not all(files):
                yield "outside the plan", f"the saved version {line['id']} is lost"


def _swept(evidence: Evidence) -> set[str]:
    left = {id_ for id_, found in evidence.journal.items() if "its bytes are left" in (found["detail"] or "")}
    deleted = {id_ for id_, found in evidence.journal.items() if found["state"] == "deleted"}
    return {id_.replace("-", "") for id_ in deleted | left}


def _may_go(
    evidence: Evidence, table: str, row: dict[str, Any], swept: set[str], own: set[str], artifacts: set[str]
) -> bool:
    if own.intersection(str(value) for value in row.values()):
        return True
    match table:
        case "artifact_version":
            return row["id"] in swept
        case "artifact":
            return row["id"] not in artifacts and evidence.world.mode != "only-artifact"
        case "artifact_visualization":
            return row["artifact_version_id"] in swept
        case "tag_resource" | "run_metadata_resource":
            return row["resource_id"] in swept or (
                row["resource_type"] == "artifact" and row["resource_id"] not in artifacts
            )
        case _:
            return False


def _may_come(evidence: Evidence, table: str, row: dict[str, Any], swept: set[str]) -> bool:
    match table:
        case "artifact_version" if row["uri"].startswith(TOMBSTONE):
            return row["id"] in swept and evidence.world.mode == "only-artifact"
        case "artifact_version":
            return str(row["version"]).startswith("chaos-")
        case "step_run_input_artifact" | "step_run_output_artifact":
            return str(row["name"]).startswith("chaos_")
        case _:
            return False


def _registered(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """A place that somebody registered before it was looked at for the last time keeps its bytes."""
    looks: dict[str, list[float]] = {}
    for event in evidence.events:
        for id_ in event.get("looked", ()):
            looks.setdefault(id_.replace("-", ""), []).append(event["at"])
    deleted = [(path, event["at"]) for event in evidence.events for path in event.get("deleted", ())]
    for line in evidence.said:
        if line["out"] != "registered":
            continue
        for path, at in deleted:
            if path.startswith(line["uri"] + "/") and at > line["at"]:
                seen = looks.get(line["target"], [])
                last = bisect_left(seen, at) - 1
                if last < 0 or seen[last] > line["at"]:
                    yield "registered bytes lost", f"{path}, registered {at - line['at']:.3f} s before"


def _books(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The receipt says what the journal says, it balances, and claims no more bytes than are gone."""
    path = evidence.world.plan.with_name("plan.json.receipt.json")
    if not path.exists():
        yield "books", "there is no receipt"
        return
    outcomes = json.loads(path.read_text())["receipt"]["outcomes"]
    states: Counter[str] = Counter()
    for found in evidence.journal.values():
        states[found["code"] if found["state"] == "kept" else found["state"]] += 1
    names = ("deleted", "gone", "referenced", "changed", "protected", "failed")
    said = {name: outcomes[name] for name in names}
    if said != {name: states[name] for name in names}:
        yield "books", f"the receipt says {said}, the journal {dict(states)}"
    total = sum(said.values()) + outcomes["not_attempted"]
    if outcomes["planned"] != len(evidence.world.entries) or total != outcomes["planned"]:
        yield (
            "books",
            f"{total} outcomes of {outcomes['planned']} planned, and the plan has {len(evidence.world.entries)}",
        )
    gone = len(evidence.world.before.files.keys() - evidence.after.files.keys())
    if outcomes["objects"] > gone:
        yield "books", f"the receipt says that {outcomes['objects']} objects were deleted, and {gone} are gone"


def _frozen(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(row.items()))


def _short(row: Iterable[tuple[str, Any]]) -> str:
    wanted = ("id", "uri", "resource_id", "artifact_id", "name", "version")
    return ", ".join(f"{name}={value}" for name, value in row if name in wanted)
