"""Credentials taken out of a text before anyone sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

Scrub = Callable[[str], str]
"""Takes the credentials out of a text."""

_URL = re.compile(r"(\w+://)(?:[^/\s@]*@)?([^/\s?#'\"<>]*)[^\s'\"<>]*")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+")


def scrubber(secrets: Callable[[], Iterable[str]]) -> Scrub:
    """A function that removes *secrets*, asked for anew at each call, what looks like a credential, and all of a URL but
    its scheme and host."""

    def scrub(text: str) -> str:
        for secret in _forms(secrets()):
            text = text.replace(secret, "***")
        return _BEARER.sub(r"\1 ***", _URL.sub(_host, text))

    return scrub


def _host(url: re.Match[str]) -> str:
    return url[0] if url[1] in _PLACES else f"{url[1]}{url[2]}"


_PLACES = frozenset({"s3://", "gs://", "az://", "abfs://", "abfss://"})
"""These name a bucket and a key, which are what a message is about."""


def _forms(secrets: Iterable[str]) -> list[str]:
    # As they are, as a URL and as JSON hold them; the longest first, so that no part of one is left.
    forms = {
        form
        for secret in secrets
        if secret
        for form in (secret, quote(secret), quote(secret, safe=""), secret.replace("\n", "\\n"))
    }
    return sorted(forms, key=len, reverse=True)
