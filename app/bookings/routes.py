"""The booking calls of the API (contract.md, "Bookings")."""

from datetime import datetime
from typing import Annotated, Any
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
            raise ValueError("A lesson starts on the quarter of an hour.")
        return start


class CancellationRequest(BaseModel):
    reason: str = Field("", max_length=500)


class ListQuery(wire.Paging):
    role: Annotated[Role | None, Field(alias="as")] = None
    scope: Scope = "upcoming"


@web.may("create_bookings")
async def create(request: Request, who: SignedIn) -> Response:
    await request.state["limiter"].hit(limits.BOOKINGS_OF_ACCOUNT, str(who.account_id))
    wanted = await web.read(request, BookingRequest)
    call = await _call(request)
    now = request.state["now"]()

    async def book(db: Any) -> dict[str, Any]:
        made = await booking.reserve(
            db,
            who.account_id,
            service_id=wanted.service_id,
            start=wanted.start,
            minutes=wanted.duration_minutes,
            location_type=wanted.location_type,
            location=wanted.location,
            note=wanted.note,
            now=now,
        )
        return booking.as_json(made, who.account_id)

    answer = await _once(request, who, call, book, now)
    return web.done(request, answer, status=201, see=f"/lessons#booking-{answer['id']}")


@web.signed_in
async def lists(request: Request, who: SignedIn) -> Response:
    asked = web.query(request, ListQuery)
    role = asked.role or ("student" if "view_own_bookings" in who.permissions else "instructor")
    if ("view_own_bookings" if role == "student" else "view_incoming_bookings") not in who.permissions:
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
        wire.listing(rows, asked, lambda row: booking.as_json(row, who.account_id), lambda row: (row.starts_at, row.id))
    )


@web.signed_in
async def show(request: Request, who: SignedIn) -> Response:
    return web.json(booking.as_json(await _find(request, who), who.account_id))


@web.signed_in
async def cancel(request: Request, who: SignedIn) -> Response:
    wanted = await web.read(request, CancellationRequest)
    call = await _call(request)
    found = await _find(request, who)
    own = "cancel_own_bookings" if who.account_id == found.student_id else "cancel_student_bookings"
    if not {own if who.account_id in {found.student_id, found.instructor_id} else "", "manage_all_bookings"} & who.permissions:
        raise refusal.NotAllowed
    now = request.state["now"]()

    async def give_back(db: Any) -> dict[str, Any]:
        cancelled = await cancellation.cancel(db, who.account_id, found, reason=wanted.reason, now=now)
        return booking.as_json(cancelled, who.account_id)

    answer = await _once(request, who, call, give_back, now)
    return web.done(request, answer, see="/teach" if who.account_id == found.instructor_id else "/lessons?scope=cancelled")


async def _find(request: Request, who: SignedIn) -> Booking:
    return await booking.find(
        request.state["pool"], web.path_id(request), viewer=who.account_id, sees_all="view_all_bookings" in who.permissions
    )


async def _call(request: Request) -> idempotency.Call | None:
    """What a repeat of this call would be known by. Raises ValidationError for a key that will not do."""
    key = request.headers.get("idempotency-key")
    return None if key is None else idempotency.call(key, request.method, request.url.path, await request.body())


async def _once(request: Request, who: SignedIn, call: idempotency.Call | None, work: Any, now: datetime) -> Any:
    """Runs a mutating call under its Idempotency-Key, and tells the relay and the worker that there is something for them."""
    answer = await idempotency.once(request.state["pool"], who.account_id, call, work, now=now)
    request.state["poke"]()
    return answer


routes = [
    Route("/api/bookings", create, methods=["POST"]),
    Route("/api/bookings", lists, methods=["GET"]),
    Route("/api/bookings/{id}", show, methods=["GET"]),
    Route("/api/bookings/{id}/cancellation", cancel, methods=["POST"]),
]
