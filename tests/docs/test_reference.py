"""The reference is complete: commands, options, error codes, exit statuses, verdicts, files; and nothing in it is stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from marksweep import errors
from marksweep.cli.options import EXPIRES_DEFAULT
from marksweep.errors import ExitStatus, MarksweepError
from marksweep.model.entry import Entry
from marksweep.model.outcome import KeptBecause, Mode
from marksweep.model.policy import Policy
from marksweep.model.verdict import KeptReason
from marksweep.model.version import ReferenceKind
from marksweep.plan import document
from marksweep.plan.receipt import Receipt
from marksweep.report.documents import RESULTS
from marksweep.report.schemas import NAMES, file_name
from marksweep.store.azure_options import KNOWN as AZURE_OPTIONS
from marksweep.store.s3_options import KNOWN
from marksweep.sweep.books import Books
from tests.docs.generate_reference import commands, long_names, reference
from tests.docs.pages import DOCS, ROOT, anchors, pages

EVERYWHERE = {"--help", "--install-completion", "--show-completion"}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def said(name: str) -> str:
    """The page with its lines joined: where a sentence breaks does not matter."""
    return " ".join(page(name).split())


def error_classes() -> list[type[MarksweepError]]:
    found = (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MarksweepError))
    return list(found)


def table_rows(text: str) -> list[list[str]]:
    """The cells of every row of every table in *text*, without code marks."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_the_command_reference_is_current() -> None:
    """``docs/reference/cli.md`` is what ``make reference`` writes."""
    assert page("reference/cli.md") == reference(), "run `make reference`"


