"""What an S3 client raises, told as a fact and a remedy, without credentials."""

from __future__ import annotations

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
)
from botocore.parsers import ResponseParserError

from marksweep.errors import StoreRefused
from marksweep.store.s3_options import Scrub

EXPECTED: tuple[type[Exception], ...] = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
    UnicodeError,
)
"""What a request can raise without there being a bug in marksweep. A timeout is an OSError."""

UNOPENED: tuple[type[Exception], ...] = (*EXPECTED, TypeError, ValueError)
"""What making a client can raise besides: an argument that botocore does not know, an endpoint that is no URL."""

DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden", "403"})
"""Codes of a server that knows us and says no."""

_REMEDIES = {
    "NoSuchBucket": "Check the artifact store's path and its endpoint_url: this server has no such bucket.",
    "InvalidAccessKeyId": "Check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and the endpoint_url.",
    "SignatureDoesNotMatch": "Check the secret key, the region and the clock of this machine.",
    "ExpiredToken": "Log in again: the session token has expired.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
    NoCredentialsError.__name__: "Give credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    ProfileNotFound.__name__: "Name a profile that `aws configure list-profiles` shows.",
    EndpointConnectionError.__name__: "Check that the endpoint_url can be reached from this machine.",
}
_DENIED = "Allow s3:ListBucket, s3:GetBucketVersioning and s3:DeleteObject on this bucket to these credentials."
_ELSE = "Try `aws s3api list-objects-v2` with the same bucket, endpoint and credentials."


def code_of(error: Exception) -> str:
    """The server's error code, or the name of the exception where no server answered."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or type(error).__name__)
    return type(error).__name__


def explain(error: Exception, scrub: Scrub) -> tuple[str, str]:
    """Code and message of *error*."""
    return code_of(error), scrub(str(error)) or "no reason given"


def refusal(place: str, error: Exception, scrub: Scrub) -> StoreRefused:
    """The StoreRefused to raise (``from None``: the exception itself may hold credentials)."""
    code, message = explain(error, scrub)
    remedy = _DENIED if code in DENIED else _REMEDIES.get(code, _ELSE)
    return StoreRefused(f"{scrub(place)} cannot be used: {message} ({code})", remedy)
