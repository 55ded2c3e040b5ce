"""Staff's view of bookings: listing all of them, and booking on a student's behalf."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from app import refusal
from app.bookings.booking import Booking, State
from app.db import Db
from app.statements import statement

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Filters:
    """`account_id` is the student or the instructor; with `instructor_id`, the student. `first` and
    `last` are dates in `time_zone`."""

    time_zone: str
    account_id: UUID | None = None
    instructor_id: UUID | None = None
    state: State | None = None
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class _LocalStart:
    start: datetime | None


_all = statement("all_bookings", Booking)
_of_account = statement("all_bookings_of_account", Booking)
_of_instructor = statement("all_bookings_of_instructor", Booking)
_local_start = statement("local_start", _LocalStart)
_can_book = statement("can_book", bool)
_lessons_between = statement("lessons_between", int)


async def bookings(
    db: Db, filters: Filters, *, after: tuple[datetime, UUID] | None = None, limit: int
) -> list[Booking]:
    """Everybody's bookings, latest start first. `after`: start and id of the last booking on the
    previous page."""
    start, last_id = after or (_END_OF_TIME, UUID(int=2**128 - 1))
    page = {
        "start": start,
        "id": last_id,
        "first": filters.first,
        "last": filters.last,
        "time_zone": filters.time_zone,
        "state": filters.state,
        "limit": limit,
    }
    if filters.instructor_id:
        return await _of_instructor.all(
            db, instructor_id=filters.instructor_id, student_id=filters.account_id, **page
        )
    if filters.account_id:
        return await _of_account.all(db, account_id=filters.account_id, **page)
    return await _all.all(db, **page)


async def lessons_between(db: Db, first: datetime, last: datetime) -> int:
    """The number of booked lessons that start in this time."""
    return await _lessons_between.one(db, first=first, last=last)


async def check_student(db: Db, account_id: UUID) -> None:
    """Raises NotFound, and ValidationError for an account that cannot book lessons itself."""
    can_book = await _can_book.first(db, account_id=account_id)
    if can_book is None:
        raise refusal.NotFound("There is no such account.")
    if not can_book:
        raise refusal.ValidationError(
            "This account isn’t a student. Give it the student role first.", field="student_id"
        )


async def local_start(db: Db, service_id: UUID, day: date, wall_clock: str) -> datetime:
    """The instant of a wall-clock time ("09:30") in the zone of the service's instructor. Raises
    NotFound, and ValidationError if clocks skip that time."""
    row = await _local_start.first(db, service_id=service_id, day=day, wall_clock=wall_clock)
    if row is None:
        raise refusal.NotFound
    if row.start is None:
        raise refusal.ValidationError(
            "The clocks go forward that day, so there is no such time.", field="time"
        )
    return row.start
