"""The forms in which ``marksweep show`` shows a plan."""

from __future__ import annotations

import enum


class Form(enum.StrEnum):
    """What a plan is shown as; the values of ``--format``."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"
