"""Whoever has the planner's key can sign anything. What a plan says that is not so stops its sweep, and is not believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from marksweep.model.entry import Entry
from marksweep.model.store import Undo
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import Draft, Group, Totals
from marksweep.plan.keys import load_key
from marksweep.plan.verify import inspect
from marksweep.plan.writer import write_plan
from tests.integration.test_keys_openssh import talked
from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli

replaced = msgspec.structs.replace


@dataclass(frozen=True)
class Planner:
    """A catalog, a true plan of it, and the key that signed that: whoever has it signs lies, too."""

    folder: Path
    catalog: RealCatalog
    cli: Cli
    draft: Draft
    entries: tuple[Entry, ...]

    @property
    def plan(self) -> Path:
        return self.folder / "lie.plan.json"

    def says(self, entries: tuple[Entry, ...] | None = None, **changes: object) -> Path:
        """A plan with these *entries* and *changes* of its header; what the entries add up to is right."""
        listed = self.entries if entries is None else entries
        known = [entry for entry in listed if entry.objects is not None]
        sums = replaced(
            self.draft.totals, entries=len(listed), objects=sum(entry.objects or 0 for entry in known),
            bytes=sum(entry.bytes or 0 for entry in known),
        )  # fmt: skip
        draft = replaced(self.draft, **{"totals": sums, "groups": (), **changes})
        for left in self.folder.glob(f"{self.plan.name}.*"):  # of the sweep of an earlier lie
            left.unlink()
        write_plan(self.plan, draft, listed, load_key(self.folder / "ci"), overwrite=True)
        return self.plan

    def totals(self, **changes: object) -> Totals:
        return replaced(self.draft.totals, **changes)

    def policy(self, text: str) -> None:
        (self.folder / "trust" / "policy.toml").write_text(f"approvals = 0\n{text}\n")

    def sweep(self, *more: object) -> tuple[object, ...]:
        return ("sweep", self.plan, "--yes", "--catalog", self.catalog.url, "--trust", self.folder / "trust", *more)

    def refused(self, *words: str, status: int = 26) -> None:
        """A sweep of the lie is refused, and so is its rehearsal."""
        self.cli(*self.sweep("--dry-run")).refused(status, *words)
        self.cli(*self.sweep()).refused(status, *words)


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    folder = tmp_path_factory.mktemp("planner")
    catalog = unpacked("0.98.0", folder)
    cli = Cli(folder / "home")
    cli.done("keys", "create", "--out", folder / "ci", "--as", "ci@example.org")
    plan = folder / "true.plan.json"
    cli.done("mark", "--catalog", catalog.url, "--no-grace", "--key", folder / "ci", "--out", plan, "--quiet")
    key = load_key(folder / "ci")
    (folder / "trust").mkdir()
    line = f'ci@example.org namespaces="marksweep-plan@marksweep.dev,marksweep-receipt@marksweep.dev" {key.public.line}'
    (folder / "trust" / "allowed_signers").write_text(line + "\n")
    with inspect(plan, Trust.of([line]), datetime.now(UTC)) as true:
        header, entries = true.header, tuple(true.entries())
    draft = Draft(**{name: getattr(header, name) for name in Draft.__struct_fields__})
    return Planner(folder, catalog, cli.with_environ(MARKSWEEP_SIGNING_KEY=(folder / "ci").read_text()), draft, entries)


@pytest.fixture(autouse=True)
def untouched(planner: Planner) -> Iterator[None]:
    planner.policy("")
    before = planner.catalog.file_digests()
    yield
    assert planner.catalog.file_digests() == before


def one(entries: tuple[Entry, ...], changed: Callable[[Entry], Entry]) -> tuple[Entry, ...]:
    """*entries*, of which the first of an artifact called ``raw`` is *changed*."""
    at = next(at for at, entry in enumerate(entries) if entry.artifact == "raw")
    return (*entries[:at], changed(entries[at]), *entries[at + 1 :])


@pytest.mark.parametrize(
    ("member", "told", "what"),
    [
        ("artifact", "scratch", "its artifact is 'raw' in the catalog, and 'scratch' in the plan"),
        ("version", "temporary", "its version is"),
        ("project", "playground", "its project is"),
        ("created", "2020-01-01T00:00:00Z", "its time of creation is"),
    ],
)
def test_an_entry_under_another_name_is_not_swept(planner: Planner, member: str, told: str, what: str) -> None:
    """People approve names and ages, and a policy pins names: what the catalog calls otherwise is not what they agreed to."""
    planner.policy('pins = ["raw"]')
    others = tuple(entry for entry in planner.entries if entry.artifact != "raw")
    raw = next(entry for entry in planner.entries if entry.artifact == "raw" and entry.shares is None)
    listed = tuple(sorted((*others, replaced(raw, **{"artifact": "scratch", member: told})), key=lambda e: e.order))
    planner.says(listed)
    planner.refused("is not what the plan says" if member != "artifact" else what)


def test_an_id_has_one_spelling(planner: Planner) -> None:
    """Another spelling of an id is the same row to a database: it would be a second entry with other names for it."""
    planner.says(one(planner.entries, lambda entry: replaced(entry, id=entry.id.upper())))
    planner.refused("its id is")


def test_a_plan_that_breaks_its_own_policy_is_not_swept(planner: Planner) -> None:
    """It says that nothing in it is younger than a day; the rows of the catalog are."""
    planner.policy('min_age = "1d"\nforbid = ["no_grace"]')
    newest = max(planner.entries, key=lambda entry: entry.created)
    age = datetime.now(UTC) - datetime.fromisoformat(newest.created) + timedelta(days=1)
    planner.says(policy=replaced(planner.draft.policy, grace=True, min_age=age))
    planner.refused("is younger than the plan's own policy allows")


def test_max_share_is_of_the_catalog_and_not_of_what_the_plan_says(planner: Planner) -> None:
    """A catalog is as large as it is: a number in the plan makes no share of it smaller."""
    planner.policy("max_share = 10")
    planner.says(totals=planner.totals(versions_in_catalog=1_000_000))
    planner.refused("more than max_share", "by what the catalog holds now")


def test_registered_data_is_not_swept_unless_the_plan_says_so(planner: Planner) -> None:
    """A policy that forbids include_registered is not led around by a plan that says it was made without."""
    catalog, folder = planner.catalog, planner.folder
    plan = folder / "registered.plan.json"
    arguments = ("--no-grace", "--include-registered", "--key", folder / "ci", "--out", plan, "--quiet")
    planner.cli.done("mark", "--catalog", catalog.url, *arguments)
    with inspect(plan, Trust.load(folder / "trust" / "allowed_signers"), datetime.now(UTC)) as wide:
        entries = tuple(wide.entries())
    assert len(entries) > len(planner.entries)
    planner.policy('forbid = ["include_registered"]')
    planner.says(entries)
    planner.refused("was only registered")


def test_objects_and_bytes_are_counted_again(planner: Planner) -> None:
    """A plan may not say that little goes: an entry that holds more, or less, than its numbers is kept as changed."""
    planner.says(one(planner.entries, lambda entry: replaced(entry, bytes=1)))
    rehearsed = planner.cli.json(*planner.sweep("--dry-run"), status=11)
    assert rehearsed["books"]["changed"] == 1


def test_numbers_without_a_fingerprint_bind_nothing(planner: Planner) -> None:
    """Reviewers see bytes, and a sweep would delete whatever lies there by then."""
    planner.says(one(planner.entries, lambda entry: replaced(entry, fingerprint=None)))
    planner.refused("without a fingerprint")


def test_a_store_is_named_once(planner: Planner) -> None:
    """Otherwise one line could promise an undo to people, and the other one none to the sweep."""
    planner.says(stores=(*planner.draft.stores, replaced(planner.draft.stores[0], undo=Undo.VERSIONED)))
    planner.refused("names a store twice")


def test_an_undo_that_there_is_not_is_no_undo(planner: Planner) -> None:
    """A plan that was approved because its deletes can be undone is not swept where the store says that they cannot."""
    stores = tuple(replaced(store, undo=Undo.VERSIONED) for store in planner.draft.stores)
    planner.says(stores=stores)
    planner.refused("can be undone (versioned), and the store says that it cannot", status=27)


def test_what_is_approved_is_what_the_entries_add_up_to(planner: Planner) -> None:
    """The question names the biggest artifacts, whichever the plan's header lists."""
    key = planner.folder / "grace"
    planner.cli.done("keys", "create", "--out", key, "--as", "grace@example.org")
    group = Group(project="second", artifact="unlinked_0", entries=2, bytes=26)
    plan = planner.says(groups=(group,))
    cli = planner.cli.with_environ(TERM="dumb")
    approve = ("approve", plan, "--trust", planner.folder / "trust", "--key", key)
    status, shown = talked(cli, *approve, turns=[("Approve?", "n\n")])
    assert status == 130
    assert "biggest  raw in default: 2 versions, 2.2 KiB" in shown


