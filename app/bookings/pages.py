"""The pages people book and teach by: `/`, `/instructors/{id}`, `/lessons`, `/teach`. Each is drawn whole by the server; the scripts
in app/static keep it true afterwards. Their forms post to the API."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web, wire, wording
from app.accounts.session import SignedIn
from app.availability import board
from app.bookings import booking, choice, free_next
from app.bookings.booking import Booking, Role, Scope
from app.bookings.offered import Offered
from app.catalog import category, instructor
from app.catalog.service import Service
from app.web import Request

ROWS = 100  # lessons of a list; older ones are a page further
SHORTLY = 7  # days that /teach shows one by one


# ---- the start page


@web.visitor
async def home(request: Request, who: SignedIn | None) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    asked = {
        name: request.query_params.get(name, "").strip()[:200]
        for name in ("q", "category", "service")
    }
    shown = await free_next.cards(
        pool,
        words=asked["q"],
        category=asked["category"] or None,
        service=asked["service"] or None,
        now=now,
    )
    return web.page(
        request,
        "home.html",
        asked=asked,
        asking=any(asked.values()),
        cards=shown,
        categories=await category.categories(pool),
        services=await category.services(pool)
        if request.query_params.get("show") == "services"
        else [],
        lessons=(await _lessons(request, who, "student", "upcoming", 2))
        if who and _learns(who)
        else [],
        data=free_next.data(shown, now),
    )


# ---- an instructor's page


@web.visitor
async def teacher(request: Request, who: SignedIn | None) -> Response:
    profile = await instructor.find(request.state["pool"], web.path_id(request))
    areas = {area.slug: area.name for area in await category.areas(request.state["pool"])}
    offered = await _offered(request, who, profile)
    return web.page(
        request,
        "instructor.html",
        instructor=profile,
        about=_about(profile, [areas[slug] for slug in profile.areas]),
        offer=offered,
        reader=_reader(who, profile.id),
        data=_page_data(offered, who) if offered else None,
    )


async def _offered(
    request: Request, who: SignedIn | None, profile: instructor.Instructor
) -> Offered | None:
    state: web.PerRequest = request.scope["state"]
    now, refused = state["now"](), state.get("refused")
    chosen = choice.read(profile, dict(request.query_params) | dict(state.get("typed", {})), now)
    if chosen is None:
        return None
    known = await board.snapshot(request.state["pool"], profile.id, chosen.known_from, choice.KNOWN)
    if known is None:
        raise refusal.NotFound
    lessons = (
        await _lessons(request, who, "student", "upcoming", ROWS) if who and _learns(who) else []
    )
    alternatives = refused.more.get("alternatives") if refused else None
    return Offered(
        chosen,
        known,
        now,
        own_zone=who.time_zone if who else "",
        busy=[(lesson.starts_at, lesson.ends_at, lesson.id) for lesson in lessons],
        refused_alternatives=None
        if alternatives is None
        else [wording.instant_of(start) for start in alternatives],
    )


def _about(profile: instructor.Instructor, areas: list[str]) -> list[str]:
    years = profile.years_experience
    return [
        *([", ".join(areas)] if areas else []),
        *([f"{wording.count(years, 'year')} of teaching"] if years else []),
    ]


def _reader(who: SignedIn | None, instructor_id: UUID) -> str:
    if who is None:
        return "guest"
    if who.account_id == instructor_id:
        return "self"
    return "student" if "create_bookings" in who.permissions else "other"


def _page_data(offered: Offered, who: SignedIn | None) -> dict[str, Any]:
    """What app/static/instructor.js goes on from."""
    chosen, known = offered.choice, offered.board
    return {
        "now": wire.instant(offered.now),
        "instructor": str(chosen.instructor.id),
        "viewer": str(who.account_id) if who else None,
        "viewer_zone": offered.own_zone,
        "service": _service_data(chosen.service),
        "minutes": chosen.minutes,
        "first": str(chosen.first),
        "start": wire.instant(chosen.start) if chosen.start else None,
        "free_cancel_hours": chosen.instructor.free_cancel_hours,
        "busy": [
            [wire.instant(begins), wire.instant(ends), str(lesson)]
            for begins, ends, lesson in offered.busy
        ],
        "board": {
            "epoch": known.epoch,
            "version": known.version,
            "time_zone": known.time_zone,
            "min_advance_minutes": known.min_advance_minutes,
            "days": known.days,
        },
    }


def _service_data(service: Service) -> dict[str, Any]:
    return {
        "id": str(service.id),
        "name": service.name,
        "hourly_rate_cents": service.hourly_rate_cents,
    }


# ---- lessons


@web.may("view_own_bookings")
async def lessons(request: Request, who: SignedIn) -> Response:
    scopes: tuple[Scope, ...] = ("upcoming", "past", "cancelled")
    scope: Scope = next(
        (scope for scope in scopes if scope == request.query_params.get("scope")), "upcoming"
    )
    return web.page(
        request,
        "lessons.html",
        scope=scope,
        scopes=scopes,
        lessons=await _lessons(request, who, "student", scope, ROWS),
        zone=who.time_zone,
    )


@web.may("view_incoming_bookings")
async def teach(request: Request, who: SignedIn) -> Response:
    profile = await instructor.own(request.state["pool"], who.account_id)
    today = wording.local_day(request.state["now"](), profile.time_zone)
    upcoming = await _lessons(request, who, "instructor", "upcoming", ROWS)
    past = await _lessons(request, who, "instructor", "past", 50)
    standing = sorted(
        [
            lesson
            for lesson in {row.id: row for row in [*past, *upcoming]}.values()
            if _day(lesson) >= today
        ],
        key=lambda lesson: (lesson.starts_at, lesson.id),
    )
    shortly = [lesson for lesson in standing if _day(lesson) < today + timedelta(days=SHORTLY)]
    return web.page(
        request,
        "teach.html",
        profile=profile,
        today=today,
        days=[(today + timedelta(days=count), [row for row in shortly if _day(row) == today + timedelta(days=count)])
              for count in range(SHORTLY)],
        later=[lesson for lesson in standing if lesson not in shortly],
        categories=await category.categories(request.state["pool"]),
        catalog=await category.services(request.state["pool"]),
        confirmed=[lesson for lesson in shortly if lesson.state != "held"],
    )  # fmt: skip


def _day(lesson: Booking) -> Any:
    return wording.local_day(lesson.starts_at, lesson.time_zone)


def _learns(who: SignedIn) -> bool:
    return "view_own_bookings" in who.permissions


async def _lessons(
    request: Request, who: SignedIn, role: Role, scope: Scope, limit: int
) -> list[Booking]:
    now: datetime = request.state["now"]()
    return await booking.lists(
        request.state["pool"],
        who.account_id,
        role=role,
        scope=scope,
        now=now,
        after=None,
        limit=limit,
    )


routes = [
    Route("/", home, methods=["GET"]),
    Route("/instructors/{id}", teacher, methods=["GET"]),
    Route("/lessons", lessons, methods=["GET"]),
    Route("/teach", teach, methods=["GET"]),
]
