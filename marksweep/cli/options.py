"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PlanPath = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan file.", show_default=False)]
CatalogUrl = Annotated[
    str | None,
    typer.Option(
        "--catalog", metavar="URL", help="The catalog's database; default: where ZenML's configuration points."
    ),
]
LocalStores = Annotated[
    Path | None,
    typer.Option(
        "--local-stores", metavar="DIR", help="ZenML's local stores folder, if it is not beside the database."
    ),
]
StoreOptions = Annotated[
    Path | None,
    typer.Option("--store-options", metavar="FILE", help="JSON: store name -> endpoint_url, profile, region, …"),
]
KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="FILE|agent[:KEY]",
        help="Sign with this OpenSSH key (private, or .pub), or with one of the ssh agent's, by fingerprint or comment.",
    ),
]
TrustFile = Annotated[
    str | None,
    typer.Option(
        "--trust",
        metavar="git:REF|FILE|own",
        help="Whose keys count, and what the policy is: at a commit (git:REF or git:REF:PATH), in a file or folder, or "
        "this user's own.",
    ),
]
Approvals = Annotated[
    int, typer.Option("--approvals", metavar="N", min=0, help="Ask for the approvals of so many people.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IgnoreErrors = Annotated[bool, typer.Option("--ignore-errors", "-i", help="Go on past an entry that fails.")]
AcceptInstance = Annotated[
    str | None,
    typer.Option("--accept-instance", metavar="sha256:…", help="The database was moved: accept this instance digest."),
]
Drain = Annotated[
    str | None,
    typer.Option(
        "--drain", help="With --only-artifact: wait so long between marking a row and deleting its bytes (60s)."
    ),
]
Lag = Annotated[
    str | None,
    typer.Option("--lag", help="Wait so long between claiming rows and deleting their bytes, then look again (0)."),
]
PageSize = Annotated[
    int,
    typer.Option(
        "--page-size", metavar="N", min=1, max=1000, help="Keys per delete request, as far as the store takes them."
    ),
]
MaxRate = Annotated[
    float | None,
    typer.Option("--max-rate", min=1, metavar="KEYS", help="Delete at most so many keys a second and bucket."),
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", metavar="N", min=1, max=1000, help="Requests to one store that are under way at once."
    ),
]
Trash = Annotated[
    Path | None,
    typer.Option(
        "--trash",
        metavar="DIR",
        help="Move local files there (same disk) instead of deleting: `restore` brings them back.",
    ),
]
MetricsFile = Annotated[
    Path | None,
    typer.Option(
        "--metrics-file", metavar="FILE.prom", help="Write Prometheus metrics there, for node_exporter (extra `otel`)."
    ),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", metavar="N", min=1, help="Entries per claim.")]
EntriesTo = Annotated[
    str | None,
    typer.Option(
        "--entries-to",
        metavar="URI",
        help="For a big plan: put its entries into this bucket's folder, and only a signed card into --out.",
    ),
]
EXPIRES_DEFAULT = "14d"
Expires = Annotated[str, typer.Option("--expires", help="How long the plan may wait for its sweep.")]
Compare = Annotated[
    Path | None,
    typer.Option(
        "--compare", metavar="PLAN", help="Show what changed since this earlier plan; refuse if much more is orphaned."
    ),
]
MaxJump = Annotated[
    int | None,
    typer.Option(
        "--max-jump",
        min=0,
        metavar="PERCENT",
        help="With --compare: allow at most so many percentage points more.",
    ),
]
SeenIn = Annotated[
    Path | None, typer.Option("--seen-in", metavar="PLAN", help="Only entries of this earlier plan: a second look.")
]
