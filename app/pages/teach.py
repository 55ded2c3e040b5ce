"""`/teach`: the instructor's coming lessons, a summary of their hours, and the checklist of a new
instructor."""

from datetime import date, timedelta

from starlette.responses import Response

from app import formatting, web
from app.accounts.session import SignedIn
from app.availability import blackout, week
from app.bookings import booking
from app.bookings.booking import Booking
from app.catalog import instructor
from app.pages import checklist
from app.web import Request

UPCOMING = 100
PAST = 50  # enough for today's lessons that have ended
DAYS = 7  # listed day by day; lessons after them are listed as later


@web.may("view_incoming_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    pool = request.state["pool"]
    profile = await instructor.own(pool, account.account_id)
    today = formatting.local_day(request.state["now"](), profile.time_zone)
    lessons = await _lessons_from(request, account, today)
    days = [today + timedelta(days=n) for n in range(DAYS)]
    lessons_of = {day: [lesson for lesson in lessons if _day(lesson) == day] for day in days}
    hours = await week.read(pool, profile.id, today)
    blackouts = await blackout.list_of(pool, profile.id, after=today - timedelta(1), limit=DAYS)
    return web.page(
        request,
        "teach.html",
        profile=profile,
        today=today,
        lessons_of=lessons_of,
        later=[lesson for lesson in lessons if _day(lesson) > days[-1]],
        confirmed=[lesson for day in days for lesson in lessons_of[day] if lesson.state != "held"],
        hours={date.fromisoformat(day): ranges for day, ranges in hours.days.items()},
        has_hours=any(hours.days.values()),
        blackouts={row.day: row.reason for row in blackouts},
        checklist=await checklist.of(request, profile, today),
    )


async def _lessons_from(request: Request, account: SignedIn, today: date) -> list[Booking]:
    """The lessons of today and later, including those of today that have ended, by start."""
    pool, now, instructor_id = request.state["pool"], request.state["now"](), account.account_id
    past = await booking.list_of(
        pool, instructor_id, role="instructor", scope="past", now=now, limit=PAST
    )
    upcoming = await booking.list_of(
        pool, instructor_id, role="instructor", scope="upcoming", now=now, limit=UPCOMING
    )
    by_id = {lesson.id: lesson for lesson in [*past, *upcoming]}
    lessons = [lesson for lesson in by_id.values() if _day(lesson) >= today]
    return sorted(lessons, key=lambda lesson: (lesson.starts_at, lesson.id))


def _day(lesson: Booking) -> date:
    return formatting.local_day(lesson.starts_at, lesson.time_zone)
