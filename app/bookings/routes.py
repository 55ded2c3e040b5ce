"""The booking calls of the API (docs/api.md, "Bookings")."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from app import limits, refusal, web, wire
from app.accounts.session import SignedIn
from app.bookings import (
    booking,
    cancellation,
    feed,
    history,
    hold,
    ical,
    idempotency,
    outcome,
    reschedule,
)
from app.bookings.booking import Booking, BookingJson, LocationType, Parties, Role, Scope
from app.bookings.history import EntryJson, StatsJson
from app.bookings.idempotency import Call as KeyedCall
from app.web import Call, Handler, Request
from app.wire import Instant


def _aligned(start: datetime) -> datetime:
    if start.minute % 15 or start.second or start.microsecond:
        raise ValueError("A lesson starts on a quarter hour, such as 9:15.")
    return start


Start = Annotated[Instant, AfterValidator(_aligned)]
Minutes = Annotated[wire.Number, Field(ge=1, le=1440)]


class BookingRequest(BaseModel):
    service_id: UUID
    start: Start
    duration_minutes: Minutes
    location_type: LocationType | None = None
    location: str = Field("", max_length=500)
    note: str = Field("", max_length=2000)


class TimeRequest(BaseModel):
    start: Start
    duration_minutes: Minutes | None = None


class DetailsRequest(BaseModel):
    location_type: LocationType | None = None
    location: str | None = Field(None, max_length=500)
    note: str | None = Field(None, max_length=2000)


class ReasonRequest(BaseModel):
    reason: str = Field("", max_length=500)


class NoteRequest(BaseModel):
    note: str = Field("", max_length=2000)


class ListQuery(wire.Paging):
    role: Annotated[Role | None, Field(alias="as")] = None
    scope: Scope = "upcoming"


def idempotent(
    handler: Callable[[Request, SignedIn, KeyedCall | None], Awaitable[Response]],
) -> Callable[[Request, SignedIn], Awaitable[Response]]:
    """For calls that change bookings: gives the handler the call of the Idempotency-Key, or None if
    the request has none. A form has the key in its field `_idempotency_key`."""

    @web.rate_class("bookings")
    @functools.wraps(handler)
    async def with_call(request: Request, account: SignedIn) -> Response:
        call, key = None, request.headers.get("idempotency-key")
        if key is None:
            key = await web.layer_field(request, "_idempotency_key")
        if key is not None:
            path = request.scope["path"]
            call = idempotency.call(key, request.method, path, await request.body())
        return await handler(request, account, call)

    vars(with_call)["idempotent"] = True
    return with_call


def mailing(
    handler: Callable[[Request, SignedIn, KeyedCall | None], Awaitable[Response]],
) -> Callable[[Request, SignedIn], Awaitable[Response]]:
    """Like `idempotent`, for bookings and cancellations, which mail both people."""
    return web.rate_class("lessons")(idempotent(handler))


@web.may("create_bookings")
@mailing
async def create(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    state = request.state
    body = await web.read(request, BookingRequest)
    lesson = await booking.reserve(
        state["pool"],
        account.account_id,
        **terms(body),
        most_upcoming=state["limiter"].most_upcoming,
        now=state["now"](),
        call=call,
    )
    state["wake_up"](lesson.instructor_id)
    _tell_booked(request, lesson)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, status=201, redirect_to=f"/book/{lesson.id}")


def _tell_booked(request: Request, lesson: Booking) -> None:
    """For the search that led to a booking on our pages. Programs report `booked` themselves
    (`POST /api/search/interactions`)."""
    if web.bearer(request) is None:
        request.state["booked"](lesson.student_id, lesson.instructor_id)


def terms(body: BookingRequest) -> dict[str, Any]:
    """What booking.reserve and hold.create have in common."""
    return {
        "service_id": body.service_id,
        "start": body.start,
        "minutes": body.duration_minutes,
        "location_type": body.location_type,
        "location": body.location,
        "note": body.note,
    }


@web.may("hold_times")
@idempotent
async def hold_time(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    state = request.state
    body = await web.read(request, BookingRequest)
    held = await hold.create(
        state["pool"],
        account.account_id,
        **terms(body),
        seconds=state["settings"].hold_seconds,
        most_upcoming=state["limiter"].most_upcoming,
        now=state["now"](),
        call=call,
    )
    state["wake_up"](held.instructor_id)
    content = booking.as_json(held, account.account_id)
    return web.done(request, content, status=201, redirect_to=f"/book/{held.id}")


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
    _tell_booked(request, lesson)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, redirect_to=f"/book/{lesson.id}")


@web.may("hold_times")
@idempotent
async def extend_hold(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    body = await web.read(request, DetailsRequest, clearable=("location", "note"))
    held = await hold.extend(
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
    content = booking.as_json(held, account.account_id)
    return web.done(request, content, redirect_to=f"/book/{held.id}")


@web.may("hold_times")
@idempotent
async def give_up_hold(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    held = await hold.give_up(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        now=request.state["now"](),
        call=call,
    )
    request.state["wake_up"](held.instructor_id)
    return web.done(request, None, status=204, redirect_to=f"/book/{held.id}")


@web.may("view_own_bookings", "view_incoming_bookings")
async def lists(request: Request, account: SignedIn) -> Response:
    query = web.query(request, ListQuery)
    position = query.position(wire.moment, UUID)
    rows = await booking.list_of(
        request.state["pool"],
        account.account_id,
        role=_role(query, account),
        scope=query.scope,
        now=request.state["now"](),
        after=(position[0], position[1]) if position else None,
        limit=query.limit + 1,
    )
    return web.json(
        wire.listing(
            rows,
            query,
            lambda row: booking.as_json(row, account.account_id),
            lambda row: (row.starts_at, row.id),
        )
    )


def _role(query: ListQuery, account: SignedIn) -> Role:
    """The requested role, by default student if the account can be one. Raises NotAllowed."""
    is_student = "view_own_bookings" in account.permissions
    role = query.role or ("student" if is_student else "instructor")
    permission = "view_own_bookings" if role == "student" else "view_incoming_bookings"
    if permission not in account.permissions:
        raise refusal.NotAllowed
    return role


@web.may("view_own_bookings", "view_incoming_bookings", "view_all_bookings")
async def show(request: Request, account: SignedIn) -> Response:
    lesson = await _find(request, account)
    return web.json(booking.as_json(lesson, account.account_id))


@web.may("reschedule_own_bookings")
@idempotent
async def move(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    state = request.state
    body = await web.read(request, TimeRequest)
    booking_id = web.path_id(request)
    await state["limiter"].hit(limits.MOVES_OF_BOOKING, f"{account.account_id} {booking_id}")
    lesson = await reschedule.move(
        state["pool"],
        account.account_id,
        booking_id,
        start=body.start,
        minutes=body.duration_minutes,
        now=state["now"](),
        call=call,
    )
    state["wake_up"](lesson.instructor_id)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, redirect_to=f"/lessons?moved={lesson.id}")


@web.may("cancel_own_bookings", "cancel_student_bookings", "manage_all_bookings")
@mailing
async def cancel(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    body = await web.read(request, ReasonRequest)
    cancelled = await cancellation.cancel(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        reason=body.reason,
        now=request.state["now"](),
        may=functools.partial(_check_may_cancel, account),
        call=call,
    )
    request.state["wake_up"](cancelled.instructor_id)
    book_page = f"/book/{cancelled.id}"  # with Undo
    if account.account_id == cancelled.instructor_id:
        redirect_to = _on_teach(cancelled, "cancelled")
    elif account.account_id != cancelled.student_id:
        redirect_to = _for_staff(cancelled, "cancelled")
    elif await web.layer_field(request, "_page") == book_page:
        redirect_to = book_page
    else:
        redirect_to = f"/lessons?cancelled={cancelled.id}"
    return web.done(
        request, booking.as_json(cancelled, account.account_id), redirect_to=redirect_to
    )


def _settling(state: Literal["completed", "no_show"]) -> Handler:
    @web.may("complete_bookings", "manage_all_bookings")
    @idempotent
    async def settle(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
        body = await web.read(request, ReasonRequest)
        settled = await outcome.settle(
            request.state["pool"],
            account.account_id,
            web.path_id(request),
            state,
            reason=body.reason,
            now=request.state["now"](),
            may=functools.partial(_check_may_settle, account),
            call=call,
        )
        request.state["wake_up"](settled.instructor_id)
        content = booking.as_json(settled, account.account_id)
        on_own_page = account.account_id == settled.instructor_id
        redirect_to = (_on_teach if on_own_page else _for_staff)(settled, state)
        return web.done(request, content, redirect_to=redirect_to)

    return settle


complete, mark_no_show = _settling("completed"), _settling("no_show")


@web.may("write_instructor_notes")
@idempotent
async def write_note(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    body = await web.read(request, NoteRequest)
    noted = await outcome.note(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        body.note,
        now=request.state["now"](),
        call=call,
    )
    request.state["wake_up"](noted.instructor_id)
    content = booking.as_json(noted, account.account_id)
    return web.done(request, content, redirect_to=_on_teach(noted, "noted"))


def _on_teach(lesson: Booking, done: str) -> str:
    """The instructor's page, which says what has been done."""
    return f"/teach?done={done}&lesson={lesson.id}#booking-{lesson.id}"


