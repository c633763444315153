"""The main job where the bytes are in S3: a real ZenML 0.98.0 catalog whose default store is a bucket of moto's server."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.store_worlds import CREDENTIALS, S3World
from tests.support.catalogs import RealCatalog, expected_kept_reason, expected_orphans
from tests.support.cli import Cli, Ended
from tests.support.zenml_database import editing

CANARY = "CANARY/of+a=secret"


@dataclass
class Cloud:
    """The catalog, the bucket that its default store points at, and whoever may use it."""

    catalog: RealCatalog
    bucket: S3World
    cli: Cli
    orphans: set[str]
    plan: Path

    def mark(self, *options: object) -> Ended:
        return self.cli("mark", "--catalog", self.catalog.url, "--no-grace", "--out", self.plan, *options)

    def sweep(self, *options: object) -> Ended:
        return self.cli("sweep", self.plan, "--yes", "--catalog", self.catalog.url, *options)

    def objects(self) -> dict[str, str]:
        """Key -> ETag of everything in the bucket."""
        listed = self.bucket.client.list_objects_v2(Bucket=self.bucket.bucket).get("Contents", ())
        return {found["Key"]: found["ETag"] for found in listed}

    def planned_keys(self) -> set[str]:
        """The keys at and below the URIs of the plan's entries."""
        prefix = f"s3://{self.bucket.bucket}/"
        uris = [e["uri"] for e in self.cli.json("show", self.plan, "--entries", 1000)["entries"]]
        places = [uri.removeprefix(prefix).rstrip("/") for uri in uris if uri.startswith(prefix)]
        return {k for k in self.objects() if any(k == place or k.startswith(place + "/") for place in places)}

    def configure(self, **configuration: object) -> None:
        """What the catalog says of the store."""
        blob = base64.b64encode(json.dumps(configuration).encode())
        with editing(self.catalog.database) as database:
            database.execute(
                "UPDATE stack_component SET flavor = 's3', configuration = ?"
                " WHERE type = 'artifact_store' AND name = 'default'",
                (blob,),
            )


