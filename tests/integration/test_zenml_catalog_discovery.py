"""Where ZenML keeps its database, found as ZenML finds it; no password is ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import Place, _store_block, discover
from marksweep.errors import CatalogNotUnderstood, MarksweepError, UsageError
from marksweep.model.version import ArtifactStore
from tests.support.catalogs import RealCatalog
from tests.support.zenml_database import opened

CANARY = "canary-s3cret"
DEFAULT = "default_zen_store/zenml.db"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration folder with a database in the default place."""
    folder = tmp_path / "cfg"
    (folder / "local_stores" / "default_zen_store").mkdir(parents=True)
    (folder / "local_stores" / DEFAULT).write_bytes(b"SQLite format 3\0")
    return folder


def found(config: Path, yaml: str | None = None, **environ: str) -> Place:
    if yaml is not None:
        (config / "config.yaml").write_text(yaml)
    return discover({"ZENML_CONFIG_PATH": str(config), **environ})


def test_without_a_store_block_it_is_the_default_database(config: Path) -> None:
    """No file, a file without the block, a block without a URL."""
    default = f"sqlite:///{config}/local_stores/{DEFAULT}"
    for yaml in (None, "user_id: x\n", "store:\n  type: sql\n", "store: null\n", "", "- a list\n", "store: [1]\n"):
        place = found(config, yaml)
        assert (place.url, place.local_stores) == (default, config / "local_stores")
    assert found(config, ZENML_STORE_TYPE="sql").url == default


def test_the_configured_url_is_used(config: Path) -> None:
    """As written; local stores stay where the configuration is."""
    place = found(config, "store:\n  type: sql\n  url: sqlite:////elsewhere/zenml.db\n")
    assert (place.url, place.local_stores) == ("sqlite:////elsewhere/zenml.db", config / "local_stores")


def test_a_url_in_the_environment_replaces_the_block(config: Path) -> None:
    """Whole: nothing of the file's block is left, its type neither."""
    yaml = "store:\n  type: rest\n  url: https://server\n"
    assert found(config, yaml, ZENML_STORE_URL="sqlite:////env.db").url == "sqlite:////env.db"
    assert found(config, yaml, ZENML_STORE_TYPE="sql").url.endswith(DEFAULT)


def test_other_variables_are_merged_over_the_block(config: Path) -> None:
    """Not replaced: the file's URL still counts."""
    yaml = "store:\n  type: sql\n  url: sqlite:////file.db\n"
    assert found(config, yaml, ZENML_STORE_USERNAME="u", ZENML_STORE_SSL="true").url == "sqlite:////file.db"
    block = _store_block({"ZENML_STORE_USERNAME": "u", "ZENML_OTHER": "x"}, config)
    assert block == {"type": "sql", "url": "sqlite:////file.db", "username": "u"}


def test_the_local_stores_folder_may_be_elsewhere(config: Path, tmp_path: Path) -> None:
    """``ZENML_LOCAL_STORES_PATH``: the default database and stores without a path lie there."""
    stores = tmp_path / "stores"
    with pytest.raises(CatalogNotUnderstood, match="no ZenML database was found"):
        found(config, ZENML_LOCAL_STORES_PATH=str(stores))
    (stores / "default_zen_store").mkdir(parents=True)
    (stores / DEFAULT).touch()
    place = found(config, ZENML_LOCAL_STORES_PATH=str(stores))
    assert (place.url, place.local_stores) == (f"sqlite:///{stores}/{DEFAULT}", stores)


def test_a_given_url_goes_before_everything(config: Path, tmp_path: Path) -> None:
    """Local stores: as told, else the environment, else beside a database in ZenML's usual place, else the configuration."""
    usual = f"sqlite:///{tmp_path}/x/local_stores/{DEFAULT}"
    environ = {"ZENML_CONFIG_PATH": str(config), "ZENML_STORE_URL": "sqlite:////env.db"}
    assert discover(environ, usual) == Place(usual, tmp_path / "x" / "local_stores")
    assert discover(environ, "sqlite:////a/zenml.db") == Place("sqlite:////a/zenml.db", config / "local_stores")
    elsewhere = {**environ, "ZENML_LOCAL_STORES_PATH": "/stores"}
    assert discover(elsewhere, usual) == Place(usual, Path("/stores"))
    assert discover(elsewhere, usual, Path("/told")) == Place(usual, Path("/told"))
    assert discover(environ, None, Path("/told")).local_stores == Path("/told")


