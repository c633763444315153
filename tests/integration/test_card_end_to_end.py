"""A big plan: its entries in a bucket, its card in the pull request; reviewed, refused, swept and resumed like any plan."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract.store_worlds import CREDENTIALS, S3World
from tests.integration.conftest import on_sqlite
from tests.integration.test_s3_end_to_end import Cloud, cloud

__all__ = ["cloud"]


@pytest.fixture
def plans(s3_server: str) -> S3World:
    """A bucket of its own for the entries of plans."""
    return S3World(s3_server)


def _mark(cloud: Cloud, s3_server: str, *options: object) -> dict[str, object]:
    """A card, and the options of the bucket where nothing but ``--store-options`` or the environment names them."""
    options_file = cloud.plan.with_name("options.json")
    options_file.write_text(json.dumps({"entries": {"endpoint_url": s3_server}}))
    found: dict[str, object] = cloud.cli.json(
        "mark",
        "--catalog",
        cloud.catalog.url,
        "--no-grace",
        "--out",
        cloud.plan,
        "--store-options",
        options_file,
        *options,
    )
    return found


def _object(plans: S3World) -> str:
    (found,) = plans.client.list_objects_v2(Bucket=plans.bucket)["Contents"]
    return str(found["Key"])


@on_sqlite
def test_a_card_is_reviewed_and_swept_as_its_plan(cloud: Cloud, plans: S3World, s3_server: str) -> None:
    """The object's SHA-256 is the card's; a denied key stops the sweep, and the next run resumes; no secret is written."""
    marked = _mark(cloud, s3_server, "--entries-to", f"s3://{plans.bucket}/plans/")
    key = _object(plans)
    card = json.loads(cloud.plan.read_bytes())
    assert card["entries_uri"] == f"s3://{plans.bucket}/{key}"
    assert key == f"plans/{card['plan']['id']}.entries.jsonl"
    content = plans.client.get_object(Bucket=plans.bucket, Key=key)["Body"].read()
    assert card["entries_sha256"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert card["entries_bytes"] == len(content)
    assert marked["plan"]["entries"] == len(cloud.orphans)  # type: ignore[index]

    reader = cloud.cli.with_environ(MARKSWEEP_STORE_OPTIONS=str(cloud.plan.with_name("options.json")))
    assert reader.json("verify", cloud.plan)["entries"] == len(cloud.orphans)
    shown = reader.json("show", cloud.plan, "--entries", 1000)
    assert {found["id"] for found in shown["entries"]} == cloud.orphans
    assert shown["plan"]["entries_uri"] == card["entries_uri"]
    assert f"s3://{plans.bucket}/" in reader.done("show", cloud.plan).out
    assert reader.json("status", cloud.plan)["books"]["not_attempted"] == len(cloud.orphans)

    before = cloud.objects()
    planned = {
        k
        for k in before
        for found in shown["entries"]
        if f"s3://{cloud.bucket.bucket}/{k}".startswith(found["uri"].rstrip("/") + "/")
    }
    victim = next(k for k in sorted(planned) if "/tagged_unlinked/" in k)
    sweep = ("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url)
    with cloud.bucket.denied(victim.removeprefix("zenml/")):
        assert reader.json(*sweep, status=12)["books"]["failed"] == 1
    done = reader.json(*sweep)
    assert done["books"]["deleted"] == len(cloud.orphans)
    assert cloud.objects() == {k: tag for k, tag in before.items() if k not in planned}
    assert _object(plans) == key
    for path in cloud.plan.parent.glob("plan.json*"):
        if path.is_file():
            assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode() not in path.read_bytes()


@on_sqlite
def test_another_object_deletes_nothing(cloud: Cloud, plans: S3World, s3_server: str, tmp_path: Path) -> None:
    """Changed, cut off, longer: 20. Not there, or nobody to ask: 27. An object stays as it is; a card in a store is refused."""
    _mark(cloud, s3_server, "--entries-to", f"s3://{plans.bucket}/plans")
    key, before = _object(plans), cloud.objects()
    content = plans.client.get_object(Bucket=plans.bucket, Key=key)["Body"].read()
    reader = cloud.cli.with_environ(MARKSWEEP_STORE_OPTIONS=str(cloud.plan.with_name("options.json")))
    sweep = ("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url)
    for changed in (content.replace(b'"objects":1', b'"objects":2', 1), content[:-1], content + b"\n"):
        plans.client.put_object(Bucket=plans.bucket, Key=key, Body=changed)
        reader(*sweep).refused(20, "error[signature-refused]", "is not the one that was signed")
    plans.client.delete_object(Bucket=plans.bucket, Key=key)
    reader(*sweep).refused(27, "error[store-refused]", "no such object")
    nowhere = tmp_path / "nowhere.json"
    nowhere.write_text(json.dumps({"entries": {"endpoint_url": "http://127.0.0.1:9"}}))
    reader(*sweep, "--store-options", nowhere).refused(27, "error[store-refused]")
    assert cloud.objects() == before
    assert cloud.orphans <= cloud.catalog.existing_ids()

    mark = ("mark", "--catalog", cloud.catalog.url, "--no-grace", "--out", tmp_path / "new.card.json")
    folder = tmp_path / "shared"
    folder.mkdir()
    inside = next(path for path in cloud.catalog.store_roots if path.name == "store2") / "plans"
    inside.mkdir()
    for place, *words in (
        (f"{cloud.bucket.root}/plans", "lies in the artifact store"),
        (inside, "lies in the artifact store"),
        ("s3://user:hunter2@bucket/plans", "without user, password"),
        (f"s3://{plans.bucket}/plans?X-Amz-Signature=hunter2", "query"),
        (tmp_path / "missing", "no folder"),
        (urlsplit(s3_server).geturl(), "s3://"),
    ):
        ended = cloud.cli(*mark, "--entries-to", place)
        ended.refused(2, "error[usage]", *words)
        assert "hunter2" not in ended.flat
    assert not (tmp_path / "new.card.json").exists()
    cloud.cli.done(*mark, "--entries-to", folder)
    (entries,) = folder.iterdir()
    assert json.loads((tmp_path / "new.card.json").read_bytes())["entries_uri"] == f"file://{entries}"
    cloud.cli.done("verify", tmp_path / "new.card.json")
    entries.unlink()
    entries.symlink_to("/dev/zero")
    cloud.cli("verify", tmp_path / "new.card.json").refused(27, "error[store-refused]")
