"""The trash of a sweep: where it may be, and where an earlier run of the same plan had it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from marksweep.catalog.port import Catalog
from marksweep.errors import StoreRefused, UsageError
from marksweep.model.outcome import Mode
from marksweep.model.store import Undo
from marksweep.model.version import ArtifactStore
from marksweep.plan.swept import SweptPlan
from marksweep.plan.verify import VerifiedPlan
from marksweep.store import local_fs
from marksweep.store.local_trash_place import folder_name, misplaced, open_trash, real_place
from marksweep.store.realpath import local_path
from marksweep.sweep.journal_reader import journal_path, read_journal

BOUND = "trash"
"""The name in a journal's ``meta`` of the folder that its sweep moves local files to."""
_UNDOABLE = (Undo.VERSIONED, Undo.SOFT_DELETE)


def plan_folder(trash: Path, plan: VerifiedPlan | SweptPlan) -> Path:
    """The folder of *plan* in the folder *trash*."""
    return trash / folder_name(plan.header.plan.id)


def earlier_trash(plan: VerifiedPlan | SweptPlan) -> Path | None:
    """The trash of the sweep of *plan* so far; null when it had none."""
    path = journal_path(plan.path)
    if not path.is_file():
        return None  # what else stands there is the journal's to refuse
    with read_journal(path, plan.digest) as journal:
        found = journal.meta().get(BOUND)
    return Path(found) if found else None


def trash_of(given: Path | None, plan: VerifiedPlan, catalog: Catalog) -> Path | None:
    """Where the local files of *plan* go: the folder *given*, or the one that an earlier run of its sweep used.

    Raises UsageError when the two differ, or what *given* promises cannot be kept, and StoreRefused when it cannot be used.
    """
    before = earlier_trash(plan)
    if given is None and before is None:
        return None
    trash = before if given is None else _named(given)
    assert trash is not None
    if before not in (None, trash):
        raise UsageError(
            f"an earlier run of this sweep moved files to the trash {before}, not to {trash}",
            "go on with the same: leave --trash out, or give that folder",
        )
    _check_promise(plan)
    _check_place(trash, plan, catalog)
    return trash


def _named(given: Path) -> Path:
    trash = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would follow a link that the trash itself must not be
    try:
        str(trash).encode()
    except UnicodeEncodeError:
        raise UsageError("the path given to --trash is not valid UTF-8", "give another folder") from None
    return trash


def _check_promise(plan: VerifiedPlan) -> None:
    if plan.header.plan.mode is Mode.ONLY_METADATA:
        raise UsageError(
            "--trash is for bytes, and a sweep of this plan deletes none: its mode is only-metadata",
            "leave --trash out",
        )
    others = [store for store in plan.header.stores if store.flavor != "local"]
    if len(others) == len(plan.header.stores):
        raise UsageError("--trash is for local stores, and the plan has no entry in one", "leave --trash out")
    for store in others:
        if store.undo not in _UNDOABLE:
            raise UsageError(
                f"--trash is for local stores, and the plan has entries in {store.root}, where a delete cannot be undone",
                "plan the local stores alone (`marksweep mark --store NAME`), or leave --trash out",
            )


def _check_place(trash: Path, plan: VerifiedPlan, catalog: Catalog) -> None:
    """Not in the way of any artifact store, and on the file system of each that the plan has entries in."""
    local = [store for store in catalog.stores().values() if store.flavor == "local"]
    with ExitStack() as stack:
        opened: list[tuple[ArtifactStore, str, int]] = []
        for store in local:
            try:
                real, root = local_fs.open_root(local_path(store.root) or "")
            except (OSError, ValueError):
                continue  # its entries, if there are any, stop the sweep when it is opened
            stack.callback(os.close, root)
            opened.append((store, real, root))
        for _, real, _ in opened:  # all of them before a folder is made
            _check_beside(trash, real)
        planned = {store.root for store in plan.header.stores}
        for store, real, root in opened:
            if store.root in planned:
                with open_trash(plan_folder(trash, plan), store.id, root, real):
                    pass


def _check_beside(trash: Path, real_root: str) -> None:
    try:
        reason = misplaced(real_place(trash), real_root)
    except OSError as error:
        reason = f"{trash.parent}: {error.strerror}"
    if reason:
        raise StoreRefused(
            f"the trash {trash} cannot be used: {reason}",
            "Give a folder outside of the artifact stores, on the same disk.",
        )
