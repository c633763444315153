"""The files that ``marksweep init`` writes, as text."""

from __future__ import annotations

from collections.abc import Sequence

from marksweep.plan.document import APPROVE_NAMESPACE, PLAN_NAMESPACE, RECEIPT_NAMESPACE
from marksweep.plan.publickey import PublicKey

ATTRIBUTES = """\
# marksweep: these bytes are signed. Nothing may convert or merge them; plans are text, one entry a line, and diff as such.
plan.json -text diff merge=binary
*.plan.json -text diff merge=binary
*.card.json -text diff merge=binary
*.receipt.json -text diff merge=binary
*.sig -text merge=binary
"""
"""Lines of ``.gitattributes``."""
CODEOWNERS = ("/.marksweep/    @YOUR-ORG/ml-admins", "/plans/         @YOUR-ORG/ml-platform")
"""Suggested owners: trust and policy need other eyes than plans."""
PLANS = """\
# Plans

Each `*.plan.json` says which artifact versions `marksweep sweep` may delete, and why; `marksweep show PLAN` shows it.
Beside it lie the approvals (`PLAN.approvals/*.sig`) and, once it is swept, the receipt. Nothing here is edited by hand:
every file is signed. Who may make and approve plans, and what a plan may hold, is in `../.marksweep/`.
"""
"""The README of the folder of plans."""
IGNORED = """\
# What a sweep keeps beside its plan while it works, and to resume or to restore: not for the repository.
*.journal
*.journal-*
*.lock
"""
"""The ``.gitignore`` of the folder of plans."""


def allowed_signers(name: str | None, key: PublicKey | None) -> str:
    """The trust file: *name* with *key* makes plans and signs receipts; examples for everybody else."""
    own = "# No key of yours was found: make one with `marksweep keys create`, and put its line here."
    if name is not None and key is not None:
        own = f'{name} namespaces="{PLAN_NAMESPACE},{RECEIPT_NAMESPACE}" {key.line}'
    return f"""\
# Whose signatures count, and for what: OpenSSH's allowed_signers (man ssh-keygen, ALLOWED SIGNERS).
# One line for each person and key: NAME OPTIONS KEY. Names that share a key, and keys that share a name, are one person.
# Change this file by pull request only. To let a key go, give its line a valid-before, or take it out.

# Makes plans and signs the receipts of sweeps:
{own}

# Approve plans. `marksweep keys show` prints a key; so does `ssh-add -L`, or https://github.com/NAME.keys.
# FIDO keys (sk-ssh-ed25519@openssh.com) must be touched for each signature.
# grace@example.org namespaces="{APPROVE_NAMESPACE}" ssh-ed25519 AAAA...
# linus@example.org namespaces="{APPROVE_NAMESPACE}" sk-ssh-ed25519@openssh.com AAAA...

# A key for CI: it may make plans and sign receipts, not approve, and only until a date.
# ci@example.org namespaces="{PLAN_NAMESPACE},{RECEIPT_NAMESPACE}",valid-before="20271231Z" ssh-ed25519 AAAA...
"""


def policy(server_id: str | None, roots: Sequence[str]) -> str:
    """The policy: every key with its meaning, for the catalog with *server_id*, whose stores have *roots*."""
    places = ", ".join(toml_string(root) for root in roots) or '"s3://bucket/zenml"'
    listed = f"[catalog.{toml_string(server_id)}]" if server_id is not None else '# [catalog."SERVER-ID"]'
    return f"""\
# What a plan must keep to before people may approve it, and before a sweep acts on it.
# Take it from a protected branch: marksweep sweep PLAN --trust git:origin/main
# A key that is not known, or a value that makes no sense, refuses the whole file. Sizes: 512, "10 GiB", "5 TiB".
# Times: "14d", "12h". What each key means in full: docs/how-to/trust-and-policy.md of marksweep.

# How many people must approve a plan (marksweep approve), whether whoever made it may be one of them, and whether
# signatures by FIDO keys need a touch.
approvals = 1
approver_may_be_planner = false
require_touch = true

# How old a plan may be when it is swept, and the least --min-age that it must have been made with.
max_age = "14d"
# min_age = "1d"

# The most that one plan may hold: entries, bytes, per cent of the catalog's versions.
# max_entries = 50_000
# max_bytes = "5 TiB"
# max_share = 50

# Where every entry must lie, and the only artifact stores that a plan may name.
# roots = [{places}]
# stores = [{places}]

# What no plan may hold: ids, names of artifacts, URIs with all that lies in or around them.
# pins = ["production-model", "s3://bucket/zenml/golden"]

# Options of mark that no plan may be made with.
# forbid = ["no_grace", "ignore_model_links", "include_registered", "all_versions"]

# The catalogs that may be swept, by server id. Once one is listed, a plan for any other is refused. Keys below a catalog
# replace those above for it; its pins and forbid are added to those above.
{listed}
# approvals = 2
# max_entries = 10_000
"""


def toml_string(text: str) -> str:
    """*text* as a TOML basic string, in ASCII: whatever a catalog's names hold, it stays one string on one line."""
    return '"' + "".join(_toml_character(character) for character in text) + '"'


def _toml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\U{code:08x}" if not 0xD800 <= code <= 0xDFFF else "\\ufffd"
