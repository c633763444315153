"""What a bucket or container has to allow for one plan: an IAM policy for S3, roles and bindings for GCS, a role for Azure.

Sources: Amazon's *Actions, resources, and condition keys for Amazon S3* and *IAM policy elements: variables* (``${*}``);
Google's *IAM permissions for JSON methods* and *IAM conditions: resource and API attributes*; Microsoft's *Actions and
attributes for Azure role assignment conditions for Azure Blob Storage*. The requests are those of ``marksweep.store``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marksweep.catalog.rights import Purpose
from marksweep.model.store import Undo
from marksweep.model.uri import Location
from marksweep.plan.document import StoreFacts
from marksweep.report.grants_documents import StoreGrants

PROBE = ".marksweep-probe-"
"""Begins the name of the key, which never exists, with which a sweep tries conditions in a delete (``store.s3``)."""
_ROOT = "Deletes are limited to the store's root: the plan has more entries than fit into a policy."
_PURGE = "--all-versions: every version of an object goes, and no right brings it back."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done below *root*. *exact*: the places of the plan's entries there, or None if they are too many."""

    root: Location
    purpose: Purpose
    undo: Undo
    all_versions: bool
    exact: tuple[Location, ...] | None

    @property
    def folder(self) -> str:
        """What the key of everything below the root begins with; empty if the root is the whole bucket."""
        return f"{self.root.path}/" if self.root.segments else ""

    @property
    def irrecoverable(self) -> str | None:
        """Why nothing can be restored here, if so."""
        if self.all_versions:
            return f"{_PURGE} There is nothing to restore."
        return "The plan says of this store that a delete cannot be undone." if self.undo is Undo.NONE else None


def s3(facts: StoreFacts, wanted: Wanted) -> StoreGrants:
    """An identity policy. Listings are of the whole root: neighbours share requests, and a canary looks beside."""
    bucket = f"arn:aws:s3:::{_no_wildcards(wanted.root.bucket)}"
    below = _no_wildcards(wanted.folder)
    lists = ["s3:ListBucketVersions" if wanted.all_versions else "s3:ListBucket"]
    if wanted.purpose is Purpose.RESTORE:
        lists = ["s3:ListBucket", "s3:ListBucketVersions"]  # what is there now, and what a marker hides
    listing: dict[str, Any] = {
        "Sid": "List", "Effect": "Allow",
        "Action": lists, "Resource": bucket,
    }  # fmt: skip
    if below:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{below}*"]}}
    versioning = {"Sid": "Look", "Effect": "Allow", "Action": ["s3:GetBucketVersioning"], "Resource": bucket}
    statements, notes, scope = [listing, versioning], list[str](), "root"
    exact = wanted.exact if wanted.purpose is Purpose.SWEEP else None
    if wanted.purpose is Purpose.SWEEP:
        conditional = not wanted.all_versions and wanted.undo is Undo.NONE
        resources = [f"{bucket}/{below}*"]
        if exact is not None:
            scope = "entries"
            paths = [_no_wildcards(place.path) for place in exact]
            resources = [f"{bucket}/{path}{end}" for path in paths for end in ("", "/*")]
            resources += [f"{bucket}/{below}{PROBE}*"] if conditional else []
        else:
            notes.append(_ROOT)
        actions = ["s3:DeleteObjectVersion" if wanted.all_versions else "s3:DeleteObject"]
        if conditional:
            actions.append("s3:GetObject")
            notes.append("s3:GetObject lets S3 compare the ETag of what it deletes; marksweep reads no object.")
        statements.append({"Sid": "Delete", "Effect": "Allow", "Action": actions, "Resource": resources})
    elif wanted.purpose is Purpose.RESTORE:
        notes += [wanted.irrecoverable] if wanted.irrecoverable else []
        actions = ["s3:DeleteObjectVersion"]
        notes.append(
            "s3:DeleteObjectVersion takes delete markers away. It could delete versions, too: give it for an hour."
        )
        statements.append({"Sid": "Undo", "Effect": "Allow", "Action": actions, "Resource": [f"{bucket}/{below}*"]})
    notes += [_PURGE] if wanted.all_versions and wanted.purpose is Purpose.SWEEP else []
    return _grants(facts, "s3", scope, {"Version": "2012-10-17", "Statement": statements}, notes)


