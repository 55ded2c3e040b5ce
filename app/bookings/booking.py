"""A booking: reserving a time, reading bookings, and a booking in the API's JSON."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app import formatting, gate, refusal, wire
from app.availability import alternatives
from app.bookings.idempotency import Call
from app.catalog import service
from app.db import Db, Pool, Tx, transact
from app.schema import Id, InstantText, NamedJson
from app.statements import Statement, statement

Role = Literal["student", "instructor"]
Scope = Literal["upcoming", "past", "cancelled"]
LocationType = Literal["student", "instructor", "public"]
State = Literal["held", "confirmed", "completed", "cancelled", "no_show", "expired"]
# The rules that staff may override: outside the availability, on a blackout date, at short notice,
# and further ahead than students may book.
Override = Literal["availability", "blackout", "notice", "horizon"]

_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Booking:
    """A row of the view booking_detail. Instants are in UTC, `time_zone` is the lesson's, prices
    are cents."""

    id: UUID
    state: State
    starts_at: datetime
    ends_at: datetime
    duration_minutes: int
    held_until: datetime | None
    service_id: UUID
    service_name: str
    price_cents: int
    instructor_id: UUID
    instructor_name: str
    student_id: UUID
    student_name: str
    location_type: LocationType
    location: str
    note: str
    instructor_note: str
    free_cancel_until: datetime
    late: bool | None
    cancel_reason: str
    sequence: int
    version: int
    created_at: datetime
    time_zone: str

    def is_expired_hold(self, now: datetime) -> bool:
        """Whether it is a hold that has expired. A worker releases it within seconds."""
        return self.state == "held" and self.held_until is not None and self.held_until <= now


_INSTANTS = frozenset(
    field.name for field in fields(Booking) if field.type in {datetime, datetime | None}
)
_IDS = frozenset(field.name for field in fields(Booking) if field.type is UUID)


def from_row_json(row: dict[str, Any]) -> Booking:
    """A booking from a row of booking_detail in JSON, as the functions in SQL return it. A row of
    a later release may have more columns. An answer stored by an earlier one may lack some, so new
    fields of Booking need a default."""
    values: dict[str, Any] = {}
    for name in Booking.__slots__:
        if name not in row:
            continue
        value = row[name]
        if name in _IDS:
            value = UUID(value)
        elif value is not None and name in _INSTANTS:
            value = datetime.fromisoformat(value)
        values[name] = value
    return Booking(**values)


class BookingJson(TypedDict):
    """A booking. `held_until` is for the student, `instructor_note` for the instructor only. `late`
    is null until the booking is cancelled; `sequence` counts moves; `version` is the calendar's as
    of the booking's last change."""

    id: Id
    state: State
    start: InstantText
    end: InstantText
    duration_minutes: int
    held_until: InstantText | None
    service: NamedJson
    price_cents: int
    instructor: NamedJson
    student: NamedJson
    location_type: LocationType
    location: str
    note: str
    instructor_note: NotRequired[str]
    free_cancel_until: InstantText
    late: bool | None
    sequence: int
    version: int
    created_at: InstantText


def as_json(booking: Booking, viewer: UUID) -> BookingJson:
    """`booking` in docs/api.md. Only the instructor sees the instructor's private note, and only
    the student sees when a hold ends."""
    held_until = None
    if booking.state == "held" and viewer == booking.student_id:
        held_until = booking.held_until
    content: BookingJson = {
        "id": str(booking.id),
        "state": booking.state,
        "start": wire.instant(booking.starts_at),
        "end": wire.instant(booking.ends_at),
        "duration_minutes": booking.duration_minutes,
        "held_until": wire.instant(held_until) if held_until else None,
        "service": {"id": str(booking.service_id), "name": booking.service_name},
        "price_cents": booking.price_cents,
        "instructor": {"id": str(booking.instructor_id), "name": booking.instructor_name},
        "student": {"id": str(booking.student_id), "name": booking.student_name},
        "location_type": booking.location_type,
        "location": booking.location,
        "note": booking.note,
        "free_cancel_until": wire.instant(booking.free_cancel_until),
        "late": booking.late,
        "sequence": booking.sequence,
        "version": booking.version,
        "created_at": wire.instant(booking.created_at),
    }
    if viewer == booking.instructor_id:
        content["instructor_note"] = booking.instructor_note
    return content


