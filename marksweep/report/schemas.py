"""JSON Schemas (2020-12) of every ``--json`` output and every signed file: ``python -m marksweep.report.schemas DIR``.

Generated from the structs that encode them. Every member is always written, so every member is required, and no other
is allowed. A schema sees one value at a time: order, sums, canonical form and signature are ``marksweep verify``'s.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from marksweep.model.entry import Entry
from marksweep.plan import document, receipt
from marksweep.plan.document import CardHeader, Header, Seal
from marksweep.plan.receipt import Receipt
from marksweep.report.documents import RESULTS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
BASE: Final = "https://marksweep.dev/schemas"
"""Where the ids of the schemas begin; nothing is ever fetched from there."""
FILES: Final = ("plan", "card", "receipt")
NAMES: Final = (*RESULTS, *FILES)
"""Everything that has a schema."""

Schema = dict[str, Any]


def schema(name: str) -> Schema:
    """The schema of *name*: a command of ``RESULTS``, ``plan``, ``card`` or ``receipt``."""
    if name in RESULTS:
        (root,), definitions = _components(RESULTS[name])
        what = "what every command prints when it fails" if name == "error" else f"what `marksweep {name}` prints"
        return _document(name, f"With --json: {what}", root, definitions)
    if name == "plan":
        (header, entry, seal), definitions = _components(Header, Entry, Seal)
        members = definitions.pop(header["$ref"].rpartition("/")[2])["properties"]
        signed = {**members, "entries": {"type": "array", "items": entry}}
        return _document(name, "A plan: what a sweep may delete", _file(document.FORMAT, signed, seal), definitions)
    if name == "card":
        (header, seal), definitions = _components(CardHeader, Seal)
        members = definitions.pop(header["$ref"].rpartition("/")[2])["properties"]
        what = "The card of a plan: its signed header, and where its entries are"
        return _document(name, what, _file(document.CARD_FORMAT, members, seal), definitions)
    if name == "receipt":
        (body, seal), definitions = _components(Receipt, Seal)
        return _document(name, "The receipt of a sweep", _file(receipt.FORMAT, {"receipt": body}, seal), definitions)
    raise KeyError(name)


def encoded(name: str) -> bytes:
    """The schema file of *name*, as it stands in ``schemas/``."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False).encode() + b"\n"


def file_name(name: str) -> str:
    """The name of the schema file of *name*."""
    return f"{name}.schema.json"


def write(folder: Path) -> None:
    """Write every schema to *folder*, and remove those of what no longer exists."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / file_name(name)).write_bytes(encoded(name))
    for path in folder.glob(file_name("*")):
        if path.name not in {file_name(name) for name in NAMES}:
            path.unlink()


def _components(*kinds: type) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    roots, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return tuple(roots), {name: _closed(found) for name, found in definitions.items()}


def _closed(definition: Schema) -> Schema:
    """A struct's schema with every member required and no other allowed; an enum's as it is."""
    if "properties" not in definition:
        return definition
    members = {name: {k: v for k, v in m.items() if k != "default"} for name, m in definition["properties"].items()}
    return {**definition, "properties": members, "required": list(members), "additionalProperties": False}


def _file(format_: str, signed: Schema, seal: Schema) -> Schema:
    members = {"format": {"const": format_}, **signed, "signature": seal}
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def _document(name: str, title: str, root: Schema, definitions: dict[str, Schema]) -> Schema:
    return {"$schema": DIALECT, "$id": f"{BASE}/{file_name(name)}", "title": title, **root, "$defs": definitions}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m marksweep.report.schemas DIR")
    write(Path(sys.argv[1]))
