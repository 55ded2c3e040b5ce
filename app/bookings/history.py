"""What has happened to a booking, and an instructor's statistics."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import wire
from app.db import Db
from app.statements import statement


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit trail. Without an actor, the product did it: a hold expired, or a lesson
    was completed a day after its end."""

    id: int
    at: datetime
    event: str
    from_state: str | None
    to_state: str
    reason: str
    actor_id: UUID | None
    actor_name: str | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Of an instructor's bookings, without holds. `booked` counts all of them."""

    upcoming: int
    completed: int
    cancelled: int
    no_show: int
    booked: int
    taught_minutes: int
    earnings_by_month: list[dict[str, Any]]


_history = statement("booking_history", Entry)
_stats = statement("instructor_stats", Stats)


async def of_booking(db: Db, booking_id: UUID, *, after: int, limit: int) -> list[Entry]:
    """The oldest entries with an id above `after`."""
    return await _history.all(db, booking_id=booking_id, after=after, limit=limit)


def as_json(entry: Entry) -> dict[str, Any]:
    actor = {"id": str(entry.actor_id), "name": entry.actor_name} if entry.actor_id else None
    return {
        "at": wire.instant(entry.at),
        "event": entry.event,
        "from": entry.from_state,
        "to": entry.to_state,
        "actor": actor,
        "reason": entry.reason,
    }


async def stats(db: Db, instructor_id: UUID, *, now: datetime) -> dict[str, Any]:
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
