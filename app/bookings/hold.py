"""A hold: a time reserved for a student for a few minutes. Each is a booking in state `held`."""

from datetime import datetime, timedelta
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking, LocationType, Outcome, Role
from app.bookings.idempotency import Call
from app.db import Pool, Tx
from app.statements import statement

_confirm = statement("confirm_hold", Outcome)
_extend = statement("extend_hold", Outcome)
_give_up = statement("give_up_hold", Outcome)


async def create(
    db: Pool | Tx,
    student_id: UUID,
    *,
    service_id: UUID,
    start: datetime,
    minutes: int,
    location_type: LocationType | None,
    location: str,
    note: str,
    seconds: int,
    max_upcoming: int | None = None,
    now: datetime,
    call: Call | None = None,
) -> Booking:
    """Holds the time for `seconds`, at most until the lesson's start. Replaces the student's
    earlier hold with this instructor. Raises what booking.reserve raises, and HoldLimit."""
    return await booking.reserve(
        db,
        student_id,
        service_id=service_id,
        start=start,
        minutes=minutes,
        location_type=location_type,
        location=location,
        note=note,
        now=now,
        held_until=min(_end(now, seconds), start),
        max_upcoming=max_upcoming,
        call=call,
    )


async def confirm(
    db: Pool | Tx,
    student_id: UUID,
    booking_id: UUID,
    *,
    location_type: LocationType | None,
    location: str | None,
    note: str | None,
    now: datetime,
    call: Call | None = None,
) -> Booking:
    """Turns the hold into a lesson. None keeps the value of the hold. Raises NotFound, NotAllowed,
    HoldExpired, WrongState, ValidationError (no address) and IdempotencyMismatch."""
    return await booking.change(
        db,
        _confirm,
        student_id,
        booking_id,
        location_type=location_type,
        location=location,
        note=note,
        now=now,
        role="student",
        call=call,
    )


async def extend(
    db: Pool | Tx,
    student_id: UUID,
    booking_id: UUID,
    *,
    seconds: int,
    location_type: LocationType | None = None,
    location: str | None = None,
    note: str | None = None,
    now: datetime,
    call: Call | None = None,
) -> Booking:
    """Lets the hold end `seconds` from now; possible once. None keeps the value of the hold.
    Watchers see no change. Raises NotFound, NotAllowed, HoldExpired, HoldLimit (extended before),
    WrongState, ValidationError (a location type that is not offered) and IdempotencyMismatch."""
    return await booking.change(
        db,
        _extend,
        student_id,
        booking_id,
        held_until=_end(now, seconds),
        location_type=location_type,
        location=location,
        note=note,
        now=now,
        role="student",
        call=call,
    )


async def give_up(
    db: Pool | Tx,
    actor_id: UUID,
    booking_id: UUID,
    *,
    now: datetime,
    role: Role | None = "student",
    call: Call | None = None,
) -> Booking:
    """Frees the time at once. No error if the hold has ended already. `role`: see booking.change.
    Raises NotFound, NotAllowed, WrongState (it became a lesson) and IdempotencyMismatch."""
    return await booking.change(db, _give_up, actor_id, booking_id, now=now, role=role, call=call)


def _end(now: datetime, seconds: int) -> datetime:
    """A whole second, as responses say it: from that moment on, a confirmation is refused."""
    return (now + timedelta(seconds=seconds)).replace(microsecond=0)
