"""What an S3 client is made with: the catalog's options under ``--store-options``, and what must stay secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from marksweep.errors import StoreRefused

Scrub = Callable[[str], str]
"""Takes the credentials out of a text."""

_CLIENT = {
    "endpoint_url": "endpoint_url",
    "region": "region_name",
    "region_name": "region_name",
    "key": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "token": "aws_session_token",
}
"""Option as people write it -> argument of the botocore client."""

_SESSION = ("profile", "anon")
_NESTED = ("client_kwargs", "config_kwargs")
_SECRET = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_ENVIRONMENT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_USER_IN_URL = re.compile(r"(?<=//)[^/\s@]+@")

KNOWN = frozenset((*_CLIENT, *_SESSION, *_NESTED))
"""The options that ``--store-options`` may hold for an S3 store."""


def filesystem_arguments(layers: Sequence[Mapping[str, object]], connections: int) -> dict[str, Any]:
    """Arguments for ``s3fs.S3FileSystem``: *layers* of options, the last (what the user says) wins; then our own defaults.

    Credentials that neither names are found by botocore: the environment, the profile, the instance. Raises
    StoreRefused for an unknown override or a malformed one.
    """
    unknown = sorted(set(layers[-1]) - KNOWN)
    if unknown:
        raise StoreRefused(
            f"unknown store options for S3: {', '.join(unknown)}", f"Use only: {', '.join(sorted(KNOWN))}."
        )
    client: dict[str, object] = {}
    config: dict[str, object] = {}
    session: dict[str, object] = {}
    for layer in layers:
        client |= _mapping(layer, "client_kwargs")
        client |= {_CLIENT[name]: value for name, value in layer.items() if name in _CLIENT and value is not None}
        config |= _mapping(layer, "config_kwargs")
        session |= {name: layer[name] for name in _SESSION if layer.get(name) is not None}
    # botocore's own: 10 connections, and retries that nobody sees. Who throttles us, and for how long, is ours to know.
    config.setdefault("max_pool_connections", connections)
    config.setdefault("parameter_validation", False)  # of thousands of keys, that are made here and nowhere else
    config.setdefault("retries", {"mode": "standard", "total_max_attempts": 1})
    return {**session, "client_kwargs": client, "config_kwargs": config}


def scrubber(arguments: Mapping[str, Any]) -> Scrub:
    """A function that removes the credentials in *arguments* and in the environment from a text."""
    client: Mapping[str, object] = arguments["client_kwargs"]
    secrets = _forms(
        [str(client[name]) for name in _SECRET if client.get(name)]
        + [os.environ[name] for name in _ENVIRONMENT if os.environ.get(name)]
    )

    def scrub(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return _USER_IN_URL.sub("***@", text)

    return scrub


def _forms(secrets: Iterable[str]) -> list[str]:
    # As they are and as a URL holds them; the longest first, so that no part of one is left.
    forms = {form for secret in secrets for form in (secret, quote(secret), quote(secret, safe=""))}
    return sorted(forms, key=len, reverse=True)


def _mapping(layer: Mapping[str, object], name: str) -> dict[str, object]:
    value = layer.get(name) or {}
    if isinstance(value, str):  # ZenML accepts a JSON text here
        try:
            value = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            value = None
    if not isinstance(value, Mapping):
        raise StoreRefused(
            f"the store option {name} is not a mapping", f"Write {name} as a mapping of names to values."
        )
    return {str(key): entry for key, entry in value.items()}
