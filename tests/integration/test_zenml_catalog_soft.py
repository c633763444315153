"""References that only JSON text holds: by id or by name, as long as what mentions them lives by ZenML's own rule."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marksweep.catalog.port import ClaimAnswer, ClaimRequest, ClaimRules
from marksweep.catalog.zenml import soft
from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.mysql import MysqlDatabase
from marksweep.catalog.zenml.sqlite import SqliteDatabase
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.outcome import Mode
from marksweep.model.policy import SNAPSHOT_SETTLES
from marksweep.model.version import ReferenceKind
from tests.integration.conftest import NEWEST
from tests.support.catalogs import RELEASES, RealCatalog
from tests.support.mariadb_catalogs import MariaDbCatalog
from tests.support.zenml_database import (
    columns,
    copy_row,
    editing,
    external_input,
    insert,
    kinds,
    opened,
)

LONG_AGO = "2026-01-01 00:00:00.000000"
CONFIGURATION, LAZY = {ReferenceKind.CONFIGURATION}, {ReferenceKind.LAZY_LOADER}


class World:
    """A real catalog with one orphan and a dead snapshot that mentions it."""

    def __init__(self, real: RealCatalog, text: Callable[[str], str] = external_input) -> None:
        self.real, self.database = real, real.database
        self.orphan = min(real.ids("unlinked_manual"))
        self.snapshots = "pipeline_snapshot" if columns(self.database, "pipeline_snapshot") else "pipeline_deployment"
        self.pointer = "snapshot_id" if self.snapshots == "pipeline_snapshot" else "deployment_id"
        self.snapshot = self.dead_snapshot()
        self.configure(self.snapshot, text(self.orphan))

    def dead_snapshot(self, **changes: object) -> str:
        has = columns(self.database, self.snapshots)
        unset = {c: None for c in ("name", "schedule_id", "template_id", "source_snapshot_id") if c in has}
        with editing(self.database) as connection:
            row = copy_row(connection, self.snapshots, **{**unset, "created": LONG_AGO, "updated": LONG_AGO, **changes})
        return str(row["id"])

    def configure(self, snapshot: str, text: str, at: str = LONG_AGO) -> None:
        """Give *snapshot* a step with the configuration *text*."""
        with editing(self.database) as connection:
            if "step_configurations" in columns(self.database, self.snapshots):
                connection.execute(
                    f"UPDATE {self.snapshots} SET step_configurations = ? WHERE id = ?", (text, snapshot)
                )
            else:
                copy_row(
                    connection, "step_configuration", config=text, name=uuid.uuid4().hex, created=at, updated=at,
                    **{self.pointer: snapshot},
                )  # fmt: skip

    def set(self, column: str, value: object) -> None:
        with editing(self.database) as connection:
            connection.execute(f'UPDATE {self.snapshots} SET "{column}" = ? WHERE id = ?', (value, self.snapshot))

    def kinds(self) -> set[ReferenceKind]:
        with opened(self.real) as catalog:
            return kinds(catalog, self.orphan)


@pytest.fixture(params=[*RELEASES, "0.70.0-mariadb", "0.98.0-mariadb"])
def real_catalog(request: pytest.FixtureRequest, database_only: Callable[[str], RealCatalog]) -> RealCatalog:
    """A copy of the database of each release: no test here looks at files."""
    return database_only(request.param)


@pytest.fixture(params=NEWEST)
def newest(request: pytest.FixtureRequest, database_only: Callable[[str], RealCatalog]) -> RealCatalog:
    return database_only(request.param)


def test_a_dead_snapshot_keeps_nothing(real_catalog: RealCatalog) -> None:
    """The base of the tests below: or old inputs would be kept for ever."""
    assert World(real_catalog).kinds() == set()


@pytest.mark.parametrize("column", ["name", "schedule_id", "template_id"])
def test_a_snapshot_with_a_name_a_schedule_or_a_template_lives(real_catalog: RealCatalog, column: str) -> None:
    """As ``_snapshot_is_referenced`` has it."""
    world = World(real_catalog)
    if column not in columns(world.database, world.snapshots):
        assert (real_catalog.release, column) in {("0.70.0", "name"), ("0.85.0", "name")}
        return
    world.set(column, uuid.uuid4().hex)
    assert world.kinds() == CONFIGURATION


@pytest.mark.parametrize("table", ["pipeline_run", "step_run", "deployment", "run_template", "trigger_snapshot"])
def test_a_snapshot_that_something_points_at_lives(real_catalog: RealCatalog, table: str) -> None:
    """A run, a step, a served deployment, a template, a trigger; each by the name that the release gives its column."""
    world = World(real_catalog)
    column = f"source_{world.pointer}" if table == "run_template" else world.pointer
    if column not in columns(world.database, table):
        assert table in ("deployment", "trigger_snapshot")
        assert real_catalog.release != "0.98.0"
        return
    with editing(world.database) as connection:
        insert(connection, table, {column: world.snapshot})
    assert world.kinds() == CONFIGURATION


def test_a_snapshot_that_another_was_made_from_lives(newest: RealCatalog) -> None:
    """``source_snapshot_id`` is no foreign key; the other need not live."""
    world = World(newest)
    world.dead_snapshot(source_snapshot_id=world.snapshot)
    assert world.kinds() == CONFIGURATION


def test_a_snapshot_just_made_lives(real_catalog: RealCatalog) -> None:
    """Its run is written a moment later: whatever the grace, that moment is waited for."""
    world = World(real_catalog)
    with opened(real_catalog) as catalog:
        now = catalog.now().replace(tzinfo=None)
    for age, alive in (
        (SNAPSHOT_SETTLES - timedelta(minutes=1), True),
        (SNAPSHOT_SETTLES + timedelta(minutes=1), False),
    ):
        world.set("created", str(now - age))
        assert world.kinds() == (CONFIGURATION if alive else set())


@pytest.mark.parametrize(
    "text",
    [
        lambda v: external_input(v),
        lambda v: external_input(v.upper()),
        lambda v: external_input(v.replace("-", "")),
        lambda v: json.dumps({"a": json.dumps({"b": json.dumps({"c": v})})}),
        lambda v: f"this is not JSON but mentions {v} all the same",
        lambda v: json.dumps({"uri": f"s3://b/x/{v}/y"}),
        lambda v: json.dumps({v: 1}),
        lambda v: json.dumps({"step_input_overrides": {"s": {"i": v}}}),
    ],
)  # fmt: skip
def test_an_id_is_found_wherever_it_stands(newest: RealCatalog, text: Callable[[str], str]) -> None:
    """Liberal on purpose: any spelling, any depth, any member, and text that is no JSON."""
    world = World(newest, text)
    world.set("name", "live")
    assert world.kinds() == CONFIGURATION


@pytest.mark.parametrize("column", ["pipeline_configuration"])
def test_a_pipelines_own_configuration_mentions_too(real_catalog: RealCatalog, column: str) -> None:
    """``step_input_overrides``, since 0.94."""
    world = World(real_catalog, lambda _: "{}")
    world.set("template_id", uuid.uuid4().hex)
    assert world.kinds() == set()
    world.set(column, json.dumps({"step_input_overrides": {"s": {"i": world.orphan}}}))
    assert world.kinds() == CONFIGURATION


def test_a_steps_own_configuration_mentions_as_long_as_the_step_exists(real_catalog: RealCatalog) -> None:
    """``step_run.step_configuration``: dynamic steps, and everything before 0.55."""
    world = World(real_catalog, lambda _: "{}")
    with editing(world.database) as connection:
        row = copy_row(connection, "step_run", name="dynamic", step_configuration=external_input(world.orphan))
    assert world.kinds() == CONFIGURATION
    with editing(world.database) as connection:
        connection.execute("DELETE FROM step_run WHERE id = ?", (row["id"],))
    assert world.kinds() == set()


def test_a_dynamic_steps_configuration_row_lives_with_its_step(newest: RealCatalog) -> None:
    """``step_configuration.step_run_id`` without a snapshot."""
    world = World(newest, lambda _: "{}")
    with editing(world.database) as connection:
        step = copy_row(connection, "step_run", name="dynamic")
        row = {"config": external_input(world.orphan), "name": "d", "step_run_id": step["id"], "snapshot_id": None}
        copy_row(connection, "step_configuration", **row)
    assert world.kinds() == CONFIGURATION
    with editing(world.database) as connection:
        connection.execute("DELETE FROM step_run WHERE id = ?", (step["id"],))
    assert world.kinds() == set()


# By name


class Named(World):
    """``thing`` in versions 1, 2 and gold, newest last; a live snapshot that loads lazily."""

    def __init__(self, real: RealCatalog) -> None:
        super().__init__(real, lambda _: "{}")
        with editing(self.database) as connection:
            artifact = copy_row(connection, "artifact", name="thing")["id"]
            self.ids = {}
            for day, label in enumerate(("1", "2", "gold"), start=1):
                row = copy_row(
                    connection, "artifact_version", artifact_id=artifact, version=label, uri=f"/nowhere/{label}/x",
                    version_number=int(label) if label.isdigit() else None, created=f"2026-01-0{day} 00:00:00.000000",
                )  # fmt: skip
                self.ids[label] = str(uuid.UUID(row["id"]))
        marks = [c for c in ("name", "template_id") if c in columns(self.database, self.snapshots)]
        self.set(marks[0], uuid.uuid4().hex)

    def lazily(self, *args: object, **kwargs: object) -> str:
        chain = [
            {"attribute_name": "x", "is_call": False, "call_args": [], "call_kwargs": {}, "selector": None},
            {"attribute_name": None, "is_call": True, "call_args": args, "call_kwargs": kwargs, "selector": None},
        ]
        loader = {"method_name": "get_artifact_version", "call_chain": chain, "exclude_next_call": False}
        return json.dumps({"config": {"client_lazy_loaders": {"data": loader}}})

    def kept(self, catalog: ZenmlCatalog | None = None) -> set[str]:
        """The labels that are referenced; survey and ``references`` agree."""
        if catalog is None:
            with opened(self.real) as catalog:
                return self.kept(catalog)
        found = catalog.references(list(self.ids.values()))
        surveyed = {s.version.id: s.references for page in catalog.survey(tags=False) for s in page}
        for label, id_ in self.ids.items():
            assert {r.kind for r in found[id_] or ()} == surveyed[id_], label
            assert surveyed[id_] in (set(), LAZY)
        return {label for label, id_ in self.ids.items() if surveyed[id_]}


@pytest.mark.parametrize(
    ("args", "kwargs", "kept"),
    [
        (["thing"], {}, {"gold"}),
        ([], {"name_id_or_prefix": "thing"}, {"gold"}),
        (["thing"], {"version": "1"}, {"1", "gold"}),
        (["thing", "1"], {}, {"1", "gold"}),
        (["thing"], {"version": 2}, {"2", "gold"}),
        (["thing"], {"version": None}, {"gold"}),
        (["thing"], {"version": "3"}, {"gold"}),
        (["things"], {}, set()),
    ],
)
def test_a_lazy_loader_keeps_the_newest_of_its_name_and_the_version_it_names(
    newest: RealCatalog, args: list[object], kwargs: dict[str, object], kept: set[str]
) -> None:
    """What ``Client().get_artifact_version`` would load when the step starts."""
    world = Named(newest)
    world.configure(world.snapshot, world.lazily(*args, **kwargs))
    assert world.kept() == kept


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["Thing"], {"gold"}),
        (["thing "], {"gold"}),
        (["THING", "ONE"], {"one", "gold"}),
        (["th\u00efng", "one "], {"gold", "one"}),
    ],
)
def test_a_name_means_what_the_database_compares_it_with(
    newest: RealCatalog, args: list[object], kept: set[str]
) -> None:
    """MariaDB finds ``thing`` for ``Thing``, with blanks behind it and with accents, and so with labels; SQLite does not."""
    world = Named(newest)
    with editing(world.database) as connection:
        row = (world.ids["1"].replace("-", ""),)
        connection.execute("UPDATE artifact_version SET version = 'one', version_number = NULL WHERE id = ?", row)
    world.ids["one"] = world.ids.pop("1")
    world.configure(world.snapshot, world.lazily(*args))
    assert world.kept() == (kept if isinstance(newest, MariaDbCatalog) else set())


def test_lazy_loaders_in_every_release(real_catalog: RealCatalog) -> None:
    """Before 0.83.1 the steps stand in one text of the deployment."""
    world = Named(real_catalog)
    world.configure(world.snapshot, json.dumps({"step": json.loads(world.lazily("thing", version="1"))}))
    assert world.kept() == {"1", "gold"}


def test_lazy_loaders_in_a_text_that_is_quoted_in_another(real_catalog: RealCatalog) -> None:
    """One document in a string of the other."""
    world = Named(real_catalog)
    world.configure(world.snapshot, json.dumps({"step": world.lazily("thing", version="1")}))
    assert world.kept() == {"1", "gold"}


def test_a_models_artifact_by_name(real_catalog: RealCatalog) -> None:
    """``model_artifacts_or_metadata``: the model's name, the artifact's name and version."""
    lazy = {
        "model_name": "m", "model_version": "5", "artifact_name": "thing", "artifact_version": "2", "metadata_name": None,
    }  # fmt: skip
    world = Named(real_catalog)
    world.configure(world.snapshot, json.dumps({"s": {"config": {"model_artifacts_or_metadata": {"data": lazy}}}}))
    assert world.kept() == {"2", "gold"}


def test_two_steps_of_one_pipeline_may_load_two_versions_of_one_name(newest: RealCatalog) -> None:
    """Neither forgets the other."""
    world = Named(newest)
    world.configure(world.snapshot, world.lazily("thing", version="1"))
    world.configure(world.snapshot, world.lazily("thing", version="2"))
    world.configure(world.snapshot, world.lazily("thing"))
    assert world.kept() == {"1", "2", "gold"}


def test_a_tie_for_the_newest_keeps_all_of_it(newest: RealCatalog) -> None:
    """MySQL's times have whole seconds: which one a name means is not known."""
    world = Named(newest)
    world.configure(world.snapshot, world.lazily("thing"))
    with editing(world.database) as connection:
        connection.execute(
            "UPDATE artifact_version SET created = '2026-01-03 00:00:00.000000' WHERE id = ?",
            (world.ids["1"].replace("-", ""),),
        )
    assert world.kept() == {"1", "gold"}


