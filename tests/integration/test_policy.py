"""Trust and policy of a repository: taken from a protected ref, never from the branch that carries the plan."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli

PLAN, APPROVE = "marksweep-plan@marksweep.dev,marksweep-receipt@marksweep.dev", "marksweep-approve@marksweep.dev"
PEOPLE = ("ci", "grace", "linus", "mallory")


@dataclass(frozen=True)
class Made:
    """What all tests share and none changes: a catalog, a key per person, and a plan of it by ``ci``."""

    catalog: RealCatalog
    keys: Path
    plan: Path
    server_id: str

    def line(self, name: str, namespaces: str) -> str:
        key = " ".join((self.keys / f"{name}.pub").read_text().split()[:2])
        return f'{name}@example.org namespaces="{namespaces}" {key}\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    catalog = unpacked("0.98.0", folder)
    cli = Cli(folder / "home")
    for name in PEOPLE:
        cli.done("keys", "create", "--out", folder / name, "--as", f"{name}@example.org")
    plan = folder / "p.plan.json"
    marked = cli.json("mark", "--catalog", catalog.url, "--no-grace", "--key", folder / "ci", "--out", plan)
    return Made(catalog, folder, plan, marked["plan"]["catalog"]["server_id"])


@dataclass(frozen=True)
class Repository:
    """A clone with ``origin/main``, whose trust has ci as the planner, grace and linus as reviewers."""

    top: Path
    made: Made

    @property
    def plan(self) -> Path:
        return self.top / "plans" / "p.plan.json"

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        name = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.top), "GIT_CONFIG_NOSYSTEM": "1"}
        ended = subprocess.run(
            ["git", *name, *arguments], cwd=folder or self.top, env=environ, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (arguments, ended.stderr)
        return ended.stdout.strip()

    def write(self, path: str, text: str) -> None:
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        (self.top / path).write_text(text)

    def commit(self) -> str:
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", "more")
        return self.git("rev-parse", "HEAD")

    def protect(self, policy: str = "approvals = 1\n") -> None:
        """Make trust and *policy* what ``origin/main`` says; the work tree stays on a branch of its own."""
        trust = self.made.line("ci", PLAN) + self.made.line("grace", APPROVE) + self.made.line("linus", APPROVE)
        self.write(".marksweep/allowed_signers", trust)
        self.write(".marksweep/policy.toml", policy)
        self.git("update-ref", "refs/remotes/origin/main", self.commit())

    def approve(self, cli: Cli, name: str) -> None:
        arguments = ("--key", self.made.keys / name, "--as", name, "--yes", "--trust", "git:origin/main")
        cli.done("approve", self.plan, *arguments)


@pytest.fixture
def repository(made: Made, tmp_path: Path) -> Repository:
    top = tmp_path / "repository"
    top.mkdir()
    found = Repository(top, made)
    found.git("init", "-q", "-b", "change")
    found.plan.parent.mkdir()
    shutil.copy(made.plan, found.plan)
    found.protect()
    return found


@pytest.fixture
def cli(tmp_path: Path, made: Made) -> Cli:
    """Somebody who sweeps: with ci's key for receipts, and a trust file of their own that has nobody."""
    return Cli(tmp_path / "home", {"MARKSWEEP_SIGNING_KEY": (made.keys / "ci").read_text()})


@pytest.fixture
def untouched(made: Made) -> Iterator[None]:
    before = made.catalog.file_digests()
    yield
    assert made.catalog.file_digests() == before


def swept(cli: Cli, repository: Repository, *more: object, status: int, words: tuple[str, ...] = ()) -> None:
    """A sweep of the plan is refused with *status* and *words*."""
    ended = cli("sweep", repository.plan, "--yes", "--catalog", repository.made.catalog.url, *more)
    ended.refused(status, *words)


PROTECTED = ("--trust", "git:origin/main")


