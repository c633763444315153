"""Marking the catalogs that three ZenML releases wrote: exactly the orphans that their ground truth implies."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest

from marksweep.cli.wire import store_adapters
from marksweep.errors import CatalogNotUnderstood
from marksweep.mark.examine import examine
from marksweep.mark.explain import explain
from marksweep.mark.marking import Request, draft
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import Entry
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.plan.document import Draft, encode_entry
from tests.conftest import anew
from tests.integration.conftest import NEWEST
from tests.support.catalogs import CLAIMED, RELEASES, RealCatalog, expected_kept_reason, unpacked
from tests.support.catalogs import expected_orphans as fresh_orphans
from tests.support.differences import differences, expected_differences
from tests.support.fakes import Watcher
from tests.support.zenml_database import beside, copy_row, digest, editing, insert, opened

BRAVE: dict[str, Any] = {"min_age": timedelta(0), "grace": False}


@pytest.fixture(params=[*RELEASES, NEWEST[1]])
def real(request: pytest.FixtureRequest, original: Callable[[str], RealCatalog]) -> RealCatalog:
    """Each release, not to be changed. Which one is on MariaDB makes no difference here: the newest is."""
    return original(request.param)


@cache
def expected_orphans(real: RealCatalog) -> frozenset[str]:
    """Worked out once for each catalog."""
    return frozenset(fresh_orphans(real))


@dataclass
class Marked:
    draft: Draft
    entries: list[Entry]
    watcher: Watcher

    @property
    def ids(self) -> set[str]:
        return {e.id for e in self.entries}

    @property
    def kept(self) -> dict[str, int]:
        return self.draft.totals.kept


def mark(real: RealCatalog, *, now: datetime | None = None, mode: Mode = Mode.BOTH, **policy: Any) -> Marked:
    """Mark by the clock *now* (the catalog's own if none), without sizes unless asked; the totals must add up."""
    policy = {"sizes": False, **policy}
    watcher = Watcher()
    with opened(real) as catalog, Worksheet() as worksheet:
        request = Request(Policy(**policy), mode, now or catalog.now(), timedelta(days=14))
        found = anyio.run(draft, request, catalog, store_adapters(None), worksheet, watcher)
        entries = list(worksheet.entries())
    assert found.totals.entries == len(entries)
    assert found.totals.entries + sum(found.totals.kept.values()) == found.totals.versions_in_catalog == len(real.truth)
    return Marked(found, entries, watcher)


def times(real: RealCatalog) -> dict[str, datetime]:
    return {v["id"]: datetime.fromisoformat(v["created"]).replace(tzinfo=UTC) for v in real.truth}


def unfinished(real: RealCatalog) -> list[datetime]:
    """When the runs began that were killed."""
    with closing(real.connect()) as connection:
        rows = connection.execute("SELECT created FROM pipeline_run WHERE status = 'running' ORDER BY created")
        return [datetime.fromisoformat(r[0]).replace(tzinfo=UTC) for r in rows]


def test_without_grace_exactly_the_orphans_are_planned(real: RealCatalog) -> None:
    """And every other version is kept for the reason that the ground truth implies; nothing is written anywhere."""
    before = real.file_digests()
    marked = mark(real, sizes=True, **BRAVE)
    assert marked.ids == expected_orphans(real)
    assert marked.kept == Counter(expected_kept_reason(real).values())
    assert marked.watcher.warnings == []
    assert real.file_digests() == before


def test_each_version_is_explained_as_it_is_planned(real: RealCatalog) -> None:
    """Reason by reason."""
    with opened(real) as catalog, Worksheet() as worksheet:
        found = examine(catalog, store_adapters(None), Policy(**BRAVE), catalog.now(), worksheet, Watcher())
        versions = [v for i in real.by_id for v in catalog.find(i)]
        explained = {e.version.id: e.keeps.rule.value for e in explain(catalog, found, worksheet, versions) if e.keeps}
    assert explained == expected_kept_reason(real)


def test_sizes_are_those_of_the_files(real: RealCatalog) -> None:
    """Objects and bytes of each entry; one whose bytes are gone holds none and is planned all the same."""
    for entry in mark(real, sizes=True, **BRAVE).entries:
        files = [real.root / name for name in real.files_of(entry.id)]
        assert (entry.objects, entry.bytes) == (len(files), sum(f.stat().st_size for f in files)), entry.uri
        assert (entry.objects == 0) is (not real.by_id[entry.id]["exists_on_disk"])


@pytest.mark.parametrize("mode", [Mode.ONLY_ARTIFACT, Mode.ONLY_METADATA])
def test_every_mode_plans_the_same_versions(real: RealCatalog, mode: Mode) -> None:
    """What is an orphan does not depend on what is deleted of it."""
    assert mark(real, mode=mode, sizes=True, **BRAVE).ids == expected_orphans(real)


def test_differences_from_what_zenml_calls_unused(real: RealCatalog) -> None:
    """Each by scenario, with its reason; there is none that only marksweep would delete."""
    assert differences(real, mark(real, **BRAVE).ids) == expected_differences(real.release)


def test_registered_data_on_request(real: RealCatalog) -> None:
    """But not what somebody alive claims too."""
    marked = mark(real, include_registered=True, **BRAVE)
    assert marked.ids == fresh_orphans(real, include_registered=True)
    assert marked.kept == Counter(expected_kept_reason(real, include_registered=True).values())
    assert marked.kept[CLAIMED] > 0


def test_ignoring_model_links(real: RealCatalog) -> None:
    """Model-only versions become candidates; those that are registered, or softly referenced, do not."""
    other = replace(real)
    links = ["model_versions_artifacts.artifact_version_id"]
    changed = [{**v, "orphan": v["orphan"] or v["sql_refs"] == links} for v in real.truth]
    other.__dict__["truth"] = changed  # a cached property: this is its cache
    added = fresh_orphans(other) - expected_orphans(real)
    assert added
    marked = mark(real, ignore_model_links=True, **BRAVE)
    assert marked.ids == fresh_orphans(other)
    assert {e.id for e in marked.entries if e.reason == "model_links_ignored"} == added


def test_by_default_everything_of_the_last_day_is_too_young(real: RealCatalog) -> None:
    """By the clock passed in."""
    newest = max(times(real).values())
    marked = mark(real, now=newest + timedelta(hours=12))
    assert (marked.ids, marked.kept["too_young"]) == (set(), len(expected_orphans(real)))


def test_the_minimum_age_parts_the_versions_at_the_moment(real: RealCatalog) -> None:
    """A minimum age of a day, a clock a day after one version was made: it and the older ones are old enough."""
    orphans, at = expected_orphans(real), times(real)
    middle = sorted(at[i] for i in orphans)[len(orphans) // 2]
    with finished(real):
        marked = mark(real, now=middle + timedelta(days=1))
    assert marked.ids == {i for i in orphans if at[i] <= middle}


@contextmanager
def finished(real: RealCatalog) -> Iterator[None]:
    """While its killed runs count as failed; undone afterwards."""
    with editing(real.database) as connection:
        killed = connection.execute("SELECT id FROM pipeline_run WHERE status = 'running'").fetchall()
        connection.execute("UPDATE pipeline_run SET status = 'failed' WHERE status = 'running'")
    yield
    with editing(real.database) as connection:
        connection.executemany("UPDATE pipeline_run SET status = 'running' WHERE id = ?", killed)


def test_what_was_made_since_an_unfinished_run_began_is_kept_for_a_week(real: RealCatalog) -> None:
    """Then the run counts as killed. A second killed run began later, and protects later."""
    orphans, at = expected_orphans(real), times(real)
    first, second = unfinished(real)
    for now, began in (
        (first + timedelta(days=2), first),
        (first + timedelta(days=7), first),
        (first + timedelta(days=7, microseconds=1), second),
        (second + timedelta(days=7, microseconds=1), None),
    ):
        marked = mark(real, now=now)
        assert marked.ids == {i for i in orphans if began is None or at[i] < began}
        assert marked.kept.get("unfinished_run", 0) == len(orphans) - len(marked.ids)
    assert any(at[i] >= second for i in orphans), "or this test shows nothing"


def test_no_grace_does_not_depend_on_the_date(real: RealCatalog) -> None:
    """Today, in a year, or a second after."""
    newest = max(times(real).values())
    for now in (newest + timedelta(seconds=1), newest + timedelta(days=365)):
        assert mark(real, now=now, **BRAVE).ids == expected_orphans(real)


def test_filters_by_project_or_workspace(real: RealCatalog) -> None:
    """URIs are shared across projects: those left out still protect theirs."""
    for project in ("default", "second"):
        marked = mark(real, projects=(project,), **BRAVE)
        assert marked.ids == {i for i in expected_orphans(real) if real.by_id[i]["project"] == project}
        assert marked.ids
        assert {e.project for e in marked.entries} == {project}
    assert mark(real, projects=("third",), **BRAVE).ids == set()


def test_filters_by_tag(real: RealCatalog) -> None:
    """Of the version or of its artifact."""
    orphans = expected_orphans(real)
    tags = {t for i in orphans for t in real.by_id[i]["tags"]}
    assert tags
    for tag in tags:
        tagged = {i for i in orphans if tag in real.by_id[i]["tags"]}
        assert mark(real, tags=(tag,), **BRAVE).ids == tagged
        assert mark(real, exclude_tags=(tag,), **BRAVE).ids == orphans - tagged
    assert mark(real, tags=("*",), **BRAVE).ids == {i for i in orphans if real.by_id[i]["tags"]}


def test_a_tag_of_the_artifact_counts_for_its_versions(changing: RealCatalog) -> None:
    """ZenML tags both."""
    real = changing
    orphan = min(expected_orphans(real))
    artifact = real.by_id[orphan]["artifact_id"]
    with editing(real.database) as connection:
        tag = copy_row(connection, "tag", name="of the artifact")["id"]
        resource = {"resource_type": "artifact", "resource_id": artifact.replace("-", ""), "tag_id": tag}
        copy_row(connection, "tag_resource", **resource)
    same = {i for i in expected_orphans(real) if real.by_id[i]["artifact_id"] == artifact}
    assert mark(real, tags=("of the*",), **BRAVE).ids == same


def test_filters_by_artifact_store_and_pin(real: RealCatalog) -> None:
    """Names are globs; a store by its name; a pin by id, name or place."""
    orphans = expected_orphans(real)
    name = Counter(real.by_id[i]["name"] for i in orphans).most_common(1)[0][0]
    named = {i for i in orphans if real.by_id[i]["name"] == name}
    assert mark(real, artifacts=(name,), **BRAVE).ids == named
    assert mark(real, exclude_artifacts=(name,), **BRAVE).ids == orphans - named
    assert mark(real, pins=(name,), **BRAVE).ids == orphans - named
    one = min(orphans)
    assert mark(real, pins=(one.replace("-", ""),), **BRAVE).ids == orphans - {one}
    in_second = {i for i in orphans if real.by_id[i]["uri"].startswith(f"{real.root}/store2/")}
    assert in_second
    assert mark(real, stores=("as2",), **BRAVE).ids == in_second
    assert mark(real, pins=(f"{real.root}/store2",), **BRAVE).ids == orphans - in_second
    warned = mark(real, pins=(f"{real.root}/store",), **BRAVE)
    assert (warned.ids, len(warned.watcher.warnings)) == (orphans, 1)


def test_older_than(real: RealCatalog) -> None:
    """Strictly, even without grace."""
    orphans, at = expected_orphans(real), times(real)
    middle = sorted(at[i] for i in orphans)[len(orphans) // 2]
    marked = mark(real, now=middle + timedelta(days=30), older_than=timedelta(days=30), **BRAVE)
    assert marked.ids == {i for i in orphans if at[i] < middle}


def age(version: dict[str, Any]) -> tuple[str, int, str]:
    """What the newest has most of. On MariaDB many are made in the same second, and their numbers decide."""
    number = version["version"]
    return version["created"], int(number) if number.isdigit() else -1, version["id"]


@pytest.mark.parametrize("count", [1, 2])
def test_keep_latest(real: RealCatalog, count: int) -> None:
    """Of each artifact, whoever keeps the newer ones."""
    newest: set[str] = set()
    for artifact in {v["artifact_id"] for v in real.truth}:
        versions = [v for v in real.truth if v["artifact_id"] == artifact]
        newest |= {v["id"] for v in sorted(versions, key=age, reverse=True)[:count]}
    marked = mark(real, keep_latest=count, **BRAVE)
    assert marked.ids == expected_orphans(real) - newest
    assert marked.kept["newest"] == len(expected_orphans(real) & newest)


def test_the_same_catalog_gives_the_same_entries_byte_for_byte(real: RealCatalog) -> None:
    """Headers differ by id and time; entries do not."""
    one, other = (b"\n".join(map(encode_entry, mark(real, sizes=True, **BRAVE).entries)) for _ in range(2))
    assert one == other
    assert one.count(b"\n") + 1 == len(expected_orphans(real))


def test_entries_stand_in_plan_order(real: RealCatalog) -> None:
    """Strictly increasing."""
    orders = [e.order for e in mark(real, **BRAVE).entries]
    assert orders == sorted(set(orders))


def test_marking_leaves_the_database_as_it_is(real: RealCatalog) -> None:
    """The same bytes, and nothing beside it."""
    before, names = digest(real.database), beside(real.database)
    mark(real, **BRAVE)
    assert (digest(real.database), beside(real.database)) == (before, names)


def test_a_writer_is_never_kept_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two pages, however slowly they are taken, another connection writes within 0.2 s.

    On SQLite, where whoever reads keeps writers waiting.
    """
    real = unpacked("0.98.0", tmp_path)
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite.SMALLEST_PAGE", 3)
    monkeypatch.setattr("marksweep.catalog.zenml.sqlite.LARGEST_PAGE", 3)
    monkeypatch.setattr("marksweep.catalog.zenml.referenced._FETCHED", 3)
    wrote = 0

    def write() -> None:
        nonlocal wrote
        with closing(sqlite3.connect(real.database, timeout=0.2, isolation_level=None)) as other:
            other.execute("PRAGMA synchronous = OFF")
            other.execute("BEGIN EXCLUSIVE")
            other.execute("UPDATE artifact SET updated = updated")
            other.execute("COMMIT")
            wrote += 1

    with opened(real) as catalog:
        write()
        for _ in catalog.survey(tags=True):
            write()
        for _ in catalog.places(lambda uris: range(len(uris))):
            write()
        for _ in catalog.claims():
            write()
        ids = list(real.by_id)
        for ask in (catalog.stores, catalog.identity, lambda: catalog.references(ids), lambda: catalog.find(ids[0])):
            ask()
            write()
    assert wrote > len(real.truth) / 3


def test_a_version_that_appears_while_pages_are_read_changes_nothing_else(changing: RealCatalog) -> None:
    """It may be seen or not; the others are seen once."""
    real = changing
    with opened(real) as catalog:
        seen: list[str] = []
        for number, page in enumerate(catalog.survey(tags=False)):
            seen += [s.version.id for s in page]
            if number == 0:
                with editing(real.database) as connection:
                    copy_row(connection, "artifact_version", version="late")
    assert len(seen) == len(set(seen))
    assert set(real.by_id) <= set(seen)


@pytest.fixture(params=NEWEST)
def changing(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """A 0.98.0 catalog whose database may be changed."""
    return anew(request, tmp_path)


@pytest.mark.parametrize("encoded", [True, False])
def test_a_model_that_a_service_serves_is_kept(changing: RealCatalog, encoded: bool) -> None:
    """A deployed model is read from its URI, which only the service's own configuration names."""
    orphans = fresh_orphans(changing)
    served = sorted(orphans)[0]
    config = json.dumps({"model_uri": changing.by_id[served]["uri"], "name": "s"}).encode()
    with editing(changing.database) as connection:
        insert(connection, "service", {"name": "svc", "config": base64.b64encode(config) if encoded else config})
    with opened(changing) as catalog:
        held = [c.holder for page in catalog.claims() for c in page if c.uri == changing.by_id[served]["uri"]]
    assert "service svc" in held
    assert mark(changing, **BRAVE).ids == orphans - {served}


def test_a_service_that_cannot_be_read_stops_the_mark(changing: RealCatalog) -> None:
    """It may serve a model from anywhere."""
    with editing(changing.database) as connection:
        insert(connection, "service", {"name": "svc", "config": b"\xff not base64"})
    with pytest.raises(CatalogNotUnderstood, match="service 'svc'"):
        mark(changing, **BRAVE)