@dataclass(frozen=True, slots=True)
class Parties:
    """The accounts of a booking, which a call reads before it locks the booking."""

    instructor_id: UUID
    student_id: UUID


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the functions in SQL return: the booking, or a refusal's code and detail."""

    refusal: str | None
    detail: dict[str, Any] | None
    booking: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The last change of a booking's state: when, by whom (None: the product, or unknown), and
    whether it was the student's undo; and whether the hold was extended."""

    since: datetime
    changed_by: UUID | None
    is_undone: bool
    hold_extended: bool


@dataclass(frozen=True, slots=True)
class LastPlace:
    """The kind of place of a student's last lesson, and the address of the last one at their own
    place; empty if there was none."""

    location_type: str = ""
    address: str = ""

    def default_of(self, places: Sequence[str]) -> str:
        """The place to preselect, of those that a service offers: if possible one that needs no
        typing, and of these the last one."""
        complete = ("student", "instructor") if self.address else ("instructor",)
        usable = [place for place in complete if place in places]
        return self.location_type if self.location_type in usable else [*usable, *places][0]


_reserve = statement("reserve", Outcome)
_booking = statement("booking", Booking)
_parties = statement("booking_parties", Parties)
_progress = statement("booking_progress", Progress)
_last_place = statement("last_place", LastPlace)
_timeline = statement("instructor_timeline", Booking)
_lists = {
    ("student", "upcoming"): statement("student_bookings_upcoming", Booking),
    ("student", "earlier"): statement("student_bookings_earlier", Booking),
    ("instructor", "upcoming"): statement("instructor_bookings_upcoming", Booking),
    ("instructor", "earlier"): statement("instructor_bookings_earlier", Booking),
}

# By booking, least recently used first.
_parties_of: dict[UUID, Parties] = {}
_MAX_CACHED = 10_000


async def reserve(
    db: Pool | Tx,
    student_id: UUID,
    *,
    service_id: UUID,
    start: datetime,
    minutes: int,
    location_type: LocationType | None,
    location: str,
    note: str,
    now: datetime,
    held_until: datetime | None = None,
    max_upcoming: int | None = None,
    actor_id: UUID | None = None,
    override: Collection[Override] | None = None,
    call: Call | None = None,
) -> Booking:
    """Books the time for the student, or holds it until `held_until`, in the caller's transaction
    or one of its own. sql/functions/reserve.sql decides. `max_upcoming`: how many upcoming lessons
    the student may have, at least 1; None for any number. A repeated `call` returns the booking as
    first stored. `actor_id`: the staff account that books for the student, and `override`: the
    rules that it overrides. A refusal that an override would avoid names the necessary ones.

    Raises ValidationError, NotFound, NotAllowed, DurationNotOffered, TooSoon, TooFarAhead,
    StudentBusy, HoldLimit, RateLimited, IdempotencyMismatch, and SlotTaken and OutsideAvailability
    with the nearest free starts."""
    outcome = await run(
        db,
        _reserve,
        calendar=await service.instructor_of(db, service_id),
        student=student_id,
        student_id=student_id,
        service_id=service_id,
        start=start,
        minutes=minutes,
        location_type=location_type,
        location=location,
        note=note,
        now=now,
        key=call.key if call else None,
        fingerprint=call.fingerprint if call else None,
        held_until=held_until,
        max_upcoming=max_upcoming,
        actor_id=actor_id,
        override=None if override is None else list(override),
    )
    lesson = await of_attempt(db, outcome, student_id, start=start, minutes=minutes, now=now)
    _remember(lesson.id, Parties(lesson.instructor_id, lesson.student_id))
    return lesson