def gcs(facts: StoreFacts, wanted: Wanted) -> StoreGrants:
    """Custom roles, and bindings of the bucket with conditions, which need uniform bucket-level access."""
    bucket, below = wanted.root.bucket, wanted.folder
    objects = f"projects/_/buckets/{bucket}/objects/{below}"
    listed = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith'
    notes = ["Conditions need uniform bucket-level access. Nothing here could be run against Google itself."]
    roles: list[tuple[str, list[str], str | None]] = [("marksweepLook", ["storage.buckets.get"], None)]
    roles.append(("marksweepList", ["storage.objects.list"], f"{listed}({json.dumps(below)})" if below else None))
    within = f"resource.name.startsWith({json.dumps(objects)})"
    if wanted.purpose is Purpose.SWEEP:
        roles.append(("marksweepDelete", ["storage.objects.delete"], within))
        notes += [_PURGE] if wanted.all_versions else []
    elif wanted.purpose is Purpose.RESTORE:
        notes += [wanted.irrecoverable] if wanted.irrecoverable else []
        actions = ["storage.objects.restore"] if wanted.undo is Undo.SOFT_DELETE else ["storage.objects.get"]
        if wanted.undo is Undo.UNKNOWN:
            actions.append("storage.objects.restore")
        roles.append(("marksweepRestore", [*actions, "storage.objects.create"], within))
    bindings = []
    for name, _, expression in roles:
        binding: dict[str, Any] = {
            "role": f"projects/PROJECT/roles/{name}", "members": ["serviceAccount:ACCOUNT@PROJECT.iam.gserviceaccount.com"],
        }  # fmt: skip
        if expression is not None:
            binding["condition"] = {"title": name, "expression": expression}
        bindings.append(binding)
    made = [{"name": f"projects/PROJECT/roles/{name}", "includedPermissions": allowed} for name, allowed, _ in roles]
    return _grants(facts, "gcs", "root", {"roles": made, "bindings": bindings}, notes)


_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"


def azure(facts: StoreFacts, wanted: Wanted) -> StoreGrants:
    """A custom role for the container, and the condition of its assignment."""
    actions = ["read"]
    notes = ["Nothing here could be run against Azure itself: the emulator asks no role."]
    if wanted.purpose is Purpose.SWEEP:
        actions.append("delete")
        if wanted.all_versions:
            actions.append("deleteBlobVersion/action")
            notes.append(_PURGE)
    elif wanted.purpose is Purpose.RESTORE:
        notes += [wanted.irrecoverable] if wanted.irrecoverable else []
        actions.append("write")
    container = (
        "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/ACCOUNT"
        f"/blobServices/default/containers/{wanted.root.bucket}"
    )
    role = {
        "Name": f"marksweep {wanted.purpose}", "IsCustom": True, "Description": f"marksweep {wanted.purpose}",
        "Actions": [], "DataActions": [f"{_BLOBS}/{action}" for action in actions],
        "AssignableScopes": ["/subscriptions/SUBSCRIPTION"],
    }  # fmt: skip
    policy: dict[str, Any] = {"role": role, "scope": container}
    if wanted.folder:
        policy |= {"condition": _condition(actions, wanted.folder), "conditionVersion": "2.0"}
    return _grants(facts, "azure", "root", policy, notes)


def _condition(actions: Sequence[str], folder: str) -> str:
    begins = f"StringStartsWith '{folder.replace(chr(39), chr(39) * 2)}'"
    read = f"ActionMatches{{'{_BLOBS}/read'}}"
    listing = "SubOperationMatches{'Blob.List'}"
    clauses = [
        f"(!({read} AND {listing}) OR (@Request[{_BLOBS}:prefix] {begins}))",
        f"(!({read} AND NOT {listing}) OR (@Resource[{_BLOBS}:path] {begins}))",
    ]
    clauses += [
        f"(!(ActionMatches{{'{_BLOBS}/{action}'}}) OR (@Resource[{_BLOBS}:path] {begins}))" for action in actions[1:]
    ]
    return " AND ".join(clauses)


def _no_wildcards(text: str) -> str:
    """*text* so that IAM takes each of its characters for itself."""
    return re.sub(r"[*?$]", lambda found: f"${{{found[0]}}}", text)


def _grants(facts: StoreFacts, kind: str, scope: str, policy: dict[str, Any], notes: Sequence[str]) -> StoreGrants:
    return StoreGrants(
        root=facts.root, flavor=facts.flavor, kind=kind, scope=scope, policy=policy, lines=(), notes=tuple(notes)
    )
