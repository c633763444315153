"""What ``init`` says, as a document."""

from __future__ import annotations

import enum

from marksweep.report.document import Document


class FileState(enum.StrEnum):
    """What ``init`` did with a file: wrote it anew, added lines at its end, or left it as it was."""

    WRITTEN = "written"
    ADDED_TO = "added_to"
    THERE = "there"


class InitFile(Document, frozen=True, kw_only=True):
    """One file of the repository."""

    path: str
    state: FileState


class InitResult(Document, frozen=True, kw_only=True):
    """``init``: the files, the catalog that it listed in the policy and the planner whose key it put into the trust file
    (null: none was found, or that file was there).

    ``codeowners`` are lines for the forge's CODEOWNERS, which is not written; ``remarks`` are what is left to a person.
    """

    folder: str
    files: tuple[InitFile, ...]
    server_id: str | None
    signer: str | None
    fingerprint: str | None
    codeowners: tuple[str, ...]
    remarks: tuple[str, ...]
