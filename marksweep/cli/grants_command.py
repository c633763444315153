"""``marksweep grants``: the least rights with which a plan can be swept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.catalog.rights import Purpose
from marksweep.cli import options as opt
from marksweep.errors import ExitStatus

if TYPE_CHECKING:
    from marksweep.report.document import Document

DATABASE = "zenml"


def grants(
    plan: opt.PlanPath,
    purpose: Annotated[
        Purpose, typer.Option("--for", help="What is to be allowed.", show_default=False)
    ] = Purpose.SWEEP,
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="The database's user: `name`, or `name@host`.")
    ] = "marksweep",
    database: Annotated[
        str, typer.Option("--database", metavar="NAME", help="The database's name, which no plan holds.")
    ] = DATABASE,
    store_options: opt.StoreOptions = None,
    trust: opt.TrustFile = None,
    json: opt.Json = False,
) -> None:
    """Print the SQL grants and the bucket policies that a sweep of this plan needs, and no more."""
    from marksweep.catalog.zenml.rights import rights
    from marksweep.cli.authority import authority
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import entries_source, utc_now
    from marksweep.plan.verify import inspect
    from marksweep.report.grants import MOST_PLACES
    from marksweep.report.grants import grants as told

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        authorized, fetch = authority(trust, plan, screen.tell), entries_source(store_options)
        with inspect(plan, authorized.trust, utc_now(), rules=authorized.rulebook, fetch=fetch) as found:
            header = found.header
            few = header.totals.entries <= MOST_PLACES
            places = [entry.uri for entry in found.entries()] if few else None
            catalog = header.catalog
            needed = rights(purpose, header.plan.mode, header.policy, catalog.release, catalog.dialect, catalog.rows)
            return told(str(plan), found.digest, header, purpose, needed, places, user, database), ExitStatus.DONE

    conclude(screen, work)
