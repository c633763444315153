"""A claim undone: what its image holds comes back exactly, or not at all, on both engines and three releases."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from marksweep.catalog.port import ClaimRequest, ClaimRules, Image, Lost, Reinserted
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.model.outcome import Mode
from marksweep.model.verdict import TOMBSTONE
from marksweep.sweep.image import decoded, encoded
from tests.support import databases
from tests.support.catalogs import RELEASES, RealCatalog, expected_orphans
from tests.support.databases import Violation
from tests.support.zenml_database import Snapshot, copy_row, database_of, editing, everything, opened, violations

BACK, THERE, REFUSED = Reinserted
NEWEST = ("0.98.0", "0.98.0-mariadb")
SINCE, FAR_AHEAD = datetime(2026, 6, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A catalog whose orphans were claimed, what it was before that, and the images as a journal gave them back."""

    real: RealCatalog
    catalog: ZenmlCatalog
    before: Snapshot = field(default_factory=dict)
    broken: set[Violation] = field(default_factory=set)
    lost: dict[str, Lost] = field(default_factory=dict)

    def claim(self, mode: Mode = Mode.BOTH) -> None:
        """Claim all orphans, several claims one after the other, emptied artifacts included."""
        orphans = sorted(expected_orphans(self.real))
        with editing(self.real.database) as connection:
            for table in ("artifact_version", "artifact"):
                connection.execute(f"UPDATE {table} SET created = '2026-01-01 00:00:00.000000', updated = created")
        self.before, self.broken = everything(self.real.database), violations(self.real.database)
        found = {v.id: v for i in orphans for v in self.catalog.find(i)}
        rules = ClaimRules(mode, None, SINCE, FAR_AHEAD)
        for at in range(0, len(orphans), 7):
            wanted = [ClaimRequest(i, found[i].uri, found[i].updated, i) for i in orphans[at : at + 7]]
            for answer in self.catalog.claim(wanted, rules, lambda _: None):
                image = decoded(encoded(answer.image))
                assert image is not None
                self.lost[answer.id] = Lost(answer.id, found[answer.id].uri, image)

    def holder(self, table: str, row_id: str) -> Image | None:
        images = (lost.image for lost in self.lost.values())
        return next((i for i in images if any(row["id"] == row_id for row in i.get(table, ()))), None)

    def reinsert(self, *lost: Lost, mode: Mode = Mode.BOTH, write: bool = True) -> tuple[Reinserted, str]:
        return self.catalog.reinsert(lost, mode, SINCE, self.holder, write=write)

    def one(self) -> Lost:
        """A version with rows of its own, whose artifact is still there."""
        return next(
            lost
            for lost in self.lost.values()
            if len(lost.image) > 1 and self.holder("artifact", artifact_of(lost)) is None
        )

    def emptied(self) -> Lost:
        """A version whose artifact went, with another version's image holding it if there is such a one."""
        gone = [x for x in self.lost.values() if self.holder("artifact", artifact_of(x)) is not None]
        return next((x for x in gone if "artifact" not in x.image), gone[0])

    def refused(self, lost: Lost, *words: str, mode: Mode = Mode.BOTH) -> None:
        """By the look before and by the write, and nothing was written."""
        now = everything(self.real.database)
        for write in (False, True):
            answer, why = self.reinsert(lost, mode=mode, write=write)
            assert answer is REFUSED
            for word in words:
                assert word in why, (word, why)
        assert everything(self.real.database) == now


def artifact_of(lost: Lost) -> str:
    return str(lost.image["artifact_version"][0]["artifact_id"])


def hexed(id_: str) -> str:
    return id_.replace("-", "")


def altered(lost: Lost, table: str, **changes: object) -> Lost:
    """The same with another first row of *table* in its image."""
    first, *rest = lost.image[table]
    return replace(lost, image={**lost.image, table: [{**first, **changes}, *rest]})


@pytest.fixture(params=NEWEST)
def world(request: pytest.FixtureRequest, database_only: Callable[[str], RealCatalog]) -> Iterator[World]:
    real = database_only(request.param)
    with opened(real, writes=True) as catalog:
        yield World(real, catalog)


@pytest.mark.parametrize("world", [*RELEASES, *(f"{r}-mariadb" for r in RELEASES)], indirect=True)
def test_every_row_comes_back_as_it_was(world: World) -> None:
    """All tables, all columns, each value as it was stored: versions, artifacts, visualizations, tags, metadata."""
    world.claim()
    assert {t for lost in world.lost.values() for t in lost.image} >= {"artifact", "artifact_visualization"}
    for lost in reversed(world.lost.values()):
        assert world.reinsert(lost, write=False) == (BACK, "")
        assert world.reinsert(lost) == (BACK, "")
    assert everything(world.real.database) == world.before
    assert violations(world.real.database) == world.broken