async def of_attempt(
    db: Pool | Tx,
    outcome: Outcome,
    student_id: UUID,
    *,
    start: datetime,
    minutes: int,
    now: datetime,
) -> Booking:
    """The booking, if the attempt to get this time succeeded. Raises its refusal, with the nearest
    free starts if the time is not free."""
    if outcome.refusal in {"SLOT_TAKEN", "OUTSIDE_AVAILABILITY"}:
        assert outcome.detail is not None
        detail = await alternatives.of_refusal(
            db, outcome.detail, student_id, near=start, minutes=minutes, now=now
        )
        necessary = outcome.detail.get("override")
        raise _refusal(outcome.refusal, detail | ({"override": necessary} if necessary else {}))
    return of_outcome(outcome)


async def change(
    db: Pool | Tx,
    statement: Statement[Outcome],
    actor_id: UUID,
    booking_id: UUID,
    *,
    role: Role | None = None,
    authorize: Callable[[Parties], None] | None = None,
    call: Call | None,
    **values: Any,
) -> Booking:
    """Changes an existing booking by a function in SQL. `role`: the role that the actor must have
    in it. `authorize` raises a refusal if the actor may not change it. With neither, the caller has
    checked. A repeated `call` returns the booking as first stored. Raises NotFound, NotAllowed and
    the function's refusals."""
    lesson = await parties(db, booking_id)
    if role is not None:
        check_role(lesson, actor_id, role)
    if authorize is not None:
        authorize(lesson)
    outcome = await run(
        db,
        statement,
        calendar=lesson.instructor_id,
        actor_id=actor_id,
        booking_id=booking_id,
        key=call.key if call else None,
        fingerprint=call.fingerprint if call else None,
        **values,
    )
    return of_outcome(outcome)


async def parties(db: Db, booking_id: UUID) -> Parties:
    """They never change, so they are cached. Raises NotFound."""
    lesson = _parties_of.get(booking_id) or await _parties.first(db, booking_id=booking_id)
    if lesson is None:
        raise refusal.NotFound
    _remember(booking_id, lesson)
    return lesson


def _remember(booking_id: UUID, lesson: Parties) -> None:
    _parties_of.pop(booking_id, None)
    _parties_of[booking_id] = lesson  # at the end
    if len(_parties_of) > _MAX_CACHED:
        del _parties_of[next(iter(_parties_of))]


def check_role(lesson: Parties, account_id: UUID, role: Role) -> None:
    """Raises NotFound if it is not the account's booking, and NotAllowed if the account has the
    other role in it."""
    if account_id not in {lesson.student_id, lesson.instructor_id}:
        raise refusal.NotFound
    if account_id != (lesson.student_id if role == "student" else lesson.instructor_id):
        raise refusal.NotAllowed


async def run(
    db: Pool | Tx,
    change: Statement[Outcome],
    *,
    calendar: UUID | None,
    student: UUID | None = None,
    **values: Any,
) -> Outcome:
    """Runs a function in SQL that changes bookings of a calendar (an instructor's id), in the
    caller's transaction or one of its own. `student` is the account whose row it locks."""
    async with gate.writer(db, calendar, student=student):
        if isinstance(db, Pool):  # type: ignore[misc]  # only asyncpg's stubs make it generic
            return await transact(db, lambda tx: change.one(tx, **values), begin=False)
        return await change.one(db, **values)


def of_outcome(outcome: Outcome) -> Booking:
    """The booking of an outcome. Raises its refusal."""
    if outcome.booking is not None:
        return from_row_json(outcome.booking)
    raise _refusal(outcome.refusal, outcome.detail or {})


_WRONG_STATE = {
    "held": "This time is only held, and not booked yet.",
    "confirmed": "This lesson is already booked.",
    "completed": "This lesson is completed, so you can’t do that anymore.",
    "cancelled": "This lesson is cancelled, so you can’t do that anymore.",
    "no_show": "This lesson is marked as missed, so you can’t do that anymore.",
    "expired": "This hold has ended.",
}


_WITHOUT_ALTERNATIVES = {
    "SLOT_TAKEN": "Someone else just booked that time.",
    "OUTSIDE_AVAILABILITY": "The instructor isn’t available at that time.",
}
_OVERRIDES = {
    "availability": "is outside the instructor’s hours",
    "blackout": "is on a day that the instructor has blocked",
    "notice": "starts sooner than the instructor’s minimum notice",
    "horizon": "is more than 90 days ahead",
}


