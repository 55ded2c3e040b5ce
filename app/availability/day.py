"""One local day of an instructor's availability, and changes of single ranges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from app import gate, refusal
from app.availability import week
from app.availability.week import RangeJson
from app.db import Db, Pool, Tx
from app.schema import DateText
from app.statements import statement

MAX_CHANGES = 1000


@dataclass(frozen=True, slots=True)
class Day:
    """`ranges`: [{"start": "09:00", "end": "12:00"}, …] in the instructor's zone."""

    day: date
    version: int
    ranges: list[Any]


@dataclass(frozen=True, slots=True)
class _DayRow:
    version: int
    ranges: list[Any]


class Change(TypedDict):
    """Minutes are local minutes since midnight."""

    action: Literal["add", "remove"]
    date: date
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Changed:
    """`failures`: what prevents each impossible change, by its index; then nothing was stored.
    `days`: the touched days afterwards, {"2026-11-23": [{"start", "end"}, …]}."""

    failures: Mapping[int, refusal.ValidationError]
    version: int
    days: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _ChangedRow:
    failures: list[dict[str, Any]]
    version: int
    days: dict[str, Any]


_day = statement("day", _DayRow)
_change_ranges = statement("change_ranges", _ChangedRow)


async def read(db: Db, instructor_id: UUID, day: date) -> Day:
    row = await _day.one(db, instructor_id=instructor_id, day=day)
    return Day(day, row.version, row.ranges)


async def replace(
    db: Pool | Tx,
    instructor_id: UUID,
    day: date,
    ranges: Sequence[week.Range],
    *,
    base: int | None,
    now: datetime,
) -> Day:
    """Replaces the day's ranges. Raises ValidationError as week.replace_days does, and
    VersionConflict with the current day."""
    try:
        await week.replace_days(
            db, instructor_id, {day: ranges}, base=base, field="ranges", now=now
        )
    except refusal.VersionConflict:
        current = await read(db, instructor_id, day)
        raise refusal.VersionConflict(version=current.version, day=as_json(current)) from None
    return await read(db, instructor_id, day)


async def change(
    db: Pool | Tx,
    instructor_id: UUID,
    changes: Sequence[Change],
    *,
    preview: bool = False,
    now: datetime,
) -> Changed:
    """Adds and removes ranges in order, as one step of the calendar, or none of them if one is
    impossible. Adjacent ranges are merged; removing the middle of one splits it; removing what is
    not there changes nothing. A preview stores nothing."""
    async with gate.writer(db, instructor_id):
        row = await _change_ranges.one(
            db, instructor_id=instructor_id, changes=list(changes), preview=preview, now=now
        )
    failures = {failure["index"]: week.invalid(failure) for failure in row.failures}
    return Changed(failures, row.version, dict(sorted(row.days.items())))


class DayJson(TypedDict):
    date: DateText
    ranges: list[RangeJson]
    version: int


class DayConflict(TypedDict):
    """`day`: as it is now."""

    version: int
    day: DayJson


def as_json(day: Day) -> DayJson:
    """The day in the API's JSON (docs/api.md)."""
    return {"date": day.day.isoformat(), "ranges": day.ranges, "version": day.version}
