"""The audit trail of bookings, an instructor's statistics, and what an instructor may know about a
student."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NotRequired
from uuid import UUID

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from app import wire
from app.db import Db
from app.schema import InstantText, NamedJson
from app.statements import statement


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit trail. Without an actor, the product did it: a hold expired, or a lesson
    was completed a day after its end. `starts_at` is the lesson's start after the change, if it was
    recorded."""

    id: int
    booking_id: UUID
    at: datetime
    event: str
    from_state: str | None
    to_state: str
    reason: str
    actor_id: UUID | None
    actor_name: str | None
    starts_at: datetime | None
    override: list[str]  # the rules that staff has overridden


@dataclass(frozen=True, slots=True)
class Student:
    """A student as an instructor knows them: only from their own lessons together."""

    id: UUID
    email: str
    lessons: int
    last_lesson_at: datetime | None
    no_shows: int
    cancellations: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of an instructor's bookings. None includes holds; `booked` counts all others."""

    upcoming: int
    completed: int
    cancelled: int
    no_show: int
    booked: int
    taught_minutes: int
    earnings_by_month: list[Any]


_history = statement("booking_history", Entry)
_histories = statement("booking_histories", Entry)
_students = statement("students_of_instructor", Student)
_stats = statement("instructor_stats", Stats)


async def of_booking(
    db: Db, booking_id: UUID, *, with_notes: bool, after: int, limit: int
) -> list[Entry]:
    """The oldest entries with an id above `after`. `with_notes`: also changes of the instructor's
    private note."""
    return await _history.all(
        db, booking_id=booking_id, with_notes=with_notes, after=after, limit=limit
    )


async def of_bookings(db: Db, booking_ids: Collection[UUID]) -> dict[UUID, list[Entry]]:
    """The entries of several bookings, the oldest first, without changes of private notes."""
    entries: dict[UUID, list[Entry]] = {booking_id: [] for booking_id in booking_ids}
    for entry in await _histories.all(db, booking_ids=list(booking_ids)):
        entries[entry.booking_id].append(entry)
    return entries


async def students(
    db: Db, instructor_id: UUID, student_ids: Collection[UUID], *, now: datetime
) -> dict[UUID, Student]:
    """The students who have, or had, a booked lesson with this instructor. Others are left out."""
    rows = await _students.all(
        db, instructor_id=instructor_id, student_ids=list(student_ids), now=now
    )
    return {row.id: row for row in rows}


# By name, because some of them are keywords.
EntryJson = TypedDict(
    "EntryJson",
    {
        "at": InstantText,
        "event": str,
        "from": str | None,
        "to": str,
        "actor": NamedJson | None,
        "reason": str,
        "start": InstantText | None,
        "override": NotRequired[list[str]],
    },
)


def as_json(entry: Entry) -> EntryJson:
    actor: NamedJson | None = None
    if entry.actor_id is not None:
        actor = {"id": str(entry.actor_id), "name": entry.actor_name or ""}
    content: EntryJson = {
        "at": wire.instant(entry.at),
        "event": entry.event,
        "from": entry.from_state,
        "to": entry.to_state,
        "actor": actor,
        "reason": entry.reason,
        "start": wire.instant(entry.starts_at) if entry.starts_at else None,
    }
    if entry.override:
        content["override"] = entry.override
    return content


class MonthJson(TypedDict):
    month: Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"})]
    cents: int


class StatsJson(TypedDict):
    """`cancellation_rate` is 0 to 1. Months are those of the instructor's time zone."""

    upcoming: int
    completed: int
    cancelled: int
    no_show: int
    cancellation_rate: float
    taught_minutes: int
    earnings_by_month: list[MonthJson]


async def stats(db: Db, instructor_id: UUID, *, now: datetime) -> StatsJson:
    """In the API's JSON. `cancellation_rate` is the share of all bookings, 0 to 1."""
    row = await _stats.one(db, instructor_id=instructor_id, now=now)
    return {
        "upcoming": row.upcoming,
        "completed": row.completed,
        "cancelled": row.cancelled,
        "no_show": row.no_show,
        "cancellation_rate": round(row.cancelled / row.booked, 4) if row.booked else 0.0,
        "taught_minutes": row.taught_minutes,
        "earnings_by_month": row.earnings_by_month,
    }