def _refusal(code: str | None, detail: dict[str, Any]) -> refusal.Refusal:
    """The refusal with this code. Its sentence includes the detail."""
    assert code is not None
    sentence = None
    match code:
        case "VALIDATION_ERROR" if detail["field"] == "location":
            sentence = "Enter the address of the lesson."
            if detail.pop("location_type") == "public":
                sentence = "Enter a meeting point."
        case "VALIDATION_ERROR":
            places = ", ".join(formatting.PLACES[place].lower() for place in detail.pop("offered"))
            sentence = f"This service isn’t offered there, only {places}."
        case "NOT_ALLOWED":
            sentence = "You can’t book a lesson with yourself."
        case "DURATION_NOT_OFFERED":
            lengths = " or ".join(str(minutes) for minutes in detail["durations_minutes"])
            sentence = f"These lessons last {lengths} minutes."
        case _ if "override" in detail:
            rules = formatting.together([_OVERRIDES[name] for name in detail["override"]])
            sentence = f"This lesson {rules}. Confirm that you want to book it anyway."
        case "TOO_SOON" if not detail:
            sentence = "The lesson hasn’t started yet."
        case "TOO_SOON":
            sentence = "That time has passed."
            if notice := detail["min_advance_minutes"]:
                length = formatting.length(notice)
                sentence = f"That’s too soon. Book this instructor at least {length} ahead."
        case "SLOT_TAKEN" | "OUTSIDE_AVAILABILITY" if not detail["alternatives"]:
            sentence = _WITHOUT_ALTERNATIVES[code]
        case "RATE_LIMITED":
            return refusal.RateLimited(
                f"You have {detail['upcoming']} lessons ahead, which is the most at a time.",
                retry_after=max(1, math.ceil(detail["seconds"])),
            )
        case "WRONG_STATE":
            sentence = _WRONG_STATE[detail["state"]]
    return refusal.BY_CODE[code](sentence, **detail)


async def find(db: Db, booking_id: UUID, *, viewer: UUID, sees_all: bool = False) -> Booking:
    """The booking. Raises NotFound, also if it is not the viewer's, unless the viewer sees all."""
    booking = await _booking.first(db, id=booking_id)
    if booking is None or not (sees_all or viewer in {booking.student_id, booking.instructor_id}):
        raise refusal.NotFound
    return booking


async def progress(db: Db, booking_id: UUID) -> Progress:
    """The progress of an existing booking."""
    return await _progress.one(db, id=booking_id)


async def last_place(db: Db, student_id: UUID) -> LastPlace:
    return await _last_place.one(db, student_id=student_id)


async def list_of(
    db: Db,
    account_id: UUID,
    *,
    role: Role,
    scope: Scope,
    now: datetime,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[Booking]:
    """The account's bookings as student or instructor. `upcoming`: held or confirmed, not ended,
    ascending. `past`: confirmed and ended, completed or no-show, descending. `cancelled`:
    descending. `after` is the start and id of the last booking before this page."""
    if scope == "upcoming":
        # A lesson lies within one day, so one that has not ended started at most a day ago.
        start, last = after or (now - timedelta(days=1), UUID(int=0))
        return await _lists[role, "upcoming"].all(
            db, account_id=account_id, now=now, start=start, id=last, limit=limit
        )
    start, last = after or (_END_OF_TIME, UUID(int=2**128 - 1))
    return await _lists[role, "earlier"].all(
        db,
        account_id=account_id,
        states=["cancelled"] if scope == "cancelled" else ["confirmed", "completed", "no_show"],
        ended_by=now,
        start=start,
        id=last,
        limit=limit,
    )


async def timeline(db: Db, instructor_id: UUID, *, since: datetime, limit: int) -> list[Booking]:
    """The bookings that occupy the instructor's time from `since` on, by start."""
    return await _timeline.all(db, account_id=instructor_id, since=since, limit=limit)
