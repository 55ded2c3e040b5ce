"""Cancelling a lesson: by the student or the instructor, before it starts. Its time is free at once."""

from datetime import datetime
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking, Outcome
from app.db import Pool, Tx, statement

_cancel = statement("cancel_booking", Outcome)


async def cancel(db: Pool | Tx, actor_id: UUID, found: Booking, *, reason: str, now: datetime) -> Booking:
    """The cancelled booking; `late` tells whether it came after `free_cancel_until`. The caller has seen that the actor may.
    Raises WrongState (it is not confirmed) and TooLate (it has begun)."""
    outcome = await _cancel.one(db, actor_id=actor_id, booking_id=found.id, reason=reason, now=now)
    if outcome.booking is None:
        raise booking.refused(outcome.refusal, outcome.detail or {})
    return booking.from_row_json(outcome.booking)
