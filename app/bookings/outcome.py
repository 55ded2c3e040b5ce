"""The outcome of a lesson (completed or no-show), and the instructor's private note. `sweep`
completes lessons without a recorded outcome."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking, Outcome, Parties
from app.bookings.idempotency import Call
from app.db import Pool, Tx
from app.statements import statement

_record_outcome = statement("record_outcome", Outcome)
_note = statement("note_booking", Outcome)


async def record(
    db: Pool | Tx,
    actor_id: UUID,
    booking_id: UUID,
    state: Literal["completed", "no_show"],
    *,
    reason: str,
    now: datetime,
    authorize: Callable[[Parties], None] | None = None,
    call: Call | None = None,
) -> Booking:
    """Marks the lesson, which must have started. `authorize` raises a refusal if the actor may not
    mark it; without it, only the instructor may. Raises NotFound, NotAllowed, WrongState (not
    confirmed), TooSoon and IdempotencyMismatch."""
    return await booking.change(
        db,
        _record_outcome,
        actor_id,
        booking_id,
        state=state,
        reason=reason,
        now=now,
        role=None if authorize else "instructor",
        authorize=authorize,
        call=call,
    )


async def note(
    db: Pool | Tx,
    instructor_id: UUID,
    booking_id: UUID,
    text: str,
    *,
    now: datetime,
    call: Call | None = None,
) -> Booking:
    """Replaces the instructor's private note. Raises NotFound, NotAllowed and
    IdempotencyMismatch."""
    return await booking.change(
        db, _note, instructor_id, booking_id, note=text, now=now, role="instructor", call=call
    )