@pytest.mark.parametrize("newest", ["0.70.0", "0.70.0-mariadb"], indirect=True)
def test_each_workspace_has_a_newest_of_its_own(newest: RealCatalog) -> None:
    """Before 0.80 workspaces shared artifacts."""
    world = Named(newest)
    world.configure(world.snapshot, world.lazily("thing"))
    with editing(world.database) as connection:
        connection.execute(
            "UPDATE artifact_version SET workspace_id = (SELECT min(id) FROM workspace WHERE id <> workspace_id) WHERE id = ?",
            (world.ids["1"].replace("-", ""),),
        )
    assert world.kept() == {"1", "gold"}


def test_a_dead_snapshots_lazy_loaders_keep_nothing(newest: RealCatalog) -> None:
    """The same rule as for ids."""
    world = Named(newest)
    world.configure(world.snapshot, world.lazily("thing"))
    world.set("name", None)
    assert world.kept() == set()


def test_a_newer_version_takes_over(newest: RealCatalog) -> None:
    """On one open catalog: the name is looked up again each time."""
    world = Named(newest)
    world.configure(world.snapshot, world.lazily("thing"))
    with opened(newest) as catalog:
        assert world.kept(catalog) == {"gold"}
        with editing(world.database) as connection:
            where = f"id = '{world.ids['gold'].replace('-', '')}'"
            row = copy_row(connection, "artifact_version", where, version="new", created="2026-02-01 00:00:00.000000")
        world.ids["new"] = str(uuid.UUID(row["id"]))
        assert world.kept(catalog) == {"new"}


