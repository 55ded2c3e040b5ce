"""Cancelling a lesson, by the student or the instructor, before it starts. Others can book its time
at once."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking, Outcome, Parties
from app.bookings.idempotency import Call
from app.db import Db, Pool, Tx
from app.statements import statement


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Who cancelled a booking (None: the product), and when."""

    booking_id: UUID
    actor_id: UUID | None
    at: datetime


_cancel = statement("cancel_booking", Outcome)
_cancellations = statement("cancellations", Cancellation)


async def cancel(
    db: Pool | Tx,
    actor_id: UUID,
    booking_id: UUID,
    *,
    reason: str,
    now: datetime,
    authorize: Callable[[Parties], None] | None = None,
    call: Call | None = None,
) -> Booking:
    """Cancels the booking. `authorize` raises a refusal if the actor may not cancel it; without it,
    the caller has checked. `late` of the result says whether `free_cancel_until` had passed. A
    repeated `call` returns the booking as first stored.

    Raises NotFound, WrongState (not confirmed), TooLate (already started) and
    IdempotencyMismatch."""
    return await booking.change(
        db, _cancel, actor_id, booking_id, reason=reason, now=now, authorize=authorize, call=call
    )


async def of_bookings(db: Db, booking_ids: Collection[UUID]) -> dict[UUID, Cancellation]:
    """The cancellations of those bookings that are cancelled."""
    rows = await _cancellations.all(db, booking_ids=list(booking_ids))
    return {row.booking_id: row for row in rows}
