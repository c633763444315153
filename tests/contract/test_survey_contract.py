"""What a survey leaves out, and the places of everything: the same answers on SQLite and MariaDB, found out with plain SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from marksweep.catalog.zenml import packed, referenced
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.version import ReferenceKind
from tests.support.catalogs import RealCatalog, dashed
from tests.support.zenml_database import editing, opened, reading

Given = Callable[[str], RealCatalog]
EVERY = frozenset(ReferenceKind)
LINKS = ("step_run_input_artifact", "step_run_output_artifact")


@pytest.fixture(params=["0.70.0", "0.98.0", "0.98.0-mariadb"])
def real(request: pytest.FixtureRequest, database_only: Given) -> RealCatalog:
    return database_only(request.param)


def everything(uris: Sequence[str]) -> Sequence[int]:
    return range(len(uris))


@pytest.mark.parametrize("part", [350_000, 7])
def test_a_survey_leaves_out_exactly_what_has_such_a_reference(
    real: RealCatalog, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever kinds are asked for, the rest is as in a whole survey; however few versions a part holds."""
    monkeypatch.setattr(referenced, "_PART", part)
    monkeypatch.setattr(referenced, "_HELD", part)
    monkeypatch.setattr(packed, "_BY_ID", part)
    with opened(real) as catalog:
        whole = {s.version.id: s for page in catalog.survey(tags=True) for s in page}
        assert set(whole) == set(real.by_id)
        for without in (EVERY, EVERY - {ReferenceKind.MODEL_VERSION}, frozenset({ReferenceKind.CONFIGURATION})):
            found = [s for page in catalog.survey(tags=True, without=without) for s in page]
            assert {s.version.id: s for s in found} == {i: s for i, s in whole.items() if not s.references & without}
            assert len(found) == len({s.version.id for s in found})


@pytest.mark.parametrize("held", [1, 7, 20, 10**9])
def test_however_many_versions_are_looked_for_at_a_time_the_same_are_left(
    database_only: Given, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges of ids are put together until they hold so many: none is forgotten between two looks, and none is seen twice."""
    monkeypatch.setattr(referenced, "_PART", 3)
    monkeypatch.setattr(referenced, "_HELD", held)
    monkeypatch.setattr(referenced, "_FETCHED", 4)
    with opened(database_only("0.98.0")) as catalog:
        found = [s.version.id for page in catalog.survey(tags=False, without=EVERY) for s in page]
        whole = [s.version.id for page in catalog.survey(tags=False) for s in page if not s.references]
    assert found == whole


def test_a_time_that_is_none_stops_the_survey(database_only: Given) -> None:
    """Times are read as SQLite holds them; what is no time is never taken for an old one."""
    real = database_only("0.98.0")
    with opened(real) as catalog:
        orphan = next(s.version.id for page in catalog.survey(tags=False, without=EVERY) for s in page)
    with editing(real.database) as connection:
        connection.execute("UPDATE artifact_version SET created = 'soon' WHERE id = ?", (orphan.replace("-", ""),))
    with opened(real) as catalog, pytest.raises(CatalogNotUnderstood, match="'soon' where ZenML writes a time"):
        list(catalog.survey(tags=False, without=EVERY))


def test_what_no_link_refers_to_is_not_left_out(real: RealCatalog) -> None:
    """By plain SQL: versions that no step has as input or output."""
    with reading(real.database) as connection:
        linked = {dashed(row[0]) for table in LINKS for row in connection.execute(f"SELECT artifact_id FROM {table}")}
    steps = frozenset({ReferenceKind.STEP_INPUT, ReferenceKind.STEP_OUTPUT})
    with opened(real) as catalog:
        assert {s.version.id for page in catalog.survey(tags=False, without=steps) for s in page} == {
            *real.by_id
        } - linked


def test_places_are_those_of_every_version_and_only_what_is_picked_is_told(real: RealCatalog) -> None:
    """Referenced or not; the count is of all."""
    with reading(real.database) as connection:
        uris = {dashed(i): uri for i, uri in connection.execute("SELECT id, uri FROM artifact_version")}
    one = min(uris.values())
    with opened(real) as catalog:
        pages = list(catalog.places(everything))
        assert dict(picked for page in pages for picked in page.picked) == uris
        assert sum(page.read for page in pages) == len(uris)
        picked = [
            p
            for page in catalog.places(lambda found: [at for at, u in enumerate(found) if u == one])
            for p in page.picked
        ]
        assert sorted(picked) == sorted((i, uri) for i, uri in uris.items() if uri == one)


def test_claims_that_are_not_picked_are_not_told(real: RealCatalog) -> None:
    """Visualizations and logs; without a sift all of them."""
    with opened(real) as catalog:
        claims = [claim for page in catalog.claims() for claim in page]
        one = claims[0].uri
        assert [c for page in catalog.claims(everything) for c in page] == claims
        picked = [
            c for page in catalog.claims(lambda uris: [at for at, u in enumerate(uris) if u == one]) for c in page
        ]
        assert picked == [c for c in claims if c.uri == one]


@pytest.mark.parametrize("odd", ["a\x1fb", "\x1f", "", "a\nb", "ü\U0001f600"])
def test_a_text_that_looks_like_two_is_one(database_only: Given, odd: str) -> None:
    """Texts are packed with a character between them; one that holds it is read all the same."""
    real = database_only("0.98.0")
    with editing(real.database) as connection:
        (row_id,) = connection.execute("SELECT id FROM artifact_version LIMIT 1").fetchone()
        connection.execute("UPDATE artifact_version SET uri = ? WHERE id = ?", (odd, row_id))
    with opened(real) as catalog:
        places = dict(picked for page in catalog.places(everything) for picked in page.picked)
    assert places[dashed(row_id)] == odd
    assert {i: u for i, u in places.items() if u != odd} == {
        i: v["uri"] for i, v in real.by_id.items() if i != dashed(row_id)
    }


@pytest.mark.parametrize("short_by", [1, 3, 400, 5000])
def test_a_text_that_the_server_cuts_off_is_read_whole(database_only: Given, short_by: int) -> None:
    """Wherever the cut falls, in the last value of all or long before."""
    real = database_only("0.98.0-mariadb")
    with reading(real.database) as connection:
        uris = {dashed(i): uri for i, uri in connection.execute("SELECT id, uri FROM artifact_version")}
    with opened(real) as catalog:
        with catalog._database.reading() as session:
            whole = sum(map(len, uris.values())) + len(uris) - 1
            session.exec_driver_sql(f"SET SESSION group_concat_max_len = {whole - short_by}")
        assert dict(picked for page in catalog.places(everything) for picked in page.picked) == uris


def test_what_is_added_while_pages_are_read_is_read_too(database_only: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live version that came last still protects its place."""
    for bound in ("_FIRST", "_SMALLEST", "_LARGEST"):
        monkeypatch.setattr(packed, bound, 3)
    real = database_only("0.98.0")
    seen: list[str] = []
    with opened(real) as catalog:
        for number, page in enumerate(catalog.places(everything)):
            seen += [uri for _, uri in page.picked]
            if number == 0:
                with editing(real.database) as connection:
                    connection.execute(
                        "INSERT INTO artifact_version SELECT 'f' || substr(id, 2), created, updated, 'late', version_number,"
                        " type, '/late', materializer, data_type, save_type, content_hash, item_count, artifact_id,"
                        " artifact_store_id, user_id, project_id FROM artifact_version LIMIT 1"
                    )
    assert seen.count("/late") == 1
    assert len(seen) == len(real.truth) + 1
