"""The keys that this user has for SSH, and that could sign: in the agent, and in ``~/.ssh``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marksweep.cli.identity import AGENT, trust_path
from marksweep.errors import MarksweepError, UsageError
from marksweep.plan.allowed_signers import Trust
from marksweep.plan.keys import MAX_KEY_FILE
from marksweep.plan.openssh import agent_keys
from marksweep.plan.publickey import PublicKey
from marksweep.report.trust_documents import KeyFacts


def public_key_files() -> tuple[Path, ...]:
    """``~/.ssh/*.pub``, in order of their names."""
    return tuple(sorted((Path.home() / ".ssh").glob("*.pub")))


def own_keys() -> tuple[KeyFacts, ...]:
    """The agent's keys, then those of ``~/.ssh/*.pub`` that it does not hold; types that never count are left out."""
    trust = _own_trust()
    found: dict[bytes, KeyFacts] = {}
    for where, key, comment in (*_of_agent(), *_of_files()):
        names = tuple(sorted(trust.everybody_with(key)))
        facts = KeyFacts(
            found=where, algorithm=key.algorithm, fingerprint=key.fingerprint, comment=comment, trusted_as=names
        )
        found.setdefault(key.blob, facts)
    return tuple(found.values())


def _own_trust() -> Trust:
    """This user's trust file; nobody, if there is none or it cannot be read, which other commands complain of."""
    try:
        return Trust.load(trust_path())
    except MarksweepError:
        return Trust(())


def _of_agent() -> Iterator[tuple[str, PublicKey, str]]:
    try:
        keys = agent_keys()
    except UsageError:
        return
    for key in keys:
        yield AGENT, key.public, key.comment


def _of_files() -> Iterator[tuple[str, PublicKey, str]]:
    for path in public_key_files():
        try:
            with path.open("rb") as file:
                text = file.read(MAX_KEY_FILE).decode("utf-8", "replace")
            yield str(path), PublicKey.parse(text), [*text.split(maxsplit=2), ""][2].strip()
        except (OSError, ValueError):
            continue