@pytest.mark.parametrize("world", [*RELEASES, *(f"{r}-mariadb" for r in RELEASES)], indirect=True)
def test_odd_values_come_back_as_they_were(world: World) -> None:
    """Nulls, empty texts, quotes, JSON, times without and with microseconds, characters of four bytes where they fit."""
    orphan = hexed(min(expected_orphans(world.real)))
    odd = '{"a": [1, null, "\\u00e9"], "b": "it\'s %s ? :x"}'
    with editing(world.real.database) as connection:
        connection.execute("UPDATE artifact_version SET materializer = ?, data_type = '' WHERE id = ?", (odd, orphan))
        connection.execute("UPDATE artifact_version SET version = '1.0' WHERE id = ?", (orphan,))
    world.claim()
    assert world.reinsert(*[lost for lost in world.lost.values() if hexed(lost.id) == orphan]) == (BACK, "")
    after = everything(world.real.database)["artifact_version"]
    assert [r for r in after if orphan in r] == [r for r in world.before["artifact_version"] if orphan in r]


def test_a_look_writes_nothing(world: World) -> None:
    """Also where it could come back."""
    world.claim()
    now = everything(world.real.database)
    assert {world.reinsert(lost, write=False) for lost in world.lost.values()} == {(BACK, "")}
    assert everything(world.real.database) == now


def test_what_is_back_is_there(world: World) -> None:
    """Asked again, because the answer was lost: the same rows; another row with that id is none of them."""
    world.claim()
    lost = world.one()
    world.reinsert(lost)
    now = everything(world.real.database)
    assert world.reinsert(lost) == (THERE, "")
    assert everything(world.real.database) == now
    with editing(world.real.database) as connection:
        connection.execute("UPDATE artifact_version SET version = 'other' WHERE id = ?", (hexed(lost.id),))
    world.refused(lost, "the catalog holds a version with the id")


def test_a_unit_comes_back_whole_or_not_at_all(world: World) -> None:
    """One of them cannot: the rows of the other are not there either."""
    world.claim()
    good, bad = world.one(), world.emptied()
    bad = altered(bad, "artifact_version", project_id=uuid.uuid4().hex)
    now = everything(world.real.database)
    answer, why = world.reinsert(good, bad)
    assert answer is REFUSED
    assert "its project is gone" in why
    assert everything(world.real.database) == now


def test_a_parent_that_is_gone_is_named(world: World) -> None:
    """A tag, say: the link cannot come back, and so nothing does."""
    world.claim()
    lost = next(x for x in world.lost.values() if "tag_resource" in x.image)
    tag = lost.image["tag_resource"][0]["tag_id"]
    with editing(world.real.database) as connection:
        connection.execute("DELETE FROM tag_resource WHERE tag_id = ?", (tag,))
        connection.execute("DELETE FROM tag WHERE id = ?", (tag,))
    world.refused(lost, "its tag is gone from the catalog", f"tag_resource.tag_id {tag}")


def test_a_parent_that_may_be_null_is_nulled(world: World) -> None:
    """What the database itself did to the rows that were there when that user was deleted."""
    world.claim()
    lost = altered(world.one(), "artifact_version", user_id=uuid.uuid4().hex)
    assert world.reinsert(lost) == (BACK, "")
    with opened(world.real) as catalog:
        assert [v.id for v in catalog.find(lost.id)] == [lost.id]
    ours = [row for row in everything(world.real.database)["artifact_version"] if hexed(lost.id) in row]
    was = [row for row in world.before["artifact_version"] if hexed(lost.id) in row]
    assert [sum(a != b for a, b in zip(ours[0], was[0], strict=True)), None in ours[0]] == [1, True]


def test_an_artifact_that_was_made_anew_is_in_the_way(world: World) -> None:
    """A pipeline ran again: the name is taken by another artifact, and the old one cannot come back beside it."""
    world.claim()
    lost = world.emptied()
    image = world.holder("artifact", artifact_of(lost))
    assert image is not None
    with editing(world.real.database) as connection:
        copy_row(connection, "artifact", **{**image["artifact"][0], "id": uuid.uuid4().hex})
    world.refused(lost, "the catalog holds another artifact with the same name and project_id")


def test_a_version_number_that_was_given_again_is_in_the_way(world: World) -> None:
    """Of the same artifact, under another id."""
    world.claim()
    lost = world.one()
    (row,) = lost.image["artifact_version"]
    with editing(world.real.database) as connection:
        other = {**row, "id": uuid.uuid4().hex, "uri": "/elsewhere/altogether"}
        copy_row(connection, "artifact_version", **other)
    world.refused(lost, "the catalog holds another artifact_version with the same")


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_place_that_somebody_took_since_is_in_the_way(world: World, below: str) -> None:
    """At it or below it: the bytes there would be those of two versions."""
    world.claim()
    lost = world.one()
    with editing(world.real.database) as connection:
        now = "2026-07-01 00:00:00.000000"
        copy_row(
            connection, "artifact_version", uri=lost.uri + below, version=uuid.uuid4().hex, created=now, updated=now
        )
    world.refused(lost, f"the place of {lost.id} is in use", "claims the same place")


