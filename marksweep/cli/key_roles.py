"""What a key may sign: the roles that a line of a trust file can give."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """A namespace of marksweep, by its short name."""

    PLAN = "plan"
    APPROVE = "approve"
    RECEIPT = "receipt"
    ALL = "all"

    @property
    def namespace(self) -> str:
        """What stands in ``namespaces=`` of an ``allowed_signers`` line; for :attr:`ALL` a pattern."""
        return f"marksweep-{'*' if self is Role.ALL else self.value}@marksweep.dev"
