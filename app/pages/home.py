"""`/`: an introduction, a search box with recent searches, instructors with their next free times,
and for a signed-in student their next lessons and those to book again."""

from datetime import datetime, timedelta
from http import HTTPStatus

from starlette.responses import RedirectResponse, Response

from app import formatting, web
from app.accounts.session import SignedIn
from app.bookings import booking
from app.bookings.booking import Booking
from app.catalog import category
from app.pages import instructor_cards, meta
from app.search import history, visitor
from app.search.history import Search
from app.web import Request

MAX_LESSONS = 2
UPCOMING_LESSONS = 10  # read to find them among expired holds, which a worker releases soon
MAX_BOOK_AGAIN = 3
MAX_SEARCHES = 5
HISTORY_PERMISSION = "view_own_search_history"
PAST_LESSONS = 10  # read to find those to book again
SOON = timedelta(hours=24)
NOTICE_COOKIE = "notice"
DISMISSED_SECONDS = 24 * 3600
MAX_CATEGORIES = 7


@web.visitor
async def page(request: Request, account: SignedIn | None) -> Response:
    if {"q", "category", "service"} & request.query_params.keys():  # addresses of earlier releases
        return RedirectResponse(f"/search?{request.url.query}", HTTPStatus.MOVED_PERMANENTLY)
    pool, now = request.state["pool"], request.state["now"]()
    cards = await instructor_cards.free_next(pool, boards=request.state["boards"], now=now)
    lessons: list[Booking] = []
    past: list[Booking] = []
    if account and "view_own_bookings" in account.permissions:
        student_id = account.account_id
        upcoming = await booking.list_of(
            pool, student_id, role="student", scope="upcoming", now=now, limit=UPCOMING_LESSONS
        )
        lessons = [each for each in upcoming if not each.is_expired_hold(now)][:MAX_LESSONS]
        past = await booking.list_of(
            pool, student_id, role="student", scope="past", now=now, limit=PAST_LESSONS
        )
    searcher = visitor.of(request, account)
    searches: list[Search] = []
    if not searcher.is_new and (account is None or HISTORY_PERMISSION in account.permissions):
        searches = await history.recent(
            pool, request.state["write_behind"], searcher, limit=MAX_SEARCHES
        )
    is_student = account is not None and "create_bookings" in account.permissions
    is_dismissed = NOTICE_COOKIE in request.cookies
    return web.page(
        request,
        "home.html",
        meta=meta.home(request.state["settings"].site_url),
        cards=cards,
        is_student=is_student,
        last_place=(
            await booking.last_place(pool, account.account_id) if account and is_student else None
        ),
        categories=(await category.categories(pool))[:MAX_CATEGORIES],
        lessons=lessons,
        book_again=_to_book_again(past),
        searches=searches,
        notice=(
            _notice(lessons, account.time_zone, now)
            if account and (lessons or past) and not is_dismissed
            else None
        ),
        page_data=instructor_cards.page_data(cards, now),
    )


@web.visitor
async def dismiss_notice(request: Request, _: SignedIn | None) -> Response:
    """Hides the notice bar for a day."""
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    response.set_cookie(
        NOTICE_COOKIE,
        "dismissed",
        DISMISSED_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.state["settings"].secure or request.url.scheme == "https",
    )
    return response


def _to_book_again(past: list[Booking]) -> list[Booking]:
    """The latest lesson of each service."""
    latest: dict[object, Booking] = {}
    for lesson in past:
        latest.setdefault(lesson.service_id, lesson)
    return list(latest.values())[:MAX_BOOK_AGAIN]


def _notice(lessons: list[Booking], own_zone: str, now: datetime) -> tuple[str, str, str]:
    """The most urgent notice: its sentence, a link and the link's text."""
    for lesson in lessons:
        subject = f"{lesson.service_name} with {lesson.instructor_name}"
        if lesson.held_until is not None and now < lesson.held_until:
            until = formatting.clock_with_hint(lesson.held_until, lesson.time_zone, own_zone)
            sentence = f"We’re holding {subject} for you until {until}."
            return sentence, f"/book/{lesson.id}", "Continue booking"
        if lesson.state == "confirmed" and now < lesson.starts_at < now + SOON:
            zone = lesson.time_zone
            day = formatting.soon(
                formatting.local_day(lesson.starts_at, zone), formatting.local_day(now, zone)
            )
            clock = formatting.clock(lesson.starts_at, zone)
            sentence = f"{day} at {clock}: {subject}."
            return sentence, f"/lessons#booking-{lesson.id}", "See your lesson"
    return (
        "See your lessons in your own calendar.",
        "/lessons#feed",
        "Set it up",
    )