@pytest.mark.parametrize(
    "forge",
    [
        lambda lost: altered(lost, "artifact_version", uri="/etc"),
        lambda lost: altered(lost, "artifact_version", id=uuid.uuid4().hex),
        lambda lost: replace(lost, image={**lost.image, "artifact_version": ()}),
        lambda lost: replace(lost, image={**lost.image, "artifact_version": lost.image["artifact_version"] * 2}),
        lambda lost: replace(lost, image={**lost.image, "user": [{"id": uuid.uuid4().hex, "name": "root"}]}),
        lambda lost: replace(lost, image={**lost.image, "tag_resource": [{"id": "1", "resource_type": "model"}]}),
        lambda lost: replace(
            lost, image={**lost.image, "artifact_visualization": [{"id": "1", "artifact_version_id": "2"}]}
        ),
        lambda lost: altered(lost, "artifact_version", nosuch="x"),
    ],
)
def test_an_image_brings_back_its_own_rows_and_no_others(world: World, forge: Callable[[Lost], Lost]) -> None:
    """A journal is a file: somebody may have written to it."""
    world.claim()
    world.refused(forge(world.one()), "its ")


def test_a_row_of_somebody_else_is_not_its_own(world: World) -> None:
    """Whole rows that the database would take: another version's tag, another artifact's, a second user."""
    world.claim()
    lost = next(x for x in world.lost.values() if "tag_resource" in x.image)
    kept = everything(world.real.database)["artifact_version"][0][0]
    new = {"id": uuid.uuid4().hex}
    world.refused(altered(lost, "tag_resource", resource_id=kept, **new), "a row of tag_resource that is not its own")
    world.refused(altered(lost, "tag_resource", resource_type="model", **new), "tag_resource that is not its own")
    (user,) = databases.rows(database_of(world.real.database), "user")[:1]
    forged = {**user, **new, "name": "root"}
    world.refused(replace(lost, image={**lost.image, "user": [forged]}), "a row of user that is not its own")


def test_a_tombstone_comes_off(world: World) -> None:
    """Mode only-artifact: the row gets its URI back, and nothing else changes; a row that is gone or elsewhere does not."""
    world.claim(Mode.ONLY_ARTIFACT)
    first, second, third, *rest = world.lost.values()
    assert world.reinsert(first, mode=Mode.ONLY_ARTIFACT) == (BACK, "")
    assert world.reinsert(first, mode=Mode.ONLY_ARTIFACT) == (THERE, "")
    with editing(world.real.database) as connection:
        connection.execute("UPDATE artifact_version SET uri = '/elsewhere' WHERE id = ?", (hexed(second.id),))
        connection.execute("DELETE FROM artifact_visualization WHERE artifact_version_id = ?", (hexed(third.id),))
        connection.execute("DELETE FROM artifact_version WHERE id = ?", (hexed(third.id),))
    world.refused(second, "has another URI now", mode=Mode.ONLY_ARTIFACT)
    world.refused(third, "is gone from the catalog", mode=Mode.ONLY_ARTIFACT)
    for lost in rest:
        assert world.reinsert(lost, mode=Mode.ONLY_ARTIFACT) == (BACK, "")
    kept = {hexed(lost.id) for lost in (first, *rest)}
    names = lambda snapshot: [r for r in snapshot["artifact_version"] if kept.intersection(map(str, r))]  # noqa: E731
    assert names(everything(world.real.database)) == names(world.before)
    assert not [r for r in names(everything(world.real.database)) if any(str(v).startswith(TOMBSTONE) for v in r)]


def test_foreign_keys_are_enforced_and_then_as_they_were(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were an obstacle overlooked, the database itself would refuse; and a claim works afterwards as before."""
    from marksweep.catalog.zenml.reinsert import Reinserter

    world.claim()
    lost = world.one()
    bad = altered(lost, "artifact_version", project_id=uuid.uuid4().hex)
    monkeypatch.setattr(Reinserter, "_look_for_obstacles", lambda *_: None)
    now = everything(world.real.database)
    answer, why = world.reinsert(bad)
    assert answer is REFUSED
    assert "FOREIGN KEY" in why.upper()
    assert everything(world.real.database) == now
    with world.catalog._database.reading() as connection:
        if world.catalog._database.dialect == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
    assert world.reinsert(lost) == (BACK, "")