@pytest.mark.usefixtures("untouched")
def test_trust_that_was_changed_in_the_branch_does_not_count(cli: Cli, repository: Repository) -> None:
    """Whoever writes the branch adds their own key as planner and reviewer, and asks for nothing: the ref says otherwise."""
    with_mallory = repository.made.line("mallory", f"{PLAN},{APPROVE}")
    repository.write(".marksweep/allowed_signers", with_mallory + repository.made.line("ci", PLAN))
    repository.write(".marksweep/policy.toml", "approvals = 0\n")
    cli.done("approve", repository.plan, "--key", repository.made.keys / "mallory", "--as", "mallory", "--yes")
    repository.commit()
    own = cli.json("verify", repository.plan)
    assert own["approvals"] == ["mallory@example.org"]
    assert own["trusted"]["branch"] is True
    verified = cli.done("verify", repository.plan)
    assert "whoever wrote the branch could choose them" in verified.flat
    assert "this work tree's own" in verified.flat
    words = (
        "0 of 1 approvals",
        "git:origin/main:.marksweep/policy.toml asks for 1",
        "no line of the trust file has it",
    )
    swept(cli, repository, *PROTECTED, status=21, words=words)
    cli("verify", repository.plan, *PROTECTED).refused(21, *words)


@pytest.mark.usefixtures("untouched")
def test_a_sweep_without_trust_is_refused_in_a_repository_with_a_policy(
    cli: Cli, repository: Repository, tmp_path: Path
) -> None:
    """The message names both ways on; so does prune, which asks nobody. Looking is allowed, and says what it looked by."""
    words = ("lies in a repository with a policy", "--trust git:origin/main", "--trust own")
    swept(cli, repository, status=20, words=words)
    swept(cli, repository, "--dry-run", status=20, words=words)
    inbox = tmp_path / "inbox"
    inbox.symlink_to(repository.plan.parent)
    cli("sweep", inbox / "p.plan.json", "--yes", "--catalog", repository.made.catalog.url).refused(20, *words)
    prune = (
        "prune",
        "--yes",
        "--no-grace",
        "--catalog",
        repository.made.catalog.url,
        "--out",
        repository.top / "q.json",
    )
    cli(*prune).refused(20, "prune sweeps its plan at once", "marksweep mark")
    assert not (repository.top / "q.json").exists()
    for command in ("show", "status"):
        assert "whoever wrote the branch" in cli.done(command, repository.plan).flat
    assert cli.json("show", repository.plan)["trusted"]["branch"] is True


def test_with_its_approvals_the_plan_is_swept(cli: Cli, repository: Repository, tmp_path: Path) -> None:
    """git:REF says whom to believe, --trust own is this user's own file without a policy; all outputs say which it was."""
    catalog = unpacked("0.98.0", tmp_path)
    plan = repository.top / "plans" / "own.plan.json"
    cli.done("mark", "--catalog", catalog.url, "--no-grace", "--out", plan, "--quiet")
    own = cli.json("verify", plan, "--trust", "own")
    assert own["trusted"]["own"] is True
    assert own["trusted"]["policy"] is None
    cli("verify", plan, *PROTECTED).refused(21, "0 of 1 approvals")
    arguments = ("--key", repository.made.keys / "grace", "--as", "grace", "--yes")
    approved = cli.json("approve", plan, *arguments, *PROTECTED)
    short = repository.git("rev-parse", "origin/main")[:12]
    trusted = {
        "source": f"git:origin/main at {short}", "policy": "git:origin/main:.marksweep/policy.toml", "own": False,
        "branch": False,
    }  # fmt: skip
    assert approved["trusted"] == trusted
    assert cli.json("verify", plan, *PROTECTED)["trusted"] == trusted
    assert cli.json("show", plan, *PROTECTED)["trusted"] == trusted
    assert f"trusted git:origin/main at {short}" in cli.done("verify", plan, *PROTECTED).flat
    again = ("sweep", plan, "--yes", "--catalog", catalog.url, "--approvals", 0)
    assert cli.json(*again, *PROTECTED)["trusted"] == trusted
    rehearsed = cli.done("sweep", plan, "--dry-run", "--catalog", catalog.url, *PROTECTED)
    assert f"trusted git:origin/main at {short}" in rehearsed.flat
    repository.protect("approvals = 2\n")
    cli(*again, *PROTECTED).refused(21, "1 of 2 approvals")


def test_an_option_only_raises_what_the_policy_asks(cli: Cli, repository: Repository) -> None:
    """--approvals 0 with a policy of 1 is 1, and --approvals 2 is 2."""
    swept(cli, repository, *PROTECTED, "--approvals", 0, status=21, words=("0 of 1 approvals",))
    repository.approve(cli, "grace")
    swept(cli, repository, *PROTECTED, "--approvals", 2, status=21, words=("1 of 2 approvals",))
    assert cli.json("verify", repository.plan, *PROTECTED, "--approvals", 0)["approvals_needed"] == 1
    repository.approve(cli, "linus")
    assert cli.json("verify", repository.plan, *PROTECTED, "--approvals", 2)["approvals_needed"] == 2