def test_a_plan_of_what_something_older_shares_is_not_swept(planner: Planner) -> None:
    """No bytes of a version that is not in the plan go, whatever its signer left out of it: equal, above and below."""
    catalog = planner.catalog
    entry = next(entry for entry in planner.entries if entry.objects and entry.shares is None)
    kept = sorted(catalog.existing_ids() - {entry.id for entry in planner.entries})[0]
    before = catalog.database.read_bytes()
    try:
        for uri in (entry.uri, f"{entry.uri}/below", entry.uri.rpartition("/")[0]):
            with closing(sqlite3.connect(catalog.database)) as database:
                moved = "UPDATE artifact_version SET uri = ?1, created = ?2, updated = ?2 WHERE id = ?3"
                database.execute(moved, (uri, "2026-01-01 00:00:00.000000", kept.replace("-", "")))
                database.commit()
            planner.says()
            planner.refused("would delete bytes of the version", kept)
    finally:
        catalog.database.write_bytes(before)


def test_rows_that_were_not_counted_hide_no_collapse(planner: Planner) -> None:
    """A plan without the census of its catalog would let a sweep pass over a backup that lost its links."""
    catalog = planner.draft.catalog
    planner.says(catalog=replaced(catalog, rows={}))
    planner.refused("does not say how many rows the table")
    table = min(catalog.rows)
    planner.says(catalog=replaced(catalog, rows={name: rows for name, rows in catalog.rows.items() if name != table}))
    planner.refused(table)
