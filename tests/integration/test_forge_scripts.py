"""The scripts that the guides for GitHub and GitLab hand out: run as they are, in a repository with an origin of its own.

What cannot be run here is the forge: a program called ``gh`` takes its place, writes down what it was asked, and answers
with what a test has put there (its ``--jq`` is real).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from marksweep.errors import ExitStatus
from tests.support.catalogs import RealCatalog, expected_orphans, unpacked
from tests.support.cli import Cli

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
SCRIPTS = GUIDES / "ci"
_GH = """#!/bin/bash
python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@" >> "$GH_STUB/asked"
query=; at=; body=
for argument in "$@"; do
    case $at in --jq) query=$argument ;; --field) body=${argument#body=@} ;; esac
    case $argument in repos/*) url=$argument ;; esac
    at=$argument
done
[ -z "$body" ] || cp "$body" "$GH_STUB/comment"
case "$1 $url" in
    *api*/zip) cat "$GH_STUB/journal.zip" ;;
    *api*) [ -z "$query" ] || jq --raw-output "$query" "$GH_STUB/answer.json" ;;
esac
"""
_MARKSWEEP = """#!/bin/sh
echo $$ > "$GH_STUB/pid"
exec {python} -m marksweep "$@"
"""


_CURL = """#!/bin/bash
[ "$2" = - ] && cat > "$GH_STUB/header"
python3 -c 'import json, sys; print(json.dumps(["curl", *sys.argv[1:]]))' "$@" >> "$GH_STUB/asked"
case "$*" in */user*) echo '{"id": 3}' ;; *GET*) cat "$GH_STUB/answer.json" ;; esac
"""
_GITLAB = {
    "GITHUB_ACTIONS": "", "CI_API_V4_URL": "https://gitlab.example.org/api/v4", "CI_PROJECT_ID": "9",
    "CI_MERGE_REQUEST_IID": "7", "MARKSWEEP_GITLAB_TOKEN": "t0ken-of-the-bot",
}  # fmt: skip


@dataclass
class Forge:
    """A protected ``main`` in a bare repository, people with keys, and runners that clone it."""

    root: Path
    catalog: RealCatalog
    cli: Cli
    planner: str
    sweeper: str
    clones: int = 0
    gitlab: bool = False

    @property
    def origin(self) -> Path:
        return self.root / "origin.git"

    @property
    def stub(self) -> Path:
        """What ``gh`` was asked and shall answer."""
        return self.root / "gh"

    def clone(self, branch: str = "main") -> Path:
        """A new runner's work tree."""
        self.clones += 1
        tree = self.root / f"runner-{self.clones}"
        git(self.root, "clone", "--quiet", "--branch", branch, str(self.origin), str(tree))
        return tree

    def environment(self, key: str = "") -> dict[str, str]:
        """A job's on GitHub, or on GitLab."""
        return {
            **self.cli.environment(), "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "GH_STUB": str(self.stub),
            "PYTHONPATH": str(Path(__file__).parents[2]), "CI": "true", "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "acme/plans", "PR_NUMBER": "7", "HEAD_SHA": "c0ffee", "GITHUB_RUN_ID": "42",
            "ZENML_CONFIG_PATH": str(self.catalog.config), "MARKSWEEP_SIGNING_KEY": key,
            **(_GITLAB if self.gitlab else {}),
        }  # fmt: skip

    def start(self, tree: Path, script: str, *options: str, key: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(tree / ".marksweep" / "ci" / script), *options], cwd=tree, env=self.environment(key), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, tree: Path, script: str, *options: str, key: str = "") -> tuple[int, str]:
        """A script's status and what it printed."""
        job = self.start(tree, script, *options, key=key)
        out, _ = job.communicate(timeout=120)
        return job.returncode, out

    def asked(self) -> list[list[str]]:
        """What ``gh`` was asked since the last time."""
        path = self.stub / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def answers(self, document: Any) -> None:
        """What ``gh api --jq`` looks into."""
        (self.stub / "answer.json").write_text(json.dumps(document))

    def branches(self) -> set[str]:
        return set(git(self.origin, "branch", "--format=%(refname:short)").split())


