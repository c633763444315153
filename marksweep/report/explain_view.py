"""``explain`` on a terminal, and how every command says that it failed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.documents import ErrorResult
from marksweep.report.explain_documents import ExplainedVersion, ExplainResult
from marksweep.report.parts import (
    BAD,
    GOOD,
    QUIET,
    STRONG,
    Column,
    Part,
    fact_list,
    joined,
    long_fact,
    section,
    table,
    words,
)
from marksweep.report.text import counted, when
from marksweep.report.words import kept_meaning


def explain_view(result: ExplainResult, width: int) -> Iterator[Part]:
    """``explain``: the verdict on each version, with every rule's answer and the references found."""
    if not result.versions:
        yield Text("No version has that name, id or URI.", style=STRONG)
    elif len(result.versions) > 1:
        orphans = sum(version.verdict == "orphan" for version in result.versions)
        yield Text(f"{counted(len(result.versions), 'version')}, {counted(orphans, 'orphan')}", style=STRONG)
    for number, version in enumerate(result.versions):
        if number or len(result.versions) > 1:
            yield Text()
        yield from _version(version)


def error_view(result: ErrorResult, width: int) -> Iterator[Part]:
    """Why a command ended early, what to do about it, and how much was deleted."""
    error = result.error
    yield joined(words(f"error[{error.code}]: ", BAD), error.fact)
    yield joined(Text("  help: ", style=STRONG), error.remedy)
    yield joined(Text("  note: ", style=QUIET), error.deleted)


def _version(version: ExplainedVersion) -> Iterator[Part]:
    title = words(f"{version.artifact} {version.version}", STRONG)
    if version.verdict == "orphan":
        yield joined(
            title, ": ", Text("orphan", style=GOOD), " (a plan would hold it, unless its store cannot be listed)"
        )
    else:
        meaning = kept_meaning(version.verdict)
        yield joined(title, ": ", words(f"kept, {version.verdict}", "bold"), f" ({meaning})" if meaning else "")
    yield fact_list([("id", version.id), ("project", version.project), ("created", when(version.created))])
    yield long_fact("uri", version.uri)
    yield section(f"references: {len(version.references) or 'none'}")
    for reference in version.references:
        yield joined(Text("  "), words(reference.kind, STRONG), "  ", reference.holder)
    yield section("rules (✓ lets it go, ✗ keeps it)")
    rows = []
    for answer in version.answers:
        mark = Text("✗", style=BAD) if answer.keeps else Text("✓", style=GOOD)
        rows.append((mark, words(answer.rule, STRONG if answer.keeps else ""), words(answer.detail)))
    yield table([Column(""), Column("rule"), Column("answer")], rows)
