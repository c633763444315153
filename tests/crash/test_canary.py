"""``--canary N``: N entries go first, and the rest only if everything alive beside them came through it unharmed.

The fault is planted here: stores that delete a file of somebody else along with what they were told to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from marksweep.errors import ExitStatus, GuardRefused, Incomplete, StoreRefused
from marksweep.model.outcome import Mode
from marksweep.model.store import KeyOutcome, StoredObject
from marksweep.model.uri import Location
from marksweep.model.version import ArtifactStore
from marksweep.sweep import canary as canary_module
from marksweep.sweep.canary_record import Canary, CanaryState
from marksweep.sweep.journal_reader import JournalReader
from tests.crash.fuse import Fuse, PowerCut
from tests.crash.invariants import Observed, check, check_journal, never_half
from tests.crash.world import World, make_world

pytestmark = pytest.mark.usefixtures("quick_catalog", "impatient")
ENTRIES = 3
WITH_BYTES = (Mode.BOTH, Mode.ONLY_ARTIFACT)
Hook = Callable[[], None]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a row to follow its bytes."""
    monkeypatch.setattr(canary_module, "PAUSE", 0.0)


@pytest.fixture(params=WITH_BYTES, ids=str)
def world(request: pytest.FixtureRequest, fast_folder: Path) -> World:
    return make_world(fast_folder / "world", request.param)


class Clumsy:
    """Stores that do what they are told, and then something that nobody told them, the first time that they delete."""

    def __init__(self, real: Any, hook: Hook) -> None:
        self._real, self._hook, self.used = real, hook, False

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._real, attribute)

    def slip(self) -> None:
        if not self.used:
            self.used = True
            self._hook()

    @asynccontextmanager
    async def open(self, store: ArtifactStore) -> AsyncIterator[Any]:
        async with self._real.open(store) as opened:
            yield ClumsyStore(opened, self.slip)


class ClumsyStore:
    def __init__(self, real: Any, slip: Hook) -> None:
        self._real, self._slip = real, slip

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._real, attribute)

    async def delete(self, objects: Sequence[StoredObject]) -> Sequence[KeyOutcome]:
        answers: Sequence[KeyOutcome] = await self._real.delete(objects)
        if objects:
            self._slip()
        return answers


def clumsy(hook: Hook) -> Callable[[Any], Any]:
    return lambda real: Clumsy(real, hook)


def live(world: World) -> list[str]:
    """Row ids of versions that are no entries of the plan."""
    planned = {e.id.replace("-", "") for e in world.expected.plan}
    return [v for v in world.catalog.versions if v not in planned]


def file_of(world: World, row_id: str) -> Path:
    return Path(world.catalog.uris[row_id]) / "data.json"


def remembered(world: World) -> Canary:
    """The canary as the journal has it."""
    with closing(sqlite3.connect(world.journal_path)) as database:
        found = JournalReader(database).canary()
    assert found is not None
    return found


def swept_units(before: Observed, now: Observed, world: World) -> set[str]:
    """The units of the plan that have lost a row, a URI or a file."""
    return {
        e.shares or e.id
        for e in world.expected.plan
        if before.version(e.id) != now.version(e.id) or before.below(e.uri) != now.below(e.uri)
    }


def test_all_goes_well(world: World) -> None:
    """Few entries go first; when they are swept, and nothing else has been touched, the witnesses are compared."""
    seen: list[tuple[str, set[str]]] = []
    begun: list[str] = []

    class Watched:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self._real, attribute)

        def note_canary(self, canary: Canary) -> None:
            self._real.note_canary(canary)
            seen.append((canary.state, swept_units(world.before, world.observe(), world)))

        def intend(self, batch: int, intended: Sequence[Any]) -> None:
            if len(seen) < 2:
                begun.extend(i.unit for i in intended)
            self._real.intend(batch, intended)

    found = world.sweep(around_journal=Watched, canary=ENTRIES)
    canary = remembered(world)
    assert (canary.state, 1 <= canary.entries <= ENTRIES) == (CanaryState.PASSED, True)
    (drawn, untouched), (passed, touched) = seen
    assert (drawn, untouched) == (CanaryState.DRAWN, set())
    assert passed == CanaryState.PASSED
    assert begun
    assert set(begun) == touched <= set(canary.units)
    assert 1 <= len(canary.witnesses) <= canary.beside
    assert {w.id.replace("-", "") for w in canary.witnesses} <= set(live(world))
    after = world.observe()
    check(world.before, after, world.expected)
    check_journal(world.journal_path, world.before, after, world.expected, found, cut=False)