def git(tree: Path, *arguments: str) -> str:
    """Run git as somebody with a name."""
    names = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "advice.detachedHead=false")
    ended = subprocess.run(["git", *names, *arguments], cwd=tree, check=True, capture_output=True, text=True)
    return ended.stdout


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    """``main`` holds trust (a planner, a reviewer, a sweeper), a policy that asks for one approval, and the scripts."""
    root = tmp_path_factory.mktemp("forge")
    (root / "home").mkdir()
    (root / "gh").mkdir()
    (root / "bin").mkdir()
    for name, text in (("gh", _GH), ("curl", _CURL), ("marksweep", _MARKSWEEP.format(python=sys.executable))):
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    catalog = unpacked("0.98.0", root)
    cli = Cli(root / "home", {"ZENML_CONFIG_PATH": str(catalog.config)})
    lines = []
    for person, role in (("planner", "plan"), ("reviewer", "approve"), ("sweeper", "receipt")):
        cli.done("keys", "create", "--out", root / person, "--as", f"{person}@example.org")
        kind, blob = (root / f"{person}.pub").read_text().split()[:2]
        lines.append(f'{person}@example.org namespaces="marksweep-{role}@marksweep.dev" {kind} {blob}\n')
    git(root, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    made = Forge(root, catalog, cli, (root / "planner").read_text(), (root / "sweeper").read_text())
    first = root / "first"
    git(root, "init", "--quiet", "--initial-branch=main", "first")
    shutil.copytree(SCRIPTS, first / ".marksweep" / "ci")
    (first / ".marksweep" / "allowed_signers").write_text("".join(lines))
    (first / ".marksweep" / "policy.toml").write_text("approvals = 1\n")
    git(first, "add", ".")
    git(first, "commit", "--quiet", "--message", "Trust and policy")
    git(first, "push", "--quiet", str(made.origin), "main")
    return made


def commands(asked: list[list[str]], *words: str) -> list[list[str]]:
    """Those of *asked* that begin with *words*."""
    return [command for command in asked if command[: len(words)] == list(words)]


def states(asked: list[list[str]]) -> list[str]:
    """The commit states that were set."""
    return [word for command in asked for word in command if word.startswith("state=")]


def journalled(tree: Path) -> int:
    """Entries that the journal in *tree* has taken up."""
    for path in (tree / "plans").glob("*.journal"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                return int(database.execute("SELECT count(*) FROM entry").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
    return 0


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def artifact(tree: Path, where: Path) -> None:
    """What the job uploads, always."""
    with zipfile.ZipFile(where, "w") as archive:
        for path in (tree / "plans").glob("*.plan.json.journal*"):
            archive.write(path, f"plans/{path.name}")


def test_from_the_scheduled_mark_to_the_receipt(forge: Forge) -> None:
    """A plan goes to a branch; it waits for its approval; merged, it is swept, killed, stopped, and finished by re-runs."""
    orphans = expected_orphans(forge.catalog)
    status, out = forge.run(forge.clone(), "mark.sh", "--no-grace", key=forge.planner)
    assert status == 0, out
    (branch,) = forge.branches() - {"main"}
    assert re.fullmatch(r"marksweep/\d{4}-\d\d-\d\d", branch)
    (opened,) = commands(forge.asked(), "pr", "create")
    assert opened[opened.index("--head") + 1] == branch
    status, out = forge.run(forge.clone(), "mark.sh", "--no-grace", key=forge.planner)
    assert (status, forge.asked()) == (0, []), "once a day is enough"

    request = forge.clone(branch)
    (plan,) = (request / "plans").iterdir()
    forge.answers([])
    status, out = forge.run(request, "check.sh")
    assert (status, "::notice::plans/" in out) == (0, True), out
    asked = forge.asked()
    assert states(asked) == ["state=pending"]
    assert [c for c in asked if "POST" in c and "repos/acme/plans/issues/7/comments" in c]
    text = (forge.stub / "comment").read_text()
    assert re.match(r"<!-- marksweep:\w+ -->\n", text)
    assert len(text) <= 65_536
    assert "<html" in (request / "marksweep-report" / f"{plan.name.removesuffix('.plan.json')}.html").read_text()

    forge.cli.done(
        "approve", plan, "--key", forge.root / "reviewer", "--as", "reviewer", "--yes", "--trust", "git:origin/main"
    )
    git(request, "add", "plans")
    git(request, "commit", "--quiet", "--message", "Approve")
    marker = text.splitlines()[0]
    bot, other = {"login": "github-actions[bot]"}, {"login": "mallory"}
    forge.answers([{"id": 6, "user": other, "body": text}, {"id": 5, "user": bot, "body": marker}])
    status, out = forge.run(request, "check.sh")
    assert status == 0, out
    asked = forge.asked()
    assert states(asked) == ["state=success"]
    assert [c for c in asked if "PATCH" in c and c[-3] == "repos/acme/plans/issues/comments/5"], "the comment is edited"
    assert not [c for c in asked if "POST" in c and "comments" in " ".join(c)]

    git(request, "push", "--quiet", "origin", "HEAD:main")
    _swept_by_three_runs(forge, plan, orphans)


def _swept_by_three_runs(forge: Forge, plan: Path, orphans: set[str]) -> None:
    """The first is killed, the second stopped; each is a runner of its own, which has nothing but the journal."""
    killed = forge.clone()
    slow = ("--batch-size", "1", "--lag", "1s")
    job = forge.start(killed, "sweep.sh", *slow, key=forge.sweeper)
    wait_for(lambda: journalled(killed) > 0)
    os.kill(int((forge.stub / "pid").read_text()), signal.SIGKILL)
    out, _ = job.communicate(timeout=60)
    assert job.returncode == 137, out
    assert "run this job again" in out
    assert not (killed / "plans" / f"{plan.name}.receipt.json").exists()

    artifact(killed, forge.stub / "journal.zip")
    run = {"head_branch": "main", "head_repository_id": 1, "repository_id": 1}
    found = {"id": 11, "expired": False, "created_at": "2026-11-02", "workflow_run": run}
    strange = {**found, "id": 12, "created_at": "2026-11-03", "workflow_run": {**run, "head_repository_id": 2}}
    forge.answers({"artifacts": [strange, found, {**found, "id": 10, "created_at": "2026-11-01"}]})
    stopped = forge.clone()
    assert forge.run(stopped, "journal.sh")[0] == 0
    assert forge.asked()[-1] == ["api", "repos/acme/plans/actions/artifacts/11/zip"], "not the one of a fork"
    before = journalled(stopped)
    assert before > 0
    job = forge.start(stopped, "sweep.sh", *slow, key=forge.sweeper)
    wait_for(lambda: journalled(stopped) > before)
    os.kill(job.pid, signal.SIGTERM)
    out, _ = job.communicate(timeout=60)
    assert job.returncode == 130, out

    artifact(stopped, forge.stub / "journal.zip")
    last = forge.clone()
    assert forge.run(last, "journal.sh")[0] == 0
    assert journalled(last) > before
    status, out = forge.run(last, "sweep.sh", key=forge.sweeper)
    assert (status, "is swept (0)" in out) == (0, True), out
    assert not forge.catalog.existing_ids() & orphans
    result = json.loads((last / "marksweep-report" / f"{plan.name.removesuffix('.plan.json')}.sweep.json").read_text())
    assert result["books"]["deleted"] == len(orphans), 'without the journal, what was claimed would be "already gone"'

    forge.asked()
    status, out = forge.run(last, "receipt.sh")
    assert (status, len(commands(forge.asked(), "pr", "create"))) == (0, 1), out
    assert f"plans/{plan.name}.receipt.json" in git(
        forge.origin, "ls-tree", "-r", "--name-only", "marksweep/receipt-42-1"
    )
    git(forge.origin, "branch", "--force", "main", "marksweep/receipt-42-1")
    status, out = forge.run(forge.clone(), "sweep.sh", key=forge.sweeper)
    assert (status, out) == (0, ""), "a plan whose receipt is merged is passed over"


def test_a_plan_that_is_not_signed_by_the_planner_is_red(forge: Forge) -> None:
    """20: the check fails, that is said beside the commit, and nothing of the plan. Trust on the branch counts for nothing."""
    tree = forge.clone()
    (tree / "plans").mkdir(exist_ok=True)
    plan = tree / "plans" / "stranger.plan.json"
    forge.cli.done("mark", "--no-grace", "--quiet", "--out", plan, "--trust", "own")
    trusted = next(iter((forge.cli.config / "allowed_signers").read_text().splitlines()))
    (tree / ".marksweep" / "allowed_signers").write_text(trusted + "\n")
    git(tree, "switch", "--quiet", "--create", "stranger")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "Trust me")
    forge.asked()
    status, out = forge.run(tree, "check.sh")
    assert status == 20, out
    asked = forge.asked()
    assert states(asked) == ["state=failure"]
    assert len(asked) == 1


def test_a_name_that_a_shell_could_misread_is_refused(forge: Forge) -> None:
    """A plan's path comes from the branch: whatever is not plain is refused before a command sees it, and is not echoed."""
    tree = forge.clone()
    (tree / "plans").mkdir(exist_ok=True)
    (tree / "plans" / "$(touch pwned)\n::error::.plan.json").write_text("{}")
    git(tree, "switch", "--quiet", "--create", "hostile")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "x")
    forge.asked()
    status, out = forge.run(tree, "check.sh")
    assert status == 2, out
    assert "touch" not in out
    assert not (tree / "pwned").exists()


def branched(forge: Forge, name: str, change: Callable[[Path], object]) -> Path:
    """A work tree on a branch of that *name*, with a commit in which its plans are as *change* leaves them."""
    tree = forge.clone()
    (tree / "plans").mkdir(exist_ok=True)
    git(tree, "switch", "--quiet", "--create", name)
    change(tree / "plans")
    git(tree, "add", "--force", ".")
    git(tree, "commit", "--quiet", "--message", name)
    forge.asked()
    return tree


def planned(forge: Forge, plan: Path) -> None:
    forge.cli.done("mark", "--no-grace", "--quiet", "--out", plan, "--key", forge.root / "planner")


def test_no_name_hides_a_plan_from_the_check(forge: Forge) -> None:
    """What the sweep would take for a plan, the check looks at: not for something that lies beside another plan."""
    tree = branched(forge, "hidden", lambda plans: planned(forge, plans / "a.plan.json.b.plan.json"))
    status, out = forge.run(tree, "check.sh")
    assert (status, states(forge.asked())) == (2, ["state=failure"]), out
    status, out = forge.run(tree, "sweep.sh", key=forge.sweeper)
    assert (status, out) == (0, ""), "and it is not swept"


def test_what_a_branch_must_not_bring(forge: Forge) -> None:
    """A journal that somebody made up would have the sweep pass over entries, and sign that they are gone; a second plan with
    the id of the first would take the place of its comment.
    """

    def brought(plans: Path) -> None:
        planned(forge, plans / "one.plan.json")
        shutil.copy(plans / "one.plan.json", plans / "two.plan.json")
        (plans / "one.plan.json.journal-wal").symlink_to("/dev/null")

    forge.answers([])
    tree = branched(forge, "brought", brought)
    status, out = forge.run(tree, "check.sh")
    assert (status, states(forge.asked())) == (2, ["state=failure"]), out
    assert "a journal or a lock of a sweep lies among the plans" in out
    assert "has the id of another plan here" in out
    git(tree, "rm", "--quiet", "plans/two.plan.json")
    status, out = forge.run(tree, "sweep.sh", key=forge.sweeper)
    assert status == 2, out
    assert "has a journal or a lock in the repository" in out
    assert not (tree / "marksweep-report" / "one.sweep.json").exists()


def test_a_plan_that_cannot_be_shown_is_not_green(forge: Forge) -> None:
    """Without a comment nobody knows what they approve: here the report's folder cannot be written to."""
    tree = branched(forge, "unseen", lambda plans: planned(forge, plans / "unseen.plan.json"))
    (tree / "marksweep-report" / "unseen.md").mkdir(parents=True)
    status, out = forge.run(tree, "check.sh")
    assert (status, states(forge.asked())) == (1, ["state=failure"]), out
    assert "cannot be shown" in out


def workflows() -> list[Path]:
    return sorted((GUIDES / "github").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its ``on`` as true."""
    found = yaml.safe_load(path.read_text())
    return {"on" if key is True else str(key): value for key, value in found.items()}


def test_on_gitlab_missing_approvals_are_a_warning_and_the_comment_is_its_own(forge: Forge) -> None:
    """21, which the job allows; of two comments with the marker the bot's own is changed; no process list has the token."""
    tree = forge.clone()
    git(tree, "switch", "--quiet", "--create", "waiting")
    (tree / "plans").mkdir(exist_ok=True)
    plan = tree / "plans" / "waiting.plan.json"
    forge.cli.done("mark", "--no-grace", "--quiet", "--out", plan, "--key", forge.root / "planner")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", "Plan")
    marker = f"<!-- marksweep:{json.loads(plan.read_text())['plan']['id']} -->"
    forge.answers([{"id": number, "author": {"id": number}, "body": marker} for number in (2, 3)])
    forge.asked()
    forge.gitlab = True
    try:
        status, out = forge.run(tree, "check.sh")
    finally:
        forge.gitlab = False
    assert status == 21, out
    asked = forge.asked()
    (put,) = [command for command in asked if "PUT" in command]
    assert "https://gitlab.example.org/api/v4/projects/9/merge_requests/7/notes/3" in put
    assert "t0ken-of-the-bot" not in json.dumps(asked)
    assert (forge.stub / "header").read_text() == 'header = "PRIVATE-TOKEN: t0ken-of-the-bot"\n'


@pytest.mark.parametrize("path", workflows(), ids=lambda path: path.stem)
def test_a_workflow_gives_its_jobs_little(path: Path) -> None:
    """No right by default, none that the guide does not name, a timeout for each job, and nothing of an event in a shell."""
    workflow = read(path)
    assert "pull_request_target" not in path.read_text().replace("never on pull_request_target", "")
    assert workflow["permissions"] == {}
    allowed = {
        ("mark", "mark"): {"contents": "write", "pull-requests": "write", "id-token": "write"},
        ("check", "check"): {"contents": "read", "pull-requests": "write", "statuses": "write"},
        ("sweep", "sweep"): {"contents": "read", "actions": "read", "id-token": "write"},
        ("sweep", "receipt"): {"contents": "write", "pull-requests": "write"},
    }
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == allowed[path.stem, name]
        assert job["timeout-minutes"] <= 360
        secret = "secrets." in json.dumps(job)
        assert not secret or "environment" in job, "secrets are those of an environment"
        for step in job["steps"]:
            run = step.get("run", "")
            assert "${{" not in run, "what an event says would be read by a shell"
            for script in re.findall(r"\.marksweep/ci/(\S+\.sh)", run):
                assert os.access(SCRIPTS / script, os.X_OK), script
            assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_the_sweep_is_alone_and_always_keeps_its_journal() -> None:
    """It is never cancelled by the next one, has the environment of production, and uploads whatever happened."""
    workflow = read(GUIDES / "github" / "sweep.yml")
    assert workflow["concurrency"]["cancel-in-progress"] is False
    sweep = workflow["jobs"]["sweep"]
    assert sweep["environment"] == "production"
    upload = next(step for step in sweep["steps"] if "upload-artifact" in step.get("uses", ""))
    assert upload["if"] == "always()"
    assert "plans/*.plan.json.journal*" in upload["with"]["path"]


def test_gitlab_runs_the_same_scripts() -> None:
    """Each script that its jobs name exists; the sweep is alone, keeps its journal always, and 21 is a warning."""
    jobs = yaml.safe_load((GUIDES / "gitlab" / "marksweep.gitlab-ci.yml").read_text())
    named = re.findall(r"\.marksweep/ci/(\S+\.sh)", json.dumps(jobs))
    assert {"mark.sh", "check.sh", "sweep.sh", "receipt.sh"} == set(named)
    assert all(os.access(SCRIPTS / name, os.X_OK) for name in named)
    sweep = jobs["marksweep-sweep"]
    assert (sweep["resource_group"], sweep["environment"], jobs[".marksweep"]["interruptible"]) == (
        "marksweep", "production", False,
    )  # fmt: skip
    assert sweep["cache"]["when"] == sweep["artifacts"]["when"] == "always"
    assert jobs["marksweep-check"]["allow_failure"] == {"exit_codes": [21]}


def test_every_exit_status_means_something_to_a_pipeline() -> None:
    """The one mapping knows each status of the design; what it does not know, a bug among it, is refused."""
    words = {0: "done", 11: "done", 10: "review", 21: "pending", 22: "expired", 30: "busy"}
    words |= dict.fromkeys((3, 12, 130, 137, 143), "again") | dict.fromkeys(
        (1, 2, 20, 23, 24, 25, 26, 27, 99), "refused"
    )
    assert {int(status) for status in ExitStatus} <= set(words)
    asked = "".join(f"outcome {status}\n" for status in words)
    ended = subprocess.run(
        ["bash"], input=f". {SCRIPTS}/outcome.sh\n{asked}", capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [*words.values()]


@pytest.mark.parametrize(
    ("program", "options", "folder", "names"),
    [
        ("shellcheck", ["-x", "-P", "SCRIPTDIR"], "ci", "*.sh"),
        ("check-jsonschema", ["--builtin-schema", "vendor.github-workflows"], "github", "*.yml"),
        (
            "check-jsonschema", ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"], "gitlab", "*.yml",
        ),
    ],
    ids=["scripts", "github", "gitlab"],
)  # fmt: skip
def test_the_files_pass_the_checks_that_there_are(program: str, options: list[str], folder: str, names: str) -> None:
    """Scripts by shellcheck; workflows and jobs by the schemas that editors know them by."""
    files = sorted(path.name for path in (GUIDES / folder).glob(names))
    assert files
    ended = subprocess.run(
        [Path(sys.executable).with_name(program), *options, *files], cwd=GUIDES / folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
