"""The exception tree: each error is a fact, a remedy, and what had been deleted when it was raised.

Errors are grouped by what the reader does next; each group has a stable ``code`` (the heading of its section in
``docs/reference/errors.md``) and the exit status of the design. This table is the only place that maps one to the other.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class ExitStatus(enum.IntEnum):
    """The process exit statuses, a promise to scripts (``docs/reference/exit-statuses.md``)."""

    DONE = 0
    BUG = 1
    USAGE = 2
    INCOMPLETE = 3
    PLAN_HAS_ENTRIES = 10
    ENTRIES_KEPT = 11
    DELETES_FAILED = 12
    SIGNATURE_REFUSED = 20
    APPROVALS_MISSING = 21
    EXPIRED = 22
    OTHER_CATALOG = 23
    PLAN_MALFORMED = 24
    CATALOG_NOT_UNDERSTOOD = 25
    GUARD_REFUSED = 26
    STORE_REFUSED = 27
    LOCKED = 30
    INTERRUPTED = 130


class MarksweepError(Exception):
    """Something that the user can act upon.

    ``fact`` names the thing, the value found and the value expected; ``remedy`` is a command or a page; ``deleted`` says
    how much was deleted before this was raised.
    """

    code: ClassVar[str] = "bug"
    status: ClassVar[ExitStatus] = ExitStatus.BUG

    def __init__(self, fact: str, remedy: str, *, deleted: str = "nothing was deleted") -> None:
        super().__init__(fact)
        self.fact = fact
        self.remedy = remedy
        self.deleted = deleted


class UsageError(MarksweepError):
    """An option or argument cannot be used as given."""

    code = "usage"
    status = ExitStatus.USAGE


class Incomplete(MarksweepError):
    """The sweep could not go on; the journal knows what is left, and running it again resumes."""

    code = "incomplete"
    status = ExitStatus.INCOMPLETE


class SignatureRefused(MarksweepError):
    """The plan's bytes are not what a trusted key signed."""

    code = "signature-refused"
    status = ExitStatus.SIGNATURE_REFUSED


class ApprovalsMissing(MarksweepError):
    """Fewer people approved the plan than are asked for."""

    code = "approvals-missing"
    status = ExitStatus.APPROVALS_MISSING


class PlanExpired(MarksweepError):
    """The plan is past its ``expires``."""

    code = "plan-expired"
    status = ExitStatus.EXPIRED


class OtherCatalog(MarksweepError):
    """The plan was made for another catalog than the one it met."""

    code = "other-catalog"
    status = ExitStatus.OTHER_CATALOG


class PlanMalformed(MarksweepError):
    """The file is not a plan in its canonical form."""

    code = "plan-malformed"
    status = ExitStatus.PLAN_MALFORMED


class CatalogNotUnderstood(MarksweepError):
    """The catalog is absent, empty, foreign, half-migrated, or holds something that could be an unknown reference."""

    code = "catalog-not-understood"
    status = ExitStatus.CATALOG_NOT_UNDERSTOOD


class GuardRefused(MarksweepError):
    """A cap or another guard refused to go on."""

    code = "guard-refused"
    status = ExitStatus.GUARD_REFUSED


class StoreRefused(MarksweepError):
    """An artifact store could not be opened, or refused what marksweep needs."""

    code = "store-refused"
    status = ExitStatus.STORE_REFUSED


class Locked(MarksweepError):
    """Another sweep holds the lock."""

    code = "locked"
    status = ExitStatus.LOCKED


class Interrupted(MarksweepError):
    """A person stopped the run; the journal is saved."""

    code = "interrupted"
    status = ExitStatus.INTERRUPTED