def test_a_harmed_witness_halts_everything(world: World) -> None:
    """A sibling's file is deleted along: exit 26, the witness is named, and nothing but the canary was swept."""
    victims = [file_of(world, v) for v in live(world)[:8]]
    with pytest.raises(GuardRefused, match=r"^8 of .* live versions") as refused:
        world.sweep(around_stores=clumsy(lambda: [v.unlink() for v in victims] and None), canary=ENTRIES)
    assert refused.value.status is ExitStatus.GUARD_REFUSED
    assert str(world.journal_path) in refused.value.remedy
    assert "; and 3 more" in refused.value.fact
    canary, now = remembered(world), world.observe()
    assert canary.state is CanaryState.HALTED
    assert {Path(h.witness.uri) for h in canary.harmed} == {v.parent for v in victims}
    assert all(h.objects == h.witness.objects - 1 for h in canary.harmed)
    touched = swept_units(world.before, now, world)
    assert touched
    assert touched <= set(canary.units)
    lost = {Path(p) for p in set(world.before.files) - set(now.files)} - set(victims)
    places = [Path(e.uri) for e in world.expected.plan if (e.shares or e.id) in canary.units]
    assert all(any(path.is_relative_to(place) for place in places) for path in lost)


def test_rewritten_bytes_are_harm_too(world: World) -> None:
    """As many objects as before, and other content."""
    victim = file_of(world, live(world)[0])
    with pytest.raises(GuardRefused, match=r"^1 of .* live versions"):
        world.sweep(around_stores=clumsy(lambda: victim.write_text("x") and None), canary=ENTRIES)


def test_a_halt_is_remembered_until_a_person_clears_it(world: World) -> None:
    """Later runs are refused before they touch anything, with a canary and without; cleared, the rest is swept."""
    victim = file_of(world, live(world)[0])
    content = victim.read_bytes(), victim.stat().st_mtime_ns
    with pytest.raises(GuardRefused):
        world.sweep(around_stores=clumsy(victim.unlink), canary=ENTRIES)
    halted, record = world.observe(), remembered(world)
    for options in ({}, {"canary": ENTRIES}, {"canary": 1000}, {"ignore_errors": True}):
        with pytest.raises(GuardRefused, match=r"^1 of .* live versions"):
            world.sweep(**options)
        assert world.observe() == halted
        assert remembered(world) == record
    victim.write_bytes(content[0])
    world.sweep(canary_cleared=True)
    assert remembered(world).state is CanaryState.CLEARED
    check(world.before, world.observe(), world.expected)


def test_a_cleared_halt_may_be_followed_by_another_canary(world: World) -> None:
    """And that one looks for itself: harm that is there already is the state to compare with, new harm halts again."""
    first, second = (file_of(world, v) for v in live(world)[:2])
    with pytest.raises(GuardRefused):
        world.sweep(around_stores=clumsy(first.unlink), canary=ENTRIES)
    with pytest.raises(GuardRefused, match=r"^1 of .* live versions"):
        world.sweep(around_stores=clumsy(second.unlink), canary=ENTRIES, canary_cleared=True)
    assert [h.witness.uri for h in remembered(world).harmed] == [str(second.parent)]
    world.sweep(canary=ENTRIES, canary_cleared=True)
    assert remembered(world).state is CanaryState.PASSED


def test_harm_is_seen_after_a_cut_at_any_point(world: World) -> None:
    """Killed anywhere after the harm, before anybody compared: the resume compares with what was before any delete.

    Whether the resume asks for a canary makes no difference: every other resume does.
    """
    victim = file_of(world, live(world)[0])
    points = canary_points(world, victim)
    missed = []
    for number, at in enumerate(points):
        world.restore()
        fuse = Fuse(at)
        with pytest.raises((PowerCut, GuardRefused)):
            sweep_clumsily(world, fuse, victim)
        harmed = not victim.exists()
        try:
            world.sweep(canary=ENTRIES if number % 2 else None)
        except GuardRefused:
            if not harmed:
                missed.append(f"{fuse.blown}: halted, and nothing was harmed")
        else:
            if harmed:
                missed.append(f"{fuse.blown}: went on past the harm")
        never_half(world.before, healed(world, victim), world.expected)
        assert swept_units(world.before, world.observe(), world) <= set(remembered(world).units) or not harmed
    print(f"{world.mode}: {len(points)} cuts")
    assert not missed, missed


