"""The booking calls of the API (docs/api.md, "Bookings"). Those for holds and for calendar programs
have modules of their own."""

import functools
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from app import limits, refusal, web, wire
from app.accounts.session import SignedIn
from app.bookings import access, booking, cancellation, history, outcome, reschedule
from app.bookings.booking import Booking, BookingJson, Role, Scope
from app.bookings.history import EntryJson, StatsJson
from app.bookings.idempotency import Call as KeyedCall
from app.bookings.requests import (
    TIME_REFUSALS,
    BookingRequest,
    NoteRequest,
    ReasonRequest,
    TimeRequest,
    credit_search,
    idempotent,
    mailing,
    terms,
)
from app.web import Call, Handler, Request


class ListQuery(wire.Paging):
    role: Annotated[Role | None, Field(alias="as")] = None
    scope: Scope = "upcoming"


@web.may("create_bookings")
@mailing
async def create(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    state = request.state
    body = await web.read(request, BookingRequest)
    lesson = await booking.reserve(
        state["pool"],
        account.account_id,
        **terms(body),
        max_upcoming=state["limiter"].max_upcoming,
        now=state["now"](),
        call=call,
    )
    state["wake_up"](lesson.instructor_id)
    credit_search(request, lesson)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, status=201, redirect_to=f"/book/{lesson.id}")


@web.may("view_own_bookings", "view_incoming_bookings")
async def list_bookings(request: Request, account: SignedIn) -> Response:
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
    lesson = await access.find(request, account)
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
    lesson = await cancellation.cancel(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        reason=body.reason,
        now=request.state["now"](),
        authorize=functools.partial(access.check_may_cancel, account),
        call=call,
    )
    request.state["wake_up"](lesson.instructor_id)
    book_page = f"/book/{lesson.id}"  # with Undo
    if account.account_id == lesson.instructor_id:
        redirect_to = _on_teach(lesson, "cancelled")
    elif account.account_id != lesson.student_id:
        redirect_to = _for_staff(lesson, "cancelled")
    elif await web.internal_field(request, "_page") == book_page:
        redirect_to = book_page
    else:
        redirect_to = f"/lessons?cancelled={lesson.id}"
    return web.done(request, booking.as_json(lesson, account.account_id), redirect_to=redirect_to)


def _record(state: Literal["completed", "no_show"]) -> Handler:
    @web.may("complete_bookings", "manage_all_bookings")
    @idempotent
    async def handler(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
        body = await web.read(request, ReasonRequest)
        lesson = await outcome.record(
            request.state["pool"],
            account.account_id,
            web.path_id(request),
            state,
            reason=body.reason,
            now=request.state["now"](),
            authorize=functools.partial(access.check_may_record_outcome, account),
            call=call,
        )
        request.state["wake_up"](lesson.instructor_id)
        content = booking.as_json(lesson, account.account_id)
        on_own_page = account.account_id == lesson.instructor_id
        redirect_to = (_on_teach if on_own_page else _for_staff)(lesson, state)
        return web.done(request, content, redirect_to=redirect_to)

    return handler


complete, mark_no_show = _record("completed"), _record("no_show")


@web.may("write_instructor_notes")
@idempotent
async def write_note(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    body = await web.read(request, NoteRequest, clearable={"note"})
    lesson = await outcome.note(
        request.state["pool"],
        account.account_id,
        web.path_id(request),
        body.note,
        now=request.state["now"](),
        call=call,
    )
    request.state["wake_up"](lesson.instructor_id)
    content = booking.as_json(lesson, account.account_id)
    return web.done(request, content, redirect_to=_on_teach(lesson, "noted"))


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
    lesson = await access.find(request, account)
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
        refusals=(refusal.NotFound, *TIME_REFUSALS),
    ),
    Call(
        "GET",
        "/api/bookings",
        list_bookings,
        "List lessons",
        query=ListQuery,
        returns=wire.Listing[BookingJson],
        refusals=(refusal.NotAllowed,),
    ),
    Call("GET", "/api/bookings/stats", stats, "An instructor’s statistics", returns=StatsJson),
    Call("GET", "/api/bookings/{id}", show, "One lesson", returns=BookingJson, reserved="feed"),
    Call(
        "PUT",
        "/api/bookings/{id}/time",
        move,
        "Move a lesson",
        body=TimeRequest,
        form=True,
        returns=BookingJson,
        refusals=(*TIME_REFUSALS, refusal.TooLate, refusal.WrongState),
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
        "Show a lesson’s history",
        query=wire.Paging,
        returns=wire.Listing[EntryJson],
    ),
]
