"""What gcsfs is made with: the catalog's options under ``--store-options``, and what must stay secret."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from marksweep.errors import StoreRefused

METHODS = frozenset({"google_default", "cloud", "cache", "anon"})
"""Values of ``token`` that name a way to find credentials, and are no credentials."""
KNOWN = frozenset({"endpoint_url", "project", "requester_pays", "session_kwargs", "token"})
"""The options that ``--store-options`` may hold for a Google Cloud Storage store."""

_FROM_CATALOG = ("endpoint_url", "project", "requester_pays")
_SECRET = frozenset(
    {"private_key", "private_key_id", "refresh_token", "client_secret", "access_token", "token", "password"}
)
_TOKEN_REMEDY = "Write a key file's path, its content as a mapping, an access token, or one of: " + ", ".join(
    sorted(METHODS)
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a bucket is reached. ``token`` is a way of finding credentials, a file, an access token, or a key's fields."""

    token: str | Mapping[str, object] = field(repr=False)
    endpoint_url: str | None
    user_project: str | None
    session_kwargs: Mapping[str, object] = field(repr=False)

    def secrets(self) -> Iterable[str]:
        """What must not be shown."""
        if isinstance(self.token, str):
            if self.token not in METHODS and not Path(self.token).is_file():
                yield self.token
        else:
            yield from _secrets(self.token)
        yield from _secrets(self.session_kwargs)


def read_options(options: Mapping[str, object], overrides: Mapping[str, object]) -> Options:
    """*options* of the catalog (no credentials among them), then *overrides*. Raises StoreRefused."""
    unknown = sorted(set(overrides) - KNOWN)
    if unknown:
        raise StoreRefused(
            f"unknown store options for Google Cloud Storage: {', '.join(unknown)}",
            f"Use only: {', '.join(sorted(KNOWN))}.",
        )
    chosen = {name: options[name] for name in _FROM_CATALOG if options.get(name) is not None}
    chosen |= {name: value for name, value in overrides.items() if value is not None}
    endpoint = _text(chosen, "endpoint_url")
    session = chosen.get("session_kwargs") or {}
    if not isinstance(session, Mapping):
        raise StoreRefused("the store option session_kwargs is not a mapping", "Write a mapping of names to values.")
    return Options(
        _token(chosen.get("token"), endpoint),
        endpoint.rstrip("/") if endpoint else None,
        _user_project(chosen),
        {str(name): value for name, value in session.items()},
    )


def _token(token: object, endpoint: str | None) -> str | Mapping[str, object]:
    if token is None:
        # Nobody's own credentials are sent to an emulator, or anywhere unencrypted, unless somebody says so.
        place = endpoint or os.environ.get("STORAGE_EMULATOR_HOST") or "https://"
        return "google_default" if place == "default" or place.startswith("https://") else "anon"
    if isinstance(token, Mapping):
        return {str(name): value for name, value in token.items()}
    if not isinstance(token, str) or not token:
        raise StoreRefused("the store option token is neither text nor a mapping", _TOKEN_REMEDY)
    if token in METHODS:
        return token
    if token.endswith(".json") or token.startswith(("~", "./", "../")):
        path = Path(token).expanduser()
        if not path.is_file():  # gcsfs would take its name for an access token, and send it
            raise StoreRefused("the store option token names a file that is not there", _TOKEN_REMEDY)
        return str(path)
    return token


def _user_project(chosen: Mapping[str, object]) -> str | None:
    pays = chosen.get("requester_pays") or False
    if isinstance(pays, str):
        return pays
    if not isinstance(pays, bool):
        raise StoreRefused("the store option requester_pays is neither true nor a project", "Write the project's name.")
    project = _text(chosen, "project")
    if pays and not project:
        raise StoreRefused("requester_pays is set, but not who pays", "Name the project: requester_pays or project.")
    return project if pays else None


def _text(chosen: Mapping[str, object], name: str) -> str | None:
    value = chosen.get(name)
    if value is not None and not isinstance(value, str):
        raise StoreRefused(f"the store option {name} is not text", f"Write {name} as text.")
    return value or None


def _secrets(values: Mapping[str, object]) -> Iterable[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _secrets({str(key): each for key, each in value.items()})
        elif name in _SECRET and isinstance(value, str):
            yield value
