"""Files as they are at a commit, read with git: never from the work tree, which whoever wrote the branch controls.

git is asked for one commit, for the tree entries of exact paths, and for blobs by their id. What could make it look
elsewhere is taken away: variables of the environment that begin with ``GIT_``, replace refs, names that mean two things
(gitrevisions(7) prefers a tag called ``origin/main`` to the remote's branch), and repositories that a branch brings along
(a submodule, or a bare one among its files: git looks for one in each folder, so it is only ever started at the top).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.document import shown

TIMEOUT = 60
"""Seconds that git may take for one answer."""
_REGULAR = ("100644", "100755")
"""Modes of tree entries that are files; 120000 is a symbolic link, 160000 a submodule."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """What a path names at a commit: ``kind`` is ``blob`` or ``tree``; ``size`` is in bytes, 0 for a folder."""

    path: str
    kind: str
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class GitTree:
    """The files of the repository whose work tree has its top at *folder*, at the *commit* that *ref* named then."""

    folder: Path
    ref: str
    commit: str

    @classmethod
    def at(cls, folder: Path, ref: str) -> Self:
        """The tree at *ref* of the repository that *folder* lies in.

        Raises UsageError if there is no such commit or repository, and SignatureRefused if *ref* means two things or
        *folder* lies in a submodule.
        """
        if not ref or ref.startswith("-") or not ref.isprintable() or " " in ref:
            raise UsageError(f"{shown(ref)!r} cannot name a commit", "write for example --trust git:origin/main")
        folder = _top(folder, ref)
        ended = _git(folder, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        commit = ended.stdout.decode("ascii", "replace").strip()
        if ended.returncode or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            _refuse_ref(folder, ref, ended.stderr.decode("utf-8", "replace"))
        if b"ambiguous" in ended.stderr:
            fact = f"{shown(ref)!r} names more than one branch or tag of the repository of {folder}"
            raise SignatureRefused(fact, f"write the whole name, such as git:refs/remotes/{shown(ref)}")
        return cls(folder, ref, commit)

    def entry(self, path: str) -> TreeEntry | None:
        """What *path* (from the top of the repository) names, or None; SignatureRefused if it is a link or a submodule."""
        ended = self._asked("ls-tree", "-z", "-l", "--full-tree", self.commit, "--", path)
        for line in ended.decode("utf-8", "surrogateescape").split("\0"):
            fields, _, name = line.partition("\t")
            if name != path:
                continue
            mode, kind, sha, size = fields.split()
            if kind == "tree":
                return TreeEntry(path, kind, sha, 0)
            if mode not in _REGULAR:
                what = "a symbolic link" if mode == "120000" else "no file"
                raise SignatureRefused(
                    f"{self.name(path)} is {what} (mode {mode})", "commit a regular file in its place"
                )
            return TreeEntry(path, kind, sha, int(size))
        return None

    def text(self, entry: TreeEntry, most: int) -> str:
        """The UTF-8 text of a file of at most *most* bytes; raise UsageError for anything else."""
        if entry.size > most:
            fact = f"{self.name(entry.path)} has {entry.size} bytes, more than {most}"
            raise UsageError(fact, "commit a smaller file in its place")
        try:
            return self._asked("cat-file", "blob", entry.sha).decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{self.name(entry.path)} is not UTF-8 text", "commit it as UTF-8") from None

    def name(self, path: str) -> str:
        """How *path* at this commit is called in messages: ``git:origin/main:.marksweep/policy.toml``."""
        return f"git:{self.ref}:{path}"

    def _asked(self, *arguments: str) -> bytes:
        ended = _git(self.folder, *arguments)
        if ended.returncode:
            fact = f"git {arguments[0]} failed at {self.ref}: {_last_line(ended.stderr.decode('utf-8', 'replace'))}"
            raise UsageError(fact, f"fetch that commit whole: {_fetch(self.ref)}")
        return ended.stdout


def tops(folder: Path) -> Iterator[Path]:
    """The tops of the git work trees around *folder*, nearest first: each has a ``.git`` in it. Links are not resolved.

    No commit can hold anything of that name, so no branch can pretend to be a top.
    """
    here = folder.absolute()
    return (above for above in (here, *here.parents) if (above / ".git").exists())


def work_tree(folder: Path) -> Path | None:
    """The top of the git work tree that *folder* really lies in, or None."""
    return next(tops(folder.resolve()), None)


def _top(folder: Path, ref: str) -> Path:
    top = work_tree(folder)
    if top is None:
        fact = f"{folder} lies in no git repository, so there is no {shown(ref)!r} to take trust from"
        raise UsageError(fact, "put the plan into a clone of its repository, or give --trust a file or a folder")
    really = tuple(tops(folder.resolve()))
    for left in tops(folder):
        if left.resolve() not in really:
            fact = f"{folder} leads by a symbolic link out of the repository {left} and into {top}"
            raise SignatureRefused(fact, "give the path of the plan itself")
    if (top / ".git").is_file():
        named = (top / ".git").read_text(encoding="utf-8", errors="surrogateescape").removeprefix("gitdir:").strip()
        parts = Path(named).parts
        first = next((at for at, part in enumerate(parts) if part.endswith(".git")), len(parts))
        if "modules" in parts[first:]:
            fact = f"{top} is a submodule: whoever writes the branch that holds it chooses the repository behind it"
            raise SignatureRefused(fact, "keep plans in the repository itself, or give --trust a file or a folder")
    return top


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "--literal-pathspecs", "-c", "core.warnAmbiguousRefs=true", "-C", str(folder), *arguments]
    try:
        return subprocess.run(  # noqa: S603 - no shell, and options end before what a user gave
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise UsageError("git is not installed here", "install it, or give --trust a file or a folder") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"git {arguments[0]} did not end within {TIMEOUT} s in {folder}", "try again") from None


def _refuse_ref(folder: Path, ref: str, said: str) -> NoReturn:
    if "dubious ownership" in said:
        fact = f"git does not read the repository of {folder}: it belongs to another account"
        raise UsageError(fact, "run marksweep as its owner, or `git config --global --add safe.directory DIR`")
    why = "" if "Needed a single revision" in said else f": {_last_line(said)}"
    raise UsageError(f"the repository of {folder} has no commit {shown(ref)!r}{why}", f"fetch it first: {_fetch(ref)}")


def _fetch(ref: str) -> str:
    """How *ref* comes into a clone, a shallow one or one of a single branch too."""
    remote, slash, branch = ref.removeprefix("refs/remotes/").partition("/")
    if not slash or not re.fullmatch(r"[\w./-]+", branch, re.ASCII) or not re.fullmatch(r"[\w.]+", remote, re.ASCII):
        return "`git fetch origin`"
    return f"`git fetch {remote} +{branch}:refs/remotes/{remote}/{branch}`"


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return shown(lines[-1].removeprefix("fatal: ")) if lines else "git did not say why"
