"""A repository, two reviewers, and a third key that sweeps: the whole way of a plan, and every refusal on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from marksweep.plan.document import APPROVE_NAMESPACE
from tests.integration.conftest import on_sqlite
from tests.support.catalogs import RealCatalog
from tests.support.cli import Cli, Ended

PEOPLE = ("planner", "grace", "linus", "sweeper", "late", "mallory")
ROLES = {
    "planner": 'namespaces="marksweep-plan@marksweep.dev"',
    "grace": 'namespaces="marksweep-approve@marksweep.dev"',
    "linus": 'namespaces="marksweep-approve@marksweep.dev"',
    "sweeper": 'namespaces="marksweep-receipt@marksweep.dev"',
    "late": 'namespaces="marksweep-approve@marksweep.dev",valid-before="20250101Z"',
}
"""Who the protected branch trusts, and for what. Mallory is nobody there."""
MAIN = ("--trust", "git:origin/main")


@dataclass
class Repository:
    """A clone with ``.marksweep/`` on its protected branch ``origin/main``, and a plan on a branch of its own."""

    folder: Path
    keys: Path
    cli: Cli
    catalog: RealCatalog
    plan: Path

    def git(self, *arguments: str) -> str:
        return _git(self.folder, *arguments)

    def key(self, person: str) -> Path:
        return self.keys / person

    def verify(self, *more: object) -> Ended:
        return self.cli("verify", self.plan, *MAIN, *more)

    def approve(self, person: str, name: str | None = None, *more: object) -> Ended:
        named = ("--as", name or f"{person}@example.org")
        return self.cli("approve", self.plan, *MAIN, "--key", self.key(person), *named, "--yes", *more)

    def sweep(self, *more: object, catalog: str = "") -> Ended:
        where = catalog or self.catalog.url
        return self.cli("sweep", self.plan, *MAIN, "--catalog", where, "--key", self.key("sweeper"), "--yes", *more)

    def stock_approval(self, person: str) -> None:
        """What a reviewer without marksweep types."""
        signature = self.plan.parent / f"{self.plan.name}.approvals" / f"{person}@example.org.sig"
        signature.parent.mkdir(exist_ok=True)
        sign = f"ssh-keygen -Y sign -f '{self.key(person)}' -n {APPROVE_NAMESPACE}"
        command = f"head -n -1 '{self.plan}' | {sign} > '{signature}'"
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, capture_output=True)


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    ended = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return ended.stdout.strip()


def _key(folder: Path, person: str) -> str:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", folder / person], check=True, timeout=60
    )
    return " ".join((folder / f"{person}.pub").read_text().split()[:2])


@pytest.fixture
def repository(cli: Cli, newest: RealCatalog, tmp_path: Path) -> Repository:
    """``marksweep init`` in a new repository, its trust and a policy of two approvals pushed to main, a plan on a branch."""
    folder, keys = tmp_path / "ml-artifacts", tmp_path / "keys"
    keys.mkdir()
    _git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    _git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), str(folder))
    _git(folder, "checkout", "--quiet", "-b", "main")
    cli.done("init", folder, "--catalog", newest.url)
    lines = {person: f"{person}@example.org {ROLES.get(person, '')} {_key(keys, person)}" for person in PEOPLE}
    with (folder / ".marksweep" / "allowed_signers").open("a") as file:
        file.write("".join(f"{lines[person]}\n" for person in ROLES))
    policy = folder / ".marksweep" / "policy.toml"
    policy.write_text(policy.read_text().replace("\napprovals = 1\n", "\napprovals = 2\n"))
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "trust and policy")
    _git(folder, "push", "--quiet", "origin", "main")
    _git(folder, "checkout", "--quiet", "-b", "plan")
    made = Repository(folder, keys, cli, newest, folder / "plans" / "november.plan.json")
    cli.done(
        "mark",
        "--catalog",
        newest.url,
        "--no-grace",
        "--quiet",
        "--key",
        made.key("planner"),
        "--out",
        made.plan,
        *MAIN,
    )
    made.git("add", "plans")
    made.git("commit", "--quiet", "-m", "a plan")
    return made


@on_sqlite
def test_a_plan_goes_from_mark_to_receipt_with_two_peoples_keys(repository: Repository) -> None:
    """Mark, the pull request's text, two approvals (one by stock ssh-keygen), a sweep by a third key, its receipt, the log."""
    it, cli = repository, repository.cli
    files = it.catalog.file_digests()

    text = cli.done("show", it.plan, *MAIN, "--format", "markdown").out
    shown = cli.json("show", it.plan, *MAIN)
    assert shown["plan"]["digest"].removeprefix("sha256:") in text
    assert f"{shown['plan']['entries']:,} " in text
    assert len(text) <= 65_536

    it.verify().refused(21, "error[approvals-missing]", "0 of 2 approvals", "ask 2 more")
    it.sweep().refused(21, "0 of 2 approvals")
    assert it.approve("grace").status == 0
    it.verify().refused(21, "1 of 2 approvals (grace@example.org)", "ask 1 more")
    it.stock_approval("linus")
    assert it.approve("mallory").status == 0
    told = cli.done("verify", it.plan, *MAIN).flat
    assert "2 of 2 needed: grace@example.org, linus@example.org" in told
    assert "mallory@example.org.sig: the key" in told, "what does not count is said, and stops nobody"
    it.git("add", "plans")
    it.git("commit", "--quiet", "-m", "approved")
    assert it.catalog.file_digests() == files, "nothing was touched so far"

    swept = it.sweep()
    assert swept.status == 0, swept
    assert it.catalog.existing_ids().isdisjoint(entry["id"] for entry in json.loads(it.plan.read_bytes())["entries"])
    receipt = it.plan.with_name(f"{it.plan.name}.receipt.json")
    told = cli.done("verify-receipt", receipt, *MAIN).out
    assert "sweeper@example.org" in told
    (logged,) = cli.json("log", it.plan.parent, *MAIN)["plans"]
    assert logged["state"] == "swept"
    again = it.sweep()
    assert again.status == 0, "a second sweep has nothing to do"


