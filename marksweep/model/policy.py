"""What a mark may plan: the user's choices, as they are signed into the plan, and every margin that safety rests on."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec

from marksweep.model.entry import Digest

# Margins. Each can only be changed here, or by the option that it names.
MIN_AGE = timedelta(days=1)
"""A run writes a version long before the row that links it (``--min-age``, ``--no-grace``)."""
UNFINISHED_RUN_HORIZON = timedelta(days=7)
"""Killed runs stay ``running`` for ever: an unfinished run older than this no longer protects what came after it."""
SNAPSHOT_SETTLES = timedelta(minutes=10)
"""A snapshot is written before the run that makes it live: one younger than this counts as live, grace or not."""
MIN_DEPTH = 2
"""Path segments between a store's root and the nearest URI that may be deleted."""
EXPIRES_AFTER = timedelta(days=14)
"""How long a plan may wait for its sweep (``--expires``)."""
CLOCK_SKEW = timedelta(minutes=5)
"""How far the clocks of ZenML's clients, and of the machine that marks or sweeps, may be off the database's."""
RECHECK_MARGIN = timedelta(days=1)
"""A sweep compares the URIs of all rows that changed since this long before the plan was made."""
SHARE_APPLIES_ABOVE = 1000
"""Versions in a catalog above which the default cap on the share of entries applies."""
DEFAULT_MAX_SHARE = 50
"""Per cent of a catalog's versions that a plan may hold by default (``--max-share``)."""
COLLAPSE_KEEPS = 50
"""Per cent of the rows that a table must still hold, beside those that are accounted for: with fewer it has collapsed."""
COLLAPSE_APPLIES_FROM = 100
"""Rows from which on a table of references can collapse; a smaller one only if it is empty now."""
JUMP_FACTOR = 2
"""How many times the share of orphans in the plan before (``--compare``) a new plan may hold ..."""
JUMP_POINTS = 10
"""... if that is also at least so many percentage points more (``--max-jump`` gives the points and drops the factor)."""
DRAIN = timedelta(seconds=60)
"""Between marking a row (``--only-artifact``) and deleting its bytes: the longest time from reading a row to linking it."""
LAG = timedelta(seconds=10)
"""A wait (``--lag``) of at least so long between a claim and its deletes makes up for a server that may forget commits in
a crash: InnoDB writes its log out every second then (``innodb_flush_log_at_timeout``)."""
FORGE_SHOWS = 1_700
"""Entries above which a forge does not show a plan's diff: GitHub stops at 500 KB of one file ("Repository limits",
docs.github.com), and an entry of a usual catalog has 282 bytes."""
FORGE_CARRIES = 50 * 1024 * 1024
"""Bytes above which a plan does not go into git: GitHub warns of a file above 50 MiB and refuses one above 100 MiB."""

_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str) -> timedelta:
    """Read ``30d``, ``12h``, ``90m``, ``45s``, ``2w`` or ``0``; raise ValueError for anything else, a bare ``30`` too."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or (match[2] is None and int(match[1]) != 0):
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 30d, 12h, 90m, or 0")
    seconds = int(match[1]) * _UNITS[match[2] or "s"]
    if seconds > 36_500 * 86_400:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The choices behind a plan; an empty filter means "all". Name filters are shell globs, compared with case.

    ``grace`` off (``--no-grace``) means no minimum age and no unfinished-run rule, and nothing else. Caps are null for
    "no limit"; 0 allows nothing. ``max_share`` is in whole per cent of the catalog's versions, ``max_jump`` in whole
    percentage points more than in the plan before. ``seen_in`` is the digest of the plan given with ``--seen-in``.
    ``all_versions``: every version and delete marker of an object goes, and no store can bring it back.
    """

    min_age: timedelta = MIN_AGE
    grace: bool = True
    older_than: timedelta | None = None
    keep_latest: int = 0
    projects: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    exclude_artifacts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    ignore_model_links: bool = False
    include_registered: bool = False
    keep_artifacts: bool = False
    sizes: bool = True
    all_versions: bool = False
    max_entries: int | None = None
    max_bytes: int | None = None
    max_share: int | None = None
    max_jump: int | None = None
    seen_in: Digest | None = None
