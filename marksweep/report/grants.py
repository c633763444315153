"""The least rights for one plan, from its header and, if they are few, the places of its entries. No I/O.

Which tables a phase touches is told by the catalog's adapter (:class:`marksweep.catalog.rights.Right`); what it does to a
store stands here, for each kind of store, after the requests that its adapter sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from marksweep.catalog.rights import Purpose, Right
from marksweep.model.outcome import Mode
from marksweep.model.uri import Location, contains, locate
from marksweep.plan.document import CardHeader, Header, StoreFacts
from marksweep.report.grants_cloud import Wanted, azure, gcs, s3
from marksweep.report.grants_documents import GrantLine, GrantsResult, StoreGrants

MOST_PLACES = 20
"""Entries up to which deletes are limited to their exact places; a policy has little room (IAM: 6,144 characters)."""

_CLOUDS = {"s3": s3, "gs": gcs, "az": azure}


def grants(
    path: str, digest: str, header: Header, purpose: Purpose, rights: Sequence[Right], places: Sequence[str] | None,
    user: str, database: str,
) -> GrantsResult:  # fmt: skip
    """What *purpose* needs for a plan. *places*: the URIs of all its entries, or None for too many."""
    mode = header.plan.mode
    untouched = mode is Mode.ONLY_METADATA and purpose is not Purpose.MARK
    stores = () if untouched else tuple(_store(facts, header, purpose, places) for facts in header.stores)
    notes = []
    if untouched:
        notes.append("The plan's mode is only-metadata: no store is opened, and nothing is needed there.")
    if purpose is Purpose.MARK:
        notes.append(
            "A mark looks at every store of the catalog that has orphans: these are the ones that it found this time."
        )
    if isinstance(header, CardHeader):
        right = "write" if purpose is Purpose.MARK else "read"
        notes.append(f"This is a card: its entries are in {header.entries_uri}, to {right} which is needed, too.")
    if len(header.stores) == 0 and not untouched:
        notes.append("The plan names no store.")
    on_file = header.catalog.dialect == "sqlite"
    lines = tuple(_of_file(purpose) if on_file else _of_server(rights, user, database))
    return GrantsResult(
        path=path, digest=digest, purpose=purpose.value, mode=mode, dialect=header.catalog.dialect,
        database=lines, stores=stores, notes=tuple(notes),
    )  # fmt: skip


def _of_file(purpose: Purpose) -> Iterable[GrantLine]:
    yield GrantLine(statement="read the database file", why="the catalog is a file of SQLite", optional=False)
    if purpose is not Purpose.MARK:
        yield GrantLine(statement="write the database file", why="claims are made in it", optional=False)
        yield GrantLine(
            statement="write the folder that it is in", why="SQLite keeps its journal beside the file", optional=False
        )


def _of_server(rights: Sequence[Right], user: str, database: str) -> Iterable[GrantLine]:
    statements: dict[tuple[bool, bool, str | None], list[Right]] = {}
    for right in sorted(rights, key=lambda right: right.optional):
        statements.setdefault((right.optional, right.server, right.table), []).append(right)
    for (optional, server, table), together in statements.items():
        actions = ", ".join(right.action for right in together)
        told = len(together) > 1
        why = "; ".join(f"{right.action}: {right.why}" if told else right.why for right in together)
        statement = f"GRANT {actions} ON {_on(table, database, server=server)} TO {_account(user)};"
        yield GrantLine(statement=statement, why=why, optional=optional)


def _on(table: str | None, database: str, *, server: bool) -> str:
    if server:
        return "*.*"
    if table is None:  # where a grant is for a whole database, _ and % in its name are wildcards
        return f"{_quoted(_literal(database))}.*"
    return f"{_quoted(database)}.{_quoted(table)}"


def _account(user: str) -> str:
    name, at, host = user.rpartition("@")
    name, host = (name, host) if at else (user, "%")
    return f"{_text(name)}@{_text(host)}"


def _text(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(database: str) -> str:
    return database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def _store(facts: StoreFacts, header: Header, purpose: Purpose, places: Sequence[str] | None) -> StoreGrants:
    root = locate(facts.root)
    if root.scheme == "file":
        return _folder(facts, purpose)
    exact = None if places is None else _within(root, places, header.stores)
    wanted = Wanted(root, purpose, facts.undo, header.policy.all_versions, exact)
    return _CLOUDS[root.scheme](facts, wanted)


def _within(root: Location, places: Sequence[str], stores: Sequence[StoreFacts]) -> tuple[Location, ...]:
    """The *places* that belong to the store at *root*, and not to one inside it."""
    nested = [key for store in stores if contains(root.key, key := locate(store.root).key) and key != root.key]
    located = {location.key: location for location in map(locate, places)}
    return tuple(
        location
        for key, location in sorted(located.items())
        if contains(root.key, key) and not any(contains(inner, key) for inner in nested)
    )


def _folder(facts: StoreFacts, purpose: Purpose) -> StoreGrants:
    lines = [
        GrantLine(
            statement="read and search every folder", why="the files below an entry's URI are listed", optional=False
        )
    ]
    if purpose is Purpose.SWEEP:
        lines.append(
            GrantLine(
                statement="write every folder",
                why="to delete a file is to write the folder that it is in",
                optional=False,
            )
        )
    elif purpose is Purpose.RESTORE:
        lines.append(
            GrantLine(
                statement="write every folder, here and in the trash", why="files are moved back out of the trash",
                optional=False,
            )
        )  # fmt: skip
    return StoreGrants(
        root=facts.root, flavor=facts.flavor, kind="files", scope="root", policy={}, lines=tuple(lines), notes=()
    )
