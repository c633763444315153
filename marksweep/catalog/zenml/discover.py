"""Where ZenML keeps its database: the same places, in the same order, as ZenML's own configuration looks.

Source: ``zenml/config/global_config.py`` and ``zenml/utils/io_utils.py`` of 0.98.0. Passwords pass through and are never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from platformdirs import user_config_path

from marksweep.catalog.zenml.mysql_url import configured as with_settings
from marksweep.errors import CatalogNotUnderstood, UsageError

LOCAL_STORES = "local_stores"
DEFAULT_DATABASE = Path("default_zen_store") / "zenml.db"


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """A database URL (it may hold a password: never print it) and where local stores without a path lie."""

    url: str
    local_stores: Path | None

    @property
    def shown(self) -> str:
        """The URL without user, password and query. A password may hold any character, ``?`` and ``/`` too."""
        scheme, _, rest = self.url.partition("://")
        address = rest if scheme.startswith("sqlite") else rest.rpartition("@")[2]
        return f"{scheme}://{address.partition('?')[0]}"


def discover(environ: Mapping[str, str], url: str | None = None, local_stores: Path | None = None) -> Place:
    """The database to use: *url* if given, else what the environment and ZenML's ``config.yaml`` say."""
    config_dir = Path(environ.get("ZENML_CONFIG_PATH") or user_config_path("zenml", appauthor=False))
    local_stores = local_stores.absolute() if local_stores is not None else None  # as the catalog's URIs are
    stores = local_stores or Path(environ.get("ZENML_LOCAL_STORES_PATH") or config_dir / LOCAL_STORES).absolute()
    if url is not None:
        beside = _beside(url)
        chosen = local_stores or (beside if "ZENML_LOCAL_STORES_PATH" not in environ and beside else stores)
        return Place(_checked(url), chosen)
    block = _store_block(environ, config_dir)
    kind, configured = block.get("type", "sql"), block.get("url", "")
    if kind == "rest" or configured.startswith(("http://", "https://")):
        raise CatalogNotUnderstood(
            "this ZenML client is logged in to a server, and the server's database cannot be found from here",
            "give the server's own database: --catalog mysql://… or --catalog sqlite:////…/zenml.db",
        )
    if not configured:
        default = Path(stores) / DEFAULT_DATABASE
        if not default.exists():
            raise CatalogNotUnderstood(
                f"no ZenML database was found: there is none at {default}",
                "give one with --catalog sqlite:////…/zenml.db, or set ZENML_CONFIG_PATH to ZenML's configuration folder",
            )
        configured = f"sqlite:///{default}"
    if configured.startswith("mysql"):
        configured = with_settings(configured, block)
    return Place(_checked(configured), stores)


def _store_block(environ: Mapping[str, str], config_dir: Path) -> dict[str, str]:
    """ZenML's rule: a URL or type in the environment replaces the file's block, other variables are merged over it."""
    prefix = "ZENML_STORE_"
    from_environ = {k[len(prefix) :].lower(): v for k, v in environ.items() if k.startswith(prefix)}
    if "url" in from_environ or "type" in from_environ:
        return from_environ
    file = config_dir / "config.yaml"
    block: dict[str, str] = {}
    if file.is_file():
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise CatalogNotUnderstood(
                f"{file} cannot be read: {type(error).__name__}", "repair it, or give --catalog URL"
            ) from None
        store = document.get("store") if isinstance(document, dict) else None
        if isinstance(store, dict):
            block = {str(k): str(v) for k, v in store.items() if v is not None and not isinstance(v, dict | list)}
    return {**block, **from_environ}


def _checked(url: str) -> str:
    scheme = url.partition("://")[0]
    if scheme.startswith("sqlite"):
        if "://" in url and not url.partition("://")[2].startswith("/"):
            raise UsageError(
                "the catalog URL names a host, and a SQLite database is a file",
                "give --catalog sqlite:////absolute/path/to/zenml.db",
            )
        return url
    if scheme.startswith(("mysql", "mariadb")):
        return url
    shown = scheme if "://" in url else "no scheme"
    raise UsageError(
        f"the catalog URL has {shown!r}; ZenML keeps its database on sqlite:// or mysql://",
        "give --catalog sqlite:////absolute/path/to/zenml.db or --catalog mysql://user:password@host/database",
    )


def _beside(url: str) -> Path | None:
    """The local stores folder that a database in ZenML's usual place lies in."""
    path = Path(url.partition(":///")[2].partition("?")[0])
    return path.parent.parent if path.parts[-2:] == DEFAULT_DATABASE.parts else None
