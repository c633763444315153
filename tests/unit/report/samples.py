"""One document of every kind, and the same ones with a hostile string wherever somebody else's text may stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from marksweep.model.outcome import Mode
from marksweep.model.policy import Policy
from marksweep.model.store import Undo
from marksweep.plan.document import CatalogFacts, Group, StoreFacts
from marksweep.plan.receipt import Outcomes
from marksweep.report import diff_documents as f
from marksweep.report import documents as d
from marksweep.report import explain_documents as e
from marksweep.report import grants_documents as r
from marksweep.report import init_documents as i
from marksweep.report import log_documents as g
from marksweep.report import overview_documents as o
from marksweep.report import trust_documents as t
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


def overview(**changes: Any) -> o.Overview:
    """What that plan looks like as a whole; *changes* replace its members."""
    base = o.Overview(
        risks=(
            o.Risk(
                severity=o.Severity.DANGER, code="no_undo", text="2 entries, 9.5 MiB, cannot be undone: /srv/zenml/artifacts",
                names=("/srv/zenml/artifacts",),
            ),
            o.Risk(severity=o.Severity.CAUTION, code="young", text="4 entries less than 7 days old"),
            o.Risk(severity=o.Severity.NOTE, code="no_objects", text="1 entry without any object: of those only the rows go"),
        ),
        projects=1, artifacts=4,
        branches=tuple(
            o.Branch(
                project="default", pipeline=artifact.partition("::")[0], artifact=artifact, entries=entries,
                objects=3 * entries, bytes=size, oldest="2026-01-01T12:00:00Z", newest="2026-03-01T12:00:00Z",
            )
            for artifact, entries, size in (
                ("train::step::model_checkpoint", 12, 2_835_973_836),
                ("features::engineer::a_rather_long_output_name", 9, 590_000_000),
                ("evaluate::step::report", 4, 10_000_000),
            )
        ),
        more_artifacts=1, more_entries=2,
        ages=(
            o.Slice(label="under a day", entries=0, bytes=0), o.Slice(label="1 to 7 days", entries=4, bytes=10_000_000),
            o.Slice(label="180 to 365 days", entries=23, bytes=3_425_973_836),
        ),
        sizes=(
            o.Slice(label="empty", entries=1, bytes=0), o.Slice(label="up to 1 GiB", entries=24, bytes=3_435_973_836),
            o.Slice(label="unknown", entries=0, bytes=0), o.Slice(label="in another's place", entries=2, bytes=0),
        ),
        stores=(
            o.StoreShare(
                root="s3://ml-artifacts/zenml", flavor="s3", undo=Undo.VERSIONED, entries=25, objects=75, bytes=3_425_973_836
            ),
            o.StoreShare(
                root="/srv/zenml/artifacts", flavor="local", undo=Undo.NONE, entries=2, objects=6, bytes=10_000_000
            ),
        ),
        shared=2,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


APPROVE = (
    "marksweep approve plans/2026-11-21.plan.json",
    "mkdir -p plans/2026-11-21.plan.json.approvals",
    "sed '$d' plans/2026-11-21.plan.json | ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n marksweep-approve@marksweep.dev"
    " > plans/2026-11-21.plan.json.approvals/YOU.sig",
)


def show_result(**changes: Any) -> d.ShowResult:
    """That plan as ``show`` has it, without entries; *changes* replace its members, or those of its plan."""
    own = {name: changes.pop(name) for name in d.ShowResult.__struct_fields__ if name in changes}
    base = d.ShowResult(plan=plan(**changes), overview=overview(), entries=(), approve=APPROVE)
    return msgspec.structs.replace(base, **own)


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
    references=(
        e.ReferenceFacts(
            kind="step_input", holder="step 'evaluate' of run 'training-2026-10-01'", since="2026-10-01T08:00:00Z"
        ),
    ),
)  # fmt: skip

PLACE = e.PlanPlace(path="plans/2026-11-21.plan.json", digest=DIGEST, entry=True)
GONE = e.GoneVersion(
    id=EXPLAINED.id, artifact=EXPLAINED.artifact, version="6", project="default", uri=EXPLAINED.uri,
    created=EXPLAINED.created, plan=msgspec.structs.replace(PLACE, state="deleted", at="2026-11-22T08:01:10Z"),
)  # fmt: skip
KEPT = e.KeptVersion(
    id=EXPLAINED.id, artifact=EXPLAINED.artifact, version="7", project="default", uri=EXPLAINED.uri,
    created=EXPLAINED.created, detail="referenced by step_input", reference=EXPLAINED.references[0],
)  # fmt: skip


def side(**changes: Any) -> f.DiffSide:
    """One of two plans that are compared."""
    base = f.DiffSide(
        path="plans/2026-11-14.plan.json", id="01KAJ9Q6T0V3F7W4M2N8B5C1XY", digest=DIGEST, created="2026-11-14T09:00:00Z",
        mode=Mode.BOTH, signer=SIGNER.principal, fingerprint=SIGNER.fingerprint, entries=20, objects=60,
        bytes=2_000_000_000, versions_in_catalog=80_000,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def difference(**changes: Any) -> f.PlanDifference:
    """Two plans of one catalog, of which everything differs; *changes* replace its members."""
    base = f.PlanDifference(
        before=side(), same_catalog=True, more_artifacts=2,
        now=side(path="plans/2026-11-21.plan.json", entries=27, created="2026-11-21T09:00:00Z", versions_in_catalog=90_112),
        totals=f.DiffTotals(
            new=f.DiffTally(entries=12, objects=36, bytes=1_435_973_836), gone=f.DiffTally(entries=5, objects=15, bytes=7),
            changed=f.DiffTally(entries=1, objects=3, bytes=6_474_387), same=f.DiffTally(entries=14, objects=42, bytes=None),
        ),
        artifacts=(
            f.DiffArtifact(
                project="default", artifact="train::model_checkpoint", new=12, gone=5, changed=1, entries_before=20,
                entries_now=27, bytes_before=2_000_000_000, bytes_now=3_435_973_836,
            ),
        ),
        facts=(
            f.DiffFact(part="policy", name="older_than", before="only older than 60 days", now="only older than 30 days"),
            f.DiffFact(part="policy", name="grace", before="", now="--no-grace: no minimum age", danger=True),
            f.DiffFact(part="catalog", name="release", before="0.97.0", now="0.98.0"),
            f.DiffFact(part="store", name="s3://ml-artifacts/zenml", before="s3, cannot be undone", now=""),
            f.DiffFact(part="plan", name="mode", before="only metadata", now="both artifact and metadata"),
        ),
        rows=(f.DiffRows(table="artifact_version", before=80_000, now=90_112), f.DiffRows(table="logs", before=None, now=3)),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


DIFFED = f.DiffEntry(
    id=ENTRY.id, artifact=ENTRY.artifact, version="7", project="default", uri=ENTRY.uri, objects=3, bytes=6_474_387,
    created=ENTRY.created,
)  # fmt: skip
WHY = f.DiffWhy(reason="referenced", detail="input of step evaluate of run nightly", references=EXPLAINED.references)

TRUSTED = t.TrustFacts(
    source="git:origin/main at 51b2e3b121c8", policy="git:origin/main:.marksweep/policy.toml", own=False, branch=True
)
DOCUMENTS: dict[str, d.Document] = {
    "mark": d.MarkResult(
        plan=plan(), warnings=("store 'old' cannot be reached; its orphans are kept",), requests=REQUESTS, seconds=3.3,
        compared=difference(),
    ),
    "show": show_result(entries=(ENTRY,)),
    "verify": d.VerifyResult(
        path="plan.json", digest=DIGEST, signer=SIGNER, approvals=("alice@example.org",), approvals_needed=1,
        expires="2026-12-05T09:00:00Z", entries=27, objects=81, bytes=3_435_973_836, trusted=TRUSTED,
        ignored=("mallory.sig: the key SHA256:abc is not trusted to approve: no line of the trust file has it",),
    ),
    "approve": t.ApproveResult(
        path="plan.json", digest=DIGEST, approval="plan.json.approvals/alice@example.org.sig",
        fingerprint=SIGNER.fingerprint, approvals=("alice@example.org",), approvals_needed=2,
        does_not_count="the key SHA256:abc is not trusted to approve: no line of the trust file has it",
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
    "diff": f.DiffResult(
        difference=difference(),
        entries=f.DiffEntries(
            new=(DIFFED,), gone=(msgspec.structs.replace(DIFFED, why=WHY),),
            changed=(msgspec.structs.replace(DIFFED, changes=("3 objects then, 4 now", "its objects were written since")),),
        ),
        reasons=(f.DiffReason(reason="referenced", entries=5, bytes=7),), remarks=("the first plan is the younger one",),
    ),
    "explain": e.ExplainResult(
        versions=(
            msgspec.structs.replace(EXPLAINED, plan=PLACE),
            msgspec.structs.replace(EXPLAINED, verdict="orphan", references=()),
        ),
        found=2, gone=(GONE,),
    ),
    "grants": r.GrantsResult(
        path="plans/2026-11-21.plan.json", digest=DIGEST, purpose="sweep", mode=Mode.BOTH, dialect="mariadb",
        database=(
            r.GrantLine(
                statement="GRANT INSERT, DELETE ON `zenml`.`artifact_version` TO 'marksweep'@'%';",
                why="the claimed versions", optional=False,
            ),
            r.GrantLine(statement="GRANT TRIGGER ON `zenml`.* TO 'm'@'%';", why="to see triggers", optional=True),
        ),
        stores=(
            r.StoreGrants(
                root="s3://ml-artifacts/zenml", flavor="s3", kind="s3", scope="root",
                policy={"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListBucket"]}]},
                lines=(), notes=("Deletes are limited to the store's root.",),
            ),
            r.StoreGrants(
                root="/srv/zenml", flavor="local", kind="files", scope="root", policy={}, notes=(),
                lines=(r.GrantLine(statement="write every folder", why="to delete", optional=False),),
            ),
        ),
        notes=("The plan names no store.",),
    ),
    "keys": t.KeyResult(
        path="/home/alice/.config/marksweep/signing_key", fingerprint=SIGNER.fingerprint, trusted_in=None,
        allowed_signers_line='alice@example.org namespaces="marksweep-*@marksweep.dev" ssh-ed25519 AAAAC3Nza',
        others=(
            t.KeyFacts(
                found="agent", algorithm="sk-ssh-ed25519@openssh.com", fingerprint="SHA256:other", comment="blue token",
                trusted_as=("alice@example.org",),
            ),
            t.KeyFacts(
                found="/home/alice/.ssh/id_rsa.pub", algorithm="ssh-rsa", fingerprint="SHA256:third", comment="",
                trusted_as=(),
            ),
        ),
    ),
    "log": g.LogResult(
        folder="plans", verified=True, more=True,
        plans=(
            g.PlanLine(
                path="plans/2026-11-21.plan.json", state=g.PlanState.PARTLY, expired=True, running=True, id="01KAJ9",
                digest=DIGEST, created="2026-11-21T09:00:00Z", expires="2026-12-05T09:00:00Z", mode=Mode.BOTH,
                server_id="8f0e", entries=12_873, bytes=3_435_973_836, signer="ci@example.org", fingerprint="SHA256:ci",
                approvals=("alice@example.org", "bob@example.org", "carol@example.org", "dan@example.org", "eve"),
                approvals_needed=2, problem="its receipt does not count: it was changed after it was signed",
                swept=g.SweptFacts(
                    source="receipt", started="2026-11-22T09:00:00Z", finished="2026-11-22T09:30:00Z",
                    by="bot@example.org", fingerprint="SHA256:bot", deleted=11_990, gone=10, kept=70, restored=0, failed=3,
                    not_attempted=800, bytes=3_000_000_000,
                ),
            ),
            g.PlanLine(path="plans/x.plan.json", state=g.PlanState.UNREADABLE, problem="it is not a marksweep plan"),
        ),
        totals=g.LogTotals(plans=2, entries=12_873, bytes=3_435_973_836, freed=3_000_000_000),
    ),
    "keys-import": t.KeysImportResult(
        into=".marksweep/allowed_signers",
        added=('alice@example.org namespaces="marksweep-approve@marksweep.dev" ssh-ed25519 AAAAC3Nza',),
        present=('alice@example.org namespaces="marksweep-approve@marksweep.dev" ssh-ed25519 AAAAC3Nzb',),
        refused=(t.RefusedKey(file="/home/alice/.ssh/id_dsa.pub", reason="it is a DSA key, and those can be forged"),),
        remarks=("line 3 has the key SHA256:abc already, for alice@example.org",),
    ),
    "verify-receipt": t.ReceiptResult(
        path="plan.json.receipt.json", plan="01M7Z11PAJB4ZYY4CR3BPJA31T", plan_digest=DIGEST, mode=Mode.BOTH,
        tool="marksweep 0.1.0", started="2026-11-21T09:00:00Z", finished="2026-11-21T09:04:00Z",
        principal="ci@example.org", fingerprint=SIGNER.fingerprint, journal=DIGEST, plan_matches=True,
        journal_matches=False,
        outcomes=Outcomes(
            planned=27, deleted=25, gone=0, referenced=1, changed=0, protected=0, failed=1, not_attempted=0, objects=75,
            bytes=3_435_973_836, left=0, restored=0,
        ),
    ),
    "prune": d.PruneResult(plan=plan(), overview=overview(), sweep=swept()),
    "init": i.InitResult(
        folder="plans-of-ours", server_id="8f0e5a51-2c0f-4a11-9d5e-0c7f6a3e9b12", signer="ada@example.org",
        fingerprint=SIGNER.fingerprint, codeowners=("/.marksweep/  @ORG/admins",), remarks=("it is no git repository yet",),
        files=(
            i.InitFile(path="plans-of-ours/.marksweep/policy.toml", state=i.FileState.WRITTEN),
            i.InitFile(path="plans-of-ours/.gitattributes", state=i.FileState.ADDED_TO),
            i.InitFile(path="plans-of-ours/plans/README.md", state=i.FileState.THERE),
        ),
    ),
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
        case (
            Mode()
            | Undo()
            | CanaryState()
            | o.Severity()
            | i.FileState()
            | bool()
            | int()
            | float()
            | None
            | timedelta()
        ):
            return value
        case str():
            return HOSTILE
        case tuple() | list():
            return tuple(hostile(member) for member in value)
        case dict():
            return {hostile(key): hostile(member) for key, member in value.items()}
        case msgspec.Struct():
            return msgspec.structs.replace(value, **{n: hostile(getattr(value, n)) for n in value.__struct_fields__})
        case _:
            raise AssertionError(f"unexpected {type(value)}")
