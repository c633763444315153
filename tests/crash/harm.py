"""Cuts at chosen points, and what harm they did: for tests that break something on purpose and must see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from tests.crash.fuse import Fuse, PowerCut
from tests.crash.invariants import InvariantBroken, check, check_journal, never_half
from tests.crash.world import World


def sweep_with(world: World, fuse: Fuse) -> None:
    """One run, every touch of which passes *fuse*."""
    world.sweep(
        around_catalog=fuse.around("catalog"), around_stores=fuse.around_stores, around_journal=fuse.around("journal")
    )


def harm_of_cuts(world: World, chosen: Callable[[str], bool], most: int = 6) -> list[str]:
    """Cut at each of the first *most* points whose name is *chosen*, finish, and return what invariants then say."""
    dry = Fuse()
    sweep_with(world, dry)
    points = [number for number, name in enumerate(dry.points) if chosen(name)][:most]
    assert points, sorted(set(dry.points))
    harm = []
    for at in points:
        world.restore()
        fuse = Fuse(at)
        with suppress(PowerCut):
            sweep_with(world, fuse)
        try:
            never_half(world.before, world.observe(), world.expected)
            found = world.sweep()
            after = world.observe()
            check(world.before, after, world.expected)
            check_journal(world.journal_path, world.before, after, world.expected, found)
        except InvariantBroken as broken:
            harm.append(f"{fuse.blown}: {broken}")
    return harm


def harm_of_a_sweep(world: World) -> str:
    """What the invariants say of one sweep that nobody cuts; empty when all is well."""
    found = world.sweep()
    after = world.observe()
    try:
        check(world.before, after, world.expected)
        check_journal(world.journal_path, world.before, after, world.expected, found, cut=False)
    except InvariantBroken as broken:
        return str(broken)
    return ""
