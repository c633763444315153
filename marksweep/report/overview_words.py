"""The sentences and commands about a plan as a whole that its terminal, Markdown and HTML forms share."""

from __future__ import annotations

import shlex
from typing import assert_never

from marksweep.model.outcome import Mode
from marksweep.model.store import Undo
from marksweep.plan.document import APPROVE_NAMESPACE
from marksweep.report.authority_view import trust_option
from marksweep.report.documents import PlanSummary
from marksweep.report.overview_documents import Overview
from marksweep.report.text import count, counted, share, size
from marksweep.report.trust_documents import TrustFacts
from marksweep.report.words import NOTHING


def verdict(plan: PlanSummary, overview: Overview) -> str:
    """What a sweep of the plan would do, how much that is, and whether it can be undone: one sentence."""
    if not plan.entries:
        return NOTHING
    what = f"{counted(plan.entries, 'artifact version')} of {count(plan.versions_in_catalog)}"
    part = share(plan.entries, plan.versions_in_catalog)
    extent = f"{counted(plan.objects, 'object')}, {size(plan.bytes)}"
    return f"{what} ({part}) would {_lose(plan, extent)}; {_undo(plan.mode, overview)}."


def approve_lines(plan: PlanSummary, trusted: TrustFacts | None = None) -> tuple[str, ...]:
    """How a reviewer approves the plan, as lines for a shell: one with marksweep, or two with nothing but OpenSSH.

    *trusted*: what the reviewer should judge it by, too. ``YOU`` in the last is the reviewer's to replace. None if there
    is nothing to approve: the plan is empty or expired.
    """
    if plan.expired or not plan.entries:
        return ()
    folder = f"{plan.path}.approvals"
    sign = f"ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n {APPROVE_NAMESPACE}"
    return (
        shlex.join(["marksweep", "approve", plan.path, *trust_option(trusted)]),
        shlex.join(["mkdir", "-p", folder]),
        f"sed '$d' {shlex.quote(plan.path)} | {sign} > {shlex.quote(f'{folder}/YOU.sig')}",
    )


def _lose(plan: PlanSummary, extent: str) -> str:
    match plan.mode:
        case Mode.BOTH:
            return f"be deleted, rows and bytes: {extent}"
        case Mode.ONLY_ARTIFACT:
            return f"lose their bytes and keep their rows: {extent}"
        case Mode.ONLY_METADATA:
            return f"lose their rows and leave their bytes: {extent}"
        case _:
            assert_never(plan.mode)


def _undo(mode: Mode, overview: Overview) -> str:
    """Whether bytes that are deleted can be brought back, over all stores with entries."""
    if mode is Mode.ONLY_METADATA:
        return "no bytes go"
    undos = {store.undo for store in overview.stores if store.entries}
    if undos == {Undo.NONE}:
        return "the bytes cannot be brought back"
    if Undo.NONE in undos:
        return "part of the bytes cannot be brought back"
    if Undo.UNKNOWN in undos:
        return "nobody knows whether all of the bytes can be brought back"
    return "the bytes can be brought back for as long as their stores keep them"
