"""The least rights of a plan: what no server here can enforce, and what a hostile name must not widen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from marksweep.catalog.rights import Purpose
from marksweep.catalog.zenml.rights import rights
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.document import CardHeader, CatalogFacts, Header, PlanFacts, StoreFacts, Totals
from marksweep.report.grants import grants
from marksweep.report.grants_documents import GrantsResult

ROWS = {
    "artifact_version": 9,
    "step_run_input_artifact": 1,
    "step_run_output_artifact": 1,
    "model_versions_artifacts": 0,
}

NEWEST_ROWS = {**ROWS, "pipeline_run_output": 1, "hook_invocation_output_artifact": 0}
GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "restrict-permissions.md"


def header(
    root: str,
    *,
    mode: Mode = Mode.BOTH,
    undo: Undo = Undo.NONE,
    dialect: str = "mysql",
    release: str = "0.98.0",
    **policy: Any,
) -> Header:
    return Header(
        plan=PlanFacts(
            id="01", created="2026-11-21T09:00:00Z", expires="2026-12-05T09:00:00Z", tool="marksweep", mode=mode, limits=""
        ),
        catalog=CatalogFacts(
            kind="zenml", server_id="s", schema=release, release=release, dialect=dialect, instance="sha256:0", rows=ROWS
        ),
        policy=Policy(**policy),
        stores=(StoreFacts(root=root, flavor="s3", undo=undo),),
        totals=Totals(entries=1, objects=1, bytes=1, versions_in_catalog=9, kept={}),
        groups=(),
        entries_sha256="sha256:" + "0" * 64,
    )  # fmt: skip


def told(
    found: Header,
    purpose: Purpose = Purpose.SWEEP,
    places: list[str] | None = None,
    user: str = "u",
    database: str = "zenml",
) -> GrantsResult:
    catalog = found.catalog
    needed = rights(purpose, found.plan.mode, found.policy, catalog.release, catalog.dialect, catalog.rows)
    return grants("plan.json", "sha256:0", found, purpose, needed, places, user, database)


def statements(found: GrantsResult) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in found.stores[0].policy["Statement"]}


def test_a_wildcard_in_a_key_is_no_wildcard_in_a_policy() -> None:
    """IAM reads ``*`` and ``?`` in a resource; a version named so must not open its neighbours."""
    found = statements(told(header("s3://b/z*"), places=["s3://b/z*/runs/?/$x"]))
    assert found["Delete"]["Resource"][:2] == [
        "arn:aws:s3:::b/z${*}/runs/${?}/${$}x",
        "arn:aws:s3:::b/z${*}/runs/${?}/${$}x/*",
    ]
    assert found["List"]["Condition"] == {"StringLike": {"s3:prefix": ["z${*}/*"]}}


@pytest.mark.parametrize(
    ("undo", "policy", "actions", "listing"),
    [
        (Undo.NONE, {}, ["s3:DeleteObject", "s3:GetObject"], ["s3:ListBucket"]),
        (Undo.VERSIONED, {}, ["s3:DeleteObject"], ["s3:ListBucket"]),
        (Undo.UNKNOWN, {}, ["s3:DeleteObject"], ["s3:ListBucket"]),
        (Undo.NONE, {"all_versions": True}, ["s3:DeleteObjectVersion"], ["s3:ListBucketVersions"]),
    ],
)
def test_versions_are_deleted_only_where_the_plan_says_so(
    undo: Undo, policy: dict[str, Any], actions: list[str], listing: list[str]
) -> None:
    """GetObject is for etags alone, which are compared only where nothing keeps versions."""
    found = statements(told(header("s3://b/zenml", undo=undo, **policy)))
    assert (found["Delete"]["Action"], found["List"]["Action"]) == (actions, listing)


def test_few_entries_are_named_and_the_probe_with_them() -> None:
    """The key with which conditions are tried lies at the root: without it no etag would be compared."""
    found = told(header("s3://b/zenml"), places=["s3://b/zenml/a/1/"])
    assert found.stores[0].scope == "entries"
    assert statements(found)["Delete"]["Resource"] == [
        "arn:aws:s3:::b/zenml/a/1", "arn:aws:s3:::b/zenml/a/1/*", "arn:aws:s3:::b/zenml/.marksweep-probe-*",
    ]  # fmt: skip


def test_a_mark_deletes_nothing_anywhere() -> None:
    """Its policy lists and looks, its SQL selects; a quote in a user's name stays in the name."""
    found = told(header("s3://b/zenml"), Purpose.MARK, user="o'neill@10.%")
    assert set(statements(found)) == {"List", "Look"}
    required = [line.statement for line in found.database if not line.optional]
    assert required == ["GRANT SELECT ON `zenml`.* TO 'o''neill'@'10.%';"]


