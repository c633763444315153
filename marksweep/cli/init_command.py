"""``marksweep init``: the trust file and the policy of a repository of plans."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, MarksweepError, UsageError

if TYPE_CHECKING:
    from marksweep.plan.publickey import PublicKey
    from marksweep.report.document import Document
    from marksweep.report.init_documents import InitFile

ATTRIBUTES = ".gitattributes"


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The top of the repository; default: the current folder.")
    ] = Path(),
    catalog: opt.CatalogUrl = None,
    no_catalog: Annotated[
        bool, typer.Option("--no-catalog", help="Look for no catalog: the policy then lists none.")
    ] = False,
    json: opt.Json = False,
) -> None:
    """Make a repository's trust file and policy, commented, and what git must know of plans. Never overwrites a file."""
    from marksweep.cli.authority import FOLDER, POLICY, SIGNERS
    from marksweep.cli.init_files import ATTRIBUTES as LINES
    from marksweep.cli.init_files import CODEOWNERS, IGNORED, PLANS, allowed_signers, policy
    from marksweep.cli.screen import Screen, conclude
    from marksweep.report.init_documents import FileState, InitResult

    def work() -> tuple[Document, ExitStatus]:
        remarks = _check_top(folder)
        server_id, roots, why = (None, (), None) if no_catalog else _catalog_facts(catalog)
        name, key = _own_key()
        trust = _written(folder / FOLDER / SIGNERS, allowed_signers(name, key))
        rules = _written(folder / FOLDER / POLICY, policy(server_id, roots))
        named, listed = trust.state is FileState.WRITTEN, rules.state is FileState.WRITTEN
        files = (
            trust,
            rules,
            _with_lines(folder / ATTRIBUTES, LINES),
            _written(folder / "plans" / "README.md", PLANS),
            _written(folder / "plans" / ".gitignore", IGNORED),
        )
        result = InitResult(
            folder=str(folder), files=files, server_id=server_id if listed else None, signer=name if named else None,
            fingerprint=key.fingerprint if key and named else None, codeowners=CODEOWNERS,
            remarks=(*remarks, *((f"No catalog is listed in the policy: {why}.",) if why and listed else ())),
        )  # fmt: skip
        return result, ExitStatus.DONE

    conclude(Screen(json), work)


def _check_top(folder: Path) -> tuple[str, ...]:
    """What to say of *folder* as a repository; raise UsageError if it is not there, or inside of one."""
    from marksweep.cli.git_tree import work_tree

    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "make it, with `git init`, or choose another")
    top = work_tree(folder)
    if top is None:
        return (f"{folder} is no git repository yet: `git init` makes it one.",)
    if top != folder.resolve():
        fact = f"{folder} is not the top of its repository, and trust and policy are only found there"
        raise UsageError(fact, f"run `marksweep init {top}`")
    return ()


def _catalog_facts(url: str | None) -> tuple[str | None, tuple[str, ...], str | None]:
    """The server id and the roots of the stores of the catalog, or why there are none if none was asked for."""
    from marksweep.cli.wire import open_catalog

    try:
        with open_catalog(url, None) as opened:
            return opened.identity().server_id, tuple(sorted({store.root for store in opened.stores().values()})), None
    except MarksweepError as error:
        if url is not None:
            raise
        return None, (), error.fact


def _own_key() -> tuple[str | None, PublicKey | None]:
    """This user's name and public key, from the environment or their configuration folder; nothing is made."""
    from marksweep.cli.identity import key_path, principal, trust_path
    from marksweep.plan.allowed_signers import Trust, best_name
    from marksweep.plan.keys import key_from_environment
    from marksweep.plan.publickey import PublicKey

    given = key_from_environment(os.environ)
    public = key_path().with_name(f"{key_path().name}.pub")
    if given is not None:
        key = given.public
    elif public.is_file():
        try:
            key = PublicKey.parse(public.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(f"{public} is no public key", "make a new key with `marksweep keys create`") from None
    else:
        return None, None
    known = Trust.load(trust_path()).everybody_with(key) if trust_path().exists() else frozenset()
    return (best_name(known) if known else principal()), key


def _written(path: Path, text: str) -> InitFile:
    """Write *path*, with its folder, unless something is there."""
    from marksweep.report.init_documents import FileState, InitFile

    if os.path.lexists(path):
        return InitFile(path=str(path), state=FileState.THERE)
    _put(path, text, os.O_CREAT | os.O_EXCL)
    return InitFile(path=str(path), state=FileState.WRITTEN)


def _with_lines(path: Path, text: str) -> InitFile:
    """Add those lines of *text* to *path* that it does not have."""
    from marksweep.report.init_documents import FileState, InitFile

    if not os.path.lexists(path):
        return _written(path, text)
    try:
        before = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "make it a file that can be read") from None
    missing = [line for line in text.splitlines() if line not in before.splitlines()]
    if all(line.startswith("#") for line in missing):
        return InitFile(path=str(path), state=FileState.THERE)
    joint = "" if not before or before.endswith("\n") else "\n"
    _put(path, joint + "".join(f"{line}\n" for line in missing), os.O_APPEND)
    return InitFile(path=str(path), state=FileState.ADDED_TO)


def _put(path: Path, text: str, flags: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "make its folder writable") from None
