"""A journal that is torn, rotten, forged, another plan's, or lost: refused, or safe. It may skip work, never authorise it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from marksweep.errors import GuardRefused, Incomplete
from marksweep.model.outcome import Mode
from marksweep.sweep.books import Books
from marksweep.sweep.journal import Journal
from marksweep.sweep.journal_reader import read_journal
from tests.crash.fuse import Fuse, PowerCut
from tests.crash.harm import sweep_with
from tests.crash.invariants import check, check_journal, never_half
from tests.crash.world import World, make_world

pytestmark = pytest.mark.usefixtures("quick_catalog")
GARBLED = 50
"""Random damages of each kind."""

Files = dict[str, bytes]
"""A journal as it lay on the disk: suffix -> content."""


@pytest.fixture(params=[Mode.BOTH, Mode.ONLY_ARTIFACT], ids=str)
def world(request: pytest.FixtureRequest, fast_folder: Path) -> World:
    """A world whose sweep was cut while it deleted; its journal has entries in several states, and a log to replay."""
    return make_world(fast_folder / "world", request.param)


def cut_in_the_middle(
    world: World, chosen: Callable[[str], bool] = lambda name: "before store.delete" in name
) -> Files:
    """Sweep, cut the power in the middle of those points, and return the journal's files as they lay then."""
    dry = Fuse()
    sweep_with(world, dry)
    world.restore()
    points = [number for number, name in enumerate(dry.points) if chosen(name)]
    fuse, files = Fuse(points[len(points) // 2]), {}

    def keep() -> None:
        for suffix in ("", "-wal"):
            files[suffix] = Path(f"{world.journal_path}{suffix}").read_bytes()

    with pytest.raises(PowerCut):
        world.sweep(
            around_catalog=fuse.around("catalog"),
            around_stores=fuse.around_stores,
            around_journal=fuse.around("journal"),
            at_the_end=keep,
        )
    assert len(files["-wal"]) > 4096
    remember(world)
    return files


def remember(world: World) -> None:
    """From here on *this* is what :meth:`World.restore` puts back: the catalog and the files after the cut."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{world.journal_path}{suffix}").unlink(missing_ok=True)
    world.keep()


def sweep_on(world: World, files: Files) -> Books | GuardRefused | Incomplete:
    """Go on with this journal. Refused: then nothing was touched. Else nothing that must not be, to its end or not."""
    world.restore()
    for suffix, content in files.items():
        Path(f"{world.journal_path}{suffix}").write_bytes(content)
    cut = world.observe()
    result: Books | GuardRefused | Incomplete
    try:
        result = world.sweep()
    except (GuardRefused, Incomplete) as refused:
        result = refused
    if isinstance(result, GuardRefused):
        assert world.observe() == cut
        assert str(world.journal_path) in result.fact
    never_half(world.before, world.observe(), world.expected)
    return result


def finishes(world: World, files: Files) -> None:
    found = sweep_on(world, files)
    assert isinstance(found, Books), found
    after = world.observe()
    check(world.before, after, world.expected)
    check_journal(world.journal_path, world.before, after, world.expected, found)


def test_the_journal_as_it_lay_finishes_the_work(world: World) -> None:
    """The control for all that follows: with the journal and its log whole, nothing is left."""
    finishes(world, cut_in_the_middle(world))


def test_a_torn_log_is_safe_wherever_it_ends(world: World) -> None:
    """A write-ahead log that ends anywhere: what it lost is work to do again, or bytes that are left; nothing else."""
    files = cut_in_the_middle(world)
    log = files["-wal"]
    ends = {0, 1, 31, 32, 33, 56, len(log) - 1, *range(0, len(log), max(1, len(log) // 25))}
    told = Counter(type(sweep_on(world, files | {"-wal": log[:end]})).__name__ for end in sorted(ends))
    print(dict(told))
    assert told["Books"] > len(ends) // 2


def test_a_truncated_journal_is_refused_or_safe(world: World) -> None:
    """The database itself cut short, with its log and without it."""
    files = cut_in_the_middle(world)
    whole = folded(world, files)
    ends = {0, 1, 16, 99, 100, 101, 512, 4095, 4096, 4097, len(whole) // 2, len(whole) - 4096, len(whole) - 1}
    told: Counter[str] = Counter()
    for end in sorted(ends):
        told[type(sweep_on(world, {"": whole[:end]})).__name__] += 1
        told[type(sweep_on(world, files | {"": files[""][:end]})).__name__] += 1
    print(dict(told))
    assert told["GuardRefused"] > 0


def test_a_garbled_journal_is_refused_or_safe(world: World) -> None:
    """Bytes overwritten at random, in the database or its log; printed seed."""
    seed = int(os.environ.get("MARKSWEEP_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MARKSWEEP_SEED)")
    rng = random.Random(seed)
    files = cut_in_the_middle(world)
    whole = folded(world, files)
    told: Counter[str] = Counter()
    for number in range(GARBLED):
        damaged = bytearray(whole if number % 2 else files["-wal"])
        for _ in range(rng.choice((1, 1, 5, 50))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            at = rng.randrange(len(damaged))
            damaged[at : at + 500] = rng.randbytes(len(damaged[at : at + 500]))
        kind = "database" if number % 2 else "log"
        result = sweep_on(world, {"": bytes(damaged)} if number % 2 else files | {"-wal": bytes(damaged)})
        told[f"{kind}: {type(result).__name__}"] += 1
    print(dict(told))
    assert told["database: GuardRefused"] > 0


def folded(world: World, files: Files) -> bytes:
    """The journal as one file, its log folded in: as a sweep leaves it that was not killed."""
    with journal_of(world, files):
        pass
    content = world.journal_path.read_bytes()
    world.restore()
    return content


@contextmanager
def journal_of(world: World, files: Files) -> Iterator[sqlite3.Connection]:
    """The journal put back, to be changed by hand."""
    for suffix, content in files.items():
        Path(f"{world.journal_path}{suffix}").write_bytes(content)
    journal = sqlite3.connect(world.journal_path)
    try:
        yield journal
        journal.commit()
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        journal.close()


def test_the_journal_of_another_plan_is_refused(fast_folder: Path) -> None:
    """A journal says which plan it belongs to; with another one nothing is done."""
    one, other = (make_world(fast_folder / name, eventful=False) for name in ("one", "other"))
    other.sweep()
    one.journal_path.write_bytes(other.journal_path.read_bytes())
    before = one.observe()
    with pytest.raises(GuardRefused, match="belongs to another sweep"):
        one.sweep()
    assert one.observe() == before


def test_a_lost_journal_leaves_bytes_and_loses_nothing_else(fast_folder: Path) -> None:
    """Rows that are gone are reported as gone and their bytes left; all else is swept as if nothing had been."""
    world = make_world(fast_folder / "world")
    cut_in_the_middle(world)
    halfway = world.observe()
    gone = {e.id for e in world.expected.plan if halfway.version(e.id) is None}
    assert gone > world.expected.gone
    found = world.sweep()
    assert (found.gone, found.not_attempted, found.failed) == (len(gone), 0, 0)
    after = world.observe()
    check(halfway, after, replace(world.expected, gone=frozenset(gone)))
    never_half(world.before, after, world.expected)


def test_a_journal_with_entries_that_are_not_planned_is_refused(world: World) -> None:
    """An entry added by hand, of a version that is alive, with its files as keys: refused, and nothing is touched."""
    files = cut_in_the_middle(world)
    planned = {e.id.replace("-", "") for e in world.expected.plan}
    alive = next(v for v in world.before.tables["artifact_version"] if v["id"] not in planned)
    keys = keys_below(world, alive["uri"])
    with journal_of(world, files) as journal:
        journal.execute(
            "INSERT INTO entry (id, unit, uri, updated, state, batch, at, keys) SELECT ?, ?, ?, updated, 'claimed', 1, at, ?"
            " FROM entry LIMIT 1",
            (alive["id"], alive["id"], alive["uri"], keys),
        )
    refused = sweep_on(world, {"": world.journal_path.read_bytes()})
    assert isinstance(refused, GuardRefused)


@pytest.mark.parametrize("column", ["uri", "unit", "state"])
def test_a_planned_entry_that_was_altered_is_refused(world: World, column: str) -> None:
    """Another URI, unit or state for an entry that was begun."""
    files = cut_in_the_middle(world)
    alive = world.before.tables["artifact_version"][0]
    with journal_of(world, files) as journal:
        journal.execute(
            f"UPDATE entry SET {column} = ? WHERE id = (SELECT id FROM entry WHERE state = 'claimed' LIMIT 1)",
            (alive["uri"],),
        )
    assert isinstance(sweep_on(world, {"": world.journal_path.read_bytes()}), GuardRefused)


def test_keys_outside_an_entry_are_not_deleted(world: World) -> None:
    """Keys added by hand to a claimed entry: only those in its own place go."""
    files = cut_in_the_middle(world)
    planned = {e.id.replace("-", "") for e in world.expected.plan}
    alive = next(v for v in world.before.tables["artifact_version"] if v["id"] not in planned)
    with journal_of(world, files) as journal:
        id_, keys = journal.execute("SELECT id, keys FROM entry WHERE state = 'claimed' AND keys != '[]'").fetchone()
        both = json.dumps(json.loads(keys) + json.loads(keys_below(world, alive["uri"])))
        journal.execute("UPDATE entry SET keys = ? WHERE id = ?", (both.encode(), id_))
    finishes(world, {"": world.journal_path.read_bytes()})


@pytest.mark.parametrize("state", ["claimed", "failed"])
def test_an_entry_that_was_never_claimed_is_not_deleted(world: World, state: str) -> None:
    """The journal says that a linked version was claimed; the catalog says that it was not: the catalog is right."""
    files = cut_in_the_middle(world)
    linked = next(e for e in world.expected.plan if e.id in world.expected.kept)
    with journal_of(world, files) as journal:
        journal.execute("DELETE FROM entry WHERE id = ?", (linked.id,))
        journal.execute(
            "INSERT INTO entry (id, unit, uri, updated, state, batch, at, keys)"
            " SELECT ?, ?, ?, ?, ?, 1, at, ? FROM entry LIMIT 1",
            (linked.id, linked.shares or linked.id, linked.uri, linked.updated, state, keys_below(world, linked.uri)),
        )
    finishes(world, {"": world.journal_path.read_bytes()})


def keys_below(world: World, uri: str) -> bytes:
    """The files below *uri* as an intent lists them."""
    (root,) = {p for p in (world.catalog.root / "cfg" / "local_stores").iterdir() if p.name != "default_zen_store"}
    found = [p for p in Path(uri).rglob("*") if p.is_file()]
    assert found
    return json.dumps(
        [(p.relative_to(root).as_posix(), p.stat().st_size, str(p.stat().st_mtime_ns)) for p in found]
    ).encode()


def test_a_journal_is_whole_or_not_there(tmp_path: Path) -> None:
    """A kill while it is begun leaves nothing that a later run refuses, and nothing that is left of a removed one counts."""
    path = tmp_path / "plan.json.journal"
    Path(f"{path}-wal").write_bytes(b"of a journal that somebody removed")

    def killed() -> datetime:
        os.kill(os.getpid(), signal.SIGKILL)
        return datetime.now(UTC)

    child = os.fork()
    if child == 0:
        Journal(path, {"plan": "sha256:0"}, killed)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if path.exists():
        with read_journal(path, "sha256:0") as reader:
            reader.meta()
    Journal(path, {"plan": "sha256:0"}, lambda: datetime.now(UTC)).close()
    with read_journal(path, "sha256:0") as reader:
        assert reader.meta().keys() == {"format", "plan", "started"}
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
