"""One document of every kind, and the same ones with a hostile string wherever somebody else's text may stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.document import CatalogFacts, Group, StoreFacts
from marksweep.report import documents as d
from marksweep.report import explain_documents as e
from marksweep.sweep.canary_record import CanaryState

HOSTILE = "a\x1b[2J\x1b]8;;http://x\x07b\x9b31m\u202egpj\u2066\u200b\u2028\x00\r\n\ud800\U000e0041[red]:boom:[/red]"
"""ESC, an OSC 8 link, C1, bidi, zero-width, a line separator, NUL, CR LF, a lone surrogate, a tag character, markup."""

DIGEST = "sha256:" + "9f86d081884c7d65" * 4
SIGNER = d.SignerFacts(principal="ci@example.org", fingerprint="SHA256:uKZ1a0lIyYbvIvpLI5XSvKp4a1yZ3gGTBwk1LJPFwM8")
BOOKS = d.BooksFacts(
    planned=27, deleted=27, gone=0, referenced=0, changed=0, protected=0, failed=0, not_attempted=0,
    in_doubt=0, objects=81, bytes=3_435_973_836, left=0,
)  # fmt: skip
LINE = d.Line(
    id="0000001b-52e6-4f2a-8269-a6a36513270e", uri="s3://ml-artifacts/zenml/train/output/0000001b", state="kept",
    code="referenced", detail="referenced by step_input since the plan was made",
)  # fmt: skip
FAILED = msgspec.structs.replace(
    LINE, state="failed", code="AccessDenied", detail="the store refused 3 keys: s3:DeleteObject is not allowed"
)

HARMED = d.HarmedFacts(
    id="0000001b-52e6-4f2a-8269-a6a36513270e", uri="s3://ml-artifacts/zenml/train/output/0000001b", objects_before=3,
    bytes_before=6_474_387, objects_after=2, bytes_after=6_474_000,
)  # fmt: skip


def canary(**changes: Any) -> d.CanaryFacts:
    """A canary that passed; *changes* replace its members."""
    base = d.CanaryFacts(state=CanaryState.PASSED, entries=5, beside=43_210, witnesses=9_876, harmed=())
    return msgspec.structs.replace(base, **changes)


def plan(**changes: Any) -> d.PlanSummary:
    """A plan of 27 entries; *changes* replace its members."""
    base = d.PlanSummary(
        path="plans/2026-11-21.plan.json", id="01KAJ9Q6T0V3F7W4M2N8B5C1XZ", digest=DIGEST,
        created="2026-11-21T09:00:00Z", expires="2026-12-05T09:00:00Z", tool="marksweep 0.1.0", mode=Mode.BOTH,
        catalog=CatalogFacts(
            kind="zenml", server_id="8f0e5a51-2c0f-4a11-9d5e-0c7f6a3e9b12", schema="0.98.0", release="0.98.0",
            dialect="sqlite", instance="sha256:41c0", rows={"artifact_version": 90_112, "step_run_input_artifact": 270_336},
        ),
        policy=Policy(older_than=timedelta(days=30), projects=("default",), keep_latest=3, exclude_tags=("prod*",)),
        stores=(
            StoreFacts(root="s3://ml-artifacts/zenml", flavor="s3", undo=Undo.VERSIONED),
            StoreFacts(root="/srv/zenml/artifacts", flavor="local", undo=Undo.NONE),
        ),
        entries=27, objects=81, bytes=3_435_973_836, versions_in_catalog=90_112,
        kept={"referenced": 62_031, "filtered": 27_900, "newest": 120, "too_young": 30, "claimed": 4},
        groups=(
            Group(project="default", artifact="train::model_checkpoint", entries=12, bytes=2_835_973_836),
            Group(project="default", artifact="features::engineer::a_rather_long_output_name", entries=9, bytes=590_000_000),
            Group(project="default", artifact="evaluate::report", entries=4, bytes=10_000_000),
        ),
        signer=SIGNER, approvals=("alice@example.org", "bob@example.org"), expired=False,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


REQUESTS = d.RequestFacts(list=41, delete=12, other=2, repeated=3, slowed=1)


def swept(**changes: Any) -> d.SweepResult:
    """A sweep that is done; *changes* replace its members, and ``books`` may be a dict of changes to its books."""
    books = changes.pop("books", {})
    base = d.SweepResult(
        path="plans/2026-11-21.plan.json", digest=DIGEST, mode=Mode.BOTH, dry_run=False,
        books=msgspec.structs.replace(BOOKS, **books), lines=(), requests=REQUESTS,
        receipt="plans/2026-11-21.plan.json.receipt.json", seconds=4.21, status=0,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def status(**changes: Any) -> d.StatusResult:
    """A sweep that is running; *changes* as in :func:`swept`."""
    books = changes.pop("books", {"deleted": 10, "not_attempted": 17, "in_doubt": 2})
    base = d.StatusResult(
        path="plans/2026-11-21.plan.json", digest=DIGEST, mode=Mode.BOTH,
        started="2026-11-22T08:00:00Z", last="2026-11-22T08:01:10Z",
        running=True, books=msgspec.structs.replace(BOOKS, **books), rate=240.2, lines=(LINE, FAILED),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


ENTRY = d.EntryLine(
    id="0000001b-52e6-4f2a-8269-a6a36513270e", artifact="train::model_checkpoint", version="7", project="default",
    uri="s3://ml-artifacts/zenml/train/model_checkpoint/0000001b-52e6-4f2a-8269-a6a36513270e", objects=3,
    bytes=6_474_387, created="2026-01-01T12:00:00Z", reason="unreferenced",
)  # fmt: skip

EXPLAINED = e.ExplainedVersion(
    id="0000001b-52e6-4f2a-8269-a6a36513270e", artifact="train::model_checkpoint", version="7", project="default",
    uri="s3://ml-artifacts/zenml/train/model_checkpoint/0000001b", created="2026-01-01T12:00:00Z", verdict="referenced",
    answers=(
        e.AnswerFacts(rule="referenced", keeps=True, detail="referenced by step_input"),
        e.AnswerFacts(rule="pinned", keeps=False, detail="not pinned"),
        e.AnswerFacts(rule="too_young", keeps=False, detail="old enough"),
    ),
    references=(e.ReferenceFacts(kind="step_input", holder="step 'evaluate' of run 'training-2026-10-01'"),),
)  # fmt: skip

DOCUMENTS: dict[str, d.Document] = {
    "mark": d.MarkResult(
        plan=plan(), warnings=("store 'old' cannot be reached; its orphans are kept",), requests=REQUESTS, seconds=3.3,
        compared=d.ComparedFacts(
            path="plans/2026-11-14.plan.json", digest=DIGEST, created="2026-11-14T09:00:00Z", entries=20,
            versions_in_catalog=80_000, new=12, gone=5,
        ),
    ),
    "show": d.ShowResult(plan=plan(), entries=(ENTRY,)),
    "verify": d.VerifyResult(
        path="plan.json", digest=DIGEST, signer=SIGNER, approvals=("alice@example.org",), approvals_needed=1,
        expires="2026-12-05T09:00:00Z", entries=27, objects=81, bytes=3_435_973_836,
    ),
    "approve": d.ApproveResult(
        path="plan.json", digest=DIGEST, approval="plan.json.approvals/alice@example.org.sig", fingerprint=SIGNER.fingerprint
    ),
    "sweep": swept(
        lines=(LINE, FAILED), books={"deleted": 25, "referenced": 1, "failed": 1}, status=12,
        canary=canary(state=CanaryState.CLEARED, harmed=(HARMED,)),
    ),
    "status": status(),
    "restore": d.RestoreResult(
        path="plan.json", digest=DIGEST, mode=Mode.BOTH, dry_run=False, swept=27, restored=25, refused=2, objects=75,
        bytes=3_435_973_836, lines=(msgspec.structs.replace(LINE, state="refused", code="rows"), FAILED), seconds=3.3,
        status=12,
    ),
    "explain": e.ExplainResult(versions=(EXPLAINED, msgspec.structs.replace(EXPLAINED, verdict="orphan", references=()))),
    "keys": d.KeyResult(
        path="/home/alice/.config/marksweep/signing_key", fingerprint=SIGNER.fingerprint, trusted_in=None,
        allowed_signers_line='alice@example.org namespaces="marksweep-*@marksweep.dev" ssh-ed25519 AAAAC3Nza',
    ),
    "prune": d.PruneResult(plan=plan(), sweep=swept()),
    "error": d.ErrorResult(
        error=d.ErrorFacts(
            code="plan-expired", fact="the plan expired on 2026-12-05T09:00:00Z",
            remedy="make a new plan with `marksweep mark`", deleted="nothing was deleted", status=22,
        )
    ),
}  # fmt: skip


def hostile(value: Any) -> Any:
    """*value* with every string in it replaced by :data:`HOSTILE`, enums left as they are."""
    match value:
        case Mode() | Undo() | CanaryState() | bool() | int() | float() | None | timedelta():
            return value
        case str():
            return HOSTILE
        case tuple():
            return tuple(hostile(member) for member in value)
        case dict():
            return {hostile(key): hostile(member) for key, member in value.items()}
        case msgspec.Struct():
            return msgspec.structs.replace(value, **{n: hostile(getattr(value, n)) for n in value.__struct_fields__})
        case _:
            raise AssertionError(f"unexpected {type(value)}")
