"""What every document of this package is made of."""

from __future__ import annotations

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all documents."""
