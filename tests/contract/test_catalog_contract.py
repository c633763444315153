"""The promises of ``marksweep/catalog/port.py``, on the databases that three ZenML releases wrote, on SQLite and MariaDB.

What is special to one engine is said where it is tested, and in ``test_mysql_*``. Whatever is expected is found out with
plain SQL, never by asking the adapter.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marksweep.catalog.port import Catalog, ClaimAnswer, Claimed, ClaimRequest, ClaimRules, InDoubt
from marksweep.catalog.zenml import sqlite_file
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.claim import Claimer
from marksweep.errors import CatalogNotUnderstood, Incomplete
from marksweep.model.outcome import Mode
from marksweep.model.verdict import TOMBSTONE
from marksweep.model.version import ReferenceKind
from tests.support.catalogs import RELEASES, RealCatalog, expected_orphans
from tests.support.databases import OPERATIONAL, Connection, described
from tests.support.mariadb_catalogs import MariaDbCatalog
from tests.support.zenml_database import (
    Where,
    beside,
    columns,
    copy_row,
    digest,
    editing,
    everything,
    insert,
    kinds,
    opened,
    reading,
    removed,
    violations,
)

CLAIMED, REFERENCED, GONE, CHANGED, PROTECTED, BUSY = ClaimAnswer
NEWEST = ("0.98.0", "0.98.0-mariadb")
LONG_AGO, FAR_AHEAD = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


Given = Callable[[str], RealCatalog]

ON_MARIADB = ("0.70.0-mariadb", "0.98.0-mariadb")
"""The two schemas that differ most; that of 0.85.0 is marked and swept end to end elsewhere."""
on_sqlite = pytest.mark.parametrize("real", RELEASES, indirect=True)


@pytest.fixture(params=[*RELEASES, *ON_MARIADB])
def real(request: pytest.FixtureRequest, database_only: Given) -> RealCatalog:
    """The database of each release on each engine; made long before any plan."""
    copy = database_only(request.param)
    with editing(copy.database) as connection:
        for table in ("artifact_version", "artifact"):
            connection.execute(f"UPDATE {table} SET created = '2026-01-01 00:00:00.000000', updated = created")
    return copy


@pytest.fixture
def catalog(real: RealCatalog) -> Iterator[ZenmlCatalog]:
    with opened(real, writes=True) as catalog:
        yield catalog


@pytest.fixture
def orphans(real: RealCatalog) -> list[str]:
    """Ids of versions that nothing keeps, those with the most rows of their own first."""

    def own(id_: str) -> int:
        return len(real.by_id[id_]["visualizations"]) + 9 * len(real.by_id[id_]["tags"])

    return sorted(expected_orphans(real), key=lambda i: (-own(i), i))


def rules(
    mode: Mode = Mode.BOTH, *, models: bool = False, since: datetime | None = None, artifacts: datetime | None = None
) -> ClaimRules:
    return ClaimRules(
        mode, datetime(2100, 1, 1, tzinfo=UTC) if models else None, since or datetime(2026, 6, 1, tzinfo=UTC), artifacts
    )


def requests(catalog: Catalog, ids: Sequence[str], unit: str | None = None) -> list[ClaimRequest]:
    """As a plan that was made just now has them."""
    found = {v.id: v for i in ids for v in catalog.find(i)}
    return [ClaimRequest(i, found[i].uri, found[i].updated, unit or i) for i in ids]


def quiet(_: Sequence[Claimed]) -> None: ...


def answers(claimed: Sequence[Claimed]) -> list[ClaimAnswer]:
    return [c.answer for c in claimed]


def hexed(id_: str) -> str:
    return id_.replace("-", "")


def own_rows(database: Where, ids: Sequence[str]) -> dict[str, int]:
    """How many rows go with versions: visualizations, tags, metadata (on the row itself up to 0.70)."""
    marks = ", ".join("?" * len(ids))
    found = {}
    with reading(database) as connection:
        for table, where in (
            ("artifact_version", f"id IN ({marks})"),
            ("artifact_visualization", f"artifact_version_id IN ({marks})"),
            *(
                (t, f"resource_type = 'artifact_version' AND resource_id IN ({marks})")
                for t in ("tag_resource", "run_metadata_resource", "run_metadata")
                if "resource_id" in columns(database, t)
            ),
        ):
            query = f"SELECT count(*) FROM {table} WHERE {where}"
            if count := connection.execute(query, [hexed(i) for i in ids]).fetchone()[0]:
                found[table] = count
    return found


# Claim


def test_a_claim_removes_the_versions_and_their_own_rows_and_nothing_else(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """A comparison of every row of every table, before and after; no new violation of a foreign key.

    A row about something else whose id happens to be the same is something else's.
    """
    with editing(real.database) as connection:
        copy_row(connection, "tag_resource", resource_type="pipeline_run", resource_id=hexed(orphans[0]))
    before, broken, own = everything(real.database), violations(real.database), own_rows(real.database, orphans)
    assert own.keys() >= {"artifact_version", "artifact_visualization", "tag_resource"}
    assert answers(catalog.claim(requests(catalog, orphans), rules(), quiet)) == [CLAIMED] * len(orphans)
    gone = removed(before, everything(real.database))
    assert {table: len(rows) for table, rows in gone.items()} == own
    assert own_rows(real.database, orphans) == {}
    assert violations(real.database) <= broken


def test_the_images_hold_every_row_that_went(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """Column by column, each with the version that it belonged to: enough to put all of it back."""
    before = everything(real.database)
    claimed = catalog.claim(requests(catalog, orphans), rules(artifacts=FAR_AHEAD), quiet)
    gone = removed(before, everything(real.database))
    assert "artifact" in gone
    names = {table: columns(real.database, table) for table in gone}
    imaged: dict[str, list[tuple[Any, ...]]] = {}
    for answer in claimed:
        assert answer.image is not None
        (version,) = answer.image["artifact_version"]
        assert version["id"] == hexed(answer.id)
        for table, rows in answer.image.items():
            for row in rows:
                assert list(row) == names[table]
                imaged.setdefault(table, []).append(tuple(map(_as_stored, row.values())))
                owner = row.get("artifact_version_id", row.get("resource_id", hexed(answer.id)))
                assert table in ("artifact",) or owner in (hexed(answer.id), version["artifact_id"])
    assert {t: sorted(rows, key=repr) for t, rows in imaged.items()} == {
        t: sorted((tuple(map(_as_stored, row)) for row in rows), key=repr) for t, rows in gone.items()
    }


def _as_stored(value: object) -> object:
    """A time as SQLite writes it, with microseconds, and truth as a number."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", value):
        return f"{value}.000000"
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")
    return int(value) if isinstance(value, bool) else value


