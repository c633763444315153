"""The main job where the bytes are in Azure: a real ZenML 0.98.0 catalog whose default store is a container of Azurite."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.contract.azure_world import AzureWorld
from tests.support.catalogs import RealCatalog, expected_kept_reason, expected_orphans
from tests.support.cli import Cli
from tests.support.zenml_database import editing


def moved(catalog: RealCatalog, world: AzureWorld) -> None:
    """Upload the default store's files, and point its rows and URIs at the container."""
    root = next(path for path in catalog.store_roots if path.parent.name == "local_stores")
    for path in sorted(root.rglob("*")):
        if path.is_file():
            world.put(path.relative_to(root).as_posix(), body=path.read_bytes())
    with editing(catalog.database) as database:
        for table in ("artifact_version", "artifact_visualization"):
            database.execute(f"UPDATE {table} SET uri = replace(uri, ?, ?)", (str(root), world.root))
        database.execute(
            "UPDATE stack_component SET flavor = 'azure', configuration = ?"
            " WHERE type = 'artifact_store' AND name = 'default'",
            (base64.b64encode(json.dumps({"path": world.root}).encode()),),
        )


def etags(world: AzureWorld) -> dict[str, str]:
    return {blob.name: blob.etag for blob in world.container.list_blobs()}


def test_exactly_the_planned_blobs_go(newest: RealCatalog, azure_world: AzureWorld, cli: Cli, tmp_path: Path) -> None:
    """Every other blob keeps its ETag; one with a lease fails with Azure's code and goes once it is free; no secret is
    written."""
    orphans, kept = expected_orphans(newest), set(expected_kept_reason(newest))
    moved(newest, azure_world)
    before, plan = etags(azure_world), tmp_path / "plan.json"
    user = cli.with_environ(AZURE_STORAGE_CONNECTION_STRING=azure_world.server.connection_string())
    assert user("mark", "--catalog", newest.url, "--no-grace", "--out", plan).status == 0
    shown = user.json("show", plan, "--entries", 1000)
    assert {entry["id"] for entry in shown["entries"]} == orphans
    undo = {store["root"]: (store["flavor"], store["undo"]) for store in shown["plan"]["stores"]}
    assert undo[azure_world.root] == ("azure", "none")
    places = [e["uri"].removeprefix(f"az://{azure_world.bucket}/").rstrip("/") for e in shown["entries"]]
    planned = {name for name in before if any(name == p or name.startswith(f"{p}/") for p in places)}
    assert len(planned) > 20
    victim = min(planned).removeprefix("zenml/")
    with azure_world.denied(victim):
        failed = user.json("sweep", plan, "--yes", "--catalog", newest.url, "--ignore-errors", status=12)
    assert (failed["books"]["failed"], [line["code"] for line in failed["lines"]]) == (1, ["LeaseIdMissing"])
    assert user("sweep", plan, "--yes", "--catalog", newest.url).status == 0
    assert etags(azure_world) == {name: etag for name, etag in before.items() if name not in planned}
    assert newest.existing_ids() == kept
    for path in tmp_path.glob("plan.json*"):
        if path.is_file():
            assert azure_world.server.key.encode() not in path.read_bytes(), path
