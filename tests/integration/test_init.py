"""``marksweep init``: a repository's trust and policy, which work as they are written, and never replace what is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from marksweep.cli.init_files import policy, toml_string
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.document import APPROVE_NAMESPACE, PLAN_NAMESPACE, RECEIPT_NAMESPACE
from marksweep.plan.rules import KEYS, RuleBook
from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli

FILES = [
    ".marksweep/allowed_signers",
    ".marksweep/policy.toml",
    ".gitattributes",
    "plans/README.md",
    "plans/.gitignore",
]


@pytest.fixture
def newest(tmp_path: Path) -> RealCatalog:
    return unpacked("0.98.0", tmp_path)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def states(result: dict[str, list[dict[str, str]]], top: Path) -> dict[str, str]:
    return {str(Path(file["path"]).relative_to(top)): file["state"] for file in result["files"]}


def test_what_is_written_works(cli: Cli, newest: RealCatalog, top: Path) -> None:
    """The caller's key is trusted to plan and sign receipts, not to approve; the policy lists the catalog and asks for one
    approval; a plan made at once verifies but for that.
    """
    key = cli.json("keys", "create", "--as", "ada@example.org")
    made = cli.json("init", top, "--catalog", newest.url)
    assert states(made, top) == dict.fromkeys(FILES, "written")
    assert (made["signer"], made["fingerprint"]) == ("ada@example.org", key["fingerprint"])
    trust = Trust.load(top / FILES[0])
    (line,) = trust.lines
    assert line.namespaces == f"{PLAN_NAMESPACE},{RECEIPT_NAMESPACE}"
    rules = RuleBook.load((top / FILES[1]).read_text(), "policy.toml")
    assert list(rules.catalogs) == [made["server_id"]]
    assert rules.for_catalog(made["server_id"]).approvals == 1
    plan = top / "plans" / "a.plan.json"
    cli.done("mark", "--catalog", newest.url, "--no-grace", "--out", plan)
    cli("verify", plan).refused(21, "0 of 1 approvals")
    cli("approve", plan, "--yes").refused(2, "made this plan")
    assert APPROVE_NAMESPACE in (top / FILES[0]).read_text()


def test_every_key_stands_in_the_policy_and_can_be_switched_on(top: Path) -> None:
    """Each key is there with its meaning; with every comment sign before a key taken away, the file still reads."""
    text = policy("an id", ["s3://bucket/zenml", "/srv/zenml"])
    switched = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in text.splitlines()
    )
    found = RuleBook.load(switched, "policy.toml").for_catalog("an id")
    assert found.roots == ("s3://bucket/zenml/", "file:///srv/zenml/")
    assert [key for key in KEYS if f"{key} = " not in text] == []
    assert RuleBook.load(policy(None, []), "policy.toml").catalogs == {}


def test_a_catalogs_names_cannot_write_rules() -> None:
    """Whatever the catalog says its id and its stores are, it stays one string."""
    hostile = 'x"]\napprovals = 0\n[catalog."y\x1b[2J\u202e\U0001f600\ud800\\'
    found = RuleBook.load(policy(hostile, [hostile]), "policy.toml")
    assert len(found.catalogs) == 1
    assert found.general.approvals == 1
    assert toml_string(hostile).isascii()
    assert "\n" not in toml_string(hostile)


def test_nothing_is_overwritten(cli: Cli, top: Path) -> None:
    """What is there stays, byte for byte, and is said; lines that .gitattributes lacks are added, once."""
    (top / ".marksweep").mkdir()
    (top / ".marksweep" / "policy.toml").write_text("approvals = 3\n")
    (top / ".gitattributes").write_text("*.bin binary\n*.sig -text merge=binary")
    made = cli.json("init", top, "--no-catalog")
    assert list(states(made, top).values()) == ["written", "there", "added_to", "written", "written"]
    assert (top / ".marksweep" / "policy.toml").read_text() == "approvals = 3\n"
    attributes = (top / ".gitattributes").read_text()
    assert attributes.startswith("*.bin binary\n*.sig -text merge=binary\n")
    assert attributes.count("*.sig") == 1
    before = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    again = cli.json("init", top, "--no-catalog")
    assert set(states(again, top).values()) == {"there"}
    assert "there already, left as it is" in cli.done("init", top, "--no-catalog").flat
    assert {path: path.read_bytes() for path in top.rglob("*") if path.is_file()} == before


def test_git_neither_converts_nor_merges_a_plan_and_diffs_it_as_text(cli: Cli, top: Path) -> None:
    """What git itself says of the attributes, and of a plan with CRLF conversion switched on."""
    cli.done("init", top, "--no-catalog")
    paths = ("plan.json", "plans/x.plan.json", "plans/x.plan.json.receipt.json", "plans/x.plan.json.approvals/a.sig")
    said = subprocess.run(
        ["git", "check-attr", "text", "merge", "diff", "--", *paths],
        cwd=top,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for path in paths:
        assert f"{path}: text: unset" in said
        assert f"{path}: merge: binary" in said
        assert f"{path}: diff: unset" not in said
    assert "plans/x.plan.json: diff: set" in said


def test_without_a_catalog_or_a_key_it_says_so(cli: Cli, top: Path, tmp_path: Path) -> None:
    """No catalog is found: a remark, and none is listed. One that was named must be there. No key is made."""
    nowhere = cli.with_environ(ZENML_CONFIG_PATH=str(tmp_path / "none"))
    missing = f"sqlite:///{tmp_path}/absent.db"
    nowhere("init", top, "--catalog", missing).refused(25, "there is no database at")
    assert not (top / ".marksweep").exists()
    made = nowhere.json("init", top)
    assert "No catalog is listed in the policy: no ZenML database was found" in made["remarks"][0]
    assert (made["server_id"], made["signer"]) == (None, None)
    assert not cli.config.exists()
    assert Trust.load(top / FILES[0]).lines == ()


def test_where_it_writes(cli: Cli, top: Path, tmp_path: Path) -> None:
    """Only at the top of a repository; a folder that is none yet is told so; links are not followed."""
    inner = top / "inner"
    inner.mkdir()
    cli("init", inner, "--no-catalog").refused(2, "is not the top of its repository", f"marksweep init {top}")
    cli("init", tmp_path / "absent", "--no-catalog").refused(2, "there is no folder")
    plain = tmp_path / "plain"
    plain.mkdir()
    (tmp_path / "target").write_text("")
    (plain / ".gitattributes").symlink_to(tmp_path / "target")
    cli("init", plain, "--no-catalog").refused(2, ".gitattributes cannot be written")
    assert (tmp_path / "target").read_text() == ""
    (plain / ".gitattributes").unlink()
    assert "is no git repository yet" in cli.json("init", plain, "--no-catalog")["remarks"][0]
