"""``grants`` on a terminal: what to paste, with the reasons as comments beside it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.grants_documents import GrantsResult, StoreGrants
from marksweep.report.parts import CAUTION, QUIET, STRONG, Part, Verbatim, joined, section, words
from marksweep.report.text import json_text, plain
from marksweep.report.words import mode_words

_TITLES = {
    "s3": "IAM policy for",
    "gcs": "roles and bindings for",
    "azure": "role and condition for",
    "files": "on the folder",
}


def grants_view(result: GrantsResult, width: int) -> Iterator[Part]:
    """``grants``: the database, then each store; whatever is to be copied is never wrapped."""
    title = words(f"What {result.purpose} needs", STRONG)
    yield Verbatim(joined(title, f" for {result.path}: {mode_words(result.mode)}"))
    for note in result.notes:
        yield words(note, CAUTION)
    where = "the database file" if result.dialect == "sqlite" else result.dialect
    yield section(f"catalog: {plain(where)}")
    for line in result.database:
        optional = "if you can: " if line.optional else ""
        if result.dialect == "sqlite":
            yield Verbatim(joined("  ", line.statement, words(f"  ({line.why})", QUIET)))
            continue
        yield Verbatim(words(f"-- {optional}{line.why}", QUIET))
        yield Verbatim(words(line.statement))
    for store in result.stores:
        yield from _store(store)


def _store(store: StoreGrants) -> Iterator[Part]:
    yield Text()
    yield Verbatim(joined(words(f"store: {_TITLES.get(store.kind, '')} ", STRONG), store.root))
    for note in store.notes:
        yield words(note, CAUTION)
    for line in store.lines:
        yield Verbatim(joined("  ", line.statement, words(f"  ({line.why})", QUIET)))
    if store.policy:
        for row in json_text(store.policy).splitlines():
            yield Verbatim(words(row))