def test_the_intent_is_called_before_the_commit_and_while_nobody_else_can_write(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """Another connection still sees the rows, and is not let in to link them."""
    seen: list[tuple[int, list[ClaimAnswer]]] = []

    def intent(claimed: Sequence[Claimed]) -> None:
        seen.append((len(real.existing_ids()), answers(claimed)))
        assert all(c.image for c in claimed)
        for id_ in orphans[:3]:
            with (
                pytest.raises(OPERATIONAL, match=r"locked|Lock wait timeout"),
                editing(real.database, foreign_keys=True, timeout=0) as other,
            ):
                link(other, "step_run_input_artifact", "artifact_id", id_)

    catalog.claim(requests(catalog, orphans[:3]), rules(), intent)
    assert seen == [(len(real.truth), [CLAIMED] * 3)]
    assert len(real.existing_ids()) == len(real.truth) - 3


@pytest.mark.parametrize("mode", list(Mode))
def test_an_intent_that_fails_takes_everything_back(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], mode: Mode
) -> None:
    """Nothing is changed, no journal is left, nobody is locked out, and the catalog answers on."""

    def intent(_: Sequence[Claimed]) -> None:
        raise KeyboardInterrupt

    before, names = everything(real.database), beside(real.database)
    asked = requests(catalog, orphans)
    with pytest.raises(KeyboardInterrupt):
        catalog.claim(asked, rules(mode, artifacts=FAR_AHEAD), intent)
    assert everything(real.database) == before
    assert beside(real.database) == names
    with editing(real.database, timeout=0) as other:
        other.execute("UPDATE artifact SET name = name")
    assert answers(catalog.claim(asked[:1], rules(mode), quiet)) == [CLAIMED]


def link(connection: Connection, table: str, column: str, id_: str) -> None:
    """A reference as ZenML writes it, to an existing holder where there is one."""
    holders = {
        "step_id": "step_run",
        "pipeline_run_id": "pipeline_run",
        "hook_invocation_id": "hook_invocation",
        "model_version_id": "model_version",
    }
    row: dict[str, Any] = (
        {column: hexed(id_), "name": "late"} if table != "model_versions_artifacts" else {column: hexed(id_)}
    )
    for name in (column.name for column in described(connection, table)):
        if name == "output_index":  # unique for its run
            row[name] = 99
        if name in holders:
            row[name] = connection.execute(f"SELECT id FROM {holders[name]}").fetchone()[0]
    insert(connection, table, row)


