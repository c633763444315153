"""Plans that a pull request cannot carry, or a forge not show: where their entries go, and when ``mark`` says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marksweep.catalog.port import Catalog
from marksweep.cli.wire import entries_source, entries_target
from marksweep.errors import UsageError
from marksweep.model.policy import FORGE_CARRIES, FORGE_SHOWS
from marksweep.model.uri import contains
from marksweep.plan.card import Fetch, check_entries_uri
from marksweep.plan.verify import VerifiedPlan
from marksweep.plan.writer import Create
from marksweep.store.port import Stores

_URI = "give a folder such as s3://bucket/plans, gs://bucket/plans, az://container/plans, or a path on a shared disk"


@dataclass(frozen=True, slots=True)
class EntriesPlace:
    """Where ``--entries-to`` puts the entries: the URI of a folder, and what writes and reads objects in it."""

    folder: str
    create: Create
    fetch: Fetch

    def uri(self, plan_id: str) -> str:
        """The object of the plan with that id: a name that no other plan has."""
        return f"{self.folder}/{plan_id}.entries.jsonl"


def entries_place(given: str | None, store_options: Path | None) -> EntriesPlace | None:
    """The place that ``--entries-to`` names, if it was given. Raises UsageError unless it is one folder, plainly spelled."""
    if given is None:
        return None
    if not given:
        raise UsageError("--entries-to is empty", _URI)
    local = given.removeprefix("file://") if "://" not in given or given.startswith("file:///") else None
    folder = f"file://{Path(local).absolute()}" if local is not None else given.rstrip("/")
    place = EntriesPlace(folder, entries_target(store_options), entries_source(store_options))
    try:
        check_entries_uri(place.uri("x"))
    except ValueError as error:  # which does not repeat it: there may be a password in it
        raise UsageError(f"--entries-to cannot be used: {error}", _URI) from None
    if local is not None and not Path(local).is_dir():
        raise UsageError(
            f"there is no folder {Path(local).absolute()} for the entries", "make it, or choose another one"
        )
    return place


def check_outside(place: EntriesPlace, out: Path, catalog: Catalog, stores: Stores) -> None:
    """Raise UsageError if the entries, or the card at *out*, would lie in an artifact store: plans delete there."""
    for what, uri in (("--entries-to", place.uri("x")), ("--out", str(out.absolute()))):
        for store in catalog.stores().values():
            if any(contains(root, key) for root in stores.root_keys(store) for key in stores.spellings(uri)):
                raise UsageError(
                    f"{what} lies in the artifact store {store.name!r} ({store.root}), where plans delete",
                    "choose a place outside of every artifact store",
                )


def size_warnings(plan: VerifiedPlan, *, is_card: bool) -> tuple[str, ...]:
    """What its reviewers should know about a plan as big as *plan*, whose entries are elsewhere if *is_card*."""
    entries, size = plan.header.totals.entries, plan.path.stat().st_size
    found = []
    if entries > FORGE_SHOWS:
        found.append(
            f"{entries} entries: a forge does not show so long a diff. Review with `marksweep show --format markdown` or"
            " `--format html`, which recompute everything from the entries"
        )
    if size > FORGE_CARRIES and not is_card:
        found.append(
            f"the plan has {size / 2**20:.0f} MiB, too much for a pull request: with `--entries-to URI` it carries a small"
            " signed card, and the entries go to a bucket"
        )
    return tuple(found)