def _for_staff(lesson: Booking, done: str) -> str:
    """The page of a booking for staff."""
    return f"/admin/bookings/{lesson.id}?done={done}"


@web.may("view_own_bookings", "view_incoming_bookings", "view_all_bookings")
async def show_history(request: Request, account: SignedIn) -> Response:
    query = web.query(request, wire.Paging)
    position = query.position(wire.row_id)
    lesson = await _find(request, account)
    rows = await history.of_booking(
        request.state["pool"],
        lesson.id,
        with_notes=account.account_id != lesson.student_id,
        after=position[0] if position else 0,
        limit=query.limit + 1,
    )
    return web.json(wire.listing(rows, query, history.as_json, lambda entry: (entry.id,)))


@web.may("view_own_analytics")
async def stats(request: Request, account: SignedIn) -> Response:
    state = request.state
    return web.json(await history.stats(state["pool"], account.account_id, now=state["now"]()))


@web.may("view_own_bookings", "view_incoming_bookings", "view_all_bookings")
async def calendar_file(request: Request, account: SignedIn) -> Response:
    lesson = await _find(request, account)
    if lesson.state in {"held", "expired"}:
        raise refusal.WrongState(state=lesson.state)
    state = request.state
    content = ical.published(
        [lesson], viewer=account.account_id, site_url=state["settings"].site_url, now=state["now"]()
    )
    return _calendar(content, {"Content-Disposition": 'attachment; filename="lesson.ics"'})


