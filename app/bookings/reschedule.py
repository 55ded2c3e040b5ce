"""Moving a lesson to another time. Its old time is free at the same instant."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking, Outcome
from app.bookings.idempotency import Call
from app.db import Db, Pool, Tx
from app.statements import statement


@dataclass(frozen=True, slots=True)
class Terms:
    """What a lesson keeps when it moves, where it last moved from (null if it never moved), and
    the edges of the time that only this lesson occupies on the calendar."""

    hourly_rate_cents: int
    free_cancel_hours: int
    moved_at: datetime | None
    moved_from: datetime | None
    moved_from_minutes: int | None
    own_edges: list[datetime]


_reschedule = statement("reschedule_booking", Outcome)
_terms = statement("booking_terms", Terms)


async def move(
    db: Pool | Tx,
    student_id: UUID,
    booking_id: UUID,
    *,
    start: datetime,
    minutes: int | None,
    now: datetime,
    call: Call | None = None,
) -> Booking:
    """Moves the student's lesson under all the rules of a new one. `minutes`: None keeps the
    length; another one must be offered, and is priced at the lesson's own rate. Moving back within
    the grace period needs no notice. The same time again changes nothing.

    Raises NotFound, NotAllowed, WrongState (not confirmed), TooLate (already started), and what
    booking.reserve raises."""
    lesson = await booking.parties(db, booking_id)
    booking.check_role(lesson, student_id, "student")
    outcome = await booking.run(
        db,
        _reschedule,
        calendar=lesson.instructor_id,
        student=student_id,
        actor_id=student_id,
        booking_id=booking_id,
        start=start,
        minutes=minutes,
        now=now,
        key=call.key if call else None,
        fingerprint=call.fingerprint if call else None,
    )
    if minutes is None and outcome.refusal:
        minutes = (await booking.find(db, booking_id, viewer=student_id)).duration_minutes
    return await booking.of_attempt(
        db, outcome, student_id, start=start, minutes=minutes or 0, now=now
    )


async def terms(db: Db, booking_id: UUID) -> Terms:
    """The terms of an existing booking."""
    return await _terms.one(db, id=booking_id)