def test_the_command_reference_depends_on_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width, colours and the user's folders change nothing in it."""
    before = reference()
    for name, value in {"COLUMNS": "40", "HOME": "/elsewhere", "FORCE_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    assert reference() == before


@pytest.mark.parametrize(("name", "command"), [(n, c) for n, c in commands() if n], ids=lambda value: str(value)[:20])
def test_every_command_and_option_is_documented(name: str, command: object) -> None:
    """Each command has a section, and each of its options stands in it or under the options that commands share."""
    sections = page("reference/cli.md").split("\n## ")
    (own,) = [s for s in sections if s.startswith(f"marksweep {name}\n")]
    shared = "".join(s for s in sections if s.split("\n")[0] in ("Filters", "Rules", "Caps"))
    missing = [n for n in long_names(command) if n not in EVERYWHERE and f"`{n}`" not in own + shared]
    assert missing == []


def test_readme_names_every_command() -> None:
    """The quick reference of README has every command."""
    quick = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Commands\n")[2].partition("\n## ")[0]
    assert [name for name, _ in commands() if name and f"marksweep {name.split()[0]}" not in quick] == []


def test_readme_lists_every_page() -> None:
    """Each guide, reference and explanation is one link away."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    mine = (p for p in pages() if p.parent != DOCS / "adr" and p != ROOT / "README.md")
    assert [str(p) for p in mine if f"({p.relative_to(ROOT)})" not in readme] == []


def test_pages_name_only_options_that_exist() -> None:
    """Every ``--option`` of marksweep that a page mentions is one."""
    known = {n for _, command in commands() for n in long_names(command)} | EVERYWHERE
    foreign = {"--server-side", "--delete-data", "--preserve-status", "--signal"}
    for path in pages():
        for line in path.read_text(encoding="utf-8").splitlines():
            if "marksweep" in line or line.startswith("`--"):
                named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line))
                assert named <= known | foreign, f"{path.name}: {named - known}"


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.code)
def test_every_error_has_its_section(kind: type[MarksweepError]) -> None:
    """A heading that is the code, and its exit status in the first sentence."""
    assert kind.code in anchors(DOCS / "reference" / "errors.md")
    section = page("reference/errors.md").partition(f"\n## {kind.code}\n")[2]
    assert section.lstrip().startswith(f"Exit status {int(kind.status)}.")


def test_every_exit_status_is_documented() -> None:
    """Number and name of each, and no others."""
    rows = {int(row[0]): row[1] for row in table_rows(page("reference/exit-statuses.md")) if row[0].isdigit()}
    assert rows == {int(status): status.name for status in ExitStatus}


def test_every_verdict_is_documented_in_order() -> None:
    """The table of verdicts is the enumeration, in the order in which the rules are asked."""
    rows = [row for row in table_rows(page("reference/verdicts.md")) if row[0].isdigit()]
    assert [re.sub(r"\[`?(\w+)`?\].*", r"\1", row[1]) for row in rows] == [reason.value for reason in KeptReason]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]


def test_every_reference_and_every_kept_entry_is_documented() -> None:
    """Kinds of reference, and why a sweep keeps an entry."""
    text = page("reference/verdicts.md")
    assert [value for value in (*ReferenceKind, *KeptBecause) if f"| `{value}` |" not in text] == []


def test_every_json_output_is_documented() -> None:
    """Each command with ``--json`` stands in json.md with its schema, each member of its document beside it."""
    rows = {row[0]: row for row in table_rows(page("reference/json.md"))}
    for name, command in commands():
        if "--json" not in long_names(command):
            continue
        cell = next(first for first in rows if re.search(rf"marksweep {name}\b.*--json", first))
        schema = name.replace(" ", "-") if name.replace(" ", "-") in RESULTS else name.split()[0]
        assert file_name(schema) in rows[cell][1]
        absent = [f for f in RESULTS[schema].__struct_fields__ if f"`{f}`" not in f"`{rows[cell][2]}`"]
        assert absent == [], f"{name}: {absent}"
    assert [n for n in NAMES if file_name(n) not in page("reference/json.md")] == []


def test_every_member_of_a_plan_and_a_receipt_is_documented() -> None:
    """plan-format.md names each member of each struct, and the format that is written."""
    text = page("reference/plan-format.md")
    structs = (
        document.CardHeader, document.PlanFacts, document.CatalogFacts, document.StoreFacts, document.Totals, document.Group,
        Entry, document.Seal, Policy, Receipt,
    )  # fmt: skip
    for struct in structs:
        assert [f for f in struct.__struct_fields__ if f"`{f}`" not in text and f'"{f}"' not in text] == []
    for written in (document.FORMAT, document.CARD_FORMAT):
        assert f'"format":"{written}"' in text
    assert [mode for mode in Mode if f"`{mode}`" not in text] == []
    for namespace in (document.PLAN_NAMESPACE, document.APPROVE_NAMESPACE, document.RECEIPT_NAMESPACE):
        assert f"`{namespace}`" in text


def test_the_order_of_a_plan_is_the_documented_one() -> None:
    """The grammar in plan-format.md has the header's members in the order in which they are written."""
    text = page("reference/plan-format.md")
    grammar = re.findall(r"^ +'\"(\w+)\":", text, re.MULTILINE)
    assert grammar == ["format", *document.Header.__struct_fields__, "entries", "signature"]


def test_every_column_and_state_of_the_journal_is_documented(tmp_path: Path) -> None:
    """journal.md has each column of the journal, each state that is ever written, and what it is bound to."""
    from datetime import UTC, datetime

    from marksweep.sweep.journal import SETTLED, Journal
    from marksweep.sweep.journal_reader import FORMAT

    text = page("reference/journal.md")
    journal = Journal(tmp_path / "plan.json.journal", {"plan": "sha256:0"}, lambda: datetime.now(UTC))
    columns = [row[1] for row in journal._db.execute("PRAGMA table_info(entry)")]
    journal.close()
    assert [c for c in columns if f"`{c}`" not in text] == []
    assert [s for s in (*SETTLED, "intended", "marked", "claimed", "failed") if f"| `{s}` |" not in text] == []
    assert f"`{FORMAT}`" in text


def test_every_option_of_an_s3_store_is_documented() -> None:
    """s3.md has each option that ``--store-options`` may hold."""
    assert [option for option in KNOWN if f"`{option}`" not in page("how-to/s3.md")] == []


def test_the_books_balance_as_documented() -> None:
    """The sum in json.md is the sum of the books."""
    terms = re.search(r"^    planned = (.+)$", page("reference/json.md"), re.MULTILINE)
    assert terms is not None
    books = Books(
        planned=100,
        deleted=1,
        gone=2,
        referenced=3,
        changed=4,
        protected=5,
        failed=6,
        in_doubt=0,
        objects=0,
        bytes=0,
        left=0,
    )
    assert sum(getattr(books, term) for term in terms[1].split(" + ")) == books.planned


def test_defaults_in_prose_are_the_defaults() -> None:
    """Numbers that pages give for margins are those of the policy."""
    from marksweep.model import policy

    assert f"lives {policy.EXPIRES_AFTER.days} days" in said("how-to/resume-a-large-prune.md")
    assert f"{policy.EXPIRES_AFTER.days}d" == EXPIRES_DEFAULT
    assert f"more than {policy.UNFINISHED_RUN_HORIZON.days} days ago" in said("how-to/keep-what-you-need.md")
    assert f"`--max-share` is {policy.DEFAULT_MAX_SHARE} per cent" in said("how-to/keep-what-you-need.md")
    assert f"{policy.SHARE_APPLIES_ABOVE:,} versions" in said("how-to/keep-what-you-need.md")
    assert f"less than {policy.MIN_DEPTH} path segments" in said("reference/verdicts.md")
    assert f"younger than {int(policy.SNAPSHOT_SETTLES.total_seconds()) // 60} minutes" in said("reference/verdicts.md")
    assert f"{int(policy.DRAIN.total_seconds())} seconds" in said("explanation/only-artifact.md")
    assert f"at most {policy.CLOCK_SKEW} is allowed" in said("reference/errors.md")
    assert f"{int(policy.CLOCK_SKEW.total_seconds()) // 60} minutes apart" in said("explanation/what-can-race.md")
    assert (policy.COLLAPSE_KEEPS, policy.JUMP_FACTOR) == (50, 2), (
        "half, and twice, in errors.md and keep-what-you-need.md"
    )
    assert f"less than {policy.COLLAPSE_APPLIES_FROM} rows" in said("reference/errors.md")
    for name in ("reference/errors.md", "how-to/keep-what-you-need.md"):
        assert f"at least {policy.JUMP_POINTS} percentage points more" in said(name)


def test_margins_of_big_plans_are_those_of_the_program() -> None:
    """What a forge shows and carries, in big-plans.md and json.md."""
    from marksweep.model import policy

    for name in ("how-to/big-plans.md", "reference/json.md"):
        assert f"{policy.FORGE_SHOWS:,} entries" in said(name)
    assert f"{policy.FORGE_CARRIES // 2**20} MiB" in said("how-to/big-plans.md")


def test_the_glossary_has_the_words() -> None:
    """Words of the design, each with a row of its own."""
    words = [row[0] for row in table_rows(page("reference/glossary.md"))]
    for word in ("catalog", "reference", "orphan", "recheck", "claim", "resume", "in doubt", "sweep", "unit"):
        assert word in words


def test_example_messages_are_the_programs() -> None:
    """Each message that errors.md quotes at the head of a point has a run of three words that the source has, too."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "marksweep").rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source).replace('\\"', '"')
    quoted = re.findall(r"^- `([^`]+)`", re.sub(r"\n +", " ", page("reference/errors.md")), re.MULTILINE)
    assert len(quoted) > 50
    strange = []
    for message in quoted:
        words = message.replace("…", " … ").split()
        runs = [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]
        if len(words) > 4 and not any("…" not in run and run in source for run in runs):
            strange.append(message)
    assert strange == []


def test_every_option_of_an_azure_store_is_documented() -> None:
    """azure.md has each option that ``--store-options`` may hold."""
    assert [option for option in AZURE_OPTIONS if f"`{option}`" not in page("how-to/azure.md")] == []
