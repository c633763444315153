"""A plan is written once, in one form, and read back as it was."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from marksweep.errors import PlanMalformed, UsageError
from marksweep.model.entry import Entry
from marksweep.plan.document import Draft, encode
from marksweep.plan.verify import VerifiedPlan, verify
from marksweep.plan.writer import BATCH, write_plan
from tests.unit.plan.support import ALICE, NOW, PLANNER, TRUST, body_of, draft, entry, shared, six, written


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Header, entries, digest and signer survive the file, and entries() gives the same each time."""
    path = tmp_path / "p.plan.json"
    plan = written(path)
    with verify(path, TRUST, NOW) as verified:
        assert list(verified.entries()) == list(verified.entries()) == six()
        assert verified.header.totals == draft(six()).totals
        assert verified.digest == plan.digest == "sha256:" + hashlib.sha256(body_of(path.read_bytes())).hexdigest()
        assert (verified.signer.principal, verified.signer.fingerprint) == ("ci@example.org", plan.fingerprint)
        assert verified.approvers == ()


def test_units_keep_what_shares_bytes_together(tmp_path: Path) -> None:
    written(tmp_path / "p")
    with verify(tmp_path / "p", TRUST, NOW) as verified:
        assert [len(unit) for unit in verified.units()] == [1, 3, 1, 1]
        assert [entry for unit in verified.units() for entry in unit] == six()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_plans_of_few_entries(tmp_path: Path, count: int) -> None:
    entries = [entry(number) for number in range(count)]
    written(tmp_path / "p", entries)
    with verify(tmp_path / "p", TRUST, NOW) as verified:
        assert list(verified.entries()) == entries
        assert len(list(verified.units())) == count
    assert len(json.loads((tmp_path / "p").read_bytes())["entries"]) == count


def test_the_layout_is_the_designs(tmp_path: Path) -> None:
    """One member a line, in this order; one entry a line; the signature last; valid JSON."""
    written(tmp_path / "p")
    text = (tmp_path / "p").read_text()
    lines = text.splitlines()
    names = ["format", "plan", "catalog", "policy", "stores", "totals", "groups", "entries_sha256", "entries"]
    assert lines[0] == "{"
    assert [line.split(":")[0] for line in lines[1:10]] == [f'"{name}"' for name in names]
    assert lines[1] == '"format":"marksweep.plan/1",'
    assert lines[9] == '"entries":['
    assert lines[10].startswith('{"id":"00000001-')
    assert lines[10].endswith('"shares":null},')
    assert lines[15].endswith("}")
    assert lines[16] == "],"
    assert lines[17].startswith('"signature":{"digest":"sha256:')
    assert lines[17].endswith('"}}')
    assert len(lines) == 18
    assert text.endswith("}}\n")
    parsed = json.loads(text)
    assert list(parsed) == [*names, "signature"]
    body = "".join(line.rstrip(",") + "\n" for line in lines[10:16])
    assert parsed["entries_sha256"] == "sha256:" + hashlib.sha256(body.encode()).hexdigest()