def sweep_clumsily(world: World, fuse: Fuse, victim: Path) -> None:
    world.sweep(
        around_catalog=fuse.around("catalog"),
        around_stores=lambda real: fuse.around_stores(Clumsy(real, victim.unlink)),
        around_journal=fuse.around("journal"),
        canary=ENTRIES,
    )


def canary_points(world: World, victim: Path) -> list[int]:
    """Points of a sweep from where the canary is recorded to where the harm is: every other one, and the last ones."""
    dry = Fuse()
    with pytest.raises(GuardRefused):
        sweep_clumsily(world, dry, victim)
    notes = [number for number, name in enumerate(dry.points) if "journal.note_canary" in name]
    assert len(notes) == 4
    return [*range(notes[1], notes[2] - 4, 2), *range(notes[2] - 4, notes[3] + 1)]


def healed(world: World, victim: Path) -> Observed:
    """The world as it is, but for the harm that was planted."""
    now = world.observe()
    return Observed(now.tables, {**now.files, str(victim): world.before.files[str(victim)]}, now.broken)


def test_a_cut_canary_is_finished_before_anything_else(world: World) -> None:
    """However a canary is cut, the next run sweeps its entries, compares, and only then takes another, also unasked."""
    dry = Fuse()
    world.sweep(around_catalog=dry.around("catalog"), around_stores=dry.around_stores,
                around_journal=dry.around("journal"), canary=ENTRIES)  # fmt: skip
    notes = [number for number, name in enumerate(dry.points) if "journal.note_canary" in name]
    for at in [notes[0], *range(notes[1], notes[2], 3), notes[2]]:
        world.restore()
        fuse = Fuse(at)
        with pytest.raises(PowerCut):
            world.sweep(around_catalog=fuse.around("catalog"), around_stores=fuse.around_stores,
                        around_journal=fuse.around("journal"), canary=ENTRIES)  # fmt: skip
        found = world.sweep()
        after = world.observe()
        check(world.before, after, world.expected)
        check_journal(world.journal_path, world.before, after, world.expected, found)
        if at > notes[0]:
            assert remembered(world).state is CanaryState.PASSED


@pytest.mark.parametrize("what", ["deleted", "changed"])
def test_what_zenml_did_meanwhile_is_no_harm(world: World, what: str) -> None:
    """The witness's row is gone, or was changed: somebody used ZenML, which deletes bytes as well."""
    row_id = live(world)[0]

    def use_zenml() -> None:
        file_of(world, row_id).unlink()
        with world.edit() as db:
            if what == "deleted":
                db.execute("DELETE FROM pipeline_run_output WHERE artifact_id = ?", (row_id,))
                db.execute("DELETE FROM artifact_version WHERE id = ?", (row_id,))
            else:
                db.execute("UPDATE artifact_version SET updated = '2026-11-30 01:02:03.000004' WHERE id = ?", (row_id,))

    world.sweep(around_stores=clumsy(use_zenml), canary=ENTRIES)
    assert remembered(world).state is CanaryState.PASSED


def test_a_row_that_follows_its_bytes_is_waited_for(world: World) -> None:
    """ZenML deletes a version's bytes first: its row is looked at again before anybody calls that harm."""
    row_id = live(world)[0]
    looks: list[int] = []

    class Slow:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self._real, attribute)

        def recheck(self, *asked: Any) -> Any:
            looks.append(len(asked[0]))
            answers = self._real.recheck(*asked)
            if len(looks) == 2:
                with world.edit() as db:
                    db.execute("DELETE FROM pipeline_run_output WHERE artifact_id = ?", (row_id,))
                    db.execute("DELETE FROM artifact_version WHERE id = ?", (row_id,))
            return answers

    world.sweep(around_catalog=Slow, around_stores=clumsy(file_of(world, row_id).unlink), canary=ENTRIES)
    assert looks == [1, 1, 1]
    assert remembered(world).state is CanaryState.PASSED


def test_a_passed_canary_is_not_repeated(world: World) -> None:
    """Cut after it passed: the resume surveys nothing, and takes the rest."""
    dry = Fuse()
    parts = {"around_catalog": dry.around("catalog"), "around_journal": dry.around("journal")}
    world.sweep(canary=ENTRIES, **parts)
    world.restore()
    fuse = Fuse(max(number for number, name in enumerate(dry.points) if name == "after journal.note_canary") + 20)
    with pytest.raises(PowerCut):
        world.sweep(canary=ENTRIES, around_catalog=fuse.around("catalog"), around_journal=fuse.around("journal"))
    passed = remembered(world)
    assert passed.state is CanaryState.PASSED
    resumed = Fuse()
    world.sweep(canary=ENTRIES, around_catalog=resumed.around("catalog"))
    assert "before catalog.survey" in dry.points
    assert "before catalog.survey" not in resumed.points
    assert remembered(world) == passed
    check(world.before, world.observe(), world.expected)


