"""`/book/{id}`: a held time, and the lesson that it becomes. This one address shows the state of a
booking, whenever its student opens it."""

from datetime import datetime

from starlette.responses import Response

from app import formatting, refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import start_times
from app.bookings import booking
from app.bookings.booking import Booking, LocationType
from app.catalog import instructor
from app.catalog.instructor import Instructor
from app.pages import offer
from app.pages.offer import Offer
from app.pages.selection import Selection, first_of_week
from app.web import Request


@web.may("view_own_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    lesson = await booking.find(pool, web.path_id(request), viewer=account.account_id)
    if lesson.student_id != account.account_id:
        raise refusal.NotFound
    progress = await booking.progress(pool, lesson.id)
    profile = await instructor.own(pool, lesson.instructor_id)
    stage = _stage(lesson, now)
    current = await _offer(request, account, lesson, profile) if stage == "lost" else None
    address = (await booking.last_place(pool, account.account_id)).address
    undo_until = _undo_until(lesson, progress, now)
    return web.page(
        request,
        "book.html",
        lesson=lesson,
        stage=stage,
        progress=progress,
        ended_by_student=lesson.state != "held" and progress.changed_by == account.account_id,
        first_name=formatting.first_name(lesson.instructor_name),
        location_types=_location_types(lesson, profile),
        address=address,
        offer=current,
        alternatives=_alternatives(current, offer.refused_alternatives(request)),
        undo_until=undo_until,
        hold_time=formatting.duration(request.state["settings"].hold_seconds),
        zone=account.time_zone,
        page_data={
            "now": wire.instant(now),
            "id": str(lesson.id),
            "instructor": str(lesson.instructor_id),
            "stage": stage,
            "start": wire.instant(lesson.starts_at),
            "zone": lesson.time_zone,
            "day": str(formatting.local_day(lesson.starts_at, lesson.time_zone)),
            "held_until": wire.instant(lesson.held_until) if lesson.held_until else None,
            "undo_until": wire.instant(undo_until) if undo_until else None,
            "address": address,
        },
    )


def _stage(lesson: Booking, now: datetime) -> str:
    """`held`, `lost` (the hold has ended), `booked` or `cancelled`."""
    if lesson.held_until is not None and lesson.state == "held":
        return "held" if now < lesson.held_until else "lost"
    return {"expired": "lost", "cancelled": "cancelled"}.get(lesson.state, "booked")


def _undo_until(lesson: Booking, progress: booking.Progress, now: datetime) -> datetime | None:
    """The time until which the booking can be undone; None if it cannot be undone anymore."""
    until = min(progress.since + formatting.GRACE, lesson.free_cancel_until)
    return until if lesson.state == "confirmed" and now < until else None


def _location_types(lesson: Booking, profile: Instructor) -> list[LocationType]:
    """Where the lesson can be: as the service is offered now, or as it was held."""
    types = next(
        (service.location_types for service in profile.services if service.id == lesson.service_id),
        [],
    )
    return types if lesson.location_type in types else [lesson.location_type, *types]


async def _offer(
    request: Request, account: SignedIn, lesson: Booking, profile: Instructor
) -> Offer | None:
    """What can be booked instead of a lost hold; None if the lesson is no longer offered."""
    service = next((each for each in profile.services if each.id == lesson.service_id), None)
    minutes = lesson.duration_minutes
    if service is None or minutes not in service.durations_minutes or not profile.is_active:
        return None
    today = formatting.local_day(request.state["now"](), lesson.time_zone)
    first = first_of_week(formatting.local_day(lesson.starts_at, lesson.time_zone), today)
    selection = Selection(profile, service, minutes, lesson.starts_at, first, today)
    return await offer.read(request, account, selection)


def _alternatives(current: Offer | None, refused: list[datetime] | None) -> list[datetime]:
    """The free times nearest to the lost one, which is the first of them if it is still free."""
    if current is None or current.selection.start is None:
        return []
    return refused or start_times.nearest(current.selection.start, current.free_starts)
