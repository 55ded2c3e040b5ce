"""Blackout days: they hide an instructor's free time and leave the hours as they are, so removing
one brings the time back. Lessons that are already booked stay."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app import gate, refusal
from app.availability import week
from app.db import Db, Pool, Tx
from app.statements import statement

MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class Blackout:
    day: date
    reason: str


@dataclass(frozen=True, slots=True)
class _Added:
    refusal: str | None
    detail: dict[str, Any] | None
    version: int


_blackouts = statement("blackouts", Blackout)
_add_blackouts = statement("add_blackouts", _Added)
_remove_blackout = statement("remove_blackout", int)


async def list_of(db: Db, instructor_id: UUID, *, after: date | None, limit: int) -> list[Blackout]:
    """The blackout days after `after`, in order."""
    return await _blackouts.all(
        db, instructor_id=instructor_id, after=after or date.min, limit=limit
    )


async def add(
    db: Pool | Tx, instructor_id: UUID, first: date, last: date, *, reason: str, now: datetime
) -> None:
    """Closes the days from `first` to `last`. A day that is already closed stays closed, with the
    new reason. Raises ValidationError for days in the past, too far ahead, or more than a year."""
    if last < first:
        raise refusal.ValidationError("The last day must not be before the first.", field="last")
    if last - first >= timedelta(days=MAX_DAYS):
        raise refusal.ValidationError("One blackout can span at most a year.", field="last")
    async with gate.writer(db, instructor_id):
        added = await _add_blackouts.one(
            db, instructor_id=instructor_id, first=first, last=last, reason=reason, now=now
        )
    if added.refusal is not None:
        detail = added.detail or {}
        raise week.invalid(detail, "first" if detail["date"] == first.isoformat() else "last")


async def remove(db: Pool | Tx, instructor_id: UUID, day: date) -> None:
    """Opens the day again. No error if it was not closed."""
    async with gate.writer(db, instructor_id):
        await _remove_blackout.one(db, instructor_id=instructor_id, day=day)
