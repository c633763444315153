"""Real catalogs, unpacked for one test each, and the verdicts that their ground truth implies.

Nothing here asks marksweep: what is expected comes from ``ground_truth.json``, from the design's guards written down a
second time, and from SQL of its own, so that a bug in marksweep cannot hide itself.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from marksweep.cli.demo import DEMO_ARCHIVE
from marksweep.cli.demo.unpack import unpack
from tests.support.databases import Connection, described

ARCHIVES: Mapping[str, Path] = {
    "0.70.0": Path(__file__).parent.parent / "catalogs" / "zenml-0.70.0.tar.gz",
    "0.85.0": Path(__file__).parent.parent / "catalogs" / "zenml-0.85.0.tar.gz",
    "0.98.0": DEMO_ARCHIVE,
}
RELEASES = tuple(ARCHIVES)
"""The ZenML releases whose real SQLite catalogs the tests sweep."""

REFERENCED, REGISTERED, STORE_DELETED, CLAIMED = "referenced", "registered", "store_deleted", "claimed"
"""Why a version is kept, in the order in which the rules are asked; the words of marksweep's ``KeptReason``."""


@dataclass(frozen=True)
class RealCatalog:
    """One unpacked catalog. ``truth`` lists the versions of ``ground_truth.json``; ids have dashes."""

    release: str
    root: Path

    @property
    def database(self) -> Path:
        return self.root / "cfg" / "local_stores" / "default_zen_store" / "zenml.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def config(self) -> Path:
        """What ``ZENML_CONFIG_PATH`` has to name."""
        return self.root / "cfg"

    @cached_property
    def truth(self) -> list[dict[str, Any]]:
        return json.loads((self.root / "ground_truth.json").read_bytes())["artifact_versions"]

    @cached_property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {version["id"]: version for version in self.truth}

    def ids(self, *scenarios: str) -> set[str]:
        """The ids of the versions of *scenarios*."""
        return {version["id"] for version in self.truth if version["scenario"] in scenarios}

    @property
    def store_roots(self) -> tuple[Path, ...]:
        """The folders that artifacts lie in: the default stores (one per workspace before 0.80), and stores 2 and 3."""
        stores = self.config / "local_stores"
        defaults = (path for path in sorted(stores.iterdir()) if path.is_dir() and path.name != "default_zen_store")
        return (*defaults, self.root / "store2", self.root / "store3")

    def connect(self) -> Connection:
        """A read-only connection that sees what is committed."""
        return sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)

    def existing_ids(self) -> set[str]:
        """The ids of all versions that the database holds now."""
        database = self.connect()
        try:
            return {dashed(row[0]) for row in database.execute("SELECT id FROM artifact_version")}
        finally:
            database.close()

    def file_digests(self) -> dict[str, str]:
        """SHA-256 of every file below the root (database included), by path relative to it."""
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def files_of(self, version_id: str) -> set[str]:
        """The files at or below the version's URI, as :meth:`file_digests` names them."""
        place = Path(self.by_id[version_id]["uri"])
        found = [place] if place.is_file() else place.rglob("*")
        return {path.relative_to(self.root).as_posix() for path in found if path.is_file()}


def unpacked(release: str, tmp_path: Path) -> RealCatalog:
    """Unpack the catalog of *release* below *tmp_path*. Paths are baked in: a copied folder would be no catalog."""
    return RealCatalog(release, unpack(ARCHIVES[release], tmp_path / f"zenml-{release}"))


def dashed(identifier: str) -> str:
    """An id as ground truth writes it, from 32 hex digits."""
    digits = identifier.replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def expected_orphans(catalog: RealCatalog, include_registered: bool = False) -> set[str]:
    """The ids that ``mark --min-age 0 --no-grace`` must plan, and no others."""
    return set(catalog.by_id) - set(expected_kept_reason(catalog, include_registered))


