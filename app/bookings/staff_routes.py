"""The calls with which staff sees all bookings and books on a student's behalf (docs/api.md,
"Admin"). Staff cancels and completes bookings by the same calls as their participants."""

from typing import Annotated, NotRequired, Self
from uuid import UUID

from pydantic import BaseModel, Field, field_validator, model_validator
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.bookings import booking, staff
from app.bookings.booking import BookingJson, LocationType, Override, State
from app.bookings.idempotency import Call as KeyedCall
from app.bookings.requests import Minutes, Start, mailing
from app.bookings.staff import Filters
from app.web import Call, Request
from app.wire import LocalDate


class BookingsQuery(wire.Paging):
    """Dates are those of the signed-in account's time zone."""

    account: UUID | None = None
    instructor: UUID | None = None
    state: State | None = None
    first: LocalDate | None = None
    last: LocalDate | None = None

    def filters(self, time_zone: str) -> Filters:
        return Filters(time_zone, self.account, self.instructor, self.state, self.first, self.last)


class BookingOnBehalf(BaseModel):
    """The start is an instant, or `date` and `time` on the instructor's wall clock. `override`
    confirms which rules are to be overridden; in a form, several are joined by commas."""

    student_id: UUID
    service_id: UUID
    start: Start | None = None
    date: LocalDate | None = None
    time: Annotated[str | None, Field(pattern=r"^([01][0-9]|2[0-3]):(00|15|30|45)$")] = None
    duration_minutes: Minutes
    location_type: LocationType | None = None
    location: str = Field("", max_length=500)
    note: str = Field("", max_length=2000)
    override: Annotated[list[Override], Field(max_length=4)] = []

    @field_validator("override", mode="before")
    @classmethod
    def _of_form(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_start(self) -> Self:
        if self.start is None and (self.date is None or self.time is None):
            raise ValueError("Enter the start of the lesson.")
        return self


@web.may("view_all_bookings")
async def list_bookings(request: Request, account: SignedIn) -> Response:
    query = web.query(request, BookingsQuery)
    position = query.position(wire.moment, UUID)
    rows = await staff.bookings(
        request.state["pool"],
        query.filters(account.time_zone),
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


@web.may("manage_all_bookings")
@mailing
async def book_on_behalf(request: Request, account: SignedIn, call: KeyedCall | None) -> Response:
    body, state = await web.read(request, BookingOnBehalf, clearable=("override",)), request.state
    await staff.check_student(state["pool"], body.student_id)
    start = body.start
    if start is None:
        assert body.date is not None
        assert body.time is not None
        start = await staff.local_start(state["pool"], body.service_id, body.date, body.time)
    try:
        lesson = await booking.reserve(
            state["pool"],
            body.student_id,
            service_id=body.service_id,
            start=start,
            minutes=body.duration_minutes,
            location_type=body.location_type,
            location=body.location,
            note=body.note,
            actor_id=account.account_id,
            override=body.override,
            now=state["now"](),
            call=call,
        )
    except refusal.StudentBusy as busy:
        sentence = "The student already has a lesson at that time."
        raise refusal.StudentBusy(sentence, **busy.more) from None
    state["wake_up"](lesson.instructor_id)
    web.record_security_event(
        request,
        "booked_on_behalf",
        account.account_id,
        booking=str(lesson.id),
        student=str(lesson.student_id),
        override=body.override,
    )
    content = booking.as_json(lesson, account.account_id)
    return web.done(
        request, content, status=201, redirect_to=f"/admin/bookings/{lesson.id}?done=booked"
    )


class NecessaryOverride(TypedDict):
    """`override`: the rules to override, if that would allow the lesson."""

    override: NotRequired[list[Override]]


class TooSoonForStaff(NecessaryOverride, refusal.Notice):
    pass


class OutsideAvailabilityForStaff(NecessaryOverride, refusal.Alternatives):
    pass


routes = [
    Call(
        "GET",
        "/api/admin/bookings",
        list_bookings,
        "List all bookings",
        query=BookingsQuery,
        returns=wire.Listing[BookingJson],
    ),
    Call(
        "POST",
        "/api/admin/bookings",
        book_on_behalf,
        "Book on a student’s behalf",
        description="A lesson that breaks a rule is booked only if `override` names the rule. Two "
        "lessons never overlap.",
        body=BookingOnBehalf,
        form=True,
        returns=BookingJson,
        status=201,
        refusals=(
            refusal.NotFound,
            refusal.DurationNotOffered,
            (refusal.TooSoon, TooSoonForStaff),
            (refusal.TooFarAhead, NecessaryOverride),
            refusal.StudentBusy,
            refusal.SlotTaken,
            (refusal.OutsideAvailability, OutsideAvailabilityForStaff),
        ),
    ),
]
