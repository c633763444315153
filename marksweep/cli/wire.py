"""The composition root: the one place that knows every adapter, and imports it only when something needs it."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from marksweep.catalog.port import Catalog
from marksweep.errors import StoreRefused, UsageError
from marksweep.model.guards import check_clocks
from marksweep.model.policy import LAG
from marksweep.model.uri import locate
from marksweep.model.version import ArtifactStore
from marksweep.plan.card import Fetch
from marksweep.plan.writer import Create
from marksweep.store.port import StoreOpener
from marksweep.store.realpath import RealPaths
from marksweep.store.tuning import Meter, Tuning

STORE_OPTIONS_VARIABLE = "MARKSWEEP_STORE_OPTIONS"
"""The file of ``--store-options``, where a command was given none or has no such option."""


@contextmanager
def open_catalog(
    url: str | None, local_stores: Path | None, *, writes: bool = False, lag: timedelta = timedelta(0)
) -> Iterator[Catalog]:
    """The catalog that *url* names, or the one that ZenML's own configuration points at.

    *lag*: how long a sweep waits between a claim and its deletes; long enough, it makes up for a server that may forget
    commits in a crash.
    """
    from marksweep.catalog.zenml.catalog import ZenmlCatalog
    from marksweep.catalog.zenml.discover import discover

    catalog = ZenmlCatalog(discover(os.environ, url, local_stores), writes=writes, lagging=lag >= LAG)
    try:
        yield catalog
    finally:
        catalog.close()


def database_clock(catalog: Catalog) -> Callable[[], datetime]:
    """The database's clock, asked once and then carried on by this machine's steady one: safe to call from any thread."""
    began, steady = catalog.now(), time.monotonic()
    return lambda: began + timedelta(seconds=time.monotonic() - steady)


def utc_now() -> datetime:
    """This machine's clock, for what no database is asked about."""
    return datetime.now(UTC)


def agreed_time(catalog: Catalog, local: Callable[[], datetime]) -> datetime:
    """The database's clock; raise GuardRefused if *local*, this machine's, is far from it."""
    before, now, after = local(), catalog.now(), local()
    check_clocks(before, now, after)
    return now


_MODULES = {"local": "local", "s3": "s3", "b2": "s3", "digitalocean": "s3", "gcp": "gcs", "azure": "azure"}
"""ZenML's flavors -> the adapter's module, which is also the name of the extra that it needs."""


class StoreAdapters:
    """The stores port over the adapters there are; *options* per store, from ``--store-options``."""

    flavors = frozenset(_MODULES)

    def __init__(self, options: Mapping[str, Mapping[str, object]], tuning: Tuning) -> None:
        self.meter = Meter()
        self._options = options
        self._tuning = tuning
        self._paths = RealPaths()

    def open(self, store: ArtifactStore) -> StoreOpener:
        if store.flavor == "local":
            from marksweep.store import local

            return local.open_store(store, tuning=self._tuning, may_be_empty=False)
        module = _MODULES[store.flavor]
        try:
            adapter = importlib.import_module(f"marksweep.store.{module}")
        except ModuleNotFoundError as missing:
            raise StoreRefused(
                f"store {store.name!r} has the flavor {store.flavor}, and {missing.name} is not installed",
                f"install it: pip install 'marksweep[{module}]'",
            ) from None
        options = self.options(store.name, module)
        opener: StoreOpener = adapter.open_store(store, options, tuning=self._tuning, meter=self.meter)
        return opener

    def options(self, name: str, module: str) -> dict[str, object]:
        """What was given for the store *name*, whose adapter is *module*, and for all stores."""
        return {**self._for_all(module), **self._options.get(name, {})}

    def _for_all(self, module: str) -> dict[str, object]:
        # What "*" says is for every store that knows it; what none knows is passed on, to be refused by name.
        known = {name: _known(name) for name in set(_MODULES.values()) - {"local"}}
        return {
            option: value
            for option, value in self._options.get("*", {}).items()
            if option in known[module] or not any(option in names for names in known.values())
        }

    def with_trash(self, trash: Path | None) -> StoreAdapters:
        """The same, and local files are moved to the folder *trash* instead of being deleted."""
        made = StoreAdapters(self._options, replace(self._tuning, trash=trash))
        made.meter = self.meter
        return made

    def root_keys(self, store: ArtifactStore) -> tuple[str, ...]:
        return self.spellings(store.root) if store.root else ()

    def spellings(self, uri: str) -> tuple[str, ...]:
        return self._paths.spellings(uri)

    def sole_keys(self, uris: Sequence[str]) -> Sequence[str | None]:
        return self._paths.sole_keys(uris)


ENTRIES = "entries"
"""The name under which ``--store-options`` has the options of where the entries of big plans are."""
_SCHEMES = {"s3": "s3", "gs": "gcs", "az": "azure"}


def entries_source(options_file: Path | None = None) -> Fetch:
    """What reads the entries of a card, with the store options under ``entries`` or ``*``."""

    def fetch(uri: str) -> Iterator[bytes]:
        from marksweep.store.entries_object import read_object

        return read_object(uri, _entries_options(uri, options_file))

    return fetch


def entries_target(options_file: Path | None = None) -> Create:
    """What writes the entries of a card, with the same options."""

    def create(uri: str) -> AbstractContextManager[Callable[[bytes], object]]:
        from marksweep.store.entries_object import create_object

        return create_object(uri, _entries_options(uri, options_file))

    return create


def _entries_options(uri: str, options_file: Path | None) -> dict[str, object]:
    module = _SCHEMES.get(locate(uri).scheme)
    return store_adapters(options_file).options(ENTRIES, module) if module is not None else {}


def _known(module: str) -> frozenset[str]:
    options: frozenset[str] = importlib.import_module(f"marksweep.store.{module}_options").KNOWN
    return options


def store_adapters(options_file: Path | None, tuning: Tuning | None = None) -> StoreAdapters:
    """The adapters, with the options of ``--store-options FILE``: JSON, store name (or ``*``) -> options of its client."""
    tuning = tuning or Tuning()
    if options_file is None and os.environ.get(STORE_OPTIONS_VARIABLE):
        options_file = Path(os.environ[STORE_OPTIONS_VARIABLE])
    if options_file is None:
        return StoreAdapters({}, tuning)
    try:
        options = msgspec.json.decode(options_file.read_bytes(), type=dict[str, dict[str, object]])
    except OSError as error:
        raise UsageError(
            f"{options_file} cannot be read: {error.strerror}", "check the path given to --store-options"
        ) from None
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{options_file} is not what --store-options expects: {error}",
            'write JSON like {"my-store": {"endpoint_url": "https://…", "profile": "…"}}; the name "*" is for all stores',
        ) from None
    return StoreAdapters(options, tuning)
