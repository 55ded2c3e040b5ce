"""Cancelling a lesson, by the student or the instructor, before it starts. Its time is free at
once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking, Outcome, Parties
from app.bookings.idempotency import Call
from app.db import Pool, Tx
from app.statements import statement

# A new lesson can be cancelled for free, and a move undone, for as long.
GRACE = timedelta(minutes=5)

_cancel = statement("cancel_booking", Outcome)


async def cancel(
    db: Pool | Tx,
    actor_id: UUID,
    booking_id: UUID,
    *,
    reason: str,
    now: datetime,
    may: Callable[[Parties], None] | None = None,
    call: Call | None = None,
) -> Booking:
    """Cancels the booking. `may` raises a refusal if the actor may not cancel it; without it, the
    caller has checked. `late` of the result says whether `free_cancel_until` had passed. A repeated
    `call` returns the booking as first stored.

    Raises NotFound, WrongState (not confirmed), TooLate (already started) and
    IdempotencyMismatch."""
    return await booking.change(
        db, _cancel, actor_id, booking_id, reason=reason, now=now, may=may, call=call
    )
