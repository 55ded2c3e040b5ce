"""An instructor's week. Every edit of availability is stored as new content of whole local days, in
one step of the calendar."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app import formatting, gate, refusal
from app.db import Db, Pool, Tx
from app.schema import ClockText, DateText, ZoneText
from app.statements import statement

# Start and end in minutes of local time since midnight; 1440 ends a day.
Range = tuple[int, int]
ALIGNMENT_MINUTES = 15
MAX_RANGES = 96
HORIZON_DAYS = 730


@dataclass(frozen=True, slots=True)
class Week:
    """`days`: {"2026-11-23": [{"start": "09:00", "end": "12:00"}], …7}, in the instructor's
    zone."""

    start: date
    time_zone: str
    version: int
    days: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _WeekRow:
    time_zone: str
    version: int
    days: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    refusal: str | None
    detail: dict[str, Any] | None
    version: int
    days_changed: int


_week = statement("week", _WeekRow)
_replace_days = statement("replace_days", _Outcome)
_has_hours = statement("has_hours", bool)


async def read(db: Db, instructor_id: UUID, start: date) -> Week:
    """The seven days from `start`. One round trip."""
    row = await _week.one(db, instructor_id=instructor_id, start=start)
    return Week(start, row.time_zone, row.version, dict(sorted(row.days.items())))


async def has_hours(db: Db, instructor_id: UUID, *, now: datetime) -> bool:
    """Whether any availability lies ahead."""
    return await _has_hours.one(db, instructor_id=instructor_id, now=now)


async def replace(
    db: Pool | Tx,
    instructor_id: UUID,
    start: date,
    days: Mapping[date, Sequence[Range]],
    *,
    base: int | None = None,
    now: datetime,
) -> Week:
    """Replaces the given days of the week and keeps the others. `base`: the version that was
    edited. Raises ValidationError as `replace_days` does and for a day outside the week, and
    VersionConflict with the current week."""
    for day in days:
        if not start <= day < start + timedelta(days=7):
            raise refusal.ValidationError(
                f"{day} isn’t in the week of {start}.", field=f"days.{day}"
            )
    try:
        await replace_days(db, instructor_id, days, base=base, now=now)
    except refusal.VersionConflict:
        current = await read(db, instructor_id, start)
        raise refusal.VersionConflict(version=current.version, week=as_json(current)) from None
    return await read(db, instructor_id, start)


async def replace_days(
    db: Pool | Tx,
    instructor_id: UUID,
    days: Mapping[date, Sequence[Range]],
    *,
    base: int | None = None,
    field: str | None = None,
    now: datetime,
) -> tuple[int, int]:
    """Replaces the availability of whole local days. Returns the number of changed days and the new
    version. Adjacent ranges are merged; bookings are not affected. Raises ValidationError for an
    edge in the hour that daylight saving skips and for a changed day in the past or too far ahead,
    and VersionConflict if availability or blackouts changed after `base`. For `field`, see
    `invalid`."""
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
        raise invalid(outcome.detail or {}, field)
    return outcome.days_changed, outcome.version


def invalid(detail: dict[str, Any], field: str | None = None) -> refusal.ValidationError:
    """The refusal of an edit. `detail`: the `date`, and the `reason` "skipped" (then also the
    `index` of the range and its `edge`, "start" or "end"), "past" or "far". `field`: what the
    request calls the day or its ranges; None: `days.<date>`."""
    name = formatting.long_day(date.fromisoformat(detail["date"]))
    field = field or f"days.{detail['date']}"
    if detail["reason"] == "skipped":
        return refusal.ValidationError(
            f"On {name}, the clocks skip that time.",
            field=f"{field}.{detail['index']}.{detail['edge']}",
        )
    if detail["reason"] == "past":
        return refusal.ValidationError(
            f"{name} is in the past, so it can’t be changed.", field=field
        )
    return refusal.ValidationError(
        f"Availability can be set up to {HORIZON_DAYS} days ahead.", field=field
    )


def minute(text: object) -> int:
    """ "09:15" as minutes since midnight, "24:00" as 1440. Raises ValueError with a sentence."""
    value = text if isinstance(text, str) else ""
    match = re.fullmatch("([01][0-9]|2[0-3]):([0-5][0-9])|24:00", value)
    if match is None:
        raise ValueError("A time looks like 09:30, and 24:00 ends a day.")
    minutes = 24 * 60 if match[1] is None else int(match[1]) * 60 + int(match[2])
    if minutes % ALIGNMENT_MINUTES:
        raise ValueError("Use times on a quarter hour, such as 9:15.")
    return minutes


def clock(minutes: int) -> str:
    """The reverse of `minute`: 555 as "09:15"."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


class RangeJson(TypedDict):
    """A range of local time; "24:00" ends a day."""

    start: ClockText
    end: ClockText


class WeekJson(TypedDict):
    start: DateText
    time_zone: ZoneText
    version: int
    days: dict[str, list[RangeJson]]


class WeekConflict(TypedDict):
    """`week`: as it is now."""

    version: int
    week: NotRequired[WeekJson]


def as_json(week: Week) -> WeekJson:
    """The week in the API's JSON (docs/api.md)."""
    return {
        "start": week.start.isoformat(),
        "time_zone": week.time_zone,
        "version": week.version,
        "days": week.days,
    }
