"""``marksweep keys``, and whose signature counts: a key is made on first use, never in CI, and trust is a text file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.support.catalogs import RealCatalog, unpacked
from tests.support.cli import Cli


@pytest.fixture
def newest(tmp_path: Path) -> RealCatalog:
    """On SQLite: keys do not look at the database."""
    return unpacked("0.98.0", tmp_path)


def test_the_first_mark_makes_a_key_and_says_what_it_proves(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """Mode 0600, in the user's folder, trusted by this user; the second mark says nothing of it."""
    first = cli.done("mark", "--catalog", newest.url, "--out", tmp_path / "a.json")
    assert "A signing key was made" in first.err
    assert "It is no approval" in first.flat
    assert stat.S_IMODE((cli.config / "signing_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(cli.config.stat().st_mode) == 0o700
    assert "A signing key" not in cli.done("mark", "--catalog", newest.url, "--out", tmp_path / "b.json").err
    assert cli.json("keys", "show")["trusted_in"] == str(cli.config / "allowed_signers")


def test_in_ci_no_key_is_made(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """It would be lost with the machine: the message names the variable to set. Nothing is written."""
    ci = cli.with_environ(CI="true")
    out = tmp_path / "plan.json"
    ci("mark", "--catalog", newest.url, "--out", out).refused(2, "there is no signing key", "MARKSWEEP_SIGNING_KEY")
    assert not cli.config.exists()
    assert not out.exists()
    cli.done("keys", "create", "--out", tmp_path / "key")
    secret = (tmp_path / "key").read_text()
    with_secret = ci.with_environ(MARKSWEEP_SIGNING_KEY=secret)
    assert with_secret.json("mark", "--catalog", newest.url, "--no-grace", "--out", out)["plan"]["entries"] == 27
    with_secret.done("verify", out)
    ended = with_secret.done("sweep", out, "--yes", "--catalog", newest.url)
    assert "OPENSSH" not in ended.out + ended.err


def test_a_sweep_in_ci_without_a_key_deletes_nothing(cli: Cli, newest: RealCatalog, plan: Path) -> None:
    """The receipt could not be signed: known before anything is claimed."""
    trust = cli.config / "allowed_signers"
    other = Cli(cli.home / "ci", {"CI": "1", "MARKSWEEP_TRUST": str(trust)})
    before = newest.file_digests()
    other("sweep", plan, "--yes", "--catalog", newest.url).refused(2, "there is no signing key")
    assert newest.file_digests() == before
    cli.done("sweep", plan, "--yes", "--catalog", newest.url)


def test_keys_are_created_once_shown_and_trusted(cli: Cli, tmp_path: Path) -> None:
    """create refuses to replace a key; trust is idempotent and takes a line or a .pub file."""
    cli("keys", "show").refused(2, "there is no key", "marksweep keys create")
    mine = cli.json("keys", "create")
    cli("keys", "create").refused(2, "exists")
    assert cli.json("keys", "show")["fingerprint"] == mine["fingerprint"]
    other = tmp_path / "other"
    made = cli.json("keys", "create", "--out", other, "--as", "ann@example.org")
    assert made["trusted_in"] is None
    assert made["allowed_signers_line"].startswith("ann@example.org ")
    cli("keys", "create", "--out", other).refused(2, "exists")
    cli("keys", "trust", f"{other}.pub").refused(2, "say whose it is")
    trusted = cli.json("keys", "trust", f"{other}.pub", "--as", "ann@example.org")
    assert trusted["fingerprint"] == made["fingerprint"]
    cli.done("keys", "trust", made["allowed_signers_line"])
    lines = (cli.config / "allowed_signers").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 2
    assert cli.json("keys", "show", "--key", other)["fingerprint"] == made["fingerprint"]


def test_nonsense_is_not_trusted(cli: Cli, tmp_path: Path) -> None:
    """A line that would be ignored, or trust somebody else, is refused; the file stays as it was."""
    cli.done("keys", "create")
    before = (cli.config / "allowed_signers").read_bytes()
    for line in (
        "",
        "x",
        "ann@example.org",
        "ann@example.org ssh-ed25519 AAAA",
        "a\nb ssh-ed25519 AAAA",
        "# a comment",
    ):
        assert cli("keys", "trust", line).status == 2, line
    (tmp_path / "empty.pub").write_text("")
    (tmp_path / "binary.pub").write_bytes(b"\xff\xfe\x00")
    for name in ("empty.pub", "binary.pub"):
        assert cli("keys", "trust", tmp_path / name, "--as", "x@example.org").status == 2, name
    for name in ("", "ann smith", "a,b", "*", "!ann", "x\n* ", "# x"):
        assert cli("keys", "create", "--out", tmp_path / "named", "--as", name).status == 2, name
    cli.done("keys", "create", "--out", tmp_path / "k")
    secret = (tmp_path / "k").read_text().splitlines()[1]
    ended = cli("keys", "trust", tmp_path / "k", "--as", "x@example.org")
    assert ended.status == 2
    assert secret not in ended.out + ended.err
    assert (cli.config / "allowed_signers").read_bytes() == before


def test_ones_own_key_can_have_a_name(cli: Cli, newest: RealCatalog, tmp_path: Path) -> None:
    """``keys create --as``: the name that others see is the one that this user's trust file has."""
    made = cli.json("keys", "create", "--as", "ann@example.org")
    assert (cli.config / "allowed_signers").read_text().splitlines() == [made["allowed_signers_line"]]
    cli.done("mark", "--catalog", newest.url, "--out", tmp_path / "plan.json")
    assert cli.json("verify", tmp_path / "plan.json")["signer"]["principal"] == "ann@example.org"


def test_trust_by_file_and_by_environment(cli: Cli, newest: RealCatalog, plan: Path, tmp_path: Path) -> None:
    """--trust FILE, or MARKSWEEP_TRUST: then only those lines count, not the user's own."""
    stranger = Cli(tmp_path / "stranger")
    trust = cli.config / "allowed_signers"
    stranger("verify", plan).refused(20, "is not trusted")
    stranger.done("verify", plan, "--trust", trust)
    stranger.with_environ(MARKSWEEP_TRUST=str(trust)).done("verify", plan)
    empty = tmp_path / "nobody"
    empty.write_text("# nobody\n")
    cli("verify", plan, "--trust", empty).refused(20, "is not trusted")
    cli("verify", plan, "--trust", tmp_path / "absent").refused(2)
    cli("sweep", plan, "--yes", "--catalog", newest.url, "--trust", empty).refused(20)


def test_an_approval_needs_a_plain_name_and_its_own_key(cli: Cli, plan: Path, tmp_path: Path) -> None:
    """The name becomes a file name; nobody replaces somebody else's approval."""
    cli.done("keys", "create", "--out", tmp_path / "a")
    cli.done("keys", "create", "--out", tmp_path / "b")
    for name in ("../evil", "a/b", "", ".hidden", "x" * 200, "nul\x1b[31m"):
        cli("approve", plan, "--yes", "--key", tmp_path / "a", "--as", name).refused(2, "cannot name an approval")
    cli.done("approve", plan, "--yes", "--key", tmp_path / "a", "--as", "ann")
    cli("approve", plan, "--yes", "--key", tmp_path / "b", "--as", "ann").refused(2, "already the approval by the key")
    cli.done("approve", plan, "--yes", "--key", tmp_path / "a", "--as", "ann")
    assert [path.name for path in Path(f"{plan}.approvals").iterdir()] == ["ann.sig"]
