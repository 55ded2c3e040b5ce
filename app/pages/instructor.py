"""`/instructors/{id}`: an instructor's profile, their live board, and the form that books a
lesson."""

from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.responses import Response

from app import formatting, refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import board
from app.bookings import booking
from app.catalog import category, instructor
from app.catalog.instructor import Instructor
from app.pages import selection
from app.pages.offer import Lesson, Offer
from app.web import Request

# The viewer's own upcoming lessons, at which the board shows no free time.
OWN_LESSONS = 100


@web.visitor
async def page(request: Request, account: SignedIn | None) -> Response:
    pool = request.state["pool"]
    profile = await instructor.find(pool, web.path_id(request))
    areas = {area.slug: area.name for area in await category.areas(pool)}
    offer = await _offer(request, account, profile)
    return web.page(
        request,
        "instructor.html",
        instructor=profile,
        facts=_facts(profile, [areas[slug] for slug in profile.areas]),
        offer=offer,
        viewer=_viewer(account, profile.id),
        page_data=_page_data(offer, account) if offer else None,
    )


async def _offer(request: Request, account: SignedIn | None, profile: Instructor) -> Offer | None:
    """What the page offers; None if the instructor has no services."""
    state: web.PerRequest = request.scope["state"]
    pool, now = state["pool"], state["now"]()
    fields = dict(request.query_params) | dict(state.get("form_fields", {}))
    selected = selection.read(profile, fields, now)
    if selected is None:
        return None
    snapshot = await board.snapshot(pool, profile.id, selected.board_first, selection.BOARD_DAYS)
    if snapshot is None:
        raise refusal.NotFound
    return Offer(
        selected,
        snapshot,
        now,
        own_zone=account.time_zone if account else "",
        own_lessons=await _own_lessons(request, account, now),
        refused_alternatives=_refused_alternatives(state.get("refusal")),
    )


async def _own_lessons(request: Request, account: SignedIn | None, now: datetime) -> list[Lesson]:
    if account is None or "view_own_bookings" not in account.permissions:
        return []
    lessons = await booking.list_of(
        request.state["pool"],
        account.account_id,
        role="student",
        scope="upcoming",
        now=now,
        limit=OWN_LESSONS,
    )
    return [(lesson.starts_at, lesson.ends_at, lesson.id) for lesson in lessons]


def _refused_alternatives(refused: refusal.Refusal | None) -> list[datetime] | None:
    """The alternatives of a refused booking, while its form is shown again."""
    if refused is None or "alternatives" not in refused.more:
        return None
    return [formatting.instant_of(start) for start in refused.more["alternatives"]]


def _facts(profile: Instructor, areas: list[str]) -> list[str]:
    years = profile.years_experience
    return [
        *([", ".join(areas)] if areas else []),
        *([f"{formatting.count(years, 'year')} of teaching"] if years else []),
    ]


def _viewer(account: SignedIn | None, instructor_id: UUID) -> str:
    if account is None:
        return "guest"
    if account.account_id == instructor_id:
        return "self"
    return "student" if "create_bookings" in account.permissions else "other"


def _page_data(offer: Offer, account: SignedIn | None) -> dict[str, Any]:
    """The state with which app/static/instructor.js starts."""
    selected, snapshot = offer.selection, offer.board
    return {
        "now": wire.instant(offer.now),
        "instructor": str(selected.instructor.id),
        "viewer": str(account.account_id) if account else None,
        "viewer_zone": offer.own_zone,
        "service": {
            "id": str(selected.service.id),
            "name": selected.service.name,
            "hourly_rate_cents": selected.service.hourly_rate_cents,
        },
        "minutes": selected.minutes,
        "first": str(selected.first),
        "start": wire.instant(selected.start) if selected.start else None,
        "free_cancel_hours": selected.instructor.free_cancel_hours,
        "busy": [
            [wire.instant(begin), wire.instant(end), str(booking_id)]
            for begin, end, booking_id in offer.own_lessons
        ],
        "board": {
            "epoch": snapshot.epoch,
            "version": snapshot.version,
            "time_zone": snapshot.time_zone,
            "min_advance_minutes": snapshot.min_advance_minutes,
            "days": snapshot.days,
        },
    }
