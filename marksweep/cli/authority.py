"""Whose word counts: trust and rules, from ``--trust``, from the work tree, or this user's own.

A plan comes on a branch, and so does whatever lies beside it. Only what is taken from elsewhere (a protected branch, a
file of the machine that sweeps, this user's own folder) can say whom to believe about it.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marksweep.cli.git_tree import GitTree, TreeEntry, tops, work_tree
from marksweep.cli.identity import TRUST_VARIABLE, principal, trust_line, trust_path
from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.allowed_signers import MAX_TRUST_FILE, Trust
from marksweep.plan.document import shown
from marksweep.plan.keys import key_from_environment
from marksweep.plan.rules import MAX_POLICY_FILE, NO_RULES, RuleBook

FOLDER = ".marksweep"
"""Where a repository has its trust and its policy, at its top."""
SIGNERS, POLICY = "allowed_signers", "policy.toml"
OWN = "own"
_GIT = "git:"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who is trusted and what is asked of a plan. ``source`` says where both come from, in words for people.

    ``own``: this user's own trust file. ``branch``: what the work tree has, which whoever wrote the branch could choose.
    """

    trust: Trust
    rulebook: RuleBook
    source: str
    own: bool = False
    branch: bool = False


def authority(given: str | None, beside: Path, tell: Callable[[str], None]) -> Authority:
    """What ``--trust`` *given*, ``MARKSWEEP_TRUST``, the work tree that *beside* lies in, or this user's own file says.

    *beside* is a plan, or the folder of one; *tell* gets the remark that people must read. Raises UsageError for what cannot
    be read, SignatureRefused for what must not be trusted.
    """
    chosen = _chosen(given)
    if chosen:
        return _named(chosen, beside)
    folder = policy_folder(beside)
    if folder is None:
        return _own()
    tell(
        f"Trust and policy are those of this work tree ({folder}): whoever wrote the branch could choose them. What a"
        " protected branch says: --trust git:origin/main"
    )
    return _in_folder(folder, branch=True)


def sweep_authority(given: str | None, plan: Path) -> Authority:
    """The same for a sweep, which takes nothing from the branch that carries *plan*: SignatureRefused in its place."""
    chosen, folder = _chosen(given), policy_folder(plan)
    if folder is not None and not chosen:
        raise SignatureRefused(
            f"{plan} lies in a repository with a policy ({folder / POLICY}), and nothing says where to take it from",
            "add --trust git:origin/main (the protected branch; fetch it first), or --trust own for this user's own trust"
            " file and no policy",
        )
    return _named(chosen, plan) if chosen else _own()


def mark_authority(given: str | None, out: Path) -> Authority:
    """The same for a mark, on whose word nothing is deleted: the work tree is that of *out*, or of the current folder."""
    places = (out, Path.cwd())
    around = [place for place in places if policy_folder(place)] or [
        place for place in places if work_tree(_folder(place))
    ]
    beside = next(iter(around), out)
    chosen, folder = _chosen(given), policy_folder(beside)
    if chosen:
        return _named(chosen, beside)
    return _own() if folder is None else _in_folder(folder, branch=True)


def policy_folder(beside: Path) -> Path | None:
    """The ``.marksweep`` with a policy in the nearest work tree around *beside* that has one; None if none has.

    Work trees around work trees count, and those that the path goes through by a link: a branch cannot take its plans out
    of its repository's policy by a submodule or a symbolic link.
    """
    folder = _folder(beside)
    around = (top / FOLDER for top in (*tops(folder.resolve()), *tops(folder)))
    return next((found for found in around if os.path.lexists(found / POLICY)), None)


def _chosen(given: str | None) -> str:
    return given or os.environ.get(TRUST_VARIABLE, "")


def _named(chosen: str, beside: Path) -> Authority:
    if chosen == OWN:
        return _own()
    if chosen.startswith(_GIT):
        return _in_git(chosen, _folder(beside))
    path = Path(chosen)
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        remedy = f"name a file or a folder that exists, or a branch: --trust git:{shown(chosen)}"
        raise UsageError(f"the trust file {shown(chosen)} cannot be read: no such file or folder", remedy)
    return Authority(Trust.load(path), _rules_at(path.parent / POLICY), str(path))


def _own() -> Authority:
    """This user's own trust file, together with the key of the environment; no rules."""
    own = trust_path()
    lines = own.read_text(encoding="utf-8").splitlines() if own.exists() else []
    key = key_from_environment(os.environ)
    if key is not None:
        lines.append(trust_line(principal(), key.public))
    return Authority(Trust.of(lines, str(own)), NO_RULES, str(own), own=True)


def _in_folder(folder: Path, *, branch: bool = False) -> Authority:
    trust = Trust.load(folder / SIGNERS)
    return Authority(trust, _rules_at(folder / POLICY), str(folder), branch=branch)


def _rules_at(path: Path) -> RuleBook:
    """The rules in the file at *path*, or none if there is no such file."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_POLICY_FILE + 1)
    except FileNotFoundError:
        return NO_RULES
    except OSError as error:
        raise UsageError(f"the policy {path} cannot be read: {error.strerror}", "make it a file to be read") from None
    if len(octets) > MAX_POLICY_FILE:
        raise UsageError(f"the policy {path} is larger than {MAX_POLICY_FILE} bytes", "make it smaller")
    try:
        return RuleBook.load(octets.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise UsageError(f"the policy {path} is not UTF-8 text", "save it as UTF-8") from None


def _in_git(chosen: str, folder: Path) -> Authority:
    """``git:REF`` or ``git:REF:PATH``, where PATH is a folder with both files, or a trust file."""
    ref, colon, path = chosen.removeprefix(_GIT).partition(":")
    tree = GitTree.at(folder, ref)
    place = _checked_path(path) if colon else FOLDER
    found = tree.entry(place)
    if found is None:
        fact = f"there is no {shown(tree.name(place))} (commit {tree.commit[:12]} of the repository {tree.folder})"
        raise UsageError(fact, "make it there with `marksweep init`, or name where it is: --trust git:REF:PATH")
    if found.kind == "tree":
        signers = _file(tree, posixpath.join(place, SIGNERS))
        if signers is None:
            fact = f"there is no {tree.name(posixpath.join(place, SIGNERS))} (commit {tree.commit[:12]})"
            raise UsageError(fact, "add it there: without it nobody is trusted")
    else:
        signers = found
    trust = Trust.of(tree.text(signers, MAX_TRUST_FILE).split("\n"), tree.name(signers.path))
    policy = _file(tree, posixpath.join(posixpath.dirname(signers.path), POLICY))
    rules = NO_RULES if policy is None else RuleBook.load(tree.text(policy, MAX_POLICY_FILE), tree.name(policy.path))
    where = f":{place}" if colon else ""
    return Authority(trust, rules, f"{_GIT}{ref}{where} at {tree.commit[:12]}")


def _file(tree: GitTree, path: str) -> TreeEntry | None:
    found = tree.entry(path)
    if found is not None and found.kind == "tree":
        raise UsageError(f"{tree.name(path)} is a folder", "commit a file in its place")
    return found


def _checked_path(path: str) -> str:
    plain = path.removeprefix("./").removesuffix("/")
    if not plain.isprintable() or any(part in ("", ".", "..") for part in plain.split("/")):
        fact = f"{shown(path)!r} is no path from the top of a repository"
        raise UsageError(fact, "write for example --trust git:origin/main:.marksweep")
    return plain


def _folder(beside: Path) -> Path:
    return beside if beside.is_dir() else beside.parent