def test_the_same_plan_is_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order in which a dict was filled."""
    one, other = tmp_path / "1", tmp_path / "2"
    written(one)
    header = draft(six())
    kept = dict(reversed(header.totals.kept.items()))
    header = msgspec.structs.replace(header, totals=msgspec.structs.replace(header.totals, kept=kept))
    write_plan(other, header, iter(six()), PLANNER)
    assert one.read_bytes() == other.read_bytes()


HOSTILE = [
    "\x1b[2J\x1b]8;;http://x\x07", "a\u202eb\u2066c", "line\nbreak\r\n", 'quo"te\\back', "x" * 1000, "\x7f\x80\x9f\xad",
    "\u061c\u180e\u200b\u200f\u2028\u2029", "\ufeff\ufff9\ufffb\u2060\u206f", "\U000e0001\U000e007f", "\U0001f600é漢",
    "::set-output name=x::y", "</script><!--", "|`<details>@team", "\0", "],", '"signature":{',
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_survive_and_are_visible(tmp_path: Path, name: str) -> None:
    """No control, format or bidi character stands raw in the file, and the name comes back exactly."""
    segment = name.replace("\0", "").replace("/", "") or "x"
    entries = [entry(1, artifact=name, project=name, version=name, uri=f"s3://b/root/{segment}")]
    written(tmp_path / "p", entries)
    with verify(tmp_path / "p", TRUST, NOW) as verified:
        assert list(verified.entries()) == entries
    text = (tmp_path / "p").read_bytes().decode()
    hidden = [c for c in text if c != "\n" and (not c.isprintable() and c != " ")]
    assert hidden == []
    assert len(text.split("\n")) == 14


def test_the_escaped_characters_are_exactly_the_fixed_list(tmp_path: Path) -> None:
    """Each code point of Unicode is raw or escaped as the list says, so that others can reproduce a plan."""
    ranges = [(0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E),
              (0x2060, 0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F)]  # fmt: skip
    listed = {code for first, last in ranges for code in range(first, last + 1)}
    codes = [code for code in range(0x20, 0x110000) if not 0xD800 <= code <= 0xDFFF and code not in (0x22, 0x5C)]
    for at in range(0, len(codes), 4096):
        some = codes[at : at + 4096]
        expected = "".join(chr(code) if code not in listed else json.dumps(chr(code))[1:-1] for code in some)
        assert encode("".join(map(chr, some))).decode() == f'"{expected}"'


def test_a_lone_surrogate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanMalformed):
        written(tmp_path / "p", [entry(1, artifact="\ud800")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "entries",
    [
        [entry(2), entry(1)],
        [entry(1), entry(1)],
        [entry(1, uri="s3://b/r/x/"), entry(1, uri="s3://b/r/x", shares=entry(1).id, objects=0, bytes=0)],
        [entry(2, uri="s3://b/r/x"), entry(1, uri="s3://b/r/x", shares=entry(2).id, objects=0, bytes=0)],
        [entry(2), shared(3, entry(2), "a"), shared(3, entry(2), "a")],
        [entry(2), shared(3, entry(2), "a", shares=None)],
        [entry(2), shared(3, entry(2), "a", shares="other")],
        [entry(2), shared(3, entry(2), "a", objects=1)],
        [entry(2), shared(3, entry(2), "a", bytes=1)],
        [entry(2), shared(2, entry(2), "a")],
        [entry(1, shares="x")],
        [entry(1), entry(2, shares=entry(1).id, objects=0, bytes=0)],
        [entry(1, uri="s3://b/../x")],
        [entry(1, uri="s3://user:secret@b/x/y")],
        [entry(1, uri="http://b/x")],
        [entry(1, uri="")],
        [entry(1, objects=-1)],
        [entry(1, bytes=2**53)],
        [entry(1, fingerprint="sha256:00")],
        [entry(1, created="2026-02-30T00:00:00Z")],
        [entry(1, updated="2026-02-30T00:00:00Z")],
        [entry(1, created="2026-02-20T00:00:00Z\n")],
        [entry(1, created="٢٠٢٦-01-01T00:00:00Z")],
        [entry(1, reason="because")],
        [entry(1, artifact="\u202e" * 4000)],
    ],
)
def test_entries_that_no_reader_would_take_are_not_written(tmp_path: Path, entries: list[Entry]) -> None:
    """Nothing is left, not even a temporary file, and no URI's secret is in the message."""
    with pytest.raises(PlanMalformed) as caught:
        written(tmp_path / "p", entries)
    assert list(tmp_path.iterdir()) == []
    assert caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("at", [0, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 9])
@pytest.mark.parametrize(
    "changes", [{"reason": "because"}, {"uri": "s3://b/../x"}, {"created": "2026-02-30T00:00:00Z"}]
)
def test_the_entry_that_does_not_fit_is_named(tmp_path: Path, at: int, changes: dict[str, object]) -> None:
    """Entries are written many at a time; by its id, whichever of them it is."""
    entries = [entry(number) for number in range(2 * BATCH + 10)]
    entries[at] = msgspec.structs.replace(entries[at], **changes)
    with pytest.raises(PlanMalformed, match=entries[at].id):
        written(tmp_path / "p", entries)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH])
def test_plans_of_many_entries(tmp_path: Path, count: int) -> None:
    """However many are encoded and decoded at a time, none of them with other characters than its own."""
    entries = [entry(number, artifact="\u202e\x7f" if number % 7 == 0 else "a") for number in range(count)]
    path = written(tmp_path / "p", entries).path
    with verify(path, TRUST, NOW) as verified:
        assert list(verified.entries()) == entries
    assert path.read_bytes().count(b"\\u202e\\u007f") == len(entries[::7]) + 1


def _replaced(header: Draft, **changes: object) -> Draft:
    return msgspec.structs.replace(header, totals=msgspec.structs.replace(header.totals, **changes))


WRONG_HEADERS = [
    _replaced(draft(six()), entries=5),
    _replaced(draft(six()), objects=1),
    _replaced(draft(six()), objects=None),
    _replaced(draft(six()), bytes=1),
    _replaced(draft(six()), bytes=None),
    _replaced(draft(six()), kept={"x": -1}),
    msgspec.structs.replace(draft(six()), groups=draft(six()).groups * 2),
    msgspec.structs.replace(
        draft(six()), groups=(msgspec.structs.replace(draft(six()).groups[0], entries=9), *draft(six()).groups[1:])
    ),
    msgspec.structs.replace(
        draft(six()), groups=(msgspec.structs.replace(draft(six()).groups[0], bytes=9), *draft(six()).groups[1:])
    ),
    msgspec.structs.replace(
        draft(six()), plan=msgspec.structs.replace(draft(six()).plan, expires="2026-11-21T09:00:00Z")
    ),
    msgspec.structs.replace(draft(six()), plan=msgspec.structs.replace(draft(six()).plan, id="")),
    msgspec.structs.replace(draft(six()), catalog=msgspec.structs.replace(draft(six()).catalog, kind="\ud800")),
    msgspec.structs.replace(draft(six()), stores=draft(six()).stores * 20000),
]


