"""What an Azure client is made with: ``--store-options`` over the environment, and what must stay secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from marksweep.errors import StoreRefused

Scrub = Callable[[str], str]
"""Takes the credentials out of a text."""

_SECRET = ("account_key", "sas_token", "connection_string", "client_secret")
_PLAIN = ("account_name", "account_host", "client_id", "tenant_id", "anon")
_ENVIRONMENT = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
)
_PARTS = re.compile(r"(?:AccountKey|SharedAccessSignature)=([^;]+)", re.IGNORECASE)
_SIGNATURE = re.compile(r"(?<=\bsig=)[^&\s\"']+", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(?<=//)[^/\s@]+@")

KNOWN = frozenset((*_SECRET, *_PLAIN))
"""The options that ``--store-options`` may hold for an Azure store: arguments of ``adlfs.AzureBlobFileSystem``."""


def filesystem_arguments(overrides: Mapping[str, object]) -> dict[str, Any]:
    """Arguments for ``adlfs.AzureBlobFileSystem``; what they do not name, adlfs finds in the environment.

    The catalog configures nothing but the path of an Azure store. Raises StoreRefused for an unknown override, and for an
    account beside a connection string in the environment: adlfs would take that one, which may be another account's.
    """
    unknown = sorted(set(overrides) - KNOWN)
    if unknown:
        raise StoreRefused(
            f"unknown store options for Azure: {', '.join(unknown)}", f"Use only: {', '.join(sorted(KNOWN))}."
        )
    arguments = {name: value for name, value in overrides.items() if value is not None}
    for name, value in arguments.items():
        if not isinstance(value, bool if name == "anon" else str):
            kind = "true or false" if name == "anon" else "a text"
            raise StoreRefused(f"the store option {name} is not {kind}", f"Write {name} as {kind}.")
    if "connection_string" not in arguments and os.environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        beaten = sorted({"account_name", "account_host"} & set(arguments))
        if beaten:
            raise StoreRefused(
                f"AZURE_STORAGE_CONNECTION_STRING is set and would win over the store option {beaten[0]}",
                "Unset it, or give connection_string in the store options.",
            )
    return arguments


def scrubber(arguments: Mapping[str, Any]) -> Scrub:
    """A function that removes the credentials in *arguments* and in the environment from a text."""
    given = [str(arguments[name]) for name in _SECRET if arguments.get(name)]
    given += [os.environ[name] for name in _ENVIRONMENT if os.environ.get(name)]
    parts = [part for secret in given for part in _PARTS.findall(secret)]
    # As they are and as a URL holds them; the longest first, so that no part of one is left.
    forms = {form for secret in given + parts for form in (secret, quote(secret), quote(secret, safe=""))}
    secrets = sorted((form.removeprefix("?") for form in forms), key=len, reverse=True)

    def scrub(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return _USER_IN_URL.sub("***@", _SIGNATURE.sub("***", text))

    return scrub
