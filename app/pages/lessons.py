"""`/lessons`: the student's own lessons, by scope and in groups, and the way to book one again."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from itertools import groupby
from typing import get_args
from urllib.parse import quote
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from app import formatting, refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import next_start
from app.bookings import booking, cancellation, feed, reschedule
from app.bookings.booking import Booking, Scope
from app.bookings.reschedule import Terms
from app.catalog import instructor
from app.pages import timeline
from app.pages.selection import first_of_week
from app.web import Request

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Group:
    title: str
    lessons: list[Booking]


@web.may("view_own_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    pool, query, now = request.state["pool"], request.query_params, request.state["now"]()
    scope = next((scope for scope in SCOPES if scope == query.get("scope")), SCOPES[0])
    paging = web.check(
        wire.Paging, {name: query[name] for name in ("limit", "cursor") if query.get(name)}
    )
    lessons, cursor = await _lessons(request, account, scope, paging)
    linked_id = query.get("lesson")
    if linked_id and not any(str(lesson.id) == linked_id for lesson in lessons):
        # The link of a mail to a lesson that is not upcoming anymore, or too far ahead.
        return RedirectResponse(f"/book/{quote(linked_id, safe='')}", HTTPStatus.SEE_OTHER)
    cancelled = await _own(request, account, "cancelled", state="cancelled")
    moved = await _own(request, account, "moved", state="confirmed")
    if moved and not moved.sequence:
        moved = None
    terms = await reschedule.terms(pool, moved.id) if moved else None
    return web.page(
        request,
        "lessons.html",
        scope=scope,
        scopes=SCOPES,
        groups=_groups(lessons, request, scope),
        changes_at=timeline.changes_at(
            lessons, {account.time_zone, *(lesson.time_zone for lesson in lessons)}, now
        ),
        # Without the notices: rows stay the same when one appears.
        address=formatting.address(
            "/lessons", **{name: query.get(name) for name in ("scope", "limit", "cursor")}
        ),
        more=formatting.address("/lessons", scope=scope, cursor=cursor) if cursor else None,
        is_first=paging.cursor is None,
        cancelled=cancelled,
        cancelled_by=(await booking.progress(pool, cancelled.id)).changed_by if cancelled else None,
        cancellations=await cancellation.of_bookings(pool, [lesson.id for lesson in lessons])
        if scope == "cancelled"
        else {},
        moved=moved,
        is_back=terms is not None and terms.moved_at is None,
        undo=terms if terms and _can_undo(terms, now) else None,
        feed_url=await feed.find(pool, account.account_id, request.state["settings"]),
        zone=account.time_zone,
    )


async def _lessons(
    request: Request, account: SignedIn, scope: Scope, paging: wire.Paging
) -> tuple[list[Booking], str | None]:
    """A page of the lessons, and the cursor of the next one."""
    position = paging.position(wire.moment, UUID)
    rows = await booking.list_of(
        request.state["pool"],
        account.account_id,
        role="student",
        scope=scope,
        now=request.state["now"](),
        after=(position[0], position[1]) if position else None,
        limit=paging.limit + 1,
    )
    listing = wire.listing(rows, paging, lambda row: row, lambda row: (row.starts_at, row.id))
    return listing["items"], listing["next_cursor"]


def _groups(lessons: list[Booking], request: Request, scope: Scope) -> list[Group]:
    now = request.state["now"]()

    def title(lesson: Booking) -> str:
        day = formatting.local_day(lesson.starts_at, lesson.time_zone)
        if scope != "upcoming":
            return f"{day:%B %Y}"
        return _near(day, formatting.local_day(now, lesson.time_zone))

    return [Group(name, list(group)) for name, group in groupby(lessons, title)]


def _near(day: date, today: date) -> str:
    """Today, Tomorrow, Next 7 days or Later."""
    week = today + timedelta(days=7)
    return formatting.near_day(day, today) or ("Next 7 days" if day <= week else "Later")


async def _own(
    request: Request, account: SignedIn, parameter: str, *, state: str
) -> Booking | None:
    """The account's lesson that a parameter of the address names, if it is in that state."""
    try:
        lesson = await booking.find(
            request.state["pool"],
            UUID(request.query_params.get(parameter, "")),
            viewer=account.account_id,
        )
    except (ValueError, refusal.NotFound):
        return None
    is_own = lesson.student_id == account.account_id
    return lesson if is_own and lesson.state == state else None


def _can_undo(terms: Terms, now: datetime) -> bool:
    if terms.moved_at is None or terms.moved_from is None:
        return False
    return now <= terms.moved_at + formatting.GRACE and now < terms.moved_from


@web.may("view_own_bookings")
async def book_again(request: Request, account: SignedIn) -> Response:
    """To the instructor's page: the same service and length, in the week of the next free time. If
    the instructor has stopped teaching, to others who offer the service."""
    pool, now = request.state["pool"], request.state["now"]()
    lesson = await booking.find(pool, web.path_id(request), viewer=account.account_id)
    profile = await instructor.own(pool, lesson.instructor_id)
    if not profile.is_active:
        others = formatting.address("/search", q=lesson.service_name)
        return RedirectResponse(others, HTTPStatus.SEE_OTHER)
    pair = (profile.id, lesson.duration_minutes)
    start = (await next_start.of(pool, [pair], now=now)).get(pair)
    first = None
    if start is not None:
        day, today = (formatting.local_day(each, profile.time_zone) for each in (start, now))
        first = first_of_week(day, today)
    address = formatting.address(
        f"/instructors/{profile.id}",
        service=lesson.service_id,
        minutes=lesson.duration_minutes,
        **{"from": first},
    )
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