@pytest.mark.parametrize("header", WRONG_HEADERS)
def test_a_header_that_is_not_true_is_not_written(tmp_path: Path, header: Draft) -> None:
    with pytest.raises(PlanMalformed):
        write_plan(tmp_path / "p", header, six(), PLANNER)
    assert list(tmp_path.iterdir()) == []


def test_sizes_may_be_unknown(tmp_path: Path) -> None:
    entries = [
        entry(1, objects=None, bytes=None, fingerprint=None),
        entry(2, objects=None, bytes=None, fingerprint=None),
    ]
    written(tmp_path / "p", entries)
    with verify(tmp_path / "p", TRUST, NOW) as verified:
        assert verified.header.totals.bytes is None
        assert verified.header.groups[0].bytes is None


def test_an_existing_plan_is_never_lost(tmp_path: Path) -> None:
    """Without overwrite nothing happens; with it, an error leaves the old plan."""
    path = tmp_path / "p"
    written(path)
    before = path.read_bytes()
    with pytest.raises(UsageError):
        written(path, [entry(1)])
    with pytest.raises(PlanMalformed):
        write_plan(path, draft(six()), [entry(1)], PLANNER, overwrite=True)
    assert path.read_bytes() == before
    write_plan(path, draft([entry(1)]), [entry(1)], PLANNER, overwrite=True)
    assert path.read_bytes() != before
    assert os.listdir(tmp_path) == ["p"]


def test_a_plan_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "p"

    def slow() -> Iterator[Entry]:
        yield entry(1)
        path.write_text("somebody else's")

    with pytest.raises(UsageError):
        write_plan(path, draft([entry(1)]), slow(), PLANNER)
    assert path.read_text() == "somebody else's"
    assert os.listdir(tmp_path) == ["p"]


def test_an_existing_plan_is_seen_before_the_work_is_done(tmp_path: Path) -> None:
    def never() -> Iterator[Entry]:
        pytest.fail("the entries were asked for")
        yield entry(1)

    (tmp_path / "p").write_text("somebody else's")
    with pytest.raises(UsageError):
        write_plan(tmp_path / "p", draft([entry(1)]), never(), PLANNER)


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "p").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        written(tmp_path / "p")
    assert not (tmp_path / "elsewhere").exists()


def test_an_error_of_the_entries_passes_and_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Entry]:
        yield entry(1)
        raise ConnectionError("lost the database")

    with pytest.raises(ConnectionError):
        write_plan(tmp_path / "p", draft([entry(1)]), broken(), PLANNER)
    assert list(tmp_path.iterdir()) == []


def test_without_hard_links_a_plan_is_written_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    written(tmp_path / "p")
    verify(tmp_path / "p", TRUST, NOW).close()
    with pytest.raises(UsageError):
        written(tmp_path / "p")

    def slow() -> Iterator[Entry]:
        yield entry(1)
        (tmp_path / "q").write_text("somebody else's")

    with pytest.raises(UsageError):
        write_plan(tmp_path / "q", draft([entry(1)]), slow(), PLANNER)
    assert (tmp_path / "q").read_text() == "somebody else's"
    assert sorted(os.listdir(tmp_path)) == ["p", "q"]


def test_a_directory_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        written(tmp_path / "no" / "p")


def test_a_plan_is_for_others_to_read(tmp_path: Path) -> None:
    """It is reviewed, so that it is no 0600 file."""
    written(tmp_path / "p")
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) & 0o400
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


def test_only_verify_makes_a_verified_plan() -> None:
    with pytest.raises(TypeError):
        VerifiedPlan(object(), None, None, ALICE.public, None, None)  # type: ignore[arg-type]


def test_a_closed_plan_gives_no_entries(tmp_path: Path) -> None:
    written(tmp_path / "p")
    verified = verify(tmp_path / "p", TRUST, NOW)
    verified.close()
    verified.close()
    with pytest.raises(ValueError, match="closed"):
        list(verified.entries())


def test_memory_stays_flat(tmp_path: Path) -> None:
    """50,000 entries are written and verified in less than 30 MB."""
    count = 50_000
    header = draft([])
    header = _replaced(
        header, entries=count, objects=sum(n % 5 for n in range(count)), bytes=sum(n * 1000 for n in range(count))
    )
    tracemalloc.start()
    try:
        write_plan(tmp_path / "p", header, (entry(number) for number in range(count)), PLANNER)
        with verify(tmp_path / "p", TRUST, NOW) as verified:
            assert sum(1 for _ in verified.units()) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "p").stat().st_size > 3 * 4 * 1024 * 1024
    assert peak < 30_000_000