RULES = [
    ("max_entries = 26", 26, "holds 27 entries, more than max_entries of git:origin/main:.marksweep/policy.toml: 26"),
    ('max_bytes = "6 KiB"', 26, "max_bytes of git:origin/main:.marksweep/policy.toml allows 6144"),
    ("max_share = 38", 26, "more than max_share"),
    ('roots = ["s3://elsewhere"]', 26, "under none of roots"),
    ('stores = ["s3://elsewhere"]', 26, "is none of stores"),
    ('pins = ["raw"]', 26, "is one of pins"),
    ('forbid = ["no_grace"]', 26, "forbids no_grace"),
    ('min_age = "1d"', 26, "less than min_age"),
    ('max_age = "1s"', 22, "longer than max_age"),
    ("[catalog.elsewhere]", 23, "is not listed in git:origin/main:.marksweep/policy.toml"),
]


@pytest.mark.usefixtures("untouched")
def test_each_rule_refuses_a_sweep(cli: Cli, repository: Repository) -> None:
    """With its status, and with rule, source, value found and allowed; nothing is deleted."""
    for rule, status, words in RULES:
        repository.protect(f"approvals = 0\n{rule}\n")
        swept(cli, repository, *PROTECTED, status=status, words=(words,))


@pytest.mark.parametrize(("rule", "status", "words"), [RULES[0], RULES[3], RULES[-1]])
def test_what_breaks_a_rule_is_not_approved(
    cli: Cli, repository: Repository, rule: str, status: int, words: str
) -> None:
    """approve and verify refuse as sweep does, nothing is written; show says it, and shows the plan."""
    repository.protect(f"approvals = 0\n{rule}\n")
    cli("verify", repository.plan, *PROTECTED).refused(status, words)
    signing = ("--key", repository.made.keys / "grace", "--as", "grace", "--yes")
    cli("approve", repository.plan, *signing, *PROTECTED).refused(status, words)
    assert not Path(f"{repository.plan}.approvals").exists()
    (said,) = cli.json("show", repository.plan, *PROTECTED)["plan"]["broken"]
    assert words in said
    assert "breaks the policy: " in cli.done("show", repository.plan, *PROTECTED).flat


def test_rules_of_the_catalog_that_is_listed(cli: Cli, repository: Repository) -> None:
    """A table by server id replaces the rules above it, for that catalog."""
    repository.protect(f'approvals = 2\nmax_entries = 1\n[catalog."{repository.made.server_id}"]\nmax_entries = 27\n')
    words = ("0 of 2 approvals",)
    swept(cli, repository, *PROTECTED, status=21, words=words)


@pytest.mark.usefixtures("untouched")
def test_a_policy_with_a_typo_stops_everything(cli: Cli, repository: Repository) -> None:
    """Nobody sweeps under a policy that says less than its author meant."""
    repository.protect("approvalls = 2\n")
    for command in ("verify", "show", "status", "approve"):
        cli(command, repository.plan, *PROTECTED).refused(
            2, "approvalls, which is not known", "did you mean approvals?"
        )
    swept(cli, repository, *PROTECTED, status=2, words=("approvalls",))


# Where git looks