def _calendar(content: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        content,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="text/calendar",
    )


@web.may("view_own_bookings", "view_incoming_bookings")
async def create_feed(request: Request, account: SignedIn) -> Response:
    state = request.state
    url = await feed.create(
        state["pool"], account.account_id, state["settings"], now=state["now"]()
    )
    return web.done(request, {"url": url}, redirect_to="/lessons#feed")


@web.may("view_own_bookings", "view_incoming_bookings")
async def revoke_feed(request: Request, account: SignedIn) -> Response:
    await feed.revoke(request.state["pool"], account.account_id)
    return web.done(request, None, status=204, redirect_to="/lessons#feed")


@web.public
async def show_feed(request: Request) -> Response:
    """Calendar programs do not sign in. Knowing the address is enough."""
    state = request.state
    token = request.path_params["token"]
    return _calendar(await feed.read(state["pool"], token, state["settings"], now=state["now"]()))


def _check_may_cancel(account: SignedIn, lesson: Parties) -> None:
    """Raises NotFound and NotAllowed."""
    is_student = account.account_id == lesson.student_id
    if is_student or account.account_id == lesson.instructor_id:
        permission = "cancel_own_bookings" if is_student else "cancel_student_bookings"
        if not {permission, "manage_all_bookings"} & account.permissions:
            raise refusal.NotAllowed
    elif "view_all_bookings" not in account.permissions:
        raise refusal.NotFound
    elif "manage_all_bookings" not in account.permissions:
        raise refusal.NotAllowed


def _check_may_settle(account: SignedIn, lesson: Parties) -> None:
    """Raises NotFound and NotAllowed."""
    is_instructor = account.account_id == lesson.instructor_id
    if is_instructor and "complete_bookings" in account.permissions:
        return
    if "manage_all_bookings" not in account.permissions:
        is_own = is_instructor or account.account_id == lesson.student_id
        sees_all = "view_all_bookings" in account.permissions
        raise refusal.NotAllowed if is_own or sees_all else refusal.NotFound


