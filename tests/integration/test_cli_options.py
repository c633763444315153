"""Options: what is refused, what narrows a plan, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import anew
from tests.integration.conftest import NEWEST
from tests.support.catalogs import RealCatalog, expected_orphans
from tests.support.cli import Cli, Ended

SECRET = "CANARY-hunter2"


@pytest.fixture(params=NEWEST[:1])
def newest(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """On SQLite unless a test asks for more: most of this does not look at the database."""
    return anew(request, tmp_path)


def planned(cli: Cli, newest: RealCatalog, *options: object) -> set[str]:
    """The ids of a plan with these options."""
    out = cli.home / "options.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--force", "--quiet", "--out", out, *options)
    return {entry["id"] for entry in cli.json("show", out, "--entries", 1000)["entries"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--older-than", "30"), ("--older-than", "'30' is not a duration", "30d")),
        (("--older-than", "soon"), ("'soon' is not a duration",)),
        (("--older-than", "-3d"), ("'-3d' is not a duration",)),
        (("--older-than", ""), ("--older-than",)),
        (("--min-age", "1.5d"), ("--min-age", "is not a duration")),
        (("--min-age", "40000d"), ("longer than a hundred years",)),
        (("--expires", "never"), ("--expires", "is not a duration")),
        (("--expires", "0"), ("--expires is 0",)),
        (("--keep-latest", "-1"), ("--keep-latest is -1", "0 or more")),
        (("--max-entries", "-1"), ("--max-entries is -1", "not “no limit”")),
        (("--max-bytes", "-5"), ("--max-bytes is -5",)),
        (("--max-share", "-1"), ("--max-share is -1",)),
        (("-a", "-m"), ("exclude each other",)),
        (("--only-artifact", "--only-metadata"), ("exclude each other",)),
        (("--pin-file", "/nonexistent/pins"), ("/nonexistent/pins cannot be read", "--pin-file")),
        (("--store-options", "/nonexistent/options"), ("/nonexistent/options cannot be read",)),
        (("--key", "/nonexistent/key"), ("/nonexistent/key",)),
    ],
)
def test_values_that_cannot_be_used_are_refused(
    cli: Cli, newest: RealCatalog, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Each names the option, the value and what to write instead; no plan appears."""
    out = tmp_path / "plan.json"
    cli("mark", "--catalog", newest.url, "--out", out, *options).refused(2, *words)
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [("--max-entries", "many"), ("--keep-latest", "x"), ("--no-such-option",), ("surplus",), ("--json=maybe",)],
)
def test_what_the_parser_refuses_ends_with_2_as_well(cli: Cli, newest: RealCatalog, options: tuple[str, ...]) -> None:
    """Before anything is opened."""
    ended = cli("mark", "--catalog", newest.url, *options)
    assert ended.status == 2
    assert ended.out == ""


@pytest.mark.parametrize("option", [("--drain", "x"), ("--drain", "-1s"), ("--batch-size", "0"), ("--approvals", "-1")])
def test_options_of_sweep_are_checked_before_anything_is_deleted(
    cli: Cli, newest: RealCatalog, plan: Path, option: tuple[str, str]
) -> None:
    """And before a journal is begun."""
    before = newest.file_digests()
    assert cli("sweep", plan, "--yes", "--catalog", newest.url, *option).status == 2
    assert newest.file_digests() == before
    assert not Path(f"{plan}.journal").exists()


