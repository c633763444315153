"""Plans as a company has them: a few projects, their pipelines, and sizes of which a few are most of the bytes."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from marksweep.model.entry import Entry
from marksweep.model.instant import to_text
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.document import Header, StoreFacts
from marksweep.report.documents import PlanSummary, ShowResult, SignerFacts
from marksweep.report.html.page import write_html
from marksweep.report.overview import overview
from marksweep.report.overview_words import approve_lines
from marksweep.report.trust_documents import TrustFacts
from tests.unit.plan.support import draft

MARKED = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ROOT = "s3://ml-artifacts-prod/zenml"
PROJECTS = {
    "churn": ("train", "features", "batch_scoring", "backtest"),
    "fraud-detection": ("train_gnn", "graph_features", "evaluate", "replay"),
    "vision": ("pretrain", "finetune", "export", "label_quality"),
    "search-ranking": ("train", "embed", "offline_eval"),
    "forecasting": ("train", "hyperopt", "nightly"),
    "sandbox": ("experiment",),
}
OUTPUTS = {
    "trainer::model": (120e6, 1.7),
    "trainer::checkpoint": (900e6, 1.5),
    "loader::dataset": (40e6, 2.1),
    "split::train_set": (25e6, 1.8),
    "split::test_set": (6e6, 1.6),
    "featurizer::features": (60e6, 1.9),
    "evaluator::metrics": (3e3, 0.8),
    "evaluator::report": (240e3, 1.1),
    "embed::vectors": (310e6, 1.2),
}
"""Step and output -> the median of its sizes in bytes, and how far they spread (sigma of their logarithm)."""
NAMED = {"churn": ("churn_model", "golden_customers"), "vision": ("imagenet_subset",), "sandbox": ("scratch",)}
KEPT = {
    "referenced": 231_408, "too_young": 9_121, "newest": 5_874, "filtered": 4_310, "pinned": 212, "unfinished_run": 96,
    "registered": 71, "claimed": 23,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What ``show`` has when it writes a report."""

    result: ShowResult
    entries: Sequence[Entry]

    def write(self, path: Path) -> Path:
        """The report of this plan at *path*."""
        with path.open("w", encoding="utf-8") as out:
            write_html(self.result, self.entries, out)
        return path


def realistic(number: int, seed: int = 5) -> Plan:
    """A plan of *number* entries, the same for each seed."""
    chance = random.Random(seed)
    artifacts = [
        (project, f"{pipeline}::{output}", *OUTPUTS[output], chance.lognormvariate(0, 1.1))
        for project, pipelines in PROJECTS.items()
        for pipeline in pipelines
        for output in chance.sample(list(OUTPUTS), chance.randint(4, len(OUTPUTS)))
    ]
    artifacts += [(project, name, 80e6, 1.6, 0.5) for project, names in NAMED.items() for name in names]
    weights = [weight for *_, weight in artifacts]
    chosen = chance.choices(artifacts, weights, k=number)
    entries = sorted((_entry(chance, *artifact[:4]) for artifact in chosen), key=lambda entry: entry.order)
    return plan_of(_in_units(entries))


def _entry(chance: random.Random, project: str, artifact: str, median: float, spread: float) -> Entry:
    identifier = uuid.UUID(int=chance.getrandbits(128), version=4)
    run = uuid.UUID(int=chance.getrandbits(128), version=4)
    age = min(1.5 + chance.weibullvariate(210, 1.2), 905)
    size = round(median * chance.lognormvariate(0, spread)) if chance.random() > 0.006 else 0
    created = to_text(MARKED - timedelta(days=age, microseconds=chance.randrange(10**6)))
    step = "/".join(artifact.split("::")[-2:])
    return Entry(
        id=str(identifier), artifact=artifact, version=str(chance.randint(1, 2_500)), project=project,
        uri=f"{ROOT}/{step}/{run}/{str(identifier)[:8]}", objects=1 + min(size // 64_000_000, 400) if size else 0, bytes=size,
        fingerprint=f"sha256:{chance.getrandbits(256):064x}", created=created, updated=created, reason="unreferenced",
    )  # fmt: skip


def _in_units(entries: Sequence[Entry]) -> list[Entry]:
    """*entries* with every thousandth in the place of the one before it."""
    found = list(entries)
    for at in range(500, len(found), 1_000):
        root = found[at - 1]
        found[at] = msgspec.structs.replace(found[at], uri=f"{root.uri}/part", shares=root.id, objects=0, bytes=0)
    return found


def plan_of(entries: Sequence[Entry], *, approvals: Sequence[str] = ("grace@example.org", "linus@example.org")) -> Plan:
    """A plan of *entries*, made at :data:`MARKED` and looked at a day later."""
    versions = sum(KEPT.values()) + len(entries)
    base = draft(entries)
    sums = msgspec.structs.replace(base.totals, versions_in_catalog=versions, kept=KEPT)
    policy = Policy(keep_latest=3, exclude_tags=("prod*", "release"), pins=("churn_model",))
    stores = (StoreFacts(root=ROOT, flavor="s3", undo=Undo.VERSIONED),)
    made = msgspec.structs.replace(base, totals=sums, policy=policy, stores=stores)
    header = Header(
        **{name: getattr(made, name) for name in made.__struct_fields__}, entries_sha256="sha256:" + "0" * 64
    )
    summary = PlanSummary(
        path="plans/2026-11-21.plan.json", id="01KAJ9Q6T0V3F7W4M2N8B5C1XZ", digest="sha256:" + "9f86d081884c7d65" * 4,
        created=header.plan.created, expires=header.plan.expires, tool=header.plan.tool, mode=header.plan.mode,
        catalog=header.catalog, policy=policy, stores=stores, entries=sums.entries, objects=sums.objects, bytes=sums.bytes,
        versions_in_catalog=versions, kept=KEPT, groups=header.groups,
        signer=SignerFacts(principal="ci@example.org", fingerprint="SHA256:uKZ1a0lIyYbvIvpLI5XSvKp4a1yZ3gGTBwk1LJPFwM8"),
        approvals=tuple(approvals), approvals_needed=2, expired=False,
    )  # fmt: skip
    facts = overview(header, entries, now=MARKED + timedelta(days=1), approvals=approvals)
    trusted = TrustFacts(source="git:origin/main at 1f9c0d2", policy=".marksweep/policy.toml", own=False, branch=False)
    result = ShowResult(plan=summary, overview=facts, entries=(), approve=approve_lines(summary), trusted=trusted)
    return Plan(result, entries)