@on_sqlite
def test_whose_approval_does_not_count(repository: Repository) -> None:
    """The planner, one key under two names, a key out of its window, a stranger: each is refused or counts for nothing."""
    it = repository
    it.approve("planner").refused(2, "whoever made a plan never counts as its approver")
    assert it.approve("grace").status == 0
    assert it.approve("grace", "somebody-else").status == 0
    it.verify().refused(21, "1 of 2 approvals (grace@example.org)")
    assert it.approve("late").status == 0
    it.verify().refused(21, "1 of 2 approvals", "is not valid any more")
    assert it.approve("mallory").status == 0
    it.verify().refused(21, "1 of 2 approvals", "no line of the trust file has it")
    assert it.approve("sweeper").status == 0
    it.sweep().refused(21, "1 of 2 approvals", "allows this key only in the namespaces")


@on_sqlite
def test_trust_that_is_changed_in_the_branch_does_not_count(repository: Repository) -> None:
    """Mallory's branch trusts Mallory and asks for nobody: the protected branch does not, and a sweep asks it."""
    it = repository
    public = " ".join((it.keys / "mallory.pub").read_text().split()[:2])
    signers, policy = it.folder / ".marksweep" / "allowed_signers", it.folder / ".marksweep" / "policy.toml"
    signers.write_text(f"mallory@example.org {public}\n")
    policy.write_text("approvals = 0\n")
    it.plan.unlink()
    it.cli.done(
        "mark", "--catalog", it.catalog.url, "--no-grace", "--quiet", "--key", it.key("mallory"), "--out", it.plan
    )
    it.git("add", ".")
    it.git("commit", "--quiet", "-m", "a plan, and some housekeeping")
    it.sweep().refused(20, "error[signature-refused]", "which is not trusted", "origin/main")
    unsaid = it.cli("sweep", it.plan, "--catalog", it.catalog.url, "--key", it.key("mallory"), "--yes")
    unsaid.refused(20, "nothing says where to take it from", "--trust git:origin/main")
    it.verify().refused(20, "which is not trusted")
    assert it.cli("verify", it.plan).status == 0, "by the branch's own word it is fine, and that is said"


@on_sqlite
def test_an_expired_plan_and_a_plan_for_a_clone_are_refused(repository: Repository, tmp_path: Path) -> None:
    """Approved by two people, it is still for one database, and not for ever."""
    it = repository
    assert it.approve("grace").status == 0
    it.stock_approval("linus")
    clone = tmp_path / "clone" / "zenml.db"
    clone.parent.mkdir()
    shutil.copy(it.catalog.database, clone)
    it.sweep("--local-stores", it.catalog.config / "local_stores", catalog=f"sqlite:///{clone}").refused(
        23, "error[other-catalog]", "another instance", "never sweep from a copy"
    )
    it.git("checkout", "--quiet", "main")
    policy = it.folder / ".marksweep" / "policy.toml"
    policy.write_text(policy.read_text().replace('max_age = "14d"', 'max_age = "1s"'))
    it.git("commit", "--quiet", "-am", "plans live a second")
    it.git("push", "--quiet", "origin", "main")
    it.git("checkout", "--quiet", "plan")
    time.sleep(1.1)
    it.sweep().refused(22, "error[plan-expired]", "max_age")
