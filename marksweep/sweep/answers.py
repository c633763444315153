"""What a claim's answer means for an entry."""

from __future__ import annotations

from marksweep.catalog.port import ClaimAnswer, Claimed
from marksweep.model.outcome import AlreadyGone, Kept, KeptBecause, Outcome


def refusal(answer: Claimed) -> Outcome | None:
    """What an answer other than CLAIMED means for the entry; None when it may go."""
    match answer.answer:
        case ClaimAnswer.CLAIMED:
            return None
        case ClaimAnswer.GONE:
            return AlreadyGone()
        case ClaimAnswer.REFERENCED:
            return Kept(KeptBecause.REFERENCED, answer.detail)
        case ClaimAnswer.CHANGED:
            return Kept(KeptBecause.CHANGED, answer.detail)
        case ClaimAnswer.BUSY:
            return Kept(KeptBecause.REFERENCED, answer.detail)
        case ClaimAnswer.PROTECTED:
            return Kept(KeptBecause.PROTECTED, answer.detail)
