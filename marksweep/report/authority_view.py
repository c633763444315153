"""On whose word a result rests, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from marksweep.report.parts import CAUTION, Part, fact_list, joined
from marksweep.report.trust_documents import TrustFacts

PROTECTED = "git:origin/main"
"""Where trust and policy usually are: for commands that are suggested where nothing says so."""


def authority_facts(trusted: TrustFacts | None) -> Iterator[tuple[str, str | Text]]:
    """Where trust and policy were taken from; nothing where nothing was."""
    if trusted is None:
        return
    branch = Text(" (this work tree's own: proves nothing about a protected branch)", style=CAUTION)
    yield "trusted", joined(trusted.source, branch if trusted.branch else Text())
    if trusted.policy is not None:
        yield "policy", trusted.policy


def trust_option(trusted: TrustFacts | None) -> list[str]:
    """The ``--trust`` with which a command that is suggested says the same; empty for what holds without it."""
    if trusted is None or trusted.own or trusted.branch:
        return []
    git = trusted.source.startswith("git:")
    return ["--trust", trusted.source.rpartition(" at ")[0] if git else trusted.source]


def sweep_option(trusted: TrustFacts | None) -> list[str]:
    """The same for a sweep, which takes nothing from the work tree: there it is the branch that is usually protected."""
    if trusted is not None and trusted.branch:
        return ["--trust", PROTECTED]
    return trust_option(trusted)


def authority_part(trusted: TrustFacts | None) -> Iterator[Part]:
    """The same for results that say so only if it is not the usual: this user's own trust file, and no policy."""
    if trusted is not None and not trusted.own:
        yield fact_list(authority_facts(trusted))