def expected_kept_reason(catalog: RealCatalog, include_registered: bool = False) -> dict[str, str]:
    """Per version that must be kept: the first reason that applies. Call it before anything is swept."""
    database = catalog.connect()
    try:
        live = set(_live_mentions(database))
        stores = {
            dashed(row[0]) for row in database.execute("SELECT id FROM stack_component WHERE type = 'artifact_store'")
        }
    finally:
        database.close()
    kept: dict[str, str] = {}
    for version in catalog.truth:
        if not version["orphan"] or _softly_referenced(version, live):
            kept[version["id"]] = REFERENCED
        elif version["save_type"] == "preexisting" and not include_registered:
            kept[version["id"]] = REGISTERED
        elif version["artifact_store_id"] not in stores:
            kept[version["id"]] = STORE_DELETED
    while newly := _claimed(catalog, kept):
        kept.update(dict.fromkeys(newly, CLAIMED))
    return kept


def _claimed(catalog: RealCatalog, kept: Mapping[str, str]) -> set[str]:
    """Versions not kept yet whose folder is, holds or lies in that of a kept one: all of a shared place go, or none."""
    places = {version["id"]: Path(version["uri"]) for version in catalog.truth}
    keepers = [places[identifier] for identifier in kept]
    return {
        identifier
        for identifier, place in places.items()
        if identifier not in kept
        and any(place.is_relative_to(keeper) or keeper.is_relative_to(place) for keeper in keepers)
    }


def _softly_referenced(version: Mapping[str, Any], live: set[str]) -> bool:
    """Whether a pinned visualization, or the JSON of something live, is all that holds the version."""
    return any(
        reference.startswith("curated_visualization")
        or (reference.startswith("json:") and reference.removeprefix("json:") in live)
        for reference in version["soft_refs"]
    )


def _live_mentions(database: Connection) -> Iterator[str]:
    """The JSON texts, as ground truth names them (``table.column#id``), of snapshots that ZenML itself calls live.

    Live: named, scheduled, made from a template, or pointed at by a run, a step, a served deployment, a template, a
    trigger or another snapshot (``zenml pipeline snapshot prune``). Before 0.90 it is a row of ``pipeline_deployment``.
    """
    snapshot, key = ("pipeline_snapshot", "snapshot_id")
    if not _columns(database, snapshot):
        snapshot, key = ("pipeline_deployment", "deployment_id")
    pointers = [
        (table, column)
        for table, column in (
            ("pipeline_run", key),
            ("step_run", key),
            ("deployment", "snapshot_id"),
            ("run_template", f"source_{key}"),
            ("trigger_snapshot", "snapshot_id"),
            ("pipeline_snapshot", "source_snapshot_id"),
        )
        if column in _columns(database, table)
    ]
    flags = [c for c in ("name", "schedule_id", "template_id") if c in _columns(database, snapshot)]
    alive = " OR ".join(
        [f"s.{column} IS NOT NULL" for column in flags]
        + [f"s.id IN (SELECT {column} FROM {table} WHERE {column} IS NOT NULL)" for table, column in pointers]
    )
    for column in ("pipeline_configuration", "step_configurations"):
        if column in _columns(database, snapshot):
            for (row,) in database.execute(f"SELECT s.id FROM {snapshot} s WHERE {alive}"):
                yield f"{snapshot}.{column}#{row}"
    if "config" in _columns(database, "step_configuration"):
        of_step = " OR c.step_run_id IS NOT NULL" if "step_run_id" in _columns(database, "step_configuration") else ""
        query = f"SELECT c.id FROM step_configuration c LEFT JOIN {snapshot} s ON s.id = c.{key} WHERE {alive}{of_step}"
        for (row,) in database.execute(query):
            yield f"step_configuration.config#{row}"


def _columns(database: Connection, table: str) -> set[str]:
    """The columns of *table*; empty when this release has no such table."""
    return {column.name for column in described(database, table)}
