"""What an Azure client raises, told as a fact and a remedy, without credentials."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import aiohttp
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from marksweep.errors import StoreRefused
from marksweep.store.azure_options import Scrub

EXPECTED: tuple[type[Exception], ...] = (AzureError, aiohttp.ClientError, OSError, ValueError)
"""What a request can raise without there being a bug in marksweep: a timeout is an OSError, an answer that cannot be read
(or a key that is not base64) a ValueError."""

UNOPENED: tuple[type[Exception], ...] = (*EXPECTED, TypeError, ImportError)
"""What making a client can raise besides; azure-identity may be missing."""

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that a later attempt may not meet again."""

SLOW_DOWN = frozenset({429, 503})
"""Statuses with which a server asks to come slower (ServerBusy, TooManyRequests)."""

UNKNOWN_TO_IT = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"})
"""Codes of a server that does not know us, which is no refusal of a key."""

_BROKEN = (ServiceRequestError, ServiceResponseError, DecodeError, aiohttp.ClientError, OSError)

_REMEDIES = {
    "ContainerNotFound": "Check the artifact store's path and the account: this account has no such container.",
    "AccountIsDisabled": "Enable the storage account, or take the store out of the catalog.",
    **dict.fromkeys(
        UNKNOWN_TO_IT,
        "Check the credentials (AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with _KEY or _SAS_TOKEN) and"
        " the clock of this machine.",
    ),
    "ClientAuthenticationError": "Log in (`az login`), or set AZURE_STORAGE_CONNECTION_STRING.",
    "CredentialUnavailableError": "Log in (`az login`), or set AZURE_STORAGE_CONNECTION_STRING.",
    "ServiceRequestError": "Check the account's name, and that its blob endpoint can be reached from this machine.",
    "ValueError": "Give an account: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and credentials for it.",
}
_DENIED = "Allow listing and deleting blobs: role Storage Blob Data Contributor, or a SAS with rights r, l and d."
_ELSE = "Try `az storage blob list` with the same account, container and credentials."


def status_of(error: Exception) -> int:
    """The HTTP status that *error* stands for; 0 where no server answered."""
    return int(error.status_code or 0) if isinstance(error, HttpResponseError) else 0


def code_of(error: Exception) -> str:
    """The server's error code, else its status, else the name of the exception."""
    code = getattr(error, "error_code", None)
    if code:
        return str(code.value if isinstance(code, enum.Enum) else code)
    return str(status_of(error) or type(error).__name__)


def is_slow_down(error: Exception) -> bool:
    """Whether the server asks to come slower."""
    return status_of(error) in SLOW_DOWN


def may_pass(error: Exception) -> bool:
    """Whether the same request may go well later: what is between us and the server failed, or the server itself."""
    return status_of(error) in PASSING or (isinstance(error, _BROKEN) and status_of(error) < 300)


def is_refusal(error: Exception) -> bool:
    """Whether the server knows us and says no."""
    return status_of(error) == 403 and code_of(error) not in UNKNOWN_TO_IT


def seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header asks to wait; null if it names no number of seconds."""
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        return None


def retry_after(error: Exception) -> float | None:
    """Seconds that the server asked to wait; null if it named none."""
    response = error.response if isinstance(error, HttpResponseError) else None
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    return seconds(headers.get("Retry-After"))


def explain(error: Exception, scrub: Scrub) -> tuple[str, str]:
    """Code and message of *error*; the lines with request ids and times below the message are left out."""
    lines = scrub(str(error)).splitlines()
    return code_of(error), lines[0] if lines and lines[0] else "no reason given"


def refusal(place: str, error: Exception, scrub: Scrub) -> StoreRefused:
    """The StoreRefused to raise (``from None``: the exception itself may hold credentials)."""
    code, message = explain(error, scrub)
    known = _REMEDIES.get(code) or _REMEDIES.get(type(error).__name__) or _ELSE
    return StoreRefused(f"{scrub(place)} cannot be used: {message} ({code})", _DENIED if is_refusal(error) else known)