def test_no_database_is_made_up(tmp_path: Path) -> None:
    """Nothing is configured and nothing is there: said, and still nothing there."""
    with pytest.raises(CatalogNotUnderstood, match="no ZenML database was found"):
        discover({"ZENML_CONFIG_PATH": str(tmp_path / "none")})
    assert list(tmp_path.iterdir()) == []


def test_the_usual_configuration_folder_is_used_without_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``~/.config/zenml`` on Linux."""
    monkeypatch.setattr("marksweep.catalog.zenml.discover.user_config_path", lambda *_, **__: tmp_path / "usual")
    with pytest.raises(CatalogNotUnderstood, match="usual"):
        discover({})


MYSQL = f"mysql://user:{CANARY}@db.example:3306/zenml?ssl_ca=/x"


@pytest.mark.parametrize(
    ("yaml", "environ", "error", "says"),
    [
        ("store:\n  type: rest\n  url: https://zen\n", {}, CatalogNotUnderstood, "logged in to a server"),
        ("store:\n  url: https://zen\n", {}, CatalogNotUnderstood, "logged in to a server"),
        (None, {"ZENML_STORE_TYPE": "rest"}, CatalogNotUnderstood, "logged in to a server"),
        (None, {"ZENML_STORE_URL": f"https://u:{CANARY}@zen"}, CatalogNotUnderstood, "logged in to a server"),
        (None, {"ZENML_STORE_URL": f"postgresql://u:{CANARY}@h/d"}, UsageError, "postgresql"),
        (None, {"ZENML_STORE_URL": f"u:{CANARY}@h/d"}, UsageError, "no scheme"),
        (f"store:\n  password: {CANARY}\n bad: [indent", {}, CatalogNotUnderstood, "config.yaml cannot be read"),
        (f"store: !!python/object:os.system {CANARY}", {}, CatalogNotUnderstood, "config.yaml cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_without_its_password(
    config: Path, yaml: str | None, environ: Mapping[str, str], error: type[MarksweepError], says: str
) -> None:
    """A remedy each, and no secret in fact, remedy or cause."""
    with pytest.raises(error, match=says) as raised:
        found(config, yaml, **environ)
    whole = f"{raised.value!r} {raised.value.fact} {raised.value.remedy} {raised.value.__cause__!r}"
    assert CANARY not in whole
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (MYSQL, "mysql://db.example:3306/zenml"),
        (f"mysql://u:{CANARY}?x/y@h/d", "mysql://h/d"),
        (f"mysql://u:a@{CANARY}@h/d?ssl=1", "mysql://h/d"),
        ("sqlite:////home/me@work/zenml.db", "sqlite:////home/me@work/zenml.db"),
        ("sqlite:////x.db?mode=ro", "sqlite:////x.db"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    """No user, no password, no query, whatever characters they hold; and a place's repr is empty."""
    place = Place(url, None)
    assert place.shown == shown
    assert CANARY not in repr(place)


def test_the_real_configurations_are_understood(real_catalog: RealCatalog) -> None:
    """What each release wrote leads to its database, and its local stores to the folders that its URIs name."""
    place = discover({"ZENML_CONFIG_PATH": str(real_catalog.config)})
    catalog = ZenmlCatalog(place, writes=False)
    stores: Mapping[str, ArtifactStore] = catalog.stores()
    identity = catalog.identity()
    catalog.close()
    with opened(real_catalog) as given:
        assert identity == given.identity()
    assert identity.release == real_catalog.release
    used = {v["artifact_store_id"]: v["uri"] for v in real_catalog.truth if v["artifact_store_id"] in stores}
    assert used
    for id_, uri in used.items():
        assert uri.startswith(stores[id_].root + "/")
    assert {s.flavor for s in stores.values()} == {"local", "s3"}
    (remote,) = (s for s in stores.values() if s.flavor == "s3")
    assert (remote.root, remote.options) == (
        "s3://example-bucket/zenml", {"client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}},
    )  # fmt: skip


def test_a_local_store_without_a_known_folder_has_no_root(real_catalog: RealCatalog) -> None:
    """Then its versions are outside of any store, and kept."""
    catalog = ZenmlCatalog(Place(real_catalog.url, None), writes=False)
    roots = {s.name: s.root for s in catalog.stores().values()}
    catalog.close()
    assert roots["default"] == ""
