"""Names, versions, tags and URIs that try to be something else, from the database through every command to the files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import anew
from tests.integration.conftest import NEWEST
from tests.support.catalogs import RealCatalog
from tests.support.cli import OBEYED, Cli, Ended
from tests.support.databases import Connection
from tests.support.mariadb_catalogs import MariaDbCatalog
from tests.support.zenml_database import editing

HOSTILE = {
    "clear screen": "\x1b[2J\x1b[1;31mred\x1b]0;title\x07",
    "hyperlink": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "c1": "\x9b31mred\x85next",
    "bidi": "\u202egnp.\u2066exe\u2069\u200f",
    "zero width": "pay\u200bload\ufeff\u2060",
    "newlines": "two\nlines\r\nthree\u2028four\u2029five\x0b\x0c",
    "workflow": "::error file=a,line=1::pwned",
    "workflow after a newline": "x\n::stop-commands::token",
    "old workflow": "##[error]pwned",
    "star": "*",
    "class": "[a-z]*",
    "question": "?",
    "braces": "{a,b}",
    "percent": "%2F%2e%2e%2F",
    "dots": "..hidden..",
    "single quote": "'; DROP TABLE artifact_version; --",
    "double quote": '"quoted" and \\back\\slash\\',
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "markup": "[bold red]markup[/] :bomb: [link=https://evil.example]x[/link]",
    "template": "{{ 7 * 7 }} {% raw %} ${HOME} $(touch pwned) `id`",
    "option": "--yes",
    "blank": "   ",
    "combining": "a" + "\u0301" * 40,
    "astral": "\U000e0041\U0001f4a3 tag and bomb",
    "delete": "\x7f\x08\x08\x08del",
    "hash": "#fragment?query=1&x;y",
}
"""What a name may hold; with its slashes replaced, each is the name of a folder, too."""

NAMES = {
    **HOSTILE,
    "slashes": "../../../../etc/passwd",
    "nul": "nul\0byte",
    "long": "x" * 1000,
    "long escapes": "\x1b" * 1000,
}


def unsafe(store: Path) -> dict[str, str]:
    """URIs that may not be deleted, whatever lies there."""
    return {
        "dots": f"{store}/custom_artifacts/../custom_artifacts/unsafe/one",
        "dot": f"{store}/custom_artifacts/./unsafe/two",
        "double slash": f"{store}//custom_artifacts/unsafe/three",
        "near the root": f"{store}/unsafe",
        "outside": f"{store.parent.parent}/outside/unsafe/four",
        "neighbour by name": f"{store}-2/custom_artifacts/unsafe/five",
        "nul": f"{store}/custom_artifacts/unsafe\0/six",
        "relative": "custom_artifacts/unsafe/seven",
        "home": "~/unsafe/eight",
        "host": f"file://host{store}/custom_artifacts/unsafe/nine",
        "another scheme": "http://evil.example/unsafe/ten",
        "bucket": "s3://bucket/unsafe/eleven",
        "memory": "memory://unsafe",
        "empty": "",
        "link": f"{store}/custom_artifacts/link/twelve",
        "encoded": f"file://{str(store).replace('/', '%2F')}/custom_artifacts/unsafe/thirteen",
    }


@dataclass
class Garden:
    """The catalog with hostile versions in it: id -> what it is, and the files that belong to each of the safe ones."""

    catalog: RealCatalog
    safe: dict[str, str] = field(default_factory=dict)
    unsafe: dict[str, str] = field(default_factory=dict)
    uris: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    siblings: list[Path] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return next(path for path in self.catalog.store_roots if path.parent.name == "local_stores")

    def add(self, database: Connection, name: str, uri: str, number: int) -> str:
        """A version of its own artifact, copied from an unlinked one, with a tag that is as hostile as its name.

        On MariaDB names end after 255 characters.
        """
        if isinstance(self.catalog, MariaDbCatalog):
            name = name[:250]
        identifier = uuid.uuid4()
        model = min(self.catalog.ids("unlinked_manual")).replace("-", "")
        row = _row(database, "artifact_version", model)
        artifact = _row(database, "artifact", row["artifact_id"]) | {"id": uuid.uuid4().hex, "name": name}
        _insert(database, "artifact", artifact)
        changed = {"id": identifier.hex, "uri": uri, "artifact_id": artifact["id"], "version": f"{name}-v{number}"}
        _insert(database, "artifact_version", row | changed)
        tag = dict.fromkeys(("id", "created", "updated"), row["created"]) | {"id": uuid.uuid4().hex}
        _insert(database, "tag", tag | {"name": f"{name}{number}", "color": "red", "exclusive": 0})
        link = tag | {"id": uuid.uuid4().hex, "tag_id": tag["id"]}
        _insert(database, "tag_resource", link | {"resource_id": identifier.hex, "resource_type": "artifact_version"})
        found = str(identifier)
        self.uris[found], self.names[found] = uri, name
        return found


def _row(database: Connection, table: str, identifier: str) -> dict[str, Any]:
    cursor = database.execute(f"SELECT * FROM {table} WHERE id = ?", (identifier,))
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))


def _insert(database: Connection, table: str, row: dict[str, Any]) -> None:
    columns, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))


@pytest.fixture(params=NEWEST)
def newest(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """The newest catalog; on MariaDB with a charset that has all of these characters."""
    return anew(request, tmp_path, "utf8mb4")


@pytest.fixture
def garden(newest: RealCatalog) -> Garden:
    """Hostile names on hostile folders, neighbours that a glob or a decoder would hit, and URIs that must be left alone."""
    made = Garden(newest)
    places = made.store / "custom_artifacts"
    with editing(newest.database) as database:
        for number, (what, name) in enumerate(NAMES.items()):
            folder = (
                "/".join(["y" * 200] * 5) if what == "long" else HOSTILE.get(what, f"plain {what}").replace("/", "_")
            )
            place = places / folder / f"{number}"
            place.mkdir(parents=True)
            identifier = made.add(database, name, str(place), number)
            made.safe[identifier] = what
            made.files[identifier] = place / f"data {folder[:30]}.json"
            made.files[identifier].write_text(what)
            made.siblings += [
                place.with_name(f"{number}0"),
                place.parent.with_name(f"{place.parent.name[:200]}-sibling"),
            ]
        made.siblings += [places / name for name in ("a", "b", "z", "abc", "fragment", "%2F", "etc")]
        for number, (what, uri) in enumerate(unsafe(made.store).items(), start=1000):
            made.unsafe[made.add(database, what, uri, number)] = what
    (places / "link").symlink_to(newest.root / "store2")
    for sibling in made.siblings:
        sibling.mkdir(exist_ok=True)
        (sibling / "data.json").write_text("a neighbour")
    for where in ("custom_artifacts/unsafe", "unsafe"):
        (made.store / where).mkdir(exist_ok=True)
        for number in ("one", "two", "three", "six", "nine", "thirteen"):
            (made.store / where / number).write_text("must stay")
    return made


def every_file(root: Path) -> set[str]:
    return {os.path.join(top, name) for top, _, names in os.walk(root) for name in names if name != "zenml.db"}


def harmless(ended: Ended) -> Ended:
    """The harness has looked for bytes that a terminal obeys; here for templates that somebody expanded."""
    assert "{{ 49" not in ended.out + ended.err, ended
    assert "\n::" not in ended.out + ended.err, ended
    return ended


def both(cli: Cli, *arguments: object, status: int = 0) -> Iterator[Ended]:
    """The command for people and as JSON."""
    for more in ((), ("--json",)):
        ended = harmless(cli(*arguments, *more))
        assert ended.status == status, ended
        yield ended


def test_hostile_names_go_through_every_command(cli: Cli, garden: Garden, tmp_path: Path) -> None:
    """Exactly the files of the safe ones go; neighbours and unsafe places stay; nothing reaches the terminal raw."""
    url, plan = garden.catalog.url, tmp_path / "plan.json"
    only = [word for what in garden.unsafe.values() for word in ("--artifact", what)]
    before = every_file(garden.catalog.root)

    harmless(cli.done("mark", "--catalog", url, "--no-grace", "--out", plan))
    _, shown = both(cli, "show", plan, "--entries", 1000)
    entries = {entry["id"]: entry for entry in shown.json["entries"]}
    ours = entries.keys() & garden.uris.keys()
    assert ours == garden.safe.keys()
    assert {i: (entries[i]["artifact"], entries[i]["uri"]) for i in ours} == {
        i: (garden.names[i], garden.uris[i]) for i in ours
    }, "the document has every name as it is"

    for form in ("markdown", "html"):  # what they mean to a renderer: unit/report/test_markdown.py and browser/
        page = harmless(cli.done("show", plan, "--format", form, "--out", tmp_path / form)) and (tmp_path / form)
        assert not OBEYED.search(text := page.read_text(encoding="utf-8")), form
        assert not [word for word in ("<script>alert", "<img", "onerror=alert(1)>", "49 %") if word in text], form

    narrow = tmp_path / "narrow.json"
    marked = cli.json("mark", "--catalog", url, "--no-grace", *only, "--out", narrow)
    assert marked["plan"]["entries"] == 0, "no unsafe URI is planned"
    harmless(cli.done("show", narrow))
    for identifier, what in garden.unsafe.items():
        if what == "link":  # only the store knows that it is one, and explain asks no store
            continue
        verdict = cli.json("explain", identifier, "--catalog", url, "--no-grace")["versions"][0]["verdict"]
        assert verdict in {"unsafe_uri", "outside_store", "near_root", "in_memory", "claimed"}, (what, verdict)

    for identifier, what in garden.safe.items():
        if what in ("clear screen", "bidi", "newlines", "workflow", "markup", "long", "long escapes", "nul", "html"):
            for _ in both(cli, "explain", identifier, "--catalog", url, "--no-grace"):
                pass
            if what not in ("nul",):  # no argument of a process can hold one
                for _ in both(cli, "explain", garden.uris[identifier], "--catalog", url):
                    pass
    for _ in both(cli, "status", plan):
        pass
    for _ in both(cli, "sweep", plan, "--dry-run", "--catalog", url):
        pass
    assert every_file(garden.catalog.root) == before

    rewritten = next(i for i, what in garden.safe.items() if what == "clear screen")
    garden.files[rewritten].write_text("rewritten meanwhile, so that its line is shown")
    stuck = next(i for i, what in garden.safe.items() if what == "workflow")
    garden.files[stuck].write_text("this one, too")
    swept = harmless(cli("sweep", plan, "--yes", "--catalog", url))
    assert swept.status == 11, swept
    assert "kept: changed" in swept.out
    _, result = both(cli, "sweep", plan, "--yes", "--catalog", url, status=11)
    assert {line["id"] for line in result.json["lines"]} == {rewritten, stuck}
    _, result = both(cli, "status", plan)
    assert result.json["books"]["deleted"] == len(entries) - 2

    gone = garden.safe.keys() - {rewritten, stuck}
    left = every_file(garden.catalog.root)
    assert not [garden.safe[i] for i in gone if str(garden.files[i]) in left]
    assert {str(path / "data.json") for path in garden.siblings} <= left
    assert {f for f in before - left if "custom_artifacts" in f} <= {
        f for f in before for entry in entries.values() if f.startswith(entry["uri"].rstrip("/") + "/")
    }
    assert {str(garden.files[i]) for i in (rewritten, stuck)} <= left
    assert not garden.catalog.existing_ids() & gone
    assert garden.catalog.existing_ids() >= garden.unsafe.keys() | {rewritten, stuck}
    assert not (Path.cwd() / "pwned").exists()


def test_hostile_options_and_arguments_are_shown_harmless(cli: Cli, garden: Garden, tmp_path: Path) -> None:
    """What a user pastes comes back in messages, filters and warnings: plain there, too."""
    url = garden.catalog.url
    for number, name in enumerate(HOSTILE.values()):
        out = tmp_path / f"{number}.json"
        harmless(cli("explain", f"no-{name}", "--catalog", url)).refused(2)
        harmless(cli("mark", "--catalog", url, "--older-than", f"x{name}", "--out", out)).refused(2)
    options = [word for name in HOSTILE.values() for word in ("--pin", f"no-{name}")]
    filters = ("--exclude-artifact", HOSTILE["class"], "--tag", HOSTILE["newlines"], "--project", HOSTILE["bidi"])
    for ended in both(cli, "prune", "--dry-run", "--catalog", url, *options, *filters):
        assert ended.status == 0
    plan = tmp_path / HOSTILE["clear screen"]
    harmless(cli.done("mark", "--catalog", url, "--no-grace", "--project", "none", "--out", plan))
    for command in ("show", "verify", "status"):
        harmless(cli.done(command, plan))
    harmless(cli.done("sweep", plan, "--yes", "--catalog", url))


def test_a_name_selects_itself_and_nothing_else(cli: Cli, garden: Garden) -> None:
    """Names are no patterns for --pin and explain; as globs, special characters can be put into brackets."""
    url = garden.catalog.url
    star = next(i for i, what in garden.safe.items() if what == "star")
    assert [v["id"] for v in cli.json("explain", "*", "--catalog", url)["versions"]] == [star]
    for needle in ("' OR 1=1 --", "%", "_", "*/*", "\\"):
        cli("explain", needle, "--catalog", url).refused(2)
    out = cli.home / "plan.json"
    cli.done("mark", "--catalog", url, "--no-grace", "--artifact", "[*]", "--out", out)
    assert [entry["id"] for entry in cli.json("show", out, "--entries", 10)["entries"]] == [star]
    pinned = cli.json("mark", "--catalog", url, "--no-grace", "--pin", "*", "--out", out, "--force")
    assert pinned["plan"]["kept"]["pinned"] == 1


@pytest.mark.parametrize("place", ["{store}", "{store}/", "{above}", "/", "file://{store}//", "{store}/x/.."])
def test_a_row_that_names_a_whole_store_protects_it(cli: Cli, newest: RealCatalog, tmp_path: Path, place: str) -> None:
    """It cannot be deleted itself, so it is kept; and what is kept claims everything inside it."""
    garden = Garden(newest)
    with editing(newest.database) as database:
        garden.add(database, "everything", place.format(store=garden.store, above=garden.store.parent), 1)
    marked = cli.json("mark", "--catalog", newest.url, "--no-grace", "--out", tmp_path / "plan.json")
    assert {s["root"] for s in marked["plan"]["stores"]} <= {str(newest.root / "store2")}
    assert marked["plan"]["kept"]["claimed"] >= 26


def test_no_line_is_a_command_to_a_build_server(cli: Cli, garden: Garden, tmp_path: Path) -> None:
    """GitHub's runner obeys a line that begins with ``::``, after any blanks, and one that has ``##[`` anywhere."""
    url, plan = garden.catalog.url, tmp_path / "plan.json"
    ours = [word for name in garden.names.values() for word in ("--artifact", name) if "::" in name or "##" in name]
    shown = [cli.done("mark", "--catalog", url, "--no-grace", *ours, "--out", plan)]
    shown += [cli.done("show", plan, "--entries", 1000), cli.done("explain", HOSTILE["workflow"], "--catalog", url)]
    none = tmp_path / "none.json"
    shown += [cli.done("mark", "--catalog", url, "--no-grace", "--exclude-artifact", "*", "--out", none)]
    shown += [cli.done("diff", none, plan, "--entries", 1000, "--format", f) for f in ("terminal", "markdown")]
    shown += [cli.done("diff", plan, none, "--entries", 1000, "--why", "--catalog", url)]
    shown += [cli.done("explain", "--why-kept", "--no-grace", "--limit", 1000, "--catalog", url)]
    for identifier, what in garden.safe.items():
        if "workflow" in what:
            garden.files[identifier].write_text("changed, so that it has a line of its own")
    shown += [cli("sweep", plan, "--yes", "--catalog", url), cli.done("status", plan)]
    for ended in shown:
        for line in (ended.out + ended.err).splitlines():
            assert not line.lstrip().startswith("::"), (ended.arguments, line)
            assert "##[" not in line, (ended.arguments, line)


def test_a_uri_of_thousands_of_folders_stops_nothing(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """It is judged like any other, and the other versions are planned."""
    garden = Garden(newest)
    with editing(newest.database) as database:
        garden.add(database, "deep", f"{garden.store}/custom_artifacts/{'a/' * 9000}x", 1)
    marked = cli.json("mark", "--catalog", newest.url, "--no-grace", "--out", tmp_path / "plan.json")
    assert marked["plan"]["entries"] == 27