def test_every_form_of_trust(cli: Cli, repository: Repository) -> None:
    """A file with the policy beside it, a folder, a commit, a path at a commit, and the variable for each."""
    repository.approve(cli, "grace")
    folder = repository.top / ".marksweep"
    for given in (
        folder, folder / "allowed_signers", "git:origin/main", "git:origin/main:.marksweep",
        "git:origin/main:./.marksweep/allowed_signers", f"git:{repository.git('rev-parse', 'HEAD')}", "git:HEAD",
    ):  # fmt: skip
        assert cli.json("verify", repository.plan, "--trust", given)["approvals_needed"] == 1, given
        assert cli.with_environ(MARKSWEEP_TRUST=str(given)).json("verify", repository.plan)["approvals_needed"] == 1
    (folder / "policy.toml").unlink()
    assert cli.json("verify", repository.plan, "--trust", folder)["approvals_needed"] == 0
    repository.write("other/allowed_signers", repository.made.line("ci", PLAN))
    repository.commit()
    assert cli.json("verify", repository.plan, "--trust", "git:HEAD:other")["trusted"]["policy"] is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("git:origin/nope", ("has no commit 'origin/nope'", "git fetch origin +nope:refs/remotes/origin/nope")),
        ("git:-x", ("cannot name a commit",)),
        ("git:--output=x", ("cannot name a commit",)),
        ("git:", ("cannot name a commit",)),
        ("git:HEAD:", ("is no path from the top",)),
        ("git:HEAD:../x", ("is no path from the top",)),
        ("git:HEAD:/etc", ("is no path from the top",)),
        ("git:HEAD:absent", ("there is no git:HEAD:absent", "of the repository /")),
        ("git:HEAD:plans", ("there is no git:HEAD:plans/allowed_signers", "nobody is trusted")),
        ("absent", ("the trust file absent cannot be read", "a branch: --trust git:absent")),
    ],
)
def test_trust_that_cannot_be_read(cli: Cli, repository: Repository, given: str, words: tuple[str, ...]) -> None:
    """Each with what to do: usage, status 2."""
    cli("verify", repository.plan, "--trust", given).refused(2, *words)


def test_a_plan_outside_of_any_repository(cli: Cli, made: Made) -> None:
    """There is no ref to be found."""
    cli("verify", made.plan, *PROTECTED).refused(2, "lies in no git repository")


def test_links_in_a_commit_are_not_followed(cli: Cli, repository: Repository) -> None:
    """A trust file or a policy that is a symbolic link (mode 120000) is refused, as a blob and as a folder."""
    for name in ("allowed_signers", "policy.toml"):
        link = repository.top / ".marksweep" / name
        text = link.read_text()
        link.unlink()
        link.symlink_to("/etc/hostname")
        repository.git("update-ref", "refs/remotes/origin/main", repository.commit())
        cli("verify", repository.plan, *PROTECTED).refused(20, f".marksweep/{name} is a symbolic link (mode 120000)")
        link.unlink()
        link.write_text(text)
    (repository.top / "linked").symlink_to(".marksweep")
    repository.commit()
    cli("verify", repository.plan, "--trust", "git:HEAD:linked").refused(20, "is a symbolic link")


def test_a_tag_cannot_take_the_branchs_name(cli: Cli, repository: Repository) -> None:
    """git would prefer the tag ``origin/main`` to the remote's branch: a name that means two things is refused."""
    repository.git("tag", "origin/main", "HEAD")
    cli("verify", repository.plan, *PROTECTED).refused(
        20, "names more than one branch or tag", "refs/remotes/origin/main"
    )
    cli("verify", repository.plan, "--trust", "git:refs/remotes/origin/main").refused(21, "0 of 1")


def test_the_environment_cannot_redirect_git(cli: Cli, repository: Repository, tmp_path: Path) -> None:
    """GIT_DIR and its like, and replace refs, are not obeyed: the repository is the plan's, its objects are the real ones."""
    true = repository.git("rev-parse", "origin/main")
    other = Repository(tmp_path / "other", repository.made)
    other.top.mkdir()
    other.git("init", "-q")
    other.protect("approvals = 0\n")
    stolen = cli.with_environ(
        GIT_DIR=str(other.top / ".git"), GIT_OBJECT_DIRECTORY=str(other.top / ".git" / "objects"),
        GIT_INDEX_FILE=str(other.top / ".git" / "index"), GIT_WORK_TREE=str(other.top),
    )  # fmt: skip
    stolen("verify", repository.plan, *PROTECTED).refused(21, "0 of 1 approvals")
    repository.write(".marksweep/policy.toml", "approvals = 0\n")
    repository.git("replace", true, repository.commit())
    cli("verify", repository.plan, *PROTECTED).refused(21, "0 of 1 approvals")