def test_store_options_must_be_a_mapping_of_mappings(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """The message shows what to write, and nothing of what stands there: it holds secrets."""
    file = tmp_path / "options.json"
    for text in ("", "[]", '{"s": 1}', f'{{"key": "{SECRET}"}}', f"not json {SECRET}"):
        file.write_text(text)
        ended = cli("mark", "--catalog", newest.url, "--store-options", file, "--out", tmp_path / "p.json")
        ended.refused(2, "--store-options", "endpoint_url")
        assert SECRET not in ended.flat


@pytest.mark.parametrize("newest", NEWEST, indirect=True)
def test_filters_narrow_the_plan_and_nothing_widens_it(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """By project, name, tag, store and pin, each against the ground truth's own words."""
    everything = planned(cli, newest)
    truth = newest.by_id
    assert everything == expected_orphans(newest)

    def those(**wanted: str) -> set[str]:
        return {i for i in everything if all(truth[i][name] == value for name, value in wanted.items())}

    assert planned(cli, newest, "--project", "second") == those(project="second") != set()
    assert planned(cli, newest, "--workspace", "second") == those(project="second")
    assert planned(cli, newest, "--project", "second", "--project", "default") == everything
    assert planned(cli, newest, "--artifact", "raw") == those(name="raw")
    unlinked = {i for i in everything if truth[i]["name"].startswith("unlinked")}
    assert planned(cli, newest, "--artifact", "unlinked*") == unlinked
    assert planned(cli, newest, "--exclude-artifact", "unlinked*") == everything - unlinked
    tagged = {i for i in everything if truth[i]["tags"]}
    assert planned(cli, newest, "--tag", "*") >= tagged != set()
    assert planned(cli, newest, "--exclude-tag", "*") == everything - planned(cli, newest, "--tag", "*")
    second_store = {i for i in everything if truth[i]["uri"].startswith(str(newest.root / "store2"))}
    assert planned(cli, newest, "--store", "as2") == second_store != set()
    pins = tmp_path / "pins"
    one = min(unlinked)
    pins.write_text(f"# kept by hand\n\n{one}\nraw\n  {newest.root}/store2/\n")
    pinned = {one} | those(name="raw") | second_store
    assert planned(cli, newest, "--pin-file", pins) == everything - pinned
    assert planned(cli, newest, "--pin", one.replace("-", "").upper(), "--pin", "raw") == everything - {one} - those(
        name="raw"
    )
    assert planned(cli, newest, "--older-than", "36500d") == set()
    assert planned(cli, newest, "--older-than", "0") == everything


def test_a_pin_that_matches_nothing_is_a_warning(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """It is likely a typing error, and would have kept something."""
    result = cli.json("mark", "--catalog", newest.url, "--no-grace", "--pin", "no-such", "--out", tmp_path / "p.json")
    assert len(result["warnings"]) == 1
    assert "no-such" in result["warnings"][0]


def test_the_wider_rules_stand_in_the_plan_and_are_shown(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """--no-grace, --ignore-model-links and --include-registered are dangers: named wherever the plan is shown."""
    out = tmp_path / "wide.json"
    options = ("--no-grace", "--ignore-model-links", "--include-registered")
    marked = cli.done("mark", "--catalog", newest.url, "--out", out, *options)
    shown = cli.done("show", out)
    for option in options:
        assert f"! {option}" in marked.out
        assert f"  danger    {option}" in shown.out
    ids = {entry["id"] for entry in cli.json("show", out, "--entries", 1000)["entries"]}
    assert ids > expected_orphans(newest)
    assert {newest.by_id[i]["save_type"] for i in ids} >= {"preexisting"}


def test_grace_keeps_what_is_young(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """A minimum age beyond the catalog's own keeps every orphan."""
    result = cli.json("mark", "--catalog", newest.url, "--min-age", "36500d", "--out", tmp_path / "p.json")
    assert result["plan"]["entries"] == 0
    assert result["plan"]["kept"]["too_young"] == 27


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"mysql://user:{SECRET}@127.0.0.1:9/db", 25),
        (f"mysql+pymysql://user:{SECRET}@127.0.0.1:9/db?ssl_ca=x", 2),
        (f"postgresql://user:{SECRET}@host/db", 2),
        (f"user:{SECRET}@host/db", 2),
        (f"{SECRET}", 2),
        (f"sqlite://user:{SECRET}@host/db", 2),
        (f"sqlite:///nowhere.db?password={SECRET}", 25),
    ],
)
def test_passwords_are_never_printed(cli: Cli, plan: Path, tmp_path: Path, url: str, status: int) -> None:
    """Neither from --catalog nor from ZenML's own variables and configuration, as text and as JSON."""
    zenml = tmp_path / "zenml"
    zenml.mkdir()
    (zenml / "config.yaml").write_text(f"store:\n  type: sql\n  url: '{url}'\n")
    ways = (
        (cli, ("--catalog", url)),
        (cli.with_environ(ZENML_STORE_URL=url), ()),
        (cli.with_environ(ZENML_CONFIG_PATH=str(zenml)), ()),
    )
    for user, given in ways:
        for command in (("mark",), ("explain", "x"), ("sweep", plan, "--yes"), ("prune", "--yes"), ("mark", "--json")):
            ended = user(*command, *given)
            assert ended.status == status, ended
            _silent(ended)


def test_passwords_in_variables_of_their_own_are_never_printed(cli: Cli, tmp_path: Path) -> None:
    """ZENML_STORE_PASSWORD, a server's URL with an API key, a broken configuration file."""
    user = cli.with_environ(
        ZENML_STORE_URL="mysql://127.0.0.1:9/db", ZENML_STORE_USERNAME="u", ZENML_STORE_PASSWORD=SECRET
    )
    _silent(user("mark"))
    _silent(cli.with_environ(ZENML_STORE_URL=f"https://u:{SECRET}@host", ZENML_STORE_API_KEY=SECRET)("mark"))
    (tmp_path / "config.yaml").write_text(f"store: {{url: 'mysql://u:{SECRET}@h/d', password: [{SECRET}\n")
    ended = cli.with_environ(ZENML_CONFIG_PATH=str(tmp_path))("mark")
    ended.refused(25, "config.yaml cannot be read")
    _silent(ended)


def _silent(ended: Ended) -> None:
    assert SECRET not in " ".join(ended.out.split()) + " ".join(ended.err.split()), ended
    assert SECRET not in "".join(ended.out.split()) + "".join(ended.err.split()), ended


@pytest.mark.parametrize("newest", NEWEST, indirect=True)
def test_zenmls_own_configuration_is_found(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Without --catalog: ZENML_CONFIG_PATH, or ZENML_STORE_URL, as ZenML itself looks."""
    out = tmp_path / "p.json"
    by_config = cli.with_environ(ZENML_CONFIG_PATH=str(newest.config))
    assert by_config.json("mark", "--no-grace", "--out", out)["plan"]["entries"] == 27
    stores = str(newest.config / "local_stores")
    by_url = cli.with_environ(ZENML_STORE_URL=newest.url, ZENML_STORE_TYPE="sql", ZENML_LOCAL_STORES_PATH=stores)
    assert by_url.json("mark", "--no-grace", "--out", out, "--force")["plan"]["entries"] == 27
    assert by_config.json("sweep", out, "--yes")["books"]["deleted"] == 27
