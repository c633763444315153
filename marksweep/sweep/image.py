"""The rows that a claim removes, as the journal keeps them: exactly, so that a restore puts back what was there.

JSON: ``{"exact": 1, table: [{column: value, …}, …], …}``. Null, true, integers, finite floats and texts stand for themselves;
every other value that a database driver knows is an object with one member, which names its type.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from marksweep.catalog.port import Image

_EXACT = "exact"
_READ: dict[str, Callable[[Any], object]] = {
    "bytes": base64.b64decode,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "decimal": Decimal,
    "float": float,
    "microseconds": lambda value: timedelta(microseconds=value),
}
"""Member -> how to read its value."""


def encoded(image: Image | None) -> bytes:
    """*image* for the journal. Raises TypeError for a value that could not be read back as it is."""
    if image is None:
        return b"null"
    tables = {table: [{name: _plain(v) for name, v in row.items()} for row in rows] for table, rows in image.items()}
    return orjson.dumps({_EXACT: 1, **tables})


def decoded(written: bytes | None) -> Image | None:
    """What :func:`encoded` was given. Raises ValueError for anything that it did not write."""
    found = orjson.loads(written) if written else None
    if found is None:
        return None
    try:
        if found.pop(_EXACT) != 1:
            raise ValueError("another encoding")
        return {table: [{name: _value(v) for name, v in row.items()} for row in rows] for table, rows in found.items()}
    except (AttributeError, ArithmeticError, KeyError, TypeError, ValueError):
        raise ValueError("its rows were not kept exactly, by an older marksweep, or are damaged") from None


def _plain(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(bytes(value)).decode()}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case timedelta():
            return {"microseconds": value // timedelta(microseconds=1)}
        case Decimal():
            return {"decimal": str(value)}
        case _:
            raise TypeError(f"a value of the type {type(value).__name__} cannot be kept for a restore")


def _value(written: object) -> object:
    if not isinstance(written, Mapping):
        return written
    ((kind, value),) = written.items()
    return _READ[kind](value)
