"""What writing and verifying a plan costs, beside plain JSON of the same entries.

    python tests/bench/plan_bench.py [--entries N] [--full] [--folder DIR]

Each job runs in a process of its own: wall and CPU seconds, and the peak of resident memory, come from ``wait4`` of just
that process. The entries are made as they are written; what making them costs is measured alone, and printed. ``--full`` is
10,000,000 entries, without the rivals that would hold all of them in memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import msgspec

from marksweep.model.entry import Entry
from marksweep.plan.card import open_plan
from marksweep.plan.document import Draft
from marksweep.plan.verify import verify
from marksweep.plan.writer import write_card, write_plan
from marksweep.store.entries_object import create_object, read_object
from tests.unit.plan.support import PLANNER, TRUST, draft

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
_DIGESTS = ["sha256:" + hashlib.sha256(str(number).encode()).hexdigest() for number in range(1000)]


def entries(count: int) -> Iterator[Entry]:
    """*count* entries in plan order, each of some 370 bytes: a training pipeline's outputs in one bucket."""
    for number in range(count):
        yield Entry(
            id=f"{number:08x}-52e6-4f2a-8269-a6a36513270e", artifact=f"train::output_{number % 3}", version=str(number),
            project="default", uri=f"s3://bucket/zenml/{number:08d}/data", objects=3, bytes=1000,
            fingerprint=_DIGESTS[number % 1000], created="2026-01-01T12:00:00Z", updated="2026-01-01T12:00:00.123456Z",
            reason="unreferenced",
        )  # fmt: skip


def header(count: int) -> Draft:
    """A header that is true for them, with two groups that are checked."""
    base = draft([])
    totals = msgspec.structs.replace(base.totals, entries=count, objects=3 * count, bytes=1000 * count)
    sample = draft(entries(3)).groups[:2]
    sizes = [len(range(first, count, 3)) for first in range(2)]
    groups = tuple(
        msgspec.structs.replace(group, entries=n, bytes=1000 * n) for group, n in zip(sample, sizes, strict=True)
    )
    return msgspec.structs.replace(base, totals=totals, groups=groups)


@contextmanager
def _create(uri: str) -> Iterator[Callable[[bytes], object]]:
    with create_object(uri, {}) as write:
        yield write


def generate(folder: Path, count: int) -> None:
    for _ in entries(count):
        pass


def write(folder: Path, count: int) -> None:
    write_plan(folder / "plan.json", header(count), entries(count), PLANNER, overwrite=True)


def check(folder: Path, count: int) -> None:
    verify(folder / "plan.json", TRUST, NOW).close()


def read_again(folder: Path, count: int) -> None:
    """What a sweep reads once more after the check."""
    file = open_plan(folder / "plan.json")
    for _ in file.read()[1]:
        pass
    file.close()


def card(folder: Path, count: int) -> None:
    (folder / "entries.jsonl").unlink(missing_ok=True)
    uri = f"file://{folder}/entries.jsonl"
    write_card(folder / "card.json", uri, _create, header(count), entries(count), PLANNER, overwrite=True)


def check_card(folder: Path, count: int) -> None:
    verify(folder / "card.json", TRUST, NOW, fetch=lambda uri: read_object(uri, {})).close()


def json_dump(folder: Path, count: int) -> None:
    with (folder / "rival.json").open("w") as file:
        json.dump({"entries": [msgspec.structs.asdict(entry) for entry in entries(count)]}, file)


def json_load(folder: Path, count: int) -> None:
    with (folder / "rival.json").open() as file:
        assert len(json.load(file)["entries"]) == count


def jsonl_dump(folder: Path, count: int) -> None:
    with (folder / "rival.jsonl").open("w") as file:
        for entry in entries(count):
            file.write(json.dumps(msgspec.structs.asdict(entry)) + "\n")


def jsonl_load(folder: Path, count: int) -> None:
    with (folder / "rival.jsonl").open() as file:
        assert sum(1 for line in file if json.loads(line)["objects"] >= 0) == count


def jsonl_schema(folder: Path, count: int) -> None:
    """Each line held against the published schema of an entry: what a signature and canonical form would come on top of."""
    validators = __import__("jsonschema_rs")
    schema: dict[str, Any] = json.loads((Path(__file__).parents[2] / "schemas" / "plan.schema.json").read_bytes())
    valid = validators.validator_for({"$ref": "#/$defs/Entry", "$defs": schema["$defs"]}).is_valid
    with (folder / "rival.jsonl").open() as file:
        assert all(valid(json.loads(line)) for line in file)


JOBS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "generate": ("make the entries (a part of each write)", generate),
    "write": ("marksweep: write and sign", write),
    "verify": ("marksweep: verify", check),
    "again": ("marksweep: hash, and read once", read_again),
    "card": ("marksweep: write a card and its object", card),
    "check_card": ("marksweep: fetch and verify a card", check_card),
    "jsonl_dump": ("json.dumps, a line each", jsonl_dump),
    "jsonl_load": ("json.loads, a line each", jsonl_load),
    "jsonl_schema": ("json.loads and jsonschema_rs, a line each", jsonl_schema),
    "json_dump": ("json.dump of one document", json_dump),
    "json_load": ("json.load of one document", json_load),
}
IN_MEMORY = ("json_dump", "json_load")


def measure(job: str, folder: Path, count: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and the peak of resident memory in MB of *job* in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--job", job, "--folder", str(folder), "--entries", str(count)]
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{job} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _known() -> bool:
    try:
        __import__("jsonschema_rs")
    except ModuleNotFoundError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        JOBS[chosen.job][1](chosen.folder, chosen.entries)
        return
    count = 10_000_000 if chosen.full else chosen.entries
    left_out = (*(IN_MEMORY if chosen.full else ()), *(() if _known() else ("jsonschema_rs", "jsonl_schema")))
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        print(f"| {count:,} entries | wall s | CPU s | peak MB |\n| --- | ---: | ---: | ---: |", flush=True)
        for job, (name, _) in JOBS.items():
            if job not in left_out:
                seconds, cpu, peak = measure(job, Path(folder), count)
                print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {peak:.0f} |", flush=True)
        for name in ("plan.json", "card.json", "entries.jsonl"):
            print(f"{name}: {(Path(folder) / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
