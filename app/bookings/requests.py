"""The bodies of the calls that change bookings, and their idempotency keys."""

import functools
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field
from starlette.responses import Response

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.bookings import idempotency
from app.bookings.booking import Booking, LocationType
from app.bookings.idempotency import Call as KeyedCall
from app.web import Request
from app.wire import Instant


def _on_quarter_hour(start: datetime) -> datetime:
    if start.minute % 15 or start.second or start.microsecond:
        raise ValueError("A lesson starts on a quarter hour, such as 9:15.")
    return start


Start = Annotated[Instant, AfterValidator(_on_quarter_hour)]
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
    note: str = Field(max_length=2000)


# Reasons to refuse a new time.
TIME_REFUSALS: tuple[web.Refused, ...] = (
    refusal.DurationNotOffered,
    refusal.TooSoon,
    refusal.TooFarAhead,
    refusal.StudentBusy,
    refusal.SlotTaken,
    refusal.OutsideAvailability,
)


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
            key = await web.internal_field(request, "_idempotency_key")
        if key is not None:
            path = request.scope["path"]
            call = idempotency.call(key, request.method, path, await request.body())
        return await handler(request, account, call)

    vars(with_call)["idempotent"] = True
    return with_call


def mailing(
    handler: Callable[[Request, SignedIn, KeyedCall | None], Awaitable[Response]],
) -> Callable[[Request, SignedIn], Awaitable[Response]]:
    """Like `idempotent`, for calls that mail the student and the instructor."""
    return web.rate_class("lessons")(idempotent(handler))


def terms(body: BookingRequest) -> dict[str, Any]:
    """The arguments that booking.reserve and hold.create have in common."""
    return {
        "service_id": body.service_id,
        "start": body.start,
        "minutes": body.duration_minutes,
        "location_type": body.location_type,
        "location": body.location,
        "note": body.note,
    }


def credit_search(request: Request, lesson: Booking) -> None:
    """Credits this booking to the search that led to it, if it was made on our pages. Programs
    report `booked` themselves (`POST /api/search/interactions`)."""
    if web.bearer(request) is None:
        request.state["booked"](lesson.student_id, lesson.instructor_id)
