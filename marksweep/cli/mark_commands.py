"""``marksweep mark``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.cli.filters import Filters, read_duration, with_filters
from marksweep.errors import ExitStatus, UsageError
from marksweep.store.tuning import CONCURRENCY, Tuning

if TYPE_CHECKING:
    from marksweep.report.document import Document


@with_filters
def mark(
    filters: Filters,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PLAN", help="Where to write the plan.")] = Path(
        "plan.json"
    ),
    entries_to: opt.EntriesTo = None,
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    store_options: opt.StoreOptions = None,
    concurrency: opt.Concurrency = CONCURRENCY,
    key: opt.KeyFile = None,
    expires: opt.Expires = opt.EXPIRES_DEFAULT,
    compare: opt.Compare = None,
    max_jump: opt.MaxJump = None,
    seen_in: opt.SeenIn = None,
    trust: opt.TrustFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing plan.")] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 10 when the plan has entries.")
    ] = False,
    metrics_file: opt.MetricsFile = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Read the catalog and write a signed plan of the versions that nothing refers to. Deletes nothing."""
    from marksweep.cli.authority import mark_authority
    from marksweep.cli.big_plans import entries_place
    from marksweep.cli.diffing import difference
    from marksweep.cli.identity import signing
    from marksweep.cli.marking import MarkOrder, check_out, earlier_plans, mark_plan, signed_policy, under_rules
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import requests, summary, trust_facts, under
    from marksweep.cli.wire import agreed_time, entries_source, open_catalog, store_adapters, utc_now
    from marksweep.plan.rules_mark import broken
    from marksweep.report.documents import MarkResult

    screen = Screen(json, quiet, metrics=metrics_file)

    def work() -> tuple[Document, ExitStatus]:
        began = time.monotonic()
        filters.check()
        check_out(out, force=force)
        place = entries_place(entries_to, store_options)
        expires_after = read_duration("--expires", expires)
        if not expires_after:
            raise UsageError("--expires is 0: such a plan could never be swept", "write for example 14d or 12h")
        if max_jump is not None and compare is None:
            raise UsageError("--max-jump is about an earlier plan, and none was given", "add --compare PLAN")
        authority = mark_authority(trust, out)
        with open_catalog(catalog, local_stores) as opened:
            now = agreed_time(opened, utc_now)
            rules = authority.rulebook.for_catalog(opened.identity().server_id)
            with earlier_plans(compare, seen_in, authority.trust, now, entries_source(store_options)) as earlier:
                policy = signed_policy(filters, max_jump, earlier)
                policy, lives = under_rules(rules, policy, expires_after, screen.tell)
                signer = signing(key, screen.tell)
                order = MarkOrder(policy, filters.mode, out, lives, now, earlier, overwrite=force, entries_to=place)
                tuning = Tuning(concurrency=concurrency, all_versions=policy.all_versions)
                stores = store_adapters(store_options, tuning)
                marked = mark_plan(screen, opened, stores, order, signer)
                with marked.plan as plan:
                    compared = difference(earlier.compare, plan) if earlier.compare is not None else None
                    found = under(rules, summary(plan, opened.now()), broken(plan, rules, now))
        status = ExitStatus.PLAN_HAS_ENTRIES if detailed_exitcode and found.entries else ExitStatus.DONE
        seconds = round(time.monotonic() - began, 3)
        result = MarkResult(
            plan=found, compared=compared, warnings=marked.warnings, requests=requests(stores.meter),
            trusted=trust_facts(authority), seconds=seconds,
        )  # fmt: skip
        return result, status

    conclude(screen, work)
