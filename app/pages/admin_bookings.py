"""`/admin/bookings`: all bookings. `/admin/bookings/{id}`: one of them with its history, and forms
to cancel it and to record its outcome."""

from uuid import UUID

from starlette.responses import Response

from app import formatting, refusal, web, wire
from app.accounts import staff as accounts
from app.accounts.session import SignedIn
from app.bookings import booking, history, staff
from app.bookings.booking import Booking
from app.bookings.staff_routes import BookingsQuery
from app.pages import trail
from app.web import Request

DONE = {
    "booked": "The lesson is booked. Both participants get a mail.",
    "cancelled": "The lesson is cancelled. Both participants get a mail.",
    "completed": "The lesson is marked as completed.",
    "no_show": "The lesson is marked as a no-show.",
}
MAX_STEPS = 100


@web.may("view_all_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    pool = request.state["pool"]
    bookings: list[Booking] = []
    filtered: dict[str, str] = {}
    next_page, sentence = None, ""
    parameters = {
        name: value
        for name, value in request.query_params.items()
        if name in {"account", "instructor", "state", "first", "last"} and value
    }
    try:
        query = web.query(request, BookingsQuery)
    except refusal.ValidationError as error:
        sentence = error.detail
    else:
        position = query.position(wire.moment, UUID)
        rows = await staff.bookings(
            pool,
            query.filters(account.time_zone),
            after=(position[0], position[1]) if position else None,
            limit=query.limit + 1,
        )
        bookings = rows[: query.limit]
        if len(rows) > query.limit:
            last = bookings[-1]
            next_page = formatting.address(
                "/admin/bookings", **parameters, cursor=wire.cursor((last.starts_at, last.id))
            )
        for name, account_id in (("account", query.account), ("instructor", query.instructor)):
            if account_id is not None:
                filtered[name] = (await accounts.account(pool, account_id)).full_name
    return web.page(
        request,
        "admin_bookings.html",
        status=422 if sentence else 200,
        bookings=bookings,
        next_page=next_page,
        sentence=sentence,
        parameters=parameters,
        filtered=filtered,
    )


@web.may("view_all_bookings")
async def booking_page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    lesson = await booking.find(
        pool, web.path_id(request), viewer=account.account_id, sees_all=True
    )
    entries = await history.of_booking(pool, lesson.id, with_notes=False, after=0, limit=MAX_STEPS)
    return web.page(
        request,
        "admin_booking.html",
        lesson=lesson,
        done=DONE.get(request.query_params.get("done", "")),
        steps=trail.of(entries, viewer=account.account_id, zone=lesson.time_zone, now=now),
    )