def test_a_repository_that_the_branch_brings_is_not_asked(cli: Cli, repository: Repository, tmp_path: Path) -> None:
    """A bare repository among the branch's files is passed over; a submodule's plan is refused, for it chose its origin; and
    so is one behind a symbolic link into another repository.
    """
    evil = Repository(tmp_path / "evil", repository.made)
    evil.top.mkdir()
    evil.git("init", "-q", "-b", "main")
    shutil.copy(repository.made.plan, evil.top / "p.plan.json")
    evil.protect("approvals = 0\n")
    bare = repository.top / "bare"
    shutil.copytree(evil.top / ".git", bare)
    (bare / "config").write_text("[core]\n\tbare = true\n")
    shutil.copy(repository.made.plan, bare / "p.plan.json")
    cli("verify", bare / "p.plan.json", *PROTECTED).refused(21, "0 of 1 approvals")
    repository.git("submodule", "--quiet", "add", str(evil.top), "sub")
    inside = repository.top / "sub" / "p.plan.json"
    cli("verify", inside, *PROTECTED).refused(20, "is a submodule")
    (repository.top / "linked").symlink_to(evil.top)
    linked = repository.top / "linked" / "p.plan.json"
    cli("verify", linked, *PROTECTED).refused(20, "leads by a symbolic link out of the repository")
    (evil.top / ".marksweep" / "policy.toml").unlink()
    sweep = ("sweep", linked, "--yes", "--catalog", repository.made.catalog.url)
    cli(*sweep).refused(20, "lies in a repository with a policy")
    (repository.top / "sub" / ".marksweep" / "policy.toml").unlink()
    sweep = ("sweep", inside, "--yes", "--catalog", repository.made.catalog.url)
    cli(*sweep).refused(20, "lies in a repository with a policy")


# Mark


def test_mark_keeps_to_the_policy_of_its_repository(
    cli: Cli, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pins are kept, its caps hold, a forbidden switch stops it at once, and the plan expires no later than max_age."""
    monkeypatch.chdir(repository.top)
    mark = ("mark", "--catalog", repository.made.catalog.url, "--no-grace", "--out", "plans/new.plan.json")
    repository.write(".marksweep/policy.toml", 'approvals = 2\nmax_age = "3d"\nmax_share = 60\npins = ["raw"]\n')
    ended = cli.done(*mark, "--max-entries", 50)
    assert "policy " in ended.flat
    assert "The plan expires after 3 days, 0:00:00, not 14 days" in ended.flat
    made = cli.json(*mark, "--force", "--max-entries", 50)
    policy, plan = made["plan"]["policy"], made["plan"]
    assert (policy["pins"], policy["max_entries"], policy["max_share"]) == (["raw"], 50, None)
    assert plan["entries"] == 24
    assert plan["approvals_needed"] == 2
    assert made["trusted"]["policy"].endswith(".marksweep/policy.toml")
    repository.write(".marksweep/policy.toml", "max_entries = 5\n")
    cli(*mark, "--force", "--max-entries", 50).refused(26, "more than --max-entries 5")
    repository.write(".marksweep/policy.toml", 'forbid = ["no_grace"]\n')
    refused = cli(*mark, "--force")
    refused.refused(26, "--no-grace is given", "forbids no_grace")
    assert "versions" not in refused.err
    repository.write(".marksweep/policy.toml", 'roots = ["s3://elsewhere"]\n')
    assert "under none of roots" in cli.json(*mark, "--force")["plan"]["broken"][0]
    assert cli.json(*mark, "--force", "--trust", "own")["trusted"]["policy"] is None
    assert cli.json(*mark, "--force", *PROTECTED)["plan"]["approvals_needed"] == 1
    repository.write(".marksweep/policy.toml", "[catalog.elsewhere]\n")
    cli(*mark, "--force").refused(23, "is not listed in")


def test_explain_answers_as_a_mark_in_the_repository_would(
    cli: Cli, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the policy pins is no orphan there; outside of the repository it is one."""
    repository.write(".marksweep/policy.toml", 'pins = ["raw"]\n')
    ask = ("explain", "--why-kept", "--reason", "pinned", "--no-grace", "--catalog", repository.made.catalog.url)
    assert cli.json(*ask)["kept"] == []
    monkeypatch.chdir(repository.top / "plans")
    (pinned,) = cli.json(*ask)["kept"]
    marked = cli.json("mark", "--no-grace", "--catalog", repository.made.catalog.url, "--out", "new.json", "--no-size")
    assert pinned["versions"] == marked["plan"]["kept"]["pinned"] > 0
    verdicts = {v["verdict"] for v in cli.json("explain", "raw", *ask[4:])["versions"]}
    assert "pinned" in verdicts
    assert "orphan" not in verdicts
