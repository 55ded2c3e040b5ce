"""Shortcuts that book a lesson or leave a hold, for tests of the rules."""

from datetime import UTC, datetime
from typing import Any

from app.bookings import booking
from app.bookings.booking import Booking
from app.db import Pool, Tx
from tests.factories import Account, Instructor

NOW = datetime.now(UTC)


async def reserve(
    pool: Pool,
    student: Account,
    instructor: Instructor,
    start: datetime,
    minutes: int = 60,
    **more: Any,
) -> Booking:
    """Books a lesson; `more` overrides the location, the note or the current time."""
    arguments: dict[str, Any] = {
        "location_type": None,
        "location": "12 Main St",
        "note": "",
        "now": NOW,
    } | more
    service_id = instructor.service_id
    return await booking.reserve(
        pool, student.id, service_id=service_id, start=start, minutes=minutes, **arguments
    )


async def hold(
    db: Pool | Tx, student: Account, instructor: Instructor, start: datetime, until: datetime
) -> Any:
    """Inserts a held booking and returns its id."""
    return await db.fetchval(
        """insert into booking (instructor_id, student_id, service_id, state, during, blocked,
                                held_until, service_name, price_cents, hourly_rate_cents,
                                location_type, free_cancel_hours, free_cancel_until, version,
                                created_at)
           select $1, $2, $3, 'held', during, during, $5, 'Piano', 7000, 7000, 'student', 12,
                  $4, 0, $5
           from (
             select tstzrange($4::timestamptz, $4::timestamptz + interval '1 h') as during
           ) as lesson
           returning id""",
        instructor.id,
        student.id,
        instructor.service_id,
        start,
        until,
    )
