"""`/teach/calendar`: one week of the instructor's availability with its lessons and blackouts, and
the forms that change many days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.responses import Response

from app import formatting, web, wire
from app.accounts.session import SignedIn
from app.availability import blackout, filling, week
from app.availability.blackout import Blackout
from app.catalog import instructor
from app.statements import statement
from app.web import Request

MAX_BLACKOUTS = 400  # listed; one blackout spans at most 366 days
FILL_WEEKS = 13  # three months, the default of the forms that fill many days
SATURDAY = 5  # as `date.weekday` counts
PRESETS = {"weekdays": "Weekdays 9–5", "evenings": "Evenings 5–9", "weekends": "Weekends 10–4"}


@dataclass(frozen=True, slots=True)
class Lesson:
    """A booking that occupies time: confirmed, held, completed or no-show."""

    id: UUID
    starts_at: datetime
    ends_at: datetime
    state: str
    service_name: str
    student_name: str

    @property
    def title(self) -> str:
        """Instructors don't see who holds a time."""
        student = "Someone is booking" if self.state == "held" else self.student_name
        return f"{student}, {self.service_name}"


@dataclass(frozen=True, slots=True)
class TimeOff:
    """Consecutive blackout days with the same reason."""

    days: Sequence[date]
    reason: str


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the week that is shown. `ranges` are the hours, as in `week.Week`."""

    day: date
    ranges: Sequence[Any]
    lessons: Sequence[Lesson]
    blackout: Blackout | None
    is_past: bool


_calendar_lessons = statement("calendar_lessons", Lesson)


@web.may("manage_availability")
async def page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    profile = await instructor.own(pool, account.account_id)
    today = formatting.local_day(now, profile.time_zone)
    monday = _monday(request.query_params.get("week", ""), today)
    current = await week.read(pool, profile.id, monday)
    if "week" not in request.query_params and _is_over(current, today):
        monday += timedelta(days=7)
        current = await week.read(pool, profile.id, monday)
    lessons = await _lessons(request, profile.id, monday, profile.time_zone)
    blackouts = await blackout.list_of(pool, profile.id, after=monday - timedelta(1), limit=7)
    upcoming_blackouts = await blackout.list_of(
        pool, profile.id, after=today - timedelta(1), limit=MAX_BLACKOUTS
    )
    pattern = await filling.standing_pattern(pool, profile.id)
    edited_weeks = await filling.edited_weeks(pool, profile.id, _monday("", today))
    days = _days(current, lessons, blackouts, today)
    state: web.PerRequest = request.scope["state"]
    refused, fields = state.get("refusal"), state.get("form_fields", {})
    return web.page(
        request,
        "calendar.html",
        profile=profile,
        week=current,
        days=days,
        today=today,
        monday=monday,
        previous_monday=monday - timedelta(days=7),
        next_monday=monday + timedelta(days=7),
        filled_until=monday + timedelta(weeks=FILL_WEEKS, days=-1),
        refused_day=fields.get("date") if refused else None,
        refused_tool=fields.get("tool") if refused else None,
        entered=web.form_rows(fields, "ranges", "start", "end"),
        start_times=[week.clock(minutes) for minutes in range(0, 1440, 30)],
        end_times=[week.clock(minutes) for minutes in range(30, 1441, 30)],
        time_off=_time_off(upcoming_blackouts),
        presets=PRESETS,
        pattern=pattern,
        week_pattern={name: days[n].ranges for n, name in enumerate(filling.DAY_NAMES)},
        edited_weeks=edited_weeks,
        this_monday=_monday("", today),
        last_monday=_monday("", today + timedelta(days=week.HORIZON_DAYS)),
        page_data=_page_data(current, days, pattern is not None, edited_weeks, now),
    )


def _monday(text: str, today: date) -> date:
    """The Monday of the week of the requested day. Of this week, if the text is not a date or the
    day cannot be planned."""
    try:
        day = wire.local_date(text)
    except ValueError:
        day = today
    if not today - timedelta(days=366) <= day <= today + timedelta(days=week.HORIZON_DAYS):
        day = today
    return day - timedelta(days=day.weekday())


def _is_over(current: week.Week, today: date) -> bool:
    """Whether it is the weekend and no hours are left: then instructors plan the next week."""
    return today.weekday() >= SATURDAY and not any(
        ranges for day, ranges in current.days.items() if date.fromisoformat(day) >= today
    )


async def _lessons(
    request: Request, instructor_id: UUID, monday: date, time_zone: str
) -> list[Lesson]:
    start, end = (
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
        for day in (monday, monday + timedelta(days=7))
    )
    return await _calendar_lessons.all(
        request.state["pool"], instructor_id=instructor_id, from_instant=start, to_instant=end
    )


def _days(
    current: week.Week, lessons: Sequence[Lesson], blackouts: Sequence[Blackout], today: date
) -> list[Day]:
    closed = {row.day: row for row in blackouts}
    days = [date.fromisoformat(text) for text in current.days]
    return [
        Day(
            day,
            current.days[day.isoformat()],
            [
                lesson
                for lesson in lessons
                if formatting.local_day(lesson.starts_at, current.time_zone) == day
            ],
            closed.get(day),
            day < today,
        )
        for day in days
    ]


def _time_off(blackouts: Sequence[Blackout]) -> list[TimeOff]:
    """Groups consecutive days with the same reason."""

    def key(numbered: tuple[int, Blackout]) -> tuple[int, str]:
        index, row = numbered
        return row.day.toordinal() - index, row.reason  # equal for consecutive days

    groups = groupby(enumerate(blackouts), key)
    return [TimeOff([row.day for _, row in rows], reason) for (_, reason), rows in groups]


def _page_data(
    current: week.Week,
    days: Sequence[Day],
    has_pattern: bool,
    edited_weeks: Sequence[date],
    now: datetime,
) -> dict[str, Any]:
    """The state with which app/static/calendar.js starts."""
    return {
        "now": wire.instant(now),
        "week": week.as_json(current),
        "lessons": [_lesson(lesson) for day in days for lesson in day.lessons],
        "blackouts": {str(day.day): day.blackout.reason for day in days if day.blackout},
        "is_edited": has_pattern and current.start in edited_weeks,
    }


def _lesson(lesson: Lesson) -> dict[str, str]:
    return {
        "id": str(lesson.id),
        "title": lesson.title,
        "state": lesson.state,
        "start": wire.instant(lesson.starts_at),
        "end": wire.instant(lesson.ends_at),
    }