LINKS = {
    ReferenceKind.STEP_INPUT: ("step_run_input_artifact", "artifact_id"),
    ReferenceKind.STEP_OUTPUT: ("step_run_output_artifact", "artifact_id"),
    ReferenceKind.MODEL_VERSION: ("model_versions_artifacts", "artifact_version_id"),
    ReferenceKind.RUN_OUTPUT: ("pipeline_run_output", "artifact_id"),
    ReferenceKind.HOOK_OUTPUT: ("hook_invocation_output_artifact", "artifact_version_id"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_version_linked_since_is_not_claimed(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], kind: ReferenceKind
) -> None:
    """Each kind of link; the others of the batch are claimed; survey, references, recheck and claim agree."""
    table, column = LINKS[kind]
    if not columns(real.database, table):
        assert real.release != "0.98.0"
        return
    asked = requests(catalog, orphans[:3])
    with editing(real.database) as connection:
        link(connection, table, column, orphans[1])
    assert kinds(catalog, orphans[1]) == {kind}
    for ask in (catalog.recheck(asked, rules()), catalog.claim(asked, rules(), quiet)):
        assert answers(ask) == [CLAIMED, REFERENCED, CLAIMED]
        assert ask[1].detail.startswith(f"{kind}: ")
        assert ask[1].image is None
    assert real.existing_ids() >= {orphans[1]}
    assert not real.existing_ids() & {orphans[0], orphans[2]}


@pytest.mark.parametrize("real", NEWEST, indirect=True)
def test_a_curated_visualization_is_a_reference(real: RealCatalog) -> None:
    """At one remove."""
    orphan = next(i for i in sorted(expected_orphans(real)) if real.by_id[i]["visualizations"])
    with opened(real, writes=True) as catalog:
        asked = requests(catalog, [orphan])
        with editing(real.database) as connection:
            query = "SELECT id FROM artifact_visualization WHERE artifact_version_id = ?"
            shown = connection.execute(query, (hexed(orphan),)).fetchone()[0]
            copy_row(connection, "curated_visualization", artifact_visualization_id=shown)
        assert kinds(catalog, orphan) == {ReferenceKind.CURATED_VISUALIZATION}
        assert answers(catalog.claim(asked, rules(since=FAR_AHEAD), quiet)) == [REFERENCED]


def test_links_of_another_version_are_none_of_this_ones(catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """A list per id asked, None for one that does not exist, under the id as it was asked."""
    unknown = str(uuid.uuid4())
    found = catalog.references([orphans[0], unknown, hexed(orphans[1])])
    assert found == {orphans[0]: [], unknown: None, hexed(orphans[1]): []}


def test_ignored_model_links_go_with_their_version(real: RealCatalog, catalog: ZenmlCatalog) -> None:
    """Only when the plan says so; only model links; and they are in the image."""
    (linked,) = real.ids("model_only_manual")
    asked = [replace(r, linked=True) for r in requests(catalog, [linked])]
    assert answers(catalog.claim(asked, rules(), quiet)) == [REFERENCED]
    before, own = everything(real.database), own_rows(real.database, [linked])
    (claimed,) = catalog.claim(asked, rules(models=True), quiet)
    gone = removed(before, everything(real.database))
    links = len(gone.pop("model_versions_artifacts"))
    assert ({t: len(rows) for t, rows in gone.items()}, claimed.answer) == (own, CLAIMED)
    assert claimed.image is not None
    assert len(claimed.image["model_versions_artifacts"]) == links == 1
    (hooked, *_) = sorted(set(real.by_id) - expected_orphans(real) - {linked})
    asked = [replace(r, linked=True) for r in requests(catalog, [hooked])]
    with editing(real.database) as connection:
        link(connection, "step_run_output_artifact", "artifact_id", hooked)
    assert answers(catalog.claim(asked, rules(models=True), quiet)) == [REFERENCED]


def test_a_model_link_that_the_plan_did_not_see_keeps(real: RealCatalog, catalog: ZenmlCatalog) -> None:
    """Ignoring model links is about those that the plan saw: an entry without any, or a link newer than the plan, is kept."""
    (linked,) = real.ids("model_only_manual")
    asked = requests(catalog, [linked])
    assert answers(catalog.claim(asked, rules(models=True), quiet)) == [REFERENCED]
    with editing(real.database) as connection:
        (made,) = connection.execute("SELECT max(created) FROM model_versions_artifacts").fetchone()
    before = datetime.fromisoformat(made).replace(tzinfo=UTC) - timedelta(days=1)
    newer = replace(rules(), model_links_before=before)
    assert answers(catalog.claim([replace(r, linked=True) for r in asked], newer, quiet)) == [REFERENCED]


def test_a_row_that_is_gone_is_gone(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """Somebody else removed it; the rest is claimed. An id that never was is gone as well."""
    asked = [*requests(catalog, orphans[:2]), ClaimRequest(str(uuid.uuid4()), "/x/y/z", LONG_AGO, "u")]
    with editing(real.database) as connection:
        connection.execute("DELETE FROM artifact_version WHERE id = ?", (hexed(orphans[0]),))
    assert answers(catalog.claim(asked, rules(), quiet)) == [GONE, CLAIMED, GONE]


@pytest.mark.parametrize("statement", ["uri = uri || '/'", "uri = upper(uri)", "updated = '2026-01-01 00:00:{}'"])
def test_a_row_that_changed_is_not_claimed(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], statement: str
) -> None:
    """Another spelling of the URI, be it by case alone; another time of change by as little as the engine stores."""
    statement = statement.format("01" if isinstance(real, MariaDbCatalog) else "00.000001")
    asked = requests(catalog, orphans[:2])
    with editing(real.database) as connection:
        connection.execute(f"UPDATE artifact_version SET {statement} WHERE id = ?", (hexed(orphans[0]),))
    assert answers(catalog.claim(asked, rules(since=FAR_AHEAD), quiet)) == [CHANGED, CLAIMED]
    assert orphans[0] in real.existing_ids()


NEWCOMERS = {
    "marked, and may get its URI back": TOMBSTONE + "{}",
    "the same": "{}", "another spelling": "{}/", "with dots": "{}/./x/..", "a double slash": "/{}", "inside": "{}/part",
    "deep inside": "{}/a/b/c", "above": "{}/..", "far above": "/", "as a file URI": "file://{}",
}  # fmt: skip


@pytest.mark.parametrize("when", ["created", "updated"])
def test_a_newcomer_to_the_place_protects_it(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], when: str
) -> None:
    """``register_artifact`` may claim an existing folder at any time; only rows since the plan are compared."""
    (asked,) = requests(catalog, orphans[:1])
    uris, old = {asked.id: asked.uri}, "2026-05-01 00:00:00.000000"
    times = {"created": old, "updated": old, when: "2026-06-01 00:00:00.000000"}
    for how, spelling in NEWCOMERS.items():
        with editing(real.database) as connection:
            uri = spelling.format(asked.uri)
            row = copy_row(connection, "artifact_version", uri=uri, version="new", **times)
        assert catalog.overlapping(uris, datetime(2026, 6, 1, 0, 0, 1, tzinfo=UTC)) == {}, how
        assert catalog.overlapping(uris, rules().since).keys() == uris.keys(), how
        with editing(real.database) as connection:
            connection.execute("DELETE FROM artifact_version WHERE id = ?", (row["id"],))


@pytest.mark.parametrize("how", ["the same", "inside", "above"])
def test_a_protected_version_is_not_claimed(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], how: str
) -> None:
    """Nor is anything of it removed; the rest is."""
    asked = requests(catalog, orphans[:2])
    with editing(real.database) as connection:
        uri = NEWCOMERS[how].format(asked[0].uri)
        row = copy_row(connection, "artifact_version", uri=uri, version="new", created="2026-06-02 00:00:00.000000")
    before = own_rows(real.database, orphans[:1])
    (one, other) = catalog.claim(asked, rules(), quiet)
    assert one.answer is PROTECTED
    assert str(uuid.UUID(row["id"])) in one.detail
    # What lies above the one may hold the other too.
    assert other.answer is (CLAIMED if how != "above" else other.answer)
    assert own_rows(real.database, orphans[:1]) == before


