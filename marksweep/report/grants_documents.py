"""What ``grants`` says: the rights of one plan, for its database and for each of its stores."""

from __future__ import annotations

from typing import Any

from marksweep.model.outcome import Mode
from marksweep.report.document import Document


class GrantLine(Document, frozen=True, kw_only=True):
    """One right: a statement of SQL, or words where the system has none, and why it is needed.

    ``optional``: without it something is not looked at, and nothing fails.
    """

    statement: str
    why: str
    optional: bool


class StoreGrants(Document, frozen=True, kw_only=True):
    """The rights on one store. ``policy`` is what its system takes: an IAM policy (``s3``), roles and bindings (``gcs``), a
    role definition with its condition (``azure``); empty for local files, whose ``lines`` say it in words.

    ``scope``: whether deletes are limited to the plan's ``entries``, or to the store's ``root``.
    """

    root: str
    flavor: str
    kind: str
    scope: str
    policy: dict[str, Any]
    lines: tuple[GrantLine, ...]
    notes: tuple[str, ...]


class GrantsResult(Document, frozen=True, kw_only=True):
    """``grants``: what ``purpose`` (``mark``, ``sweep`` or ``restore``) needs, and no more."""

    path: str
    digest: str
    purpose: str
    mode: Mode
    dialect: str
    database: tuple[GrantLine, ...]
    stores: tuple[StoreGrants, ...]
    notes: tuple[str, ...]
