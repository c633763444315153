"""``mysql://`` URLs as ZenML writes them: user, password, host, database, and TLS by ``ssl_*`` parameters.

Source: ``SqlZenStoreConfiguration`` in ``zenml/zen_stores/sql_zen_store.py`` of 0.98.0. A password is never shown.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from marksweep.errors import UsageError

TLS = ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_server_cert")
"""Parameters that ZenML allows, in the URL or as ``ZENML_STORE_SSL…`` variables."""
_FILES = ("ssl_ca", "ssl_cert", "ssl_key")
ANSWER_SECONDS = 300
"""How long to wait for the answer to a statement before the connection counts as lost."""
_LOGIN = re.compile(r"[^:]*://[^:/]*(?::[^@]*)?@(.*)", re.DOTALL)
"""What SQLAlchemy takes for user and password, and the rest."""
_PEM = "-----BEGIN "
_EXAMPLE = "give mysql://USER:PASSWORD@HOST:3306/DATABASE, or set ZENML_STORE_URL and its kin"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a MySQL or MariaDB server is and how to log in; only ``shown`` may be printed."""

    shown: str
    database: str
    arguments: Mapping[str, Any] = field(repr=False)
    """For ``pymysql.connect``."""


def address(url: str) -> Address:
    """Read *url*; raise UsageError for what ZenML would not take either, without repeating the URL."""
    parsed = _parsed(url)
    if parsed.drivername not in ("mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"):
        raise UsageError(f"the catalog URL has the driver {parsed.drivername!r}", "use mysql:// or mysql+pymysql://")
    for what, value in (("host", parsed.host), ("user", parsed.username), ("database", parsed.database)):
        if not value:
            raise UsageError(f"the catalog URL names no {what}", _EXAMPLE)
    host, port, database = str(parsed.host), parsed.port or 3306, str(parsed.database)
    arguments: dict[str, object] = {
        "host": host,
        "port": port,
        "user": parsed.username,
        "password": parsed.password or os.environ.get("MARKSWEEP_MYSQL_PASSWORD", ""),
        "database": database,
        "charset": "utf8mb4",
        "autocommit": True,
        "program_name": "marksweep",
        "connect_timeout": 10,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": 60,
    }
    parameters = {name: value if isinstance(value, str) else value[0] for name, value in parsed.query.items()}
    if unknown := sorted(parameters.keys() - set(TLS)):
        raise UsageError(
            f"the catalog URL has the parameter {unknown[0]!r}", f"ZenML and marksweep take {', '.join(TLS)}"
        )
    arguments.update(_tls(parameters))
    shown = f"{database} on {host}:{port}"
    return Address(shown, database, arguments)


def configured(url: str, settings: Mapping[str, str]) -> str:
    """*url* with what ZenML's other settings of a store add to it; what stands in the URL itself goes before them.

    Raises UsageError for a URL that cannot be read, and for a login without a password.
    """
    if settings.get("auth_mode", "password") != "password":
        raise UsageError(
            f"ZenML logs in to the catalog by {settings['auth_mode']!r}, which marksweep cannot",
            "give a user with a password: --catalog mysql://USER:PASSWORD@HOST:3306/DATABASE",
        )
    parsed = _parsed(url)
    given = {name: settings[name] for name in TLS if settings.get(name)}
    return parsed.set(
        username=parsed.username or settings.get("username") or None,
        password=parsed.password or settings.get("password") or None,
        database=parsed.database or settings.get("database") or None,
        query={**given, **parsed.query},
    ).render_as_string(hide_password=False)


def _parsed(url: str) -> sa.URL:
    """Whatever stands behind the first ``@`` after the user is shown to people: it must not be the rest of a password."""
    login = _LOGIN.fullmatch(url)
    if login and "@" in login[1]:
        raise UsageError(
            "the catalog URL has an '@' in its password, or behind its host", "write it as %40, and a '/' as %2F"
        )
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise UsageError("the catalog URL cannot be read", _EXAMPLE) from None


def _tls(parameters: Mapping[str, str]) -> dict[str, object]:
    """As in ZenML any certificate asks for TLS. The server's own is checked if an authority is given, its name if asked."""
    pems = {name: _pem(name, value) for name in _FILES if (value := parameters.get(name))}
    verify = _truth(parameters.get("ssl_verify_server_cert"))
    if not pems and not _truth(parameters.get("ssl")) and not verify:
        return {}
    try:
        context = ssl.create_default_context(cadata=pems.get("ssl_ca"))
        context.check_hostname = verify
        context.verify_mode = ssl.CERT_REQUIRED if verify or "ssl_ca" in pems else ssl.CERT_NONE
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the authorities that MySQL makes for itself do not pass it
        if "ssl_cert" in pems:
            with tempfile.NamedTemporaryFile("w", prefix="marksweep-") as chain:  # for this user's eyes only
                chain.write(pems["ssl_cert"] + "\n" + pems.get("ssl_key", ""))
                chain.flush()
                context.load_cert_chain(chain.name)
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(
            f"the catalog's certificates cannot be used: {error}", "check what ssl_ca, ssl_cert and ssl_key name"
        ) from None
    return {"ssl": context}


def _pem(name: str, value: str) -> str:
    """ZenML takes a file's path or what is in it."""
    if value.lstrip().startswith(_PEM):
        return value
    try:
        return Path(value).read_text(encoding="ascii")
    except (OSError, ValueError):
        raise UsageError(
            f"the catalog's {name} is not a file that can be read", "give the path of a PEM file for it"
        ) from None


def _truth(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "true", "t", "yes", "y", "on")