def test_a_canary_that_deletes_nothing_shows_nothing(fast_folder: Path) -> None:
    """All its entries are kept: the sweep does not go on, and the next run draws another canary."""
    world = make_world(fast_folder / "world", eventful=False)
    first = min(world.expected.plan, key=lambda e: e.order)
    with world.edit() as db:
        db.execute(
            "UPDATE artifact_version SET updated = '2026-02-03 04:05:06' WHERE id = ?", (first.id.replace("-", ""),)
        )
    with pytest.raises(Incomplete, match="has shown nothing"):
        world.sweep(canary=1)
    drawn = remembered(world)
    assert (drawn.state, drawn.units) == (CanaryState.VOID, (first.id,))
    assert world.observe().files == world.before.files
    found = world.sweep(canary=1)
    assert (found.deleted, found.changed) == (len(world.expected.plan) - 1, 1)
    again = remembered(world)
    assert again.state is CanaryState.PASSED
    assert again.units != drawn.units


def test_a_plan_that_is_all_canary(world: World) -> None:
    """More entries than there are: all of them are the canary."""
    world.sweep(canary=10_000)
    assert remembered(world).state is CanaryState.PASSED
    check(world.before, world.observe(), world.expected)


def test_without_bytes_there_is_no_canary(fast_folder: Path) -> None:
    """Only-metadata: nothing is looked at. (The command line refuses it.)"""
    world = make_world(fast_folder / "world", Mode.ONLY_METADATA)
    world.sweep(canary=ENTRIES)
    check(world.before, world.observe(), world.expected)


class Unlistable:
    """A store that cannot list some places, from the *turn*-th time on that it lists many."""

    def __init__(self, real: Any, turn: int) -> None:
        self._real, self._turns = real, turn

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._real, attribute)

    @asynccontextmanager
    async def open(self, store: ArtifactStore) -> AsyncIterator[Any]:
        async with self._real.open(store) as opened:
            yield _UnlistableStore(opened, self._turns)


class _UnlistableStore:
    def __init__(self, real: Any, turns: int) -> None:
        self._real, self._turns = real, turns

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._real, attribute)

    async def listing(
        self, locations: Sequence[Location], *, emptied: bool = False
    ) -> AsyncIterator[tuple[Location, Any]]:
        self._turns -= len(locations) > ENTRIES
        async for location, found in self._real.listing(locations, emptied=emptied):
            yield location, StoreRefused("nobody answers", "wait") if self._turns < 0 else found


def test_a_witness_that_cannot_be_seen_is_neither_well_nor_harmed(world: World) -> None:
    """Before: no canary without its witnesses. After: nothing else is taken until they could be compared."""
    with pytest.raises(StoreRefused):
        world.sweep(around_stores=lambda real: Unlistable(real, 0), canary=ENTRIES)
    assert world.observe() == world.before
    with pytest.raises(Incomplete, match="witnesses cannot be listed now"):
        world.sweep(around_stores=lambda real: Unlistable(real, 1), canary=ENTRIES)
    canary = remembered(world)
    assert canary.state is CanaryState.DRAWN
    assert swept_units(world.before, world.observe(), world) <= set(canary.units)
    world.sweep()
    assert remembered(world).state is CanaryState.PASSED
    check(world.before, world.observe(), world.expected)


@pytest.mark.parametrize("record", [b"", b"{}", b"\xff", b'{"state":"passed"}'])
def test_a_damaged_record_is_refused(fast_folder: Path, record: bytes) -> None:
    """A journal that does not say how its canary ended is not gone on from."""
    world = make_world(fast_folder / "world")
    world.sweep(canary=ENTRIES)
    world.restore()
    with pytest.raises(PowerCut):
        world.sweep(around_catalog=Fuse(20).around("catalog"), canary=ENTRIES)
    with closing(sqlite3.connect(world.journal_path)) as journal, journal:
        journal.execute("INSERT OR REPLACE INTO canary VALUES (1, ?)", (record,))
    before = world.observe()
    with pytest.raises(GuardRefused, match="its record of the canary is damaged"):
        world.sweep()
    assert world.observe() == before
