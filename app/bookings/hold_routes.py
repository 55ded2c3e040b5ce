"""The calls for holds (docs/api.md, "Bookings")."""

from starlette.responses import Response

from app import refusal, web
from app.accounts.session import SignedIn
from app.bookings import booking, hold
from app.bookings.booking import BookingJson
from app.bookings.idempotency import Call as KeyedCall
from app.bookings.requests import (
    TIME_REFUSALS,
    BookingRequest,
    DetailsRequest,
    credit_search,
    idempotent,
    mailing,
    terms,
)
from app.web import Call, Request


@web.may("hold_times")
@idempotent
async def hold_time(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    state = request.state
    body = await web.read(request, BookingRequest)
    lesson = await hold.create(
        state["pool"],
        account.account_id,
        **terms(body),
        seconds=state["settings"].hold_seconds,
        max_upcoming=state["limiter"].max_upcoming,
        now=state["now"](),
        call=call,
    )
    state["wake_up"](lesson.instructor_id)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, status=201, redirect_to=f"/book/{lesson.id}")


@web.may("create_bookings")
@mailing
async def confirm(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    state = request.state
    body = await web.read(request, DetailsRequest, clearable=("location", "note"))
    lesson = await hold.confirm(
        state["pool"],
        account.account_id,
        web.path_id(request),
        location_type=body.location_type,
        location=body.location,
        note=body.note,
        now=state["now"](),
        call=call,
    )
    state["wake_up"](lesson.instructor_id)
    credit_search(request, lesson)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, redirect_to=f"/book/{lesson.id}")


@web.may("hold_times")
@idempotent
async def extend_hold(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    body = await web.read(request, DetailsRequest, clearable=("location", "note"))
    lesson = await hold.extend(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        location_type=body.location_type,
        location=body.location,
        note=body.note,
        seconds=request.state["settings"].hold_seconds,
        now=request.state["now"](),
        call=call,
    )
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, redirect_to=f"/book/{lesson.id}")


@web.may("hold_times")
@idempotent
async def give_up_hold(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    lesson = await hold.give_up(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        now=request.state["now"](),
        call=call,
    )
    request.state["wake_up"](lesson.instructor_id)
    return web.done(request, None, status=204, redirect_to=f"/book/{lesson.id}")


routes = [
    Call(
        "POST",
        "/api/bookings/{id}/confirmation",
        confirm,
        "Confirm a hold",
        body=DetailsRequest,
        form=True,
        returns=BookingJson,
        refusals=(refusal.HoldExpired, refusal.WrongState),
    ),
    Call(
        "POST",
        "/api/holds",
        hold_time,
        "Hold a time",
        body=BookingRequest,
        form=True,
        returns=BookingJson,
        status=201,
        refusals=(refusal.NotFound, *TIME_REFUSALS, refusal.HoldLimit),
    ),
    Call(
        "DELETE",
        "/api/holds/{id}",
        give_up_hold,
        "Give up a hold",
        form=True,
        status=204,
        refusals=(refusal.WrongState,),
    ),
    Call(
        "POST",
        "/api/holds/{id}/extension",
        extend_hold,
        "Extend a hold",
        body=DetailsRequest,
        form=True,
        returns=BookingJson,
        refusals=(refusal.HoldExpired, refusal.HoldLimit, refusal.WrongState),
    ),
]