@pytest.fixture
def cloud(s3_server: str, newest: RealCatalog, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The default store's files uploaded, its rows and URIs pointed at the bucket; the second store stays a folder."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    orphans = expected_orphans(newest)
    bucket = S3World(s3_server)
    user = cli.with_environ(**CREDENTIALS)
    made = Cloud(newest, bucket, user, orphans, tmp_path / "plan.json")
    root = next(path for path in newest.store_roots if path.parent.name == "local_stores")
    for path in sorted(root.rglob("*")):
        if path.is_file():
            bucket.put_keys(f"zenml/{path.relative_to(root).as_posix()}", body=path.read_bytes())
    with editing(newest.database) as database:
        for table in ("artifact_version", "artifact_visualization"):
            database.execute(f"UPDATE {table} SET uri = replace(uri, ?, ?)", (str(root), bucket.root))
    made.configure(path=bucket.root, client_kwargs={"endpoint_url": s3_server})
    return made


def test_exactly_the_planned_keys_go(cloud: Cloud) -> None:
    """Two stores in one plan; every other object keeps its ETag; a second sweep has nothing to do; no secret is written."""
    kept = set(expected_kept_reason(cloud.catalog))
    before, folder_before = cloud.objects(), cloud.catalog.file_digests()
    assert cloud.mark().status == 0
    shown = cloud.cli.json("show", cloud.plan, "--entries", 1000)
    assert {entry["id"] for entry in shown["entries"]} == cloud.orphans
    stores = {store["root"]: (store["flavor"], store["undo"]) for store in shown["plan"]["stores"]}
    assert stores == {cloud.bucket.root: ("s3", "none"), str(cloud.catalog.root / "store2"): ("local", "none")}
    planned = cloud.planned_keys()
    assert len(planned) > 20
    assert cloud.objects() == before
    assert cloud.catalog.file_digests() == folder_before

    assert cloud.sweep("--dry-run").status == 0
    assert cloud.objects() == before
    ended = cloud.sweep()
    assert ended.status == 0, ended
    assert cloud.objects() == {key: etag for key, etag in before.items() if key not in planned}
    assert cloud.catalog.existing_ids() == kept
    again = cloud.cli.json("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url)
    assert again["settled_before"] == again["books"]["planned"] == len(cloud.orphans)
    for path in cloud.plan.parent.glob("plan.json*"):
        if path.is_file():
            for secret in (CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_ACCESS_KEY_ID"]):
                assert secret.encode() not in path.read_bytes(), path


def test_a_key_that_the_bucket_policy_denies(cloud: Cloud) -> None:
    """12: the entry failed with the store's own code, its row is gone, the journal knows; once allowed, it is finished."""
    assert cloud.mark().status == 0
    planned, before = cloud.planned_keys(), cloud.objects()
    victim = next(key for key in sorted(planned) if "/tagged_unlinked/" in key)
    with cloud.bucket.denied(victim.removeprefix("zenml/")):
        result = cloud.cli.json(
            "sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url, "--ignore-errors", status=12
        )
        assert (result["books"]["failed"], result["books"]["deleted"]) == (1, len(cloud.orphans) - 1)
        (line,) = result["lines"]
        assert (line["state"], line["code"]) == ("failed", "AccessDenied")
        assert victim.startswith(line["uri"].removeprefix(f"s3://{cloud.bucket.bucket}/"))
        assert not cloud.catalog.existing_ids() & cloud.orphans
        assert set(cloud.objects()) == (set(before) - planned) | {victim}
        shown = cloud.cli.done("status", cloud.plan)
        assert "failed: AccessDenied" in shown.out
        assert cloud.sweep().status == 12, "it is tried again, and still denied"
    done = cloud.cli.json("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url)
    assert (done["books"]["failed"], done["books"]["deleted"]) == (0, len(cloud.orphans))
    assert set(cloud.objects()) == set(before) - planned
    totals = cloud.cli.json("show", cloud.plan)["plan"]
    assert (done["books"]["objects"], done["books"]["bytes"]) == (totals["objects"], totals["bytes"])


def test_without_ignore_errors_a_denied_key_stops_new_entries(cloud: Cloud) -> None:
    """What is in flight ends; the rest is left for the next run, with its rows."""
    assert cloud.mark().status == 0
    victim = next(key for key in sorted(cloud.planned_keys()) if key.endswith("data.json"))
    with cloud.bucket.denied(victim.removeprefix("zenml/")):
        stopped = cloud.cli.json(
            "sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url, "--batch-size", 1, status=12
        )
    books = stopped["books"]
    assert books["failed"] == 1
    assert books["not_attempted"] > 0
    assert len(cloud.catalog.existing_ids() & cloud.orphans) == books["not_attempted"]
    assert cloud.sweep().status == 0


def test_a_versioned_bucket_is_shown_as_such_and_keeps_the_versions(cloud: Cloud) -> None:
    """The plan says that a delete can be undone, and it can."""
    client, bucket = cloud.bucket.client, cloud.bucket.bucket
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert "versioned: can be undone" in " ".join(cloud.mark().out.split())
    undo = {store["flavor"]: store["undo"] for store in cloud.cli.json("show", cloud.plan)["plan"]["stores"]}
    assert undo == {"s3": "versioned", "local": "none"}
    before, planned = cloud.objects(), cloud.planned_keys()
    assert cloud.sweep().status == 0
    assert set(cloud.objects()) == set(before) - planned
    for marker in client.list_object_versions(Bucket=bucket)["DeleteMarkers"]:
        client.delete_object(Bucket=bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    assert cloud.objects() == before


def test_an_object_that_was_rewritten_or_added_is_kept(cloud: Cloud) -> None:
    """Another fingerprint: changed, 11; no key of those entries goes, no row either."""
    assert cloud.mark().status == 0
    planned = sorted(cloud.planned_keys())
    rewritten = next(key for key in planned if "/tagged_unlinked/" in key)
    size = cloud.bucket.client.head_object(Bucket=cloud.bucket.bucket, Key=rewritten)["ContentLength"]
    cloud.bucket.put_keys(rewritten, body=b"#" * size)
    added = next(key for key in planned if "unlinked_2" in key).rpartition("/")[0] + "/added"
    cloud.bucket.put_keys(added)
    result = cloud.cli.json("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url, status=11)
    assert (result["books"]["changed"], result["books"]["deleted"]) == (2, len(cloud.orphans) - 2)
    kept_uris = [line["uri"].removeprefix(f"s3://{cloud.bucket.bucket}/") for line in result["lines"]]
    assert {key for key in planned if any(key.startswith(uri) for uri in kept_uris)} <= set(cloud.objects())
    assert {rewritten, added} <= set(cloud.objects())
    assert {line["id"] for line in result["lines"]} <= cloud.catalog.existing_ids()


def test_a_bucket_that_is_missing(cloud: Cloud) -> None:
    """While sweeping: 27, and nothing goes, in the other store neither. While marking: its orphans are kept, with a warning."""
    assert cloud.mark().status == 0
    before = cloud.catalog.file_digests()
    client, bucket = cloud.bucket.client, cloud.bucket.bucket
    for key in cloud.objects():
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)
    cloud.sweep().refused(27, "error[store-refused]", bucket, "NoSuchBucket")
    assert cloud.catalog.file_digests() == before
    other = cloud.plan.with_name("other.json")
    marked = cloud.cli.json("mark", "--catalog", cloud.catalog.url, "--no-grace", "--out", other)
    assert marked["plan"]["entries"] == 1, "the one of the second store"
    assert marked["plan"]["kept"]["store_unreachable"] == len(cloud.orphans) - 1
    assert any("NoSuchBucket" in warning and "orphans are kept" in warning for warning in marked["warnings"])


def test_store_options_reach_the_client_and_stay_secret(cloud: Cloud, s3_server: str, tmp_path: Path) -> None:
    """By store name, or ``*`` for all; an option wins over the catalog; keys in the file are used and never shown."""
    cloud.configure(path=cloud.bucket.root, client_kwargs={"endpoint_url": "http://127.0.0.1:9"})
    anonymous = cloud.cli.with_environ(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    file = tmp_path / "options.json"
    credentials = {"key": "AKIACANARY", "secret": CANARY}
    for options in (
        {"default": {"endpoint_url": s3_server, **credentials}},
        {"*": {"endpoint_url": s3_server}, "default": credentials, "unused": {"oops": 1}},
    ):
        file.write_text(json.dumps(options))
        ended = anonymous(
            "mark",
            "--catalog",
            cloud.catalog.url,
            "--no-grace",
            "--store-options",
            file,
            "--force",
            "--out",
            cloud.plan,
        )
        assert ended.status == 0, ended
        assert "store_unreachable" not in ended.out, ended
        _secret(ended)
    swept = anonymous("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url, "--store-options", file)
    assert swept.status == 0, swept
    _secret(swept)
    for path in cloud.plan.parent.glob("plan.json*"):
        assert CANARY.encode() not in path.read_bytes(), path


def test_bad_store_options_refuse_without_showing_secrets(cloud: Cloud, s3_server: str, tmp_path: Path) -> None:
    """Unknown ones, an endpoint that is no URL, one with a password, one where nobody listens."""
    assert cloud.mark().status == 0
    before, file = cloud.objects(), tmp_path / "options.json"
    endpoint = f"http://user:{CANARY.replace('/', '%2F')}@{s3_server.removeprefix('http://')}"
    for options in (
        {"secret": CANARY, "oops": CANARY},
        {"secret": CANARY, "endpoint_url": "no url"},
        {"secret": CANARY, "client_kwargs": CANARY},
        {"secret": CANARY, "profile": "no-such-profile"},
        {
            "secret": CANARY,
            "key": "AKIA",
            "endpoint_url": "http://127.0.0.1:9",
            "config_kwargs": {"retries": {"max_attempts": 1}},
        },
    ):
        file.write_text(json.dumps({"default": options}))
        ended = cloud.sweep("--store-options", file)
        ended.refused(27, "error[store-refused]")
        _secret(ended)
    once = {"retries": {"mode": "standard", "total_max_attempts": 1}}
    file.write_text(json.dumps({"default": {"endpoint_url": endpoint, "config_kwargs": once}}))
    _secret(cloud.sweep("--dry-run", "--store-options", file))
    assert cloud.objects() == before


def _secret(ended: Ended) -> None:
    squeezed = "".join((ended.out + ended.err).split())
    for form in (CANARY, CANARY.replace("/", "%2F"), CREDENTIALS["AWS_SECRET_ACCESS_KEY"]):
        assert form not in squeezed, ended


def test_what_was_written_after_a_refused_delete_stays(cloud: Cloud) -> None:
    """A delete is denied; days later the key holds somebody else's content: the resumed sweep leaves it and says so."""
    assert cloud.mark().status == 0
    planned, before = cloud.planned_keys(), cloud.objects()
    victim = next(k for k in sorted(planned) if "/tagged_unlinked/" in k)
    sweep = ("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url, "--ignore-errors")
    with cloud.bucket.denied(victim.removeprefix("zenml/")):
        cloud.cli.json(*sweep, status=12)
    cloud.bucket.put_keys(victim, body=b"somebody else's new content")
    assert cloud.objects()[victim] != before[victim]
    books = cloud.cli.json(*sweep)["books"]
    assert victim in cloud.objects()
    assert (books["not_attempted"], books["left"]) == (0, 1)


def test_all_versions_go_only_where_the_plan_says_so(cloud: Cloud) -> None:
    """A versioned bucket: a plain sweep leaves markers over what was; ``--all-versions`` leaves nothing of what is planned."""
    client, name = cloud.bucket.client, cloud.bucket.bucket
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    planned = _planned(cloud)
    rewritten, live = min(planned), min(set(cloud.objects()) - planned)
    for key in (rewritten, live):
        client.put_object(Bucket=name, Key=key, Body=b"a second version")
    assert cloud.mark("--all-versions", "--force").status == 0
    shown = cloud.cli.json("show", cloud.plan)["plan"]
    assert shown["policy"]["all_versions"] is True
    assert {store["undo"] for store in shown["stores"]} == {"none"}
    assert "--all-versions" in cloud.cli.done("show", cloud.plan).out
    versions = _versions(cloud)
    assert shown["objects"] >= sum(len(v) for key, v in versions.items() if key in planned) > len(planned)
    assert cloud.sweep().status == 0
    left = _versions(cloud)
    assert set(left) == set(versions) - planned
    assert left[live] == versions[live]


def test_a_version_made_after_the_plan_keeps_the_entry(cloud: Cloud) -> None:
    """``--all-versions``: another version, or a delete marker, is another fingerprint."""
    client, name = cloud.bucket.client, cloud.bucket.bucket
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    planned = _planned(cloud)
    assert cloud.mark("--all-versions", "--force").status == 0
    client.delete_object(Bucket=name, Key=min(planned))
    swept = cloud.cli.json("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url, status=11)
    assert (swept["books"]["changed"], swept["books"]["deleted"]) == (1, len(cloud.orphans) - 1)
    assert min(planned) in _versions(cloud)


def _planned(cloud: Cloud) -> set[str]:
    assert cloud.mark().status == 0
    return cloud.planned_keys()


def _versions(cloud: Cloud) -> dict[str, list[str]]:
    """Key -> its versions and delete markers, for every key in the bucket."""
    found: dict[str, list[str]] = {}
    for page in cloud.bucket.client.get_paginator("list_object_versions").paginate(Bucket=cloud.bucket.bucket):
        for member in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            found.setdefault(member["Key"], []).append(member["VersionId"])
    return found


def test_requests_are_counted_and_shown(cloud: Cloud) -> None:
    """Places that lie close together share listings, and their keys share deletes."""
    marked = cloud.cli.json("mark", "--catalog", cloud.catalog.url, "--no-grace", "--out", cloud.plan)
    assert 0 < marked["requests"]["list"] < 10
    swept = cloud.cli.json("sweep", cloud.plan, "--yes", "--catalog", cloud.catalog.url)
    assert 0 < swept["requests"]["list"] < 10
    assert 0 < swept["requests"]["delete"] < 5
    assert any("ignores conditions in a delete" in remark for remark in swept["remarks"]), "moto does"
