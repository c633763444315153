"""What a claim's answers mean for its entries."""

from __future__ import annotations

from collections.abc import Sequence

from marksweep.catalog.port import ClaimAnswer, Claimed, ClaimRequest
from marksweep.model.outcome import AlreadyGone, Deleted, Failed, Kept, KeptBecause, Outcome


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


def whole(answers: Sequence[Claimed], requests: Sequence[ClaimRequest]) -> list[Claimed]:
    """*answers*, where one that is BUSY is PROTECTED if another one of its unit is kept.

    It would be asked for again, alone: and if it were free then, the bytes that both share would go.
    """
    unit_of = {request.id: request.unit for request in requests}
    certain = (ClaimAnswer.REFERENCED, ClaimAnswer.CHANGED, ClaimAnswer.PROTECTED)
    kept = {unit_of[a.id]: a for a in answers if a.answer in certain}
    found = []
    for answer in answers:
        other = kept.get(unit_of[answer.id])
        if answer.answer is ClaimAnswer.BUSY and other is not None:
            detail = f"it shares bytes with {other.id}: {other.detail}"
            answer = Claimed(answer.id, ClaimAnswer.PROTECTED, detail)
        found.append(answer)
    return found


def freed(outcomes: Sequence[Outcome]) -> tuple[int, int, int]:
    """Entries that were deleted, and the objects and bytes that the stores confirmed, of what failed half way, too."""
    confirmed = [o for o in outcomes if isinstance(o, Deleted | Failed)]
    deleted = sum(isinstance(o, Deleted) for o in outcomes)
    return deleted, sum(o.objects for o in confirmed), sum(o.bytes for o in confirmed)