async def _find(request: Request, account: SignedIn) -> Booking:
    """The booking whose id is in the path. Raises NotFound, and NotAllowed if the account no longer
    has the role that it has in the booking."""
    sees_all = "view_all_bookings" in account.permissions
    lesson = await booking.find(
        request.state["pool"],
        web.path_id(request),
        viewer=account.account_id,
        sees_all=sees_all,
    )
    is_student = account.account_id == lesson.student_id
    permission = "view_own_bookings" if is_student else "view_incoming_bookings"
    if not sees_all and permission not in account.permissions:
        raise refusal.NotAllowed
    return lesson


class FeedJson(TypedDict):
    """The address of the account's private calendar feed."""

    url: str


# What a new time may be refused for.
_TIME_REFUSALS: tuple[web.Refused, ...] = (
    refusal.DurationNotOffered,
    refusal.TooSoon,
    refusal.TooFarAhead,
    refusal.StudentBusy,
    refusal.SlotTaken,
    refusal.OutsideAvailability,
)

routes = [
    Call(
        "POST",
        "/api/bookings",
        create,
        "Book a lesson",
        body=BookingRequest,
        form=True,
        returns=BookingJson,
        status=201,
        refusals=(refusal.NotFound, *_TIME_REFUSALS),
    ),
    Call(
        "GET",
        "/api/bookings",
        lists,
        "List lessons",
        query=ListQuery,
        returns=wire.Listing[BookingJson],
        refusals=(refusal.NotAllowed,),
    ),
    Call("GET", "/api/bookings/stats", stats, "An instructor’s statistics", returns=StatsJson),
    Call(
        "POST",
        "/api/bookings/feed",
        create_feed,
        "Create the calendar feed",
        form=True,
        returns=FeedJson,
    ),
    Call(
        "DELETE",
        "/api/bookings/feed",
        revoke_feed,
        "Revoke the calendar feed",
        form=True,
        status=204,
    ),
    Call(
        "GET",
        "/api/public/feeds/{token}.ics",
        show_feed,
        "A calendar feed",
        parameters={"token": str},
        refusals=(refusal.NotFound,),
        media_type="text/calendar",
        returns=str,
    ),
    Call("GET", "/api/bookings/{id}", show, "One lesson", returns=BookingJson),
    Call(
        "PUT",
        "/api/bookings/{id}/time",
        move,
        "Move a lesson",
        body=TimeRequest,
        form=True,
        returns=BookingJson,
        refusals=(*_TIME_REFUSALS, refusal.TooLate, refusal.WrongState),
    ),
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
        "/api/bookings/{id}/cancellation",
        cancel,
        "Cancel a lesson",
        body=ReasonRequest,
        form=True,
        returns=BookingJson,
        refusals=(refusal.TooLate, refusal.WrongState),
    ),
    Call(
        "POST",
        "/api/bookings/{id}/completion",
        complete,
        "Mark a lesson as completed",
        body=ReasonRequest,
        form=True,
        returns=BookingJson,
        refusals=(refusal.TooSoon, refusal.WrongState),
    ),
    Call(
        "POST",
        "/api/bookings/{id}/no-show",
        mark_no_show,
        "Mark a lesson as missed",
        body=ReasonRequest,
        form=True,
        returns=BookingJson,
        refusals=(refusal.TooSoon, refusal.WrongState),
    ),
    Call(
        "PUT",
        "/api/bookings/{id}/instructor-note",
        write_note,
        "Write the instructor’s private note",
        body=NoteRequest,
        form=True,
        returns=BookingJson,
    ),
    Call(
        "GET",
        "/api/bookings/{id}/history",
        show_history,
        "What happened to a lesson",
        query=wire.Paging,
        returns=wire.Listing[EntryJson],
    ),
    Call(
        "GET",
        "/api/bookings/{id}/calendar.ics",
        calendar_file,
        "A lesson as a calendar file",
        refusals=(refusal.WrongState,),
        media_type="text/calendar",
        returns=str,
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
        refusals=(refusal.NotFound, *_TIME_REFUSALS, refusal.HoldLimit),
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
