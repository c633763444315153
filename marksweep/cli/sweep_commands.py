"""``marksweep sweep`` and ``marksweep prune``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.cli.filters import Filters, read_duration, with_filters
from marksweep.errors import ExitStatus, Interrupted, SignatureRefused, UsageError
from marksweep.store.tuning import CONCURRENCY, PAGE_SIZE, Tuning

if TYPE_CHECKING:
    from marksweep.catalog.port import Catalog
    from marksweep.cli.screen import Screen
    from marksweep.cli.sweeping import SweepRequest
    from marksweep.cli.wire import StoreAdapters
    from marksweep.plan.verify import VerifiedPlan
    from marksweep.report.document import Document
    from marksweep.report.documents import PlanSummary


def sweep(
    plan: opt.PlanPath,
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    store_options: opt.StoreOptions = None,
    trust: opt.TrustFile = None,
    approvals: opt.Approvals = 0,
    key: opt.KeyFile = None,
    yes: opt.Yes = False,
    ignore_errors: opt.IgnoreErrors = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Recheck every entry and report; claim and delete nothing.")
    ] = False,
    accept_instance: opt.AcceptInstance = None,
    drain: opt.Drain = None,
    lag: opt.Lag = None,
    batch_size: opt.BatchSize = None,
    trash: opt.Trash = None,
    page_size: opt.PageSize = PAGE_SIZE,
    concurrency: opt.Concurrency = CONCURRENCY,
    max_rate: opt.MaxRate = None,
    canary: Annotated[
        int | None,
        typer.Option(
            "--canary",
            min=1,
            metavar="N",
            help="Take N entries first; go on only if what lives beside them is unharmed.",
        ),
    ] = None,
    canary_cleared: Annotated[
        bool, typer.Option("--canary-cleared", help="Go on after a halt: you know that the sweep did not do the harm.")
    ] = False,
    metrics_file: opt.MetricsFile = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Delete what a verified plan says, rechecking each entry first. Run it again to resume: every run does."""
    from marksweep.cli.authority import sweep_authority
    from marksweep.cli.comparing import compare
    from marksweep.cli.identity import signing
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.status import finished
    from marksweep.cli.summaries import summary, with_trust
    from marksweep.cli.sweeping import CanaryRequest, check_canary, check_catalog, rehearse_plan, sweep_plan
    from marksweep.cli.wire import agreed_time, entries_source, open_catalog, store_adapters, utc_now
    from marksweep.plan.verify import verify

    screen = Screen(json, quiet, metrics=metrics_file)

    def work() -> tuple[Document | None, ExitStatus]:
        request = sweep_request(ignore_errors, batch_size, drain, lag, accept_instance)
        first = CanaryRequest(canary, canary_cleared)
        found = sweep_authority(trust, plan)
        with open_catalog(catalog, local_stores, writes=not dry_run, lag=request.lag) as opened:
            now = agreed_time(opened, utc_now)
            fetch = entries_source(store_options)
            with verify(plan, found.trust, now, approvals=approvals, rules=found.rulebook, fetch=fetch) as verified:
                check_catalog(verified, opened, accept_instance)
                check_canary(verified, first)
                policy = verified.header.policy
                tuning = Tuning(page_size, concurrency, max_rate, all_versions=policy.all_versions)
                stores = store_adapters(store_options, tuning)
                compare(screen, verified, opened, stores)
                if dry_run:
                    return with_trust(rehearse_plan(screen, verified, opened, stores), found)
                request, stores = with_trash(screen, trash, verified, opened, request, stores)
                if not yes and not finished(verified):
                    ask(screen, summary(verified, now))
                sign = partial(signing, key, screen.tell)
                return with_trust(sweep_plan(screen, verified, opened, stores, request, sign, first), found)

    conclude(screen, work)


