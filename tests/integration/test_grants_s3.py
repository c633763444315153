"""The policy that ``marksweep grants`` prints is enough on a server that enforces policies: SeaweedFS, with its IAM."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli
from tests.support.seaweed import ACCESS_KEY, ENVIRONMENT, REGION, SECRET_KEY, SeaweedServer
from tests.support.zenml_database import editing

ROOT = "zenml"


@dataclass
class Bucket:
    """A catalog whose default store is a bucket, and two users of that: the server's admin, and one with a policy alone."""

    server: SeaweedServer
    name: str
    catalog: RealCatalog
    cli: Cli
    plan: Path
    keys: Mapping[str, str]

    @property
    def admin(self) -> Any:
        return self.server.client()

    def there(self) -> set[str]:
        """Every key in the bucket."""
        return {found["Key"] for found in self.admin.list_objects_v2(Bucket=self.name).get("Contents", ())}

    def mark(self, *options: object) -> None:
        self.cli.done("mark", "--catalog", self.catalog.url, "--no-grace", "--quiet", "--out", self.plan, *options)

    def policy(self, *options: object) -> dict[str, Any]:
        """The policy of the bucket, of those that ``grants`` prints."""
        stores = self.cli.json("grants", self.plan, *options)["stores"]
        (found,) = [store for store in stores if store["kind"] == "s3"]
        return dict(found)

    def allow(self, policy: Mapping[str, Any]) -> None:
        """Let the user with the policy do this, and nothing else."""
        self._iam().put_user_policy(UserName=self.name, PolicyName="least", PolicyDocument=json.dumps(policy))

    def _iam(self) -> Any:
        return boto3.client(
            "iam", endpoint_url=self.server.url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
        )  # fmt: skip

    def user(self) -> Any:
        """A client of the user with the policy."""
        return boto3.client(
            "s3", endpoint_url=self.server.url, aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"], region_name=REGION,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )  # fmt: skip

    @property
    def least(self) -> Cli:
        """marksweep with that user's credentials."""
        return self.cli.with_environ(**self.keys)


@pytest.fixture
def bucket(seaweed: SeaweedServer, cli: Cli, tmp_path: Path) -> Iterator[Bucket]:
    catalog = unpacked("0.98.0", tmp_path)
    name = f"least-{uuid.uuid4().hex[:12]}"
    admin = seaweed.client()
    admin.create_bucket(Bucket=name)
    admin.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    folder = next(path for path in catalog.store_roots if path.parent.name == "local_stores")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            admin.put_object(Bucket=name, Key=f"{ROOT}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())
    admin.put_object(Bucket=name, Key="other/secret", Body=b"x")
    place = f"s3://{name}/{ROOT}"
    options = base64.b64encode(json.dumps({"path": place, "client_kwargs": {"endpoint_url": seaweed.url}}).encode())
    with editing(catalog.database) as database:
        for table in ("artifact_version", "artifact_visualization"):
            database.execute(f"UPDATE {table} SET uri = replace(uri, ?, ?)", (str(folder), place))
        database.execute(
            "UPDATE stack_component SET flavor = 's3', configuration = ?"
            " WHERE type = 'artifact_store' AND name = 'default'",
            (options,),
        )
    iam = boto3.client(
        "iam", endpoint_url=seaweed.url, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
    )  # fmt: skip
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {**ENVIRONMENT, "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    yield Bucket(seaweed, name, catalog, cli.with_environ(**ENVIRONMENT), tmp_path / "plan.json", keys)
    iam.delete_user_policy(UserName=name, PolicyName="least")
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)


def test_the_policy_of_a_plan_is_enough_and_each_part_of_it_is_needed(bucket: Bucket) -> None:
    """A sweep with it deletes what the plan says; without listing nothing is deleted; it allows no key beside the entries."""
    bucket.mark("--artifact", "tagged_*", "--artifact", "external*")
    found = bucket.policy()
    assert found["scope"] == "entries"
    before = bucket.there()
    _, look, delete = found["policy"]["Statement"]
    sweep = ("sweep", bucket.plan, "--yes", "--catalog", bucket.catalog.url)

    bucket.allow({"Version": "2012-10-17", "Statement": [look, delete]})
    blind = bucket.least.json(*sweep, status=12)
    assert (blind["books"]["failed"], blind["books"]["objects"]) == (blind["books"]["planned"], 0)
    assert {line["code"] for line in blind["lines"]} == {"listing"}
    assert bucket.there() == before

    bucket.allow(found["policy"])
    client = bucket.user()
    living = next(key for key in sorted(before) if "model_only_weights" in key)
    for refused in (
        lambda: client.list_objects_v2(Bucket=bucket.name, Prefix="other/"),
        lambda: client.list_object_versions(Bucket=bucket.name, Prefix=f"{ROOT}/"),
        lambda: client.delete_object(Bucket=bucket.name, Key=living),
        lambda: client.put_object(Bucket=bucket.name, Key=living, Body=b""),
        lambda: client.get_object(Bucket=bucket.name, Key=living),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden"):
            refused()
    swept = bucket.least.json(*sweep)
    assert swept["books"]["deleted"] == swept["books"]["planned"] > 0
    assert len(before - bucket.there()) == swept["books"]["objects"] > 0

    back = bucket.policy("--for", "restore")
    restore = ("restore", bucket.plan, "--yes", "--catalog", bucket.catalog.url)
    assert bucket.least(*restore).status != 0, "who may sweep may not restore"
    bucket.allow(back["policy"])
    assert bucket.least(*restore).status == 0
    assert bucket.there() == before


def test_above_a_few_entries_deletes_are_limited_to_the_root(bucket: Bucket) -> None:
    """All orphans of the catalog are too many for a policy of places: the root's is enough, and reaches no further."""
    bucket.admin.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Suspended"})
    bucket.mark()
    found = bucket.policy()
    assert found["scope"] == "root"
    bucket.allow(found["policy"])
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.user().delete_object(Bucket=bucket.name, Key="other/secret")
    swept = bucket.least.json("sweep", bucket.plan, "--yes", "--catalog", bucket.catalog.url)
    assert swept["books"]["deleted"] == swept["books"]["planned"] > 20
    assert "other/secret" in bucket.there()