@pytest.mark.parametrize("uri", ["{}x", "{}/../neighbour", "s3://b{}"])
def test_a_neighbour_protects_nothing(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], uri: str) -> None:
    """By segment."""
    asked = requests(catalog, orphans[:1])
    with editing(real.database) as connection:
        now = "2026-06-02 00:00:00.000000"
        copy_row(connection, "artifact_version", uri=uri.format(asked[0].uri), version="new", created=now)
    assert answers(catalog.claim(asked, rules(), quiet)) == [CLAIMED]


def test_entries_of_one_batch_do_not_protect_each_other_unless_one_moved(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """Young entries are recent themselves. One whose row moved into another's place claims that place."""
    with editing(real.database) as connection:
        connection.execute("UPDATE artifact_version SET created = '2026-06-02 00:00:00.000000'")
    asked = requests(catalog, orphans[:2])
    assert answers(catalog.recheck(asked, rules())) == [CLAIMED, CLAIMED]
    with editing(real.database) as connection:
        moved = (f"{asked[0].uri}/inside", hexed(orphans[1]))
        connection.execute("UPDATE artifact_version SET uri = ? WHERE id = ?", moved)
    assert answers(catalog.claim(asked, rules(), quiet)) == [PROTECTED, CHANGED]


def test_a_unit_is_claimed_whole_or_not_at_all(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """What holds one of them holds them all; one that is gone holds nothing; other units go."""
    unit, alone = requests(catalog, orphans[:3], "u"), requests(catalog, orphans[3:4])
    with editing(real.database) as connection:
        link(connection, "step_run_input_artifact", "artifact_id", orphans[1])
    before = own_rows(real.database, orphans[:3])
    claimed = catalog.claim([*unit, *alone], rules(), quiet)
    assert answers(claimed) == [PROTECTED, REFERENCED, PROTECTED, CLAIMED]
    assert orphans[1] in claimed[0].detail
    assert own_rows(real.database, orphans[:3]) == before
    with editing(real.database) as connection:
        connection.execute("DELETE FROM step_run_input_artifact WHERE name = 'late'")
        connection.execute("DELETE FROM artifact_version WHERE id = ?", (hexed(orphans[1]),))
    assert answers(catalog.claim(unit, rules(), quiet)) == [CLAIMED, GONE, CLAIMED]


def test_many_at_once(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """More than a database takes as parameters of one statement; each gets its own answer, in order."""
    asked = requests(catalog, orphans[:2])
    unknown = [ClaimRequest(str(uuid.UUID(int=n)), f"/x/y/{n}", LONG_AGO, str(n)) for n in range(2500)]
    claimed = catalog.claim([asked[0], *unknown, asked[1]], rules(), quiet)
    assert answers(claimed) == [CLAIMED, *[GONE] * 2500, CLAIMED]
    assert [c.id for c in claimed] == [asked[0].id, *(u.id for u in unknown), asked[1].id]
    assert catalog.presence([u.id for u in unknown]) == {}
    assert set(catalog.references([u.id for u in unknown]).values()) == {None}


def test_nothing_asked_nothing_done(real: RealCatalog, catalog: ZenmlCatalog) -> None:
    """An empty batch is no special case."""
    before = everything(real.database)
    assert catalog.claim([], rules(), quiet) == []
    assert catalog.recheck([], rules()) == []
    assert everything(real.database) == before


# Artifacts


def emptied(real: RealCatalog, orphans: Sequence[str]) -> set[str]:
    """Artifacts whose every version is among *orphans*."""
    left = {v["artifact_id"] for v in real.truth if v["id"] not in orphans}
    return {real.by_id[i]["artifact_id"] for i in orphans} - left


def artifacts(real: RealCatalog) -> set[str]:
    with closing(real.connect()) as connection:
        return {str(uuid.UUID(r[0])) for r in connection.execute("SELECT id FROM artifact")}


def test_an_emptied_artifact_goes_if_the_plan_allows_and_it_is_older(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """With its tags; one that still has a version stays, and so does one that was empty before."""
    empty = emptied(real, orphans)
    young = min(empty)
    with editing(real.database) as connection:
        connection.execute("UPDATE artifact SET created = '2026-03-01 00:00:00.000000' WHERE id = ?", (hexed(young),))
        forsaken = copy_row(connection, "artifact", name="empty before")["id"]
        for id_ in empty:
            copy_row(connection, "tag_resource", resource_type="artifact", resource_id=hexed(id_))
    before = artifacts(real)
    edge = rules(artifacts=datetime(2026, 3, 1, tzinfo=UTC))
    catalog.claim(requests(catalog, orphans), edge, quiet)
    assert before - artifacts(real) == empty - {young}
    assert str(uuid.UUID(forsaken)) in artifacts(real)
    with closing(real.connect()) as connection:
        query = "SELECT resource_id FROM tag_resource WHERE resource_type = 'artifact'"
        tagged = {str(uuid.UUID(r[0])) for r in connection.execute(query)}
        assert tagged & empty == {young}


@pytest.mark.parametrize("mode", [Mode.BOTH, Mode.ONLY_ARTIFACT])
def test_artifacts_stay_when_the_plan_keeps_them_or_the_rows(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], mode: Mode
) -> None:
    """``--keep-artifacts``; and only-artifact removes no row at all."""
    before = artifacts(real)
    catalog.claim(requests(catalog, orphans), rules(mode, artifacts=None if mode is Mode.BOTH else FAR_AHEAD), quiet)
    assert artifacts(real) == before


def test_only_a_release_that_enforces_foreign_keys_lets_artifacts_go(real: RealCatalog, catalog: ZenmlCatalog) -> None:
    """Else a version committed meanwhile would have no artifact. MariaDB always does."""
    reason = catalog.capabilities().empty_artifacts
    assert (reason is None) is (real.release == "0.98.0" or isinstance(real, MariaDbCatalog))
    assert reason is None or "0.91.2" in reason


# Modes


def test_only_metadata_claims_like_both(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """Rows go; what becomes of bytes is not the catalog's affair."""
    own = own_rows(real.database, orphans)
    before = everything(real.database)
    catalog.claim(requests(catalog, orphans), rules(Mode.ONLY_METADATA), quiet)
    assert {t: len(rows) for t, rows in removed(before, everything(real.database)).items()} == own


def marked(real: RealCatalog) -> dict[str, str]:
    with closing(real.connect()) as connection:
        rows = connection.execute("SELECT id, uri FROM artifact_version")
        return {str(uuid.UUID(i)): uri for i, uri in rows if uri.startswith(TOMBSTONE)}


def test_only_artifact_marks_the_uri_and_nothing_else(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """Each column of each row of each table is the same, but for the marked URIs; ``presence`` and ``find`` see it."""
    asked = requests(catalog, orphans)
    before = everything(real.database)
    claimed = catalog.claim(asked, rules(Mode.ONLY_ARTIFACT, artifacts=FAR_AHEAD), quiet)
    assert answers(claimed) == [CLAIMED] * len(asked)
    uris = {r.id: TOMBSTONE + r.uri for r in asked}
    assert marked(real) == uris == dict(catalog.presence(orphans))
    with editing(real.database) as connection:
        connection.execute(f"UPDATE artifact_version SET uri = substr(uri, {len(TOMBSTONE) + 1}) WHERE uri LIKE 'm%:%'")
    assert everything(real.database) == before
    assert all(set(c.image or ()) == {"artifact_version"} for c in claimed)


def settled(catalog: ZenmlCatalog, asked: Sequence[ClaimRequest], **by: Any) -> list[ClaimAnswer]:
    again = [replace(r, uri=TOMBSTONE + r.uri) for r in asked]
    return answers(catalog.settle(again, rules(Mode.ONLY_ARTIFACT, **by), quiet))


def test_the_second_look_gives_back_what_was_linked_meanwhile(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """Linked, changed, protected, or of a unit with such: the URI is restored. Gone is gone. The rest stays marked."""
    asked = [
        *requests(catalog, orphans[:5]),
        *requests(catalog, orphans[5:7], "unit"),
        *requests(catalog, orphans[7:8]),
    ]
    catalog.claim(asked, rules(Mode.ONLY_ARTIFACT), quiet)
    with editing(real.database) as connection:
        link(connection, "step_run_input_artifact", "artifact_id", orphans[0])
        connection.execute("UPDATE artifact_version SET updated = '2026-09-01' || substr(updated, 11) WHERE id = ?",
                           (hexed(orphans[1]),))  # fmt: skip
        now = "2026-06-02 00:00:00.000000"
        copy_row(connection, "artifact_version", uri=asked[2].uri, version="new", created=now)
        connection.execute("DELETE FROM artifact_version WHERE id = ?", (hexed(orphans[3]),))
        link(connection, "step_run_output_artifact", "artifact_id", orphans[5])
    expected = [REFERENCED, CHANGED, PROTECTED, GONE, CLAIMED, REFERENCED, PROTECTED, CLAIMED]
    assert settled(catalog, asked) == expected
    assert set(marked(real)) == {orphans[4], orphans[7]}
    assert catalog.presence(orphans[:3]) == {r.id: r.uri for r in asked[:3]}


def test_a_second_look_whose_intent_fails_restores_nothing(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """It will be taken again."""
    asked = requests(catalog, orphans[:2])
    catalog.claim(asked, rules(Mode.ONLY_ARTIFACT), quiet)
    with editing(real.database) as connection:
        link(connection, "step_run_input_artifact", "artifact_id", orphans[0])

    def intent(_: Sequence[Claimed]) -> None:
        raise OSError("full")

    again = [replace(r, uri=TOMBSTONE + r.uri) for r in asked]
    with pytest.raises(OSError, match="full"):
        catalog.settle(again, rules(Mode.ONLY_ARTIFACT), intent)
    assert set(marked(real)) == set(orphans[:2])


# Recheck, presence, find


def test_a_recheck_writes_nothing(real: RealCatalog, orphans: list[str]) -> None:
    """On a connection that could not: the same answers as the claim after it, and the same bytes on disk."""
    before, names = digest(real.database), beside(real.database)
    with opened(real) as reader:
        asked = requests(reader, orphans)
        rechecked = reader.recheck(asked, rules())
    assert (digest(real.database), beside(real.database)) == (before, names)
    with opened(real, writes=True) as writer:
        assert answers(writer.claim(asked, rules(), quiet)) == answers(rechecked)


def test_presence_is_the_final_word(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """Exactly the rows that are there, by the ids that were asked, with their URIs; it waits for open writers."""
    asked = [orphans[0], hexed(orphans[1]), str(uuid.uuid4())]
    uris = {v["id"]: v["uri"] for v in real.truth}
    assert catalog.presence(asked) == {orphans[0]: uris[orphans[0]], hexed(orphans[1]): uris[orphans[1]]}
    assert catalog.presence([]) == {}


@on_sqlite
def test_presence_does_not_guess_past_an_open_writer(
    real: RealCatalog, orphans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that is still open may yet decide; when it does not end in time, nobody knows. The whole file is locked."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    with opened(real, writes=True) as catalog, closing(sqlite3.connect(real.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        for ask in (
            lambda: catalog.presence(orphans),
            lambda: catalog.claim(requests(catalog, orphans[:1]), rules(), quiet),
        ):
            with pytest.raises(Incomplete, match="locked by another writer"):
                ask()
        other.rollback()
        assert len(catalog.presence(orphans)) == len(orphans)


@on_sqlite
def test_a_lost_answer_to_a_commit_is_a_doubt_and_not_a_guess(
    real: RealCatalog, orphans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that does not let go makes the commit fail, as on SQLite it can: InDoubt, then ``presence`` tells."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    with opened(real, writes=True) as catalog, closing(sqlite3.connect(real.database)) as reader:
        asked = requests(catalog, orphans[:2])
        cursor = reader.execute("SELECT * FROM artifact_version")
        cursor.fetchone()
        with pytest.raises(InDoubt):
            catalog.claim(asked, rules(), quiet)
        cursor.close()
        assert len(catalog.presence(orphans[:2])) == 2
        with editing(real.database, timeout=0) as other:
            other.execute("UPDATE artifact SET name = name")
        assert answers(catalog.claim(asked, rules(), quiet)) == [CLAIMED, CLAIMED]


def test_find_by_id_name_and_uri(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """With or without dashes; a URI with or without its slash, and after its bytes were deleted."""
    version = real.by_id[orphans[0]]
    for needle in (orphans[0], hexed(orphans[0]), orphans[0].upper(), version["uri"], version["uri"] + "/"):
        assert [v.id for v in catalog.find(needle)] == [orphans[0]], needle
    same = {v["id"] for v in real.truth if v["name"] == version["name"]}
    assert {v.id for v in catalog.find(version["name"])} == same
    assert catalog.find("no such thing") == catalog.find("") == []
    (found,) = catalog.find(orphans[0])
    assert (found.artifact, found.version, found.project) == (version["name"], version["version"], version["project"])
    assert found.tags == set(version["tags"])
    catalog.claim(requests(catalog, orphans[:1]), rules(Mode.ONLY_ARTIFACT), quiet)
    assert [v.id for v in catalog.find(version["uri"])] == [orphans[0]]


def test_names_and_places_that_differ_by_case_are_told_apart(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str]
) -> None:
    """ZenML's MariaDB compares without case, blanks at the end, and accents: what it finds then is not what was asked for."""
    (asked,) = requests(catalog, orphans[:1])
    name = real.by_id[orphans[0]]["name"]
    with editing(real.database) as connection:
        row = copy_row(
            connection, "artifact_version", f"id = '{hexed(asked.id)}'", uri=asked.uri.swapcase(), version="other",
            version_number=None, created="2026-06-02 00:00:00",
        )  # fmt: skip
    other = str(uuid.UUID(row["id"]))
    assert [v.id for v in catalog.find(asked.uri)] == [asked.id]
    assert [v.id for v in catalog.find(asked.uri.swapcase())] == [other]
    for needle in (asked.uri.title(), asked.uri + " ", name.upper(), name + " ", name.replace("a", "\u00e4")):
        assert needle == name or catalog.find(needle) == [], needle
    assert catalog.overlapping({asked.id: asked.uri}, rules().since) == {}
    assert answers(catalog.claim([replace(asked, uri=asked.uri.swapcase())], rules(), quiet)) == [CHANGED]
    assert answers(catalog.claim([asked], rules(), quiet)) == [CLAIMED]
    assert real.existing_ids() >= {other}


# The schema, again


@pytest.mark.parametrize(
    "statement",
    ["UPDATE alembic_version SET version_num = '0.99.0'", "INSERT INTO alembic_version VALUES ('x')"],
)
def test_a_catalog_that_was_migrated_meanwhile_is_refused(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], statement: str
) -> None:
    """Whatever else a migration did."""
    refuses_after(real, catalog, orphans, statement)


@on_sqlite
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE new_reference (v CHAR(32) REFERENCES artifact_version(id))",
        "VACUUM",
        "CREATE TRIGGER t AFTER DELETE ON artifact_version BEGIN DELETE FROM artifact; END",
    ],
)
def test_any_other_schema_is_refused(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], statement: str
) -> None:
    """Foreign keys are off in a claim on SQLite: it is right only for the schema that was understood."""
    refuses_after(real, catalog, orphans, statement)


def refuses_after(real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], statement: str) -> None:
    asked = requests(catalog, orphans)
    with reading(real.database) as other:
        other.execute(statement)
    before = everything(real.database)
    for ask in (catalog.claim, catalog.settle):
        with pytest.raises(CatalogNotUnderstood, match="schema changed"):
            ask(asked, rules(), quiet)
    assert everything(real.database) == before


def test_a_claim_that_changes_another_number_of_rows_is_taken_back(
    real: RealCatalog, catalog: ZenmlCatalog, orphans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row count must match."""
    before = everything(real.database)
    original: Callable[[Claimer, int, int], None] = Claimer._exactly
    monkeypatch.setattr(Claimer, "_exactly", lambda self, changed, expected: original(self, changed + 1, expected))
    with pytest.raises(CatalogNotUnderstood, match="rolled back"):
        catalog.claim(requests(catalog, orphans), rules(), quiet)
    assert everything(real.database) == before


def test_a_runs_age_is_asked_with_a_horizon(real: RealCatalog, catalog: ZenmlCatalog) -> None:
    """The oldest that has not finished and began at or after it."""
    with closing(real.connect()) as connection:
        rows = connection.execute("SELECT created FROM pipeline_run WHERE status = 'running' ORDER BY created")
        one, *others = [datetime.fromisoformat(r[0]).replace(tzinfo=UTC) for r in rows]
    tick = timedelta(microseconds=1)
    assert catalog.oldest_unfinished_run(LONG_AGO) == catalog.oldest_unfinished_run(one) == one
    assert catalog.oldest_unfinished_run(one + tick) == others[0]
    assert catalog.oldest_unfinished_run(others[-1] + tick) is None


def test_the_clock_is_the_databases_and_aware(catalog: ZenmlCatalog) -> None:
    """On SQLite that is this machine's, and the server of these tests runs on it, too."""
    assert abs(catalog.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_closed_catalog_may_be_asked_again(catalog: ZenmlCatalog, orphans: list[str]) -> None:
    """After a lost connection a new one is made, with temporary tables of its own."""
    asked = requests(catalog, orphans[:1])
    assert answers(catalog.recheck(asked, rules())) == [CLAIMED]
    catalog._database.close()
    assert answers(catalog.claim(asked, rules(), quiet)) == [CLAIMED]
