"""``explain`` on a terminal, and how every command says that it failed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.padding import Padding
from rich.text import Text

from marksweep.report.documents import ErrorResult
from marksweep.report.explain_documents import (
    ExplainedVersion,
    ExplainResult,
    GoneVersion,
    KeptVersion,
    PlanPlace,
    ReferenceFacts,
)
from marksweep.report.parts import (
    BAD,
    GOOD,
    QUIET,
    STRONG,
    Column,
    Part,
    Verbatim,
    fact_list,
    indented,
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
    if result.kept is not None:
        yield from kept_view(result, width)
        return
    yield from _found(result)
    several = result.found + len(result.gone) > 1
    for number, version in enumerate(result.versions):
        if number or several:
            yield Text()
        yield from _version(version)
    for number, gone in enumerate(result.gone):
        if number or result.versions or several:
            yield Text()
        yield from _gone(gone)


def error_view(result: ErrorResult, width: int) -> Iterator[Part]:
    """Why a command ended early, what to do about it, and how much was deleted."""
    error = result.error
    yield joined(words(f"error[{error.code}]: ", BAD), error.fact)
    yield joined(Text("  help: ", style=STRONG), error.remedy)
    yield joined(Text("  note: ", style=QUIET), error.deleted)


def _found(result: ExplainResult) -> Iterator[Part]:
    """What was found, where it is more than one version, or not the version that was named."""
    if not (result.versions or result.gone or result.found):
        yield Text("No version has that name, id or URI.", style=STRONG)
    orphans = sum(version.verdict == "orphan" for version in result.versions)
    more = f", of which the first {len(result.versions):,} follow" if len(result.versions) < result.found else ""
    match result.place:
        case "named" if result.found > 1:
            told = "" if more else f", {counted(orphans, 'orphan')}"
            yield Text(f"{counted(result.found, 'version')}{told}{more}", style=STRONG)
        case "inside" if result.found:
            yield Text(f"That lies in the place of {counted(result.found, 'version')}:", style=STRONG)
        case "below" if result.found:
            yield Text(f"{counted(result.found, 'version')} in that place{more}:", style=STRONG)
        case _:
            pass


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
    if version.plan is not None:
        yield fact_list([("plan", joined(*_place(version.plan)))])
        yield long_fact("", version.plan.path)
    yield section(f"references: {len(version.references) or 'none'}")
    if version.references:
        yield fact_list(_reference(reference) for reference in version.references)
    yield section("rules (✓ lets it go, ✗ keeps it)")
    rows = []
    for answer in version.answers:
        mark = Text("✗", style=BAD) if answer.keeps else Text("✓", style=GOOD)
        rows.append((mark, words(answer.rule, STRONG if answer.keeps else ""), words(answer.detail)))
    yield table([Column(""), Column("rule"), Column("answer")], rows)


def _reference(reference: ReferenceFacts) -> tuple[Text, Text]:
    since = f", since {when(reference.since)}" if reference.since else ""
    return words(reference.kind, STRONG), joined(reference.holder, words(since, QUIET))


def _gone(gone: GoneVersion) -> Iterator[Part]:
    title = words(f"{gone.artifact} {gone.version}", STRONG)
    yield joined(title, ": ", words("the catalog no longer has it", "bold"))
    yield fact_list([
        ("id", gone.id), ("project", gone.project), ("created", when(gone.created)), ("plan", joined(*_place(gone.plan))),
    ])  # fmt: skip
    yield long_fact("", gone.plan.path)
    yield long_fact("uri", gone.uri)


def _place(place: PlanPlace) -> Iterator[str | Text]:
    """What a plan and its sweep did with a version, in words."""
    if not place.entry:
        yield "no entry of the plan"
        return
    why = f" ({place.detail or place.code})" if place.detail or place.code else ""
    at = f" at {when(place.at)}" if place.at else ""
    match place.state:
        case None:
            yield "an entry; its sweep has not touched it"
        case "deleted":
            yield joined(Text("deleted", style=BAD), f" by the sweep of the plan{at}")
        case "gone":
            yield f"an entry; it was gone already when the plan was swept{at}"
        case "kept":
            yield f"an entry, kept by the sweep of the plan{at}{why}"
        case "failed":
            yield joined("an entry; ", Text("its deletion failed", style=BAD), f"{at}{why}")
        case _:
            yield f"an entry; its sweep has it as {place.state}{at}{why}"


def kept_view(result: ExplainResult, width: int) -> Iterator[Part]:
    """``explain --why-kept``: each reason with its meaning, how many it keeps, and the first of them."""
    groups = result.kept or ()
    total = sum(group.versions for group in groups)
    of = f" of the catalog's {counted(result.versions_in_catalog, 'version')}"
    yield Text(f"Kept: {total:,}{of}", style=STRONG)
    for group in groups:
        yield section(f"{group.reason}: {counted(group.versions, 'version')}")
        if meaning := kept_meaning(group.reason):
            yield Text(f"  {meaning}", style=QUIET)
        for version in group.first:
            yield joined(Text("  "), words(f"{version.artifact} {version.version}", STRONG), f"  {_beside(version)}")
            yield Verbatim(joined(Text("    "), words(version.id, QUIET), Text("  "), version.uri))
            if version.reference is not None:
                yield Padding(fact_list([_reference(version.reference)]), (0, 0, 0, 2))
            elif version.detail:
                yield indented(words(version.detail), 4)
        if group.versions > len(group.first):
            yield Text(f"  … and {group.versions - len(group.first):,} more", style=QUIET)


def _beside(version: KeptVersion) -> str:
    return f"project {version.project}, from {when(version.created)}"
