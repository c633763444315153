"""``marksweep mark`` and ``marksweep explain``."""

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
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Read the catalog and write a signed plan of the versions that nothing refers to. Deletes nothing."""
    from marksweep.cli.identity import signing
    from marksweep.cli.identity import trust as trusted
    from marksweep.cli.marking import MarkOrder, check_out, earlier_plans, mark_plan, signed_policy
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import compared, requests, summary
    from marksweep.cli.wire import agreed_time, open_catalog, store_adapters, utc_now
    from marksweep.report.documents import MarkResult

    screen = Screen(json, quiet)

    def work() -> tuple[Document, ExitStatus]:
        began = time.monotonic()
        filters.check()
        check_out(out, force=force)
        expires_after = read_duration("--expires", expires)
        if not expires_after:
            raise UsageError("--expires is 0: such a plan could never be swept", "write for example 14d or 12h")
        if max_jump is not None and compare is None:
            raise UsageError("--max-jump is about an earlier plan, and none was given", "add --compare PLAN")
        with open_catalog(catalog, local_stores) as opened:
            now = agreed_time(opened, utc_now)
            with earlier_plans(compare, seen_in, trusted(trust), now) as earlier:
                policy = signed_policy(filters, max_jump, earlier)
                signer = signing(key, screen.tell)
                order = MarkOrder(policy, filters.mode, out, expires_after, now, earlier, overwrite=force)
                tuning = Tuning(concurrency=concurrency, all_versions=policy.all_versions)
                stores = store_adapters(store_options, tuning)
                marked = mark_plan(screen, opened, stores, order, signer)
                before = compared(marked.comparison)
            with marked.plan as plan:
                found = summary(plan, opened.now())
        status = ExitStatus.PLAN_HAS_ENTRIES if detailed_exitcode and found.entries else ExitStatus.DONE
        seconds = round(time.monotonic() - began, 3)
        result = MarkResult(
            plan=found, compared=before, warnings=marked.warnings, requests=requests(stores.meter), seconds=seconds
        )
        return result, status

    conclude(screen, work)


@with_filters
def explain(
    filters: Filters,
    needle: Annotated[str, typer.Argument(metavar="ID|NAME|URI", help="A version's id, an artifact's name, or a URI.")],
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Say why a version is an orphan or kept: every rule asked, its answer, and the references found."""
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import explained
    from marksweep.cli.wire import open_catalog, store_adapters
    from marksweep.mark.examine import examine
    from marksweep.mark.explain import explain as explain_versions
    from marksweep.mark.worksheet import Worksheet
    from marksweep.report.explain_documents import ExplainResult
    from marksweep.report.progress import MarkProgress

    screen = Screen(json, quiet)

    def work() -> tuple[Document, ExitStatus]:
        with open_catalog(catalog, local_stores) as opened:
            versions = opened.find(needle)
            if not versions:
                raise UsageError(
                    f"the catalog has no version with the id or URI {needle!r}, and no artifact of that name",
                    "give an id (with or without dashes), an artifact's name, or a version's exact URI",
                )
            with Worksheet() as worksheet, MarkProgress(screen.err, quiet=quiet) as progress:
                examined = examine(opened, store_adapters(None), filters.policy(), opened.now(), worksheet, progress)
                found = explain_versions(opened, examined, worksheet, versions)
        return ExplainResult(versions=explained(found)), ExitStatus.DONE

    conclude(screen, work)
