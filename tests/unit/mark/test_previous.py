"""A mark that looks back at earlier plans: what is refused, what is new, and what is seen for the first time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest

from marksweep.errors import GuardRefused, MarksweepError, OtherCatalog, UsageError
from marksweep.mark.marking import Request, draft
from marksweep.mark.previous import Earlier
from marksweep.mark.worksheet import Worksheet
from marksweep.model.entry import Entry
from marksweep.model.guards import LINKS, VERSIONS
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.version import Version
from marksweep.plan.document import Draft
from marksweep.plan.verify import SignedPlan, inspect
from marksweep.plan.writer import write_plan
from tests.support.fakes import NOW, FakeCatalog, FakeStores, version
from tests.unit.mark.support import LIVE
from tests.unit.plan.support import PLANNER, TRUST

ROOT = "s3://bucket/root/k"
BEFORE = NOW - timedelta(days=1)


def cast(*names: str) -> list[Version]:
    return [version(name.replace("/", "-"), f"{ROOT}/{name}") for name in names]


def catalog_of(versions: Sequence[Version], live: int = 0, **rows: int) -> FakeCatalog:
    """A catalog of *versions*, and of *live* more that are referenced."""
    lived = [version(f"live{n}", f"{ROOT}/live{n}") for n in range(live)]
    return FakeCatalog([*versions, *lived], {v.id: set(LIVE) for v in lived}, rows=rows)


def marked(
    catalog: FakeCatalog, earlier: Earlier | None = None, now: datetime = NOW, **policy: object
) -> tuple[Draft, list[Entry]]:
    looked = earlier or Earlier()
    seen_in = looked.seen_in.digest if looked.seen_in else None
    chosen = Policy(seen_in=seen_in, **policy)  # type: ignore[arg-type]
    request = Request(chosen, Mode.ONLY_METADATA, now, timedelta(days=14), looked)
    with Worksheet() as worksheet:
        header = anyio.run(draft, request, catalog, FakeStores(), worksheet, _Nobody())
        return header, list(worksheet.entries())


class _Nobody:
    """Watches and forgets."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def made(folder: Path, catalog: FakeCatalog, now: datetime = BEFORE, **policy: object) -> SignedPlan:
    """A plan of *catalog*, signed, read back."""
    header, entries = marked(catalog, now=now, **policy)
    path = folder / f"{len(list(folder.iterdir()))}.json"
    write_plan(path, header, entries, PLANNER)
    return inspect(path, TRUST, NOW)


def refusal(kind: type[MarksweepError], *given: object, **policy: object) -> str:
    with pytest.raises(kind) as refused:
        marked(*given, **policy)  # type: ignore[arg-type]
    return refused.value.fact


def ids(entries: Iterable[Entry]) -> set[str]:
    return {e.id for e in entries}


def test_the_census_is_signed_into_the_plan(folder: Path) -> None:
    """Rows by table, whatever the order in which the catalog names them."""
    catalog = catalog_of(cast("a"), step=7, **{VERSIONS: 1})
    with made(folder, catalog) as plan:
        assert plan.header.catalog.rows == {VERSIONS: 1, "step": 7}


def test_to_compare_keeps_nothing_back(folder: Path) -> None:
    """What only this plan has is an entry, although the plan before did not hold it."""
    with made(folder, catalog_of(cast("a", "b", "c"), live=7)) as before:
        header, entries = marked(catalog_of(cast("b", "c", "d"), live=7), Earlier(compare=before))
        assert ids(entries) == {"b", "c", "d"}
        assert header.policy.seen_in is None


def test_a_jump_of_the_share_refuses(folder: Path) -> None:
    """Unless so many points are allowed; the remedy's own number does."""
    with made(folder, catalog_of(cast("a"), live=9)) as before:
        jumped = catalog_of(cast("a", "b", "c", "d"), live=6)
        fact = refusal(GuardRefused, jumped, Earlier(compare=before))
        assert fact == (
            "the share of orphans jumped: 1 of 10 versions (10.0 %) in the plan before, 4 of 10 versions (40.0 %) now"
        )
        assert "other options" in refusal(GuardRefused, jumped, Earlier(compare=before), min_age=timedelta(days=2))
        assert "other options" not in refusal(GuardRefused, jumped, Earlier(compare=before), max_jump=29)
        header, _ = marked(jumped, Earlier(compare=before), max_jump=30)
        assert header.policy.max_jump == 30
        marked(jumped, Earlier(seen_in=before))


