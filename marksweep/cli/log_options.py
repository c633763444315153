"""How a command logs, as its user chose it before the command's name or in the environment."""

from __future__ import annotations

import enum
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

FORMAT_VARIABLE = "MARKSWEEP_LOG_FORMAT"
FILE_VARIABLE = "MARKSWEEP_LOG_FILE"


class LogFormat(enum.StrEnum):
    """What stderr holds: words and progress for people, or JSON Lines for programs."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogChoice:
    """The form of stderr, the file that JSON Lines are appended to as well, and the command that is run."""

    format: LogFormat = LogFormat.TEXT
    file: Path | None = None
    command: str = ""


CHOSEN: ContextVar[LogChoice] = ContextVar("marksweep log")
"""Set once, before the command is run; never where a command is run without the program around it."""
