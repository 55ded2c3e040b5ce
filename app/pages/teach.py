"""`/teach`: the instructor's lessons as time lines, a summary of their hours, and the checklist of
a new instructor."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response

from app import formatting, refusal, web
from app.accounts.session import SignedIn
from app.availability import blackout, week
from app.bookings import booking, history
from app.bookings.booking import Booking
from app.catalog import instructor
from app.pages import checklist, timeline, trail
from app.pages.teach_profile import form_state
from app.web import Request

MAX_LESSONS = 200
MAX_LATER = 30  # listed after the time lines
# The product completes a lesson a day after its end, so older ones have an outcome.
OUTCOME_DELAY = timedelta(days=2)
DONE = frozenset({"completed", "no_show", "cancelled", "noted"})


@web.may("view_incoming_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    profile = await instructor.own(pool, account.account_id)
    today = formatting.local_day(now, profile.time_zone)
    lessons = await booking.timeline(pool, profile.id, since=now - OUTCOME_DELAY, limit=MAX_LESSONS)
    lessons = [lesson for lesson in lessons if not lesson.is_expired_hold(now)]
    lines = timeline.of(lessons, profile.time_zone, now)
    hours = await week.read(pool, profile.id, today)
    blackouts = await blackout.list_of(
        pool, profile.id, after=today - timedelta(1), limit=timeline.DAYS
    )
    week_lessons = [
        lesson for day in lines.days for lesson in lines.lessons(day) if lesson.state != "held"
    ]
    listed = [*lines.without_outcome, *week_lessons, *lines.later[:MAX_LATER]]
    linked_lesson, done = await _linked_lesson(request, account), _done(request)
    unlisted_lesson = linked_lesson if done != "cancelled" else None
    if unlisted_lesson and any(lesson.id == unlisted_lesson.id for lesson in listed):
        unlisted_lesson = None
    if unlisted_lesson:
        listed.append(unlisted_lesson)
    return web.page(
        request,
        "teach.html",
        profile=profile,
        today=today,
        lines=lines,
        later=lines.later[:MAX_LATER],
        has_more=len(lines.later) > MAX_LATER,
        week_lessons=week_lessons,
        done=done if linked_lesson and done in {linked_lesson.state, "noted"} else None,
        linked_lesson=linked_lesson,
        unlisted_lesson=unlisted_lesson,
        **await _about(request, profile.id, listed, now),
        **_open_form(request, listed),
        hours={date.fromisoformat(day): ranges for day, ranges in hours.days.items()},
        has_hours=any(hours.days.values()),
        blackouts={row.day: row.reason for row in blackouts},
        checklist=await checklist.of(request, profile, today),
    )


async def _about(
    request: Request, instructor_id: UUID, lessons: Collection[Booking], now: datetime
) -> dict[str, Any]:
    """The students of the lessons and the trail of each, in two statements for all of them."""
    pool = request.state["pool"]
    booked = {lesson.id: lesson for lesson in lessons if lesson.state != "held"}
    student_ids = {lesson.student_id for lesson in booked.values()}
    entries = await history.of_bookings(pool, booked.keys())
    return {
        "students": await history.students(pool, instructor_id, student_ids, now=now),
        "trails": {
            lesson.id: trail.of(
                entries[lesson.id], viewer=instructor_id, zone=lesson.time_zone, now=now
            )
            for lesson in booked.values()
        },
    }


def _open_form(request: Request, lessons: Collection[Booking]) -> dict[str, Any]:
    """The form that the address names, with its refusal and what was typed. If its lesson is not on
    the page, the refusal is shown above the lessons. A link to a lesson opens its details."""
    refused, typed = form_state(request)
    lesson_id = request.query_params.get("lesson", "")
    default_form = "" if "done" in request.query_params else "details"
    is_shown = any(str(lesson.id) == lesson_id for lesson in lessons)
    return {
        "open_lesson": lesson_id,
        "open_form": request.query_params.get("form", default_form),
        "form_refusal": refused if is_shown else None,
        "typed": typed if is_shown else {},
    }


async def _linked_lesson(request: Request, account: SignedIn) -> Booking | None:
    """The instructor's lesson that the address names. A hold is not a lesson."""
    try:
        lesson_id = UUID(request.query_params.get("lesson", ""))
        lesson = await booking.find(request.state["pool"], lesson_id, viewer=account.account_id)
    except (ValueError, refusal.NotFound):
        return None
    is_lesson = lesson.state not in {"held", "expired"}
    return lesson if is_lesson and lesson.instructor_id == account.account_id else None


def _done(request: Request) -> str | None:
    """What has just been done with the lesson that the address names."""
    done = request.query_params.get("done", "")
    return done if done in DONE and "refusal" not in request.scope["state"] else None