def test_references_that_collapsed_refuse(folder: Path) -> None:
    """Before the catalog is read at length; versions and ignored model links may have been swept since."""
    full = {VERSIONS: 400, "step": 300, LINKS: 200}
    with made(folder, catalog_of(cast("a", "b"), live=98, **full)) as before:
        emptied = catalog_of(cast("a"), live=98, **{**full, "step": 149})
        assert "step held 300 rows" in refusal(GuardRefused, emptied, Earlier(compare=before))
        marked(catalog_of(cast("a"), live=98, **{**full, "step": 150}), Earlier(compare=before))
        marked(catalog_of(cast("a"), live=98, **{**full, VERSIONS: 1}), Earlier(compare=before))
        assert LINKS in refusal(
            GuardRefused, catalog_of(cast("a"), live=98, **{**full, LINKS: 99}), Earlier(compare=before)
        )
    with made(folder, catalog_of(cast("a", "b"), live=98, **full), ignore_model_links=True) as before:
        swept = Earlier(compare=before)
        marked(catalog_of(cast("a"), live=98, **{**full, LINKS: 99}), swept, ignore_model_links=True)
        refusal(GuardRefused, catalog_of(cast("a"), live=98, **{**full, LINKS: 98}), swept, ignore_model_links=True)


@pytest.mark.parametrize("option", ["compare", "seen_in"])
def test_a_plan_of_another_catalog_is_refused(folder: Path, option: str) -> None:
    """By the server's id; which option and both ids are named."""
    with made(folder, catalog_of(cast("a"))) as before:
        other = FakeCatalog(cast("a"), server_id="elsewhere")
        fact = refusal(OtherCatalog, other, Earlier(**{option: before}))
        assert f"--{option.replace('_', '-')} was made for another catalog" in fact
        assert "'server', and this one's is 'elsewhere'" in fact


def test_only_what_was_an_entry_then_is_one_now(folder: Path) -> None:
    """The same id under the same URI; the others are kept as seen for the first time, and the plan says which it was."""
    with made(folder, catalog_of(cast("a", "b", "moved"), live=2)) as first:
        now = [*cast("a", "c"), version("moved", f"{ROOT}/elsewhere")]
        header, entries = marked(catalog_of(now, live=2), Earlier(seen_in=first))
        assert ids(entries) == {"a"}
        assert header.totals.kept == {"first_seen": 2, "referenced": 2}
        assert header.policy.seen_in == first.digest


def test_what_is_seen_for_the_first_time_claims_its_place(folder: Path) -> None:
    """It stays, so what shares bytes with it stays."""
    with made(folder, catalog_of(cast("a", "z"))) as first:
        header, entries = marked(catalog_of(cast("a", "a/b", "z")), Earlier(seen_in=first))
        assert ids(entries) == {"z"}
        assert header.totals.kept == {"first_seen": 1, "claimed": 1}


def test_the_two_looks_do_not_mix(folder: Path) -> None:
    """What is compared with keeps nothing, whatever the other plan holds."""
    with made(folder, catalog_of(cast("a", "b"))) as one, made(folder, catalog_of(cast("b", "c"))) as other:
        _, entries = marked(catalog_of(cast("a", "b", "c")), Earlier(compare=one, seen_in=other))
        assert ids(entries) == {"b", "c"}


def test_a_second_look_is_one_that_is_taken_later(folder: Path) -> None:
    """A plan of the same second, or of the future, is no earlier one."""
    catalog = catalog_of(cast("a"))
    for seconds in (0, 60):
        with made(folder, catalog, now=NOW + timedelta(seconds=seconds)) as first:
            assert "not before this mark" in refusal(UsageError, catalog, Earlier(seen_in=first))
            marked(catalog, Earlier(compare=first))
    with made(folder, catalog, now=NOW - timedelta(seconds=1)) as first:
        assert ids(marked(catalog, Earlier(seen_in=first))[1]) == {"a"}
