"""``init`` on a terminal: what was written, what was there, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.init_documents import FileState, InitResult
from marksweep.report.parts import (
    CAUTION,
    GOOD,
    QUIET,
    STRONG,
    Part,
    Verbatim,
    commands,
    fact_list,
    indented,
    joined,
    section,
    words,
)

_STATES = {
    FileState.WRITTEN: ("+ ", "written"),
    FileState.ADDED_TO: ("+ ", "lines added"),
    FileState.THERE: ("  ", "there already, left as it is"),
}


def init_view(result: InitResult, width: int) -> Iterator[Part]:
    """``init``: the files, whom and what they name, and the next steps."""
    yield Verbatim(joined(Text("Trust and policy of ", style=STRONG), words(result.folder, STRONG)))
    for file in result.files:
        mark, said = _STATES[file.state]
        yield Verbatim(joined(Text(f"  {mark}", style=GOOD), file.path, Text(f"  {said}", style=QUIET)))
    if any(file.state is FileState.WRITTEN for file in result.files[:2]):
        signer = f"{result.signer}, {result.fingerprint}" if result.signer is not None else "nobody yet"
        yield fact_list([("planner", signer), ("catalog", result.server_id or "any: none is listed")])
    for remark in result.remarks:
        yield indented(joined(Text("! ", style=CAUTION), remark), 0)
    yield section("next")
    yield Text("  1. .marksweep/allowed_signers: give each reviewer a line with their key, such as by")
    yield Verbatim(words("       marksweep keys import KEY.pub --as NAME --into .marksweep/allowed_signers", STRONG))
    yield Text("  2. .marksweep/policy.toml: read every rule, and set your own.")
    yield Text("  3. Protect the branch, and give both files owners, in CODEOWNERS:")
    for line in result.codeowners:
        yield Verbatim(words(f"       {line}", STRONG))
    yield Text("  4. Commit. From then on, both are taken from that branch:")
    git = ["git"] if result.folder == "." else ["git", "-C", result.folder]
    yield from commands(
        [
            ("commit", [*git, "add", ".marksweep", ".gitattributes", "plans"]),
            ("check a plan", ["marksweep", "verify", "PLAN", "--trust", "git:origin/main"]),
            ("sweep it", ["marksweep", "sweep", "PLAN", "--trust", "git:origin/main"]),
        ]
    )
