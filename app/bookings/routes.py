"""The booking calls of the API (docs/api.md, "Bookings")."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, field_validator
from starlette.responses import Response
from starlette.routing import Route

from app import limits, refusal, web, wire
from app.accounts.session import SignedIn
from app.bookings import booking, cancellation, idempotency
from app.bookings.booking import Booking, LocationType, Role, Scope
from app.web import Request
from app.wire import Instant


class BookingRequest(BaseModel):
    service_id: UUID
    start: Instant
    duration_minutes: int = Field(ge=1, le=1440)
    location_type: LocationType | None = None
    location: str = Field("", max_length=500)
    note: str = Field("", max_length=2000)

    @field_validator("start")
    @classmethod
    def _aligned(cls, start: datetime) -> datetime:
        if start.minute % 15 or start.second or start.microsecond:
            raise ValueError("A lesson starts on a quarter hour, such as 9:15.")
        return start


class CancellationRequest(BaseModel):
    reason: str = Field("", max_length=500)


class ListQuery(wire.Paging):
    role: Annotated[Role | None, Field(alias="as")] = None
    scope: Scope = "upcoming"


@web.may("create_bookings")
async def create(request: Request, account: SignedIn) -> Response:
    await request.state["limiter"].hit(limits.BOOKINGS_OF_ACCOUNT, str(account.account_id))
    body = await web.read(request, BookingRequest)
    made = await booking.reserve(
        request.state["pool"],
        account.account_id,
        service_id=body.service_id,
        start=body.start,
        minutes=body.duration_minutes,
        location_type=body.location_type,
        location=body.location,
        note=body.note,
        now=request.state["now"](),
        call=await _call(request),
    )
    request.state["wake_up"]()
    answer = booking.as_json(made, account.account_id)
    return web.done(request, answer, status=201, see=f"/lessons#booking-{made.id}")


@web.signed_in
async def lists(request: Request, who: SignedIn) -> Response:
    asked = web.query(request, ListQuery)
    role = asked.role or ("student" if "view_own_bookings" in who.permissions else "instructor")
    if (
        "view_own_bookings" if role == "student" else "view_incoming_bookings"
    ) not in who.permissions:
        raise refusal.NotAllowed
    position = asked.position(wire.moment, UUID)
    rows = await booking.lists(
        request.state["pool"],
        who.account_id,
        role=role,
        scope=asked.scope,
        now=request.state["now"](),
        after=(position[0], position[1]) if position else None,
        limit=asked.limit + 1,
    )
    return web.json(
        wire.listing(
            rows,
            asked,
            lambda row: booking.as_json(row, who.account_id),
            lambda row: (row.starts_at, row.id),
        )
    )


@web.signed_in
async def show(request: Request, who: SignedIn) -> Response:
    return web.json(booking.as_json(await _find(request, who), who.account_id))


@web.signed_in
async def cancel(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, CancellationRequest)
    call = await _call(request)
    lesson = await _find(request, account)
    is_participant = account.account_id in {lesson.student_id, lesson.instructor_id}
    own = (
        "cancel_own_bookings"
        if account.account_id == lesson.student_id
        else "cancel_student_bookings"
    )
    if not {own if is_participant else "", "manage_all_bookings"} & account.permissions:
        raise refusal.NotAllowed
    cancelled = await cancellation.cancel(
        request.state["pool"],
        account.account_id,
        lesson.id,
        reason=body.reason,
        now=request.state["now"](),
        call=call,
    )
    request.state["wake_up"]()
    see = "/teach" if account.account_id == lesson.instructor_id else "/lessons?scope=cancelled"
    return web.done(request, booking.as_json(cancelled, account.account_id), see=see)


async def _find(request: Request, who: SignedIn) -> Booking:
    return await booking.find(
        request.state["pool"],
        web.path_id(request),
        viewer=who.account_id,
        sees_all="view_all_bookings" in who.permissions,
    )


async def _call(request: Request) -> idempotency.Call | None:
    """The call, if it has an Idempotency-Key. Raises ValidationError for a key that cannot be used."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    return idempotency.call(key, request.method, request.scope["path"], await request.body())


routes = [
    Route("/api/bookings", create, methods=["POST"]),
    Route("/api/bookings", lists, methods=["GET"]),
    Route("/api/bookings/{id}", show, methods=["GET"]),
    Route("/api/bookings/{id}/cancellation", cancel, methods=["POST"]),
]