def test_names_in_text_that_is_not_json_stop_the_mark(real_catalog: RealCatalog) -> None:
    """Which names it means cannot be known, and a doubt about what is live stops everything."""
    world = Named(real_catalog)
    world.configure(world.snapshot, '{"client_lazy_loaders": {"data": {"method_name": "get_artifact_version"')
    with opened(real_catalog) as catalog, pytest.raises(CatalogNotUnderstood, match="not valid JSON"):
        list(catalog.survey(tags=False))
    with opened(real_catalog) as catalog, pytest.raises(CatalogNotUnderstood, match="not valid JSON"):
        catalog.references([world.orphan])


def test_json_of_any_depth_ends_in_an_answer(newest: RealCatalog) -> None:
    """Not in a crash."""
    world = Named(newest)
    world.configure(world.snapshot, '{"client_lazy_loaders": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}")
    with opened(newest) as catalog, pytest.raises(CatalogNotUnderstood, match="not valid JSON"):
        list(catalog.survey(tags=False))


# Between mark and claim


def request_for(catalog: ZenmlCatalog, version_id: str) -> tuple[ClaimRequest, ClaimRules]:
    (version,) = catalog.find(version_id)
    rules = ClaimRules(Mode.BOTH, None, datetime(2026, 1, 1, tzinfo=UTC), None)
    return ClaimRequest(version.id, version.uri, version.updated, version.id), rules


MENTIONS: dict[str, Callable[[Named], None]] = {
    "a new text": lambda w: w.configure(w.snapshot, external_input(w.ids["1"]), _now(w)),
    "a new loader": lambda w: w.configure(w.snapshot, w.lazily("thing", version="1"), _now(w)),
    "a changed text": lambda w: _rewrite(w, external_input(w.ids["1"])),
    "a snapshot that comes alive": lambda w: w.set("name", "again"),
}


def _now(world: Named) -> str:
    """The time that ZenML would write: on MariaDB new rows are found by nothing else."""
    with opened(world.real) as catalog:
        return str(catalog.now().replace(tzinfo=None))


@pytest.fixture
def quick_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are looked at before every claim, however long it takes: on a slow machine they are not."""
    monkeypatch.setattr(soft, "_LONG", 60.0)
    for database in (SqliteDatabase, MysqlDatabase):
        monkeypatch.setattr(database, "look_within", 60.0)


def _rewrite(world: Named, text: str) -> None:
    now = _now(world)
    with editing(world.database) as connection:
        (row,) = connection.execute("SELECT id FROM step_configuration LIMIT 1").fetchone()
        changed = (text, now, world.snapshot, row)
        connection.execute(
            "UPDATE step_configuration SET config = ?, updated = ?, snapshot_id = ? WHERE id = ?", changed
        )


@pytest.mark.usefixtures("quick_machine")
@pytest.mark.parametrize("mention", MENTIONS)
def test_a_mention_made_between_two_questions_is_seen(newest: RealCatalog, mention: str) -> None:
    """By a claim on the same open catalog, whatever was read before."""
    world = Named(newest)
    if mention == "a snapshot that comes alive":
        world.configure(world.snapshot, external_input(world.ids["1"]))
        world.set("name", None)
    with opened(newest, writes=True) as catalog:
        request, rules = request_for(catalog, world.ids["1"])
        assert catalog.recheck([request], rules)[0].answer is ClaimAnswer.CLAIMED
        MENTIONS[mention](world)
        for ask in (lambda: catalog.recheck([request], rules), lambda: catalog.claim([request], rules, lambda _: None)):
            (answer,) = ask()
            assert answer.answer is ClaimAnswer.REFERENCED
            assert "snapshot" in answer.detail


def in_the_gap(catalog: ZenmlCatalog, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let somebody *act* between a claim's look around and its transaction, once."""
    kind: Any = type(catalog._database)
    original = kind.writing

    def late(self: object) -> object:
        monkeypatch.setattr(kind, "writing", original)
        act()
        return original(self)

    monkeypatch.setattr(kind, "writing", late)


@pytest.mark.usefixtures("quick_machine")
@pytest.mark.parametrize("mention", MENTIONS)
def test_a_mention_made_at_the_last_moment_is_seen(
    newest: RealCatalog, monkeypatch: pytest.MonkeyPatch, mention: str
) -> None:
    """The claim looks once more when nobody else can write."""
    world = Named(newest)
    if mention == "a snapshot that comes alive":
        world.configure(world.snapshot, external_input(world.ids["1"]))
        world.set("name", None)
    with opened(newest, writes=True) as catalog:
        request, rules = request_for(catalog, world.ids["1"])
        in_the_gap(catalog, monkeypatch, lambda: MENTIONS[mention](world))
        assert catalog.claim([request], rules, lambda _: None)[0].answer is ClaimAnswer.REFERENCED


@pytest.mark.usefixtures("quick_machine")
def test_a_mention_read_inside_a_claim_that_failed_is_not_forgotten(
    newest: RealCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is somebody else's and committed: our own rollback does not make it untrue."""
    world = Named(newest)
    with opened(newest, writes=True) as catalog:
        request, rules = request_for(catalog, world.ids["1"])
        other, _ = request_for(catalog, world.ids["2"])
        in_the_gap(
            catalog, monkeypatch, lambda: world.configure(world.snapshot, external_input(world.ids["1"]), _now(world))
        )

        def fail(_: object) -> None:
            raise OSError("no space for the journal")

        with pytest.raises(OSError, match="no space"):
            catalog.claim([other], rules, fail)
        (answer,) = catalog.claim([request], rules, lambda _: None)
        assert answer.answer is ClaimAnswer.REFERENCED