@with_filters
def prune(
    filters: Filters,
    catalog: opt.CatalogUrl = None,
    local_stores: opt.LocalStores = None,
    store_options: opt.StoreOptions = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PLAN", help="Where to keep the plan; default: this user's state folder."),
    ] = None,
    key: opt.KeyFile = None,
    yes: opt.Yes = False,
    ignore_errors: opt.IgnoreErrors = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Stop after showing what would go.")] = False,
    drain: opt.Drain = None,
    lag: opt.Lag = None,
    batch_size: opt.BatchSize = None,
    trash: opt.Trash = None,
    page_size: opt.PageSize = PAGE_SIZE,
    concurrency: opt.Concurrency = CONCURRENCY,
    max_rate: opt.MaxRate = None,
    metrics_file: opt.MetricsFile = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Mark, show, ask and sweep in one go: the drop-in for `zenml artifact prune`, through the very same two phases."""
    from marksweep.cli.identity import signing
    from marksweep.cli.marking import MarkOrder, check_out, mark_plan
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.summaries import overview, summary
    from marksweep.cli.sweeping import sweep_plan
    from marksweep.cli.wire import agreed_time, open_catalog, store_adapters, utc_now
    from marksweep.model.policy import EXPIRES_AFTER
    from marksweep.report.documents import PruneResult, ShowResult

    screen = Screen(json, quiet, metrics=metrics_file)

    def work() -> tuple[Document | None, ExitStatus]:
        request = sweep_request(ignore_errors, batch_size, drain, lag, None)
        if out is not None:
            check_out(out, force=False)
        refuse_under_policy(out, dry_run=dry_run)
        if not (yes or dry_run):
            check_terminal()
        with open_catalog(catalog, local_stores, writes=not dry_run, lag=request.lag) as opened:
            now = agreed_time(opened, utc_now)
            signer = signing(key, screen.tell)
            policy = filters.policy()
            tuning = Tuning(page_size, concurrency, max_rate, all_versions=policy.all_versions)
            stores = store_adapters(store_options, tuning)
            order = MarkOrder(policy, filters.mode, out or _kept_plan(screen, opened, now), EXPIRES_AFTER, now)
            marked = mark_plan(screen, opened, stores, order, signer)
            with marked.plan as plan:
                found, whole = summary(plan, now), overview(plan, now, for_review=False)
                if dry_run or not found.entries:
                    return PruneResult(plan=found, overview=whole, sweep=None), ExitStatus.DONE
                if not json:
                    screen.show(ShowResult(plan=found, overview=whole, entries=()))
                request, stores = with_trash(screen, trash, plan, opened, request, stores)
                if not yes:
                    ask(screen, found)
                result, status = sweep_plan(screen, plan, opened, stores, request, lambda: signer)
                return (PruneResult(plan=found, overview=whole, sweep=result) if json else result), status

    conclude(screen, work)


def sweep_request(
    ignore_errors: bool, batch: int | None, drain: str | None, lag: str | None, accept_instance: str | None
) -> SweepRequest:
    """How to run a sweep, from its options."""
    from marksweep.cli.sweeping import SweepRequest
    from marksweep.model.policy import DRAIN

    wait = read_duration("--drain", drain) if drain is not None else DRAIN
    settles = read_duration("--lag", lag) if lag is not None else timedelta(0)
    return SweepRequest(ignore_errors, batch, wait, settles, accept_instance)


def with_trash(
    screen: Screen,
    given: Path | None,
    plan: VerifiedPlan,
    catalog: Catalog,
    request: SweepRequest,
    stores: StoreAdapters,
) -> tuple[SweepRequest, StoreAdapters]:
    """How to sweep *plan*, and its stores, with the trash that is *given*, or that its sweep began with."""
    from marksweep.cli.trash import plan_folder, trash_of

    trash = trash_of(given, plan, catalog)
    if trash is None:
        return request, stores
    for store in plan.header.stores:
        if store.flavor != "local":
            screen.tell(f"{store.root} is no local store: what it deletes, it can bring back itself for a while.")
    screen.tell(f"Local files go to the trash {plan_folder(trash, plan)}.")
    return replace(request, trash=trash), stores.with_trash(plan_folder(trash, plan))


def refuse_under_policy(out: Path | None, *, dry_run: bool) -> None:
    """Raise SignatureRefused where a policy holds: prune asks nobody for an approval."""
    from marksweep.cli.authority import policy_folder

    folder = next((found for place in (out, Path.cwd()) if place and (found := policy_folder(place))), None)
    if folder is not None and not dry_run:
        raise SignatureRefused(
            f"prune sweeps its plan at once, and this repository has a policy for plans ({folder})",
            "use `marksweep mark`, have the plan approved, and `marksweep sweep` it; or prune in a folder outside of it",
        )


def check_terminal() -> None:
    """Raise UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError("the sweep asks before it deletes, and there is no terminal to ask at", "add --yes")


def ask(screen: Screen, plan: PlanSummary) -> None:
    """Ask whether to go on; raise Interrupted on no, and UsageError where nobody can answer."""
    from marksweep.report.confirm import confirmation

    check_terminal()
    screen.err.print(confirmation(plan), soft_wrap=True)
    try:
        confirmed = typer.confirm("Delete?", default=False, err=True)
    except typer.Abort:  # Ctrl-C or Ctrl-D
        screen.err.print()
        confirmed = False
    if not confirmed:
        raise Interrupted("not confirmed", "run the same command again when the plan is right")


def _kept_plan(screen: Screen, catalog: Catalog, now: datetime) -> Path:
    """Where prune keeps its plan, so that an interrupted run can be resumed with `marksweep sweep`; earlier ones are told."""
    from platformdirs import user_state_path

    from marksweep.cli.plan_log import unfinished
    from marksweep.mark.draft import plan_id

    folder = user_state_path("marksweep", appauthor=False) / "plans"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in unfinished(folder, catalog.identity().server_id, now):
        command = shlex.join(["marksweep", "sweep", str(path)])
        screen.tell(f"An earlier prune of this catalog did not come to its end: `{command}` finishes it.")
    return folder / f"{now:%Y-%m-%d}-{plan_id()}.plan.json"
