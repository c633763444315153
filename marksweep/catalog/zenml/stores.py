"""The artifact stores that a ZenML catalog configures: roots and client options, never credentials."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

import msgspec
import sqlalchemy as sa

from marksweep.catalog.zenml import known
from marksweep.catalog.zenml.schema import Schema
from marksweep.errors import CatalogNotUnderstood
from marksweep.model.version import ArtifactStore

_OPTIONS = ("client_kwargs", "config_kwargs", "s3_additional_kwargs", "region")
_SECRETS = ("key", "secret", "token", "password", "credential", "account_key", "connection_string", "sas")


def artifact_stores(connection: sa.Connection, schema: Schema, local_stores: Path | None) -> dict[str, ArtifactStore]:
    """Every artifact store by id. *local_stores*: where stores without a path of their own lie (ZenML's local stores path)."""
    component = schema.table("stack_component")
    query = sa.select(component.c.id, component.c.name, component.c.flavor, component.c.configuration)
    found = {}
    for row_id, name, flavor, blob in connection.execute(query.where(component.c.type == "artifact_store")).fetchall():
        shown = known.dashed(str(row_id))
        configuration = _decode(blob, str(name))
        path = str(configuration.get("path") or "")
        if not path and flavor == "local":
            path = str(local_stores / shown) if local_stores is not None else ""
        options = {k: _without_secrets(configuration[k]) for k in _OPTIONS if configuration.get(k)}
        found[shown] = ArtifactStore(shown, str(name), str(flavor), path, options)
    return found


def _decode(blob: object, name: str) -> dict[str, object]:
    try:
        raw = base64.b64decode(blob if isinstance(blob, bytes | str) else b"", validate=True)
        return msgspec.json.decode(raw, type=dict[str, object]) if raw else {}
    except (binascii.Error, msgspec.MsgspecError):
        raise CatalogNotUnderstood(
            f"the configuration of artifact store {name!r} is not base64 of a JSON object",
            "look at it with `zenml artifact-store describe`; register the store again if it is damaged",
        ) from None


def _without_secrets(value: object) -> object:
    if isinstance(value, Mapping):
        return {
            k: _without_secrets(v) for k, v in value.items() if not any(word in str(k).lower() for word in _SECRETS)
        }
    return value
