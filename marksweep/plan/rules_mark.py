"""What a policy means for a mark: the plan is made so that it keeps to the rules, as far as options can see to that."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from marksweep.errors import GuardRefused
from marksweep.model.policy import DEFAULT_MAX_SHARE, Policy
from marksweep.plan.rules_checks import EntryCheck, Rules
from marksweep.plan.verify import SignedPlan


def tightened(policy: Policy, rules: Rules) -> Policy:
    """*policy* with the pins of *rules*, too, and with the smaller caps and the larger minimum age of both.

    Raises GuardRefused at once if *policy* has a switch on that *rules* forbid; --no-grace has no minimum age at all.
    """
    if rules.min_age is not None and not policy.grace:
        raise GuardRefused(
            f"--no-grace is given, and min_age of {rules.source} is {rules.min_age}",
            "leave out --no-grace, or have the policy changed where it is protected",
        )
    for switch in rules.on(policy):
        option = f"--{switch.replace('_', '-')}"
        raise GuardRefused(
            f"{option} is given, and {rules.source} forbids {switch}",
            f"leave out {option}, or have the policy changed where it is protected",
        )
    return msgspec.structs.replace(
        policy,
        pins=tuple(dict.fromkeys((*policy.pins, *rules.pins))),
        min_age=max(policy.min_age, rules.min_age or timedelta(0)),
        max_entries=_smaller(policy.max_entries, rules.max_entries),
        max_bytes=_smaller(policy.max_bytes, rules.max_bytes),
        max_share=_share(policy.max_share, rules.max_share),
    )


def life(asked: timedelta, rules: Rules) -> timedelta:
    """How long a plan may wait for its sweep: as *asked*, but no longer than *rules* let it."""
    return asked if rules.max_age is None else min(asked, rules.max_age)


def broken(plan: SignedPlan, rules: Rules, now: datetime) -> tuple[str, ...]:
    """Which of *rules* a new plan breaks all the same, a sentence each; its entries are read only where that matters."""
    check = EntryCheck(rules)
    if not check.idle:
        for entry in plan.entries():
            check.look(entry)
    breaches = (*rules.header_breaches(plan.path, plan.header, now), *check.breaches(plan.path))
    return tuple(breach.fact for breach in breaches)


def _smaller(asked: int | None, allowed: int | None) -> int | None:
    known = [cap for cap in (asked, allowed) if cap is not None]
    return min(known, default=None)


def _share(asked: int | None, allowed: int | None) -> int | None:
    """A policy never lifts the cap that holds where no option was given."""
    if asked is None and allowed is not None and allowed > DEFAULT_MAX_SHARE:
        return None
    return _smaller(asked, allowed)
