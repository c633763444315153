"""Plans, keys and trust for tests. ``seal`` signs any bytes: a hostile plan can have a good signature."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from marksweep.model.entry import Entry
from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import (
    APPROVE_NAMESPACE,
    PLAN_NAMESPACE,
    CatalogFacts,
    Draft,
    Group,
    PlanFacts,
    StoreFacts,
    Totals,
)
from marksweep.plan.keys import SigningKey
from marksweep.plan.sshsig import Message
from marksweep.plan.writer import WrittenPlan, seal_line, write_plan

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def key(seed: int = 1) -> SigningKey:
    """An Ed25519 key, always the same one for a seed."""
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def ecdsa_key(curve: ec.EllipticCurve) -> SigningKey:
    return SigningKey(ec.generate_private_key(curve))


def rsa_key(bits: int = 2048) -> SigningKey:
    return SigningKey(rsa.generate_private_key(65537, bits))


PLANNER, ALICE, BOB, CAROL, MALLORY = (key(seed) for seed in (1, 2, 3, 4, 66))
TRUST = Trust.of(
    [
        f'ci@example.org namespaces="{PLAN_NAMESPACE}" {PLANNER.public.line}',
        f'alice@example.org namespaces="{APPROVE_NAMESPACE}" {ALICE.public.line} alice at work',
        f'bob@example.org namespaces="{APPROVE_NAMESPACE}" {BOB.public.line}',
        f'carol@example.org namespaces="marksweep-*@marksweep.dev" {CAROL.public.line}',
    ]
)


def entry(number: int, **changes: object) -> Entry:
    """Entry *number*; entries of increasing numbers are in plan order."""
    base = Entry(
        id=f"{number:08x}-52e6-4f2a-8269-a6a36513270e",
        artifact=f"train::output_{number % 3}",
        version=str(number),
        project="default",
        uri=f"s3://bucket/zenml/{number:08d}/data",
        objects=number % 5,
        bytes=number * 1000,
        fingerprint="sha256:" + hashlib.sha256(str(number).encode()).hexdigest(),
        created="2026-01-01T12:00:00Z",
        updated="2026-01-01T12:00:00.123456Z",
        reason="unreferenced",
    )
    return msgspec.structs.replace(base, **changes)


def shared(number: int, root: Entry, below: str, **changes: object) -> Entry:
    """An entry inside the unit of *root*."""
    inside = {"uri": f"{root.uri}/{below}", "shares": root.id, "objects": 0, "bytes": 0}
    return entry(number, **{**inside, **changes})


def draft(entries: Iterable[Entry], **changes: object) -> Draft:
    """A header that is true for *entries*."""
    entries = list(entries)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for found in entries:
        groups.setdefault((found.project, found.artifact), []).append(found)
    base = Draft(
        plan=PlanFacts(
            id="01KAJ9",
            created="2026-11-21T09:00:00Z",
            expires="2026-12-05T09:00:00Z",
            tool="marksweep 0.1.0",
            mode=Mode.BOTH,
            limits="",
        ),
        catalog=CatalogFacts(
            kind="zenml",
            server_id="8f0e",
            schema="0.98.0",
            release="0.98.0",
            dialect="sqlite",
            instance="sha256:41c0",
            rows={"artifact_version": 90112, "step_run_input_artifact": 200_000},
        ),
        policy=Policy(older_than=timedelta(days=30), projects=("default",), keep_latest=3),
        stores=(StoreFacts(root="s3://bucket/zenml", flavor="s3", undo=Undo.VERSIONED),),
        totals=Totals(
            entries=len(entries),
            objects=total(entry.objects for entry in entries),
            bytes=total(entry.bytes for entry in entries),
            versions_in_catalog=90112,
            kept={"referenced": 12, "too_young": 3},
        ),
        groups=tuple(
            Group(project=project, artifact=artifact, entries=len(some), bytes=total(entry.bytes for entry in some))
            for (project, artifact), some in groups.items()
        ),
    )
    return msgspec.structs.replace(base, **changes)


def total(numbers: Iterable[int | None]) -> int | None:
    found = list(numbers)
    return None if None in found else sum(number or 0 for number in found)


def six() -> list[Entry]:
    """A small plan's entries, with a unit of three among them."""
    root = entry(2)
    return [entry(1), root, shared(3, root, "a"), shared(4, root, "a/b"), entry(5), entry(6)]


def written(path: Path, entries: Iterable[Entry] | None = None, by: SigningKey = PLANNER) -> WrittenPlan:
    chosen = six() if entries is None else list(entries)
    return write_plan(path, draft(chosen), chosen, by)


def seal(body: bytes, by: SigningKey = PLANNER) -> bytes:
    """*body* with a good signature line by *by*."""
    return body + seal_line(Message.of(body), by)


def body_of(plan: bytes) -> bytes:
    """What is signed: all but the last line."""
    return plan[: plan.rindex(b"\n", 0, -1) + 1]