def test_an_underscore_in_a_databases_name_opens_no_other_database() -> None:
    """For a whole database MySQL reads ``_`` and ``%`` as wildcards, for a table it does not."""
    found = [line.statement for line in told(header("s3://b/zenml"), database="ml_1`").database]
    assert found[0].startswith("GRANT SELECT ON `ml\\_1```.* ")
    assert any(line.startswith("GRANT INSERT, DELETE ON `ml_1```.`artifact_version` ") for line in found)


def test_only_metadata_needs_no_store_and_only_artifact_no_delete() -> None:
    """What a mode does not touch is not granted."""
    assert told(header("s3://b/zenml", mode=Mode.ONLY_METADATA)).stores == ()
    found = told(header("s3://b/zenml", mode=Mode.ONLY_ARTIFACT))
    assert not any("DELETE" in line.statement for line in found.database)


def test_older_releases_keep_metadata_in_another_table() -> None:
    """A grant on a table that is not there is an error: 0.70 has ``run_metadata``, 0.71 split it."""

    def tables(release: str) -> str:
        return " ".join(line.statement for line in told(header("s3://b/zenml", release=release)).database)

    assert "`run_metadata_resource`" in tables("0.71.0")
    assert "`run_metadata_resource`" not in tables("0.70.0")
    assert "`run_metadata`" in tables("0.70.0")
    assert "`pipeline_run_output`" not in tables("0.70.0")


def test_google_conditions_quote_the_root() -> None:
    """A quote in a root ends no string of the condition; deletes and listings begin with the root."""
    found = told(header('gs://b/z"x')).stores[0]
    conditions = {
        b["role"].rpartition("/")[2]: b.get("condition", {}).get("expression") for b in found.policy["bindings"]
    }
    quoted = json.dumps('projects/_/buckets/b/objects/z"x/')
    assert conditions["marksweepDelete"] == f"resource.name.startsWith({quoted})"
    assert conditions["marksweepList"].endswith('.startsWith("z\\"x/")')
    assert conditions["marksweepLook"] is None


def test_azures_condition_limits_every_action_to_the_root() -> None:
    """Reading, listing and deleting each have a clause; a quote in the root is doubled."""
    found = told(header("az://c/o'neill")).stores[0]
    assert [action.rpartition("/")[2] for action in found.policy["role"]["DataActions"]] == ["read", "delete"]
    assert found.policy["condition"].count("StringStartsWith 'o''neill/'") == 3
    assert found.policy["scope"].endswith("/blobServices/default/containers/c")


@pytest.mark.parametrize("root", ["s3://b", "gs://b", "az://b"])
def test_a_root_that_is_the_whole_bucket_has_no_prefix(root: str) -> None:
    """There is no condition that would refuse the listing."""
    policy = json.dumps(told(header(root)).stores[0].policy)
    assert "s3:prefix" not in policy
    assert "objectListPrefix" not in policy
    assert '"condition": "' not in policy


def test_the_entries_of_a_card_have_to_be_read() -> None:
    """They are in an object of their own, outside of the stores: the grants name it."""
    plain = header("s3://b/zenml")
    members = {name: getattr(plain, name) for name in plain.__struct_fields__}
    card = CardHeader(**members, entries_uri="s3://plans/november.entries", entries_bytes=7)
    assert any("s3://plans/november.entries, to read which" in note for note in told(card).notes)
    assert any("to write which" in note for note in told(card, Purpose.MARK).notes)


def test_what_cannot_be_restored_is_said() -> None:
    """Where a delete cannot be undone, the grants of a restore come with that word."""
    notes = " ".join(told(header("s3://b/zenml"), Purpose.RESTORE).stores[0].notes)
    assert "cannot be undone" in notes


def test_the_guide_shows_what_is_printed() -> None:
    """The SQL and the policy in restrict-permissions.md are those of a plan, comments and all."""
    made = header("s3://ml-artifacts/zenml")
    made = msgspec.structs.replace(made, catalog=msgspec.structs.replace(made.catalog, rows=NEWEST_ROWS))
    found = told(made, user="marksweep")
    shown = dict(re.findall(r"^```(sql|json)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL))
    lines = [f"-- {'if you can: ' * line.optional}{line.why}\n{line.statement}\n" for line in found.database]
    assert shown["sql"] == "".join(lines)
    assert json.loads(shown["json"]) == found.stores[0].policy
