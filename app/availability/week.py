"""An instructor's week, and the one way availability is changed: whole local days are replaced, as one step."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app import gate, refusal
from app.db import Db, Pool, Tx
from app.statements import statement

# From and to, in minutes of the wall clock since midnight; 1440 ends a day.
Range = tuple[int, int]
ALIGNMENT_MINUTES = 15
MAX_RANGES = 96
HORIZON_DAYS = 730


@dataclass(frozen=True, slots=True)
class Week:
    """`days`: {"2026-11-23": [{"start": "09:00", "end": "12:00"}], …7}, in the instructor's zone."""

    start: date
    time_zone: str
    version: int
    days: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Found:
    time_zone: str
    version: int
    days: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    refusal: str | None
    detail: dict[str, Any] | None
    version: int
    days_changed: int


_week = statement("week", _Found)
_replace_days = statement("replace_days", _Outcome)


async def read(db: Db, instructor_id: UUID, start: date) -> Week:
    """The seven days from `start`. One round trip."""
    found = await _week.one(db, instructor_id=instructor_id, start=start)
    return Week(start, found.time_zone, found.version, dict(sorted(found.days.items())))


async def replace(
    db: Pool | Tx,
    instructor_id: UUID,
    start: date,
    days: Mapping[date, Sequence[Range]],
    *,
    base: int | None = None,
    now: datetime,
) -> Week:
    """Replaces those days of the week; one left out stays as it is. `base`: the version the edit was made from. Raises
    ValidationError as `replace_days` does, also for a day outside the week; VersionConflict with the fresh week."""
    for day in days:
        if not start <= day < start + timedelta(days=7):
            raise refusal.ValidationError(f"{day} isn’t in the week of {start}.", field=f"days.{day}")
    try:
        await replace_days(db, instructor_id, days, base=base, now=now)
    except refusal.VersionConflict:
        fresh = await read(db, instructor_id, start)
        raise refusal.VersionConflict(version=fresh.version, week=as_json(fresh)) from None
    return await read(db, instructor_id, start)


async def replace_days(
    db: Pool | Tx, instructor_id: UUID, days: Mapping[date, Sequence[Range]], *, base: int | None = None, now: datetime
) -> tuple[int, int]:
    """Replaces the availability of whole local days: how many changed, and the version now. Ranges that touch are merged; bookings
    are neither looked at nor touched. Raises ValidationError for an edge the clocks skip and for a changed day that is past or
    too far ahead; VersionConflict when availability or blackouts changed after `base`."""
    async with gate.writer(db, instructor_id):
        outcome = await _replace_days.one(
            db,
            instructor_id=instructor_id,
            days={day.isoformat(): list(ranges) for day, ranges in days.items()},
            base=base,
            now=now,
        )
    if outcome.refusal == "VERSION_CONFLICT":
        raise refusal.VersionConflict(version=outcome.version)
    if outcome.refusal is not None:
        raise _refused(outcome.detail or {})
    return outcome.days_changed, outcome.version


def _refused(detail: dict[str, Any]) -> refusal.ValidationError:
    day = detail["date"]
    if detail["reason"] == "skipped":
        return refusal.ValidationError(
            f"On {day} the clocks skip that time.", field=f"days.{day}.{detail['index']}.{detail['edge']}"
        )
    if detail["reason"] == "past":
        return refusal.ValidationError(f"{day} is in the past, so it can’t be changed.", field=f"days.{day}")
    return refusal.ValidationError(f"Availability can be set up to {HORIZON_DAYS} days ahead.", field=f"days.{day}")


def minute(text: object) -> int:
    """ "09:15" as minutes since midnight, "24:00" as 1440. Raises ValueError with a sentence."""
    match = re.fullmatch("([01][0-9]|2[0-3]):([0-5][0-9])|24:00", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("A time looks like 09:30, and 24:00 ends a day.")
    minutes = 24 * 60 if match[1] is None else int(match[1]) * 60 + int(match[2])
    if minutes % ALIGNMENT_MINUTES:
        raise ValueError("Use times on a quarter hour, such as 9:15.")
    return minutes


def as_json(week: Week) -> dict[str, Any]:
    """The contract's week."""
    return {"start": week.start.isoformat(), "time_zone": week.time_zone, "version": week.version, "days": week.days}
