"""Filling many days from a weekly pattern: another week, a preset, an empty one, or the standing
pattern that the nightly job repeats. However many days change, the calendar makes one step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from app import gate, refusal
from app.availability import week
from app.db import Db, Pool, Tx, transact
from app.statements import statement

# The longest span of one call, in days: a leap year.
MAX_DAYS = 366

# {weekday 1–7 (Monday is "1"): [{"start": "09:00", "end": "12:00"}, …]}
Pattern = Mapping[str, Sequence[Mapping[str, str]]]

DayName = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAY_NAMES: Sequence[DayName] = get_args(DayName)
NOTHING: Pattern = {}


def _every(numbers: range, start: str, end: str) -> Pattern:
    return {str(number): [{"start": start, "end": end}] for number in numbers}


PRESETS: Mapping[str, Pattern] = {
    "weekdays": _every(range(1, 6), "09:00", "17:00"),
    "evenings": _every(range(1, 8), "17:00", "21:00"),
    "weekends": _every(range(6, 8), "10:00", "16:00"),
}


@dataclass(frozen=True, slots=True)
class FillResult:
    """`days`: in a preview, the content of the days that would change, {"2026-11-23": [{"start",
    "end"}, …]}."""

    days_changed: int
    version: int
    days: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _FillRow:
    refusal: str | None
    detail: dict[str, Any] | None
    version: int
    days_changed: int
    days: dict[str, Any] | None


_fill_days = statement("fill_days", _FillRow)
_fill_from_week = statement("fill_from_week", _FillRow)
_standing_pattern = statement("standing_pattern", dict)
_store_standing_pattern = statement("store_standing_pattern", int)
_remove_standing_pattern = statement("remove_standing_pattern", int)
_standing_patterns = statement("standing_patterns", UUID)
_fill_by_standing_pattern = statement("fill_by_standing_pattern", int)
_edited_weeks = statement("edited_weeks", date)


async def fill(
    db: Pool | Tx,
    instructor_id: UUID,
    pattern: Pattern | date,
    first: date,
    last: date,
    *,
    field: str = "last",
    preview: bool = False,
    now: datetime,
) -> FillResult:
    """Replaces the availability from `first` to `last` by a pattern, or by the week that begins on
    a Monday. Days before today stay as they are. Times keep their place on the clock. Raises
    ValidationError for a span over a year, all in the past, or too far ahead; `field`: what the
    last two name as invalid."""
    if last < first:
        raise refusal.ValidationError("The last day must not be before the first.", field="last")
    if last - first >= timedelta(days=MAX_DAYS):
        raise refusal.ValidationError("One change can span at most a year.", field="last")
    span = {"instructor_id": instructor_id, "first": first, "last": last}
    async with gate.writer(db, instructor_id):
        if isinstance(pattern, date):
            row = await _fill_from_week.one(db, **span, source=pattern, preview=preview, now=now)
        else:
            row = await _fill_days.one(db, **span, pattern=pattern, preview=preview, now=now)
    if row.refusal is not None:
        raise week.invalid(row.detail or {}, field)
    return FillResult(row.days_changed, row.version, dict(sorted((row.days or {}).items())))


async def standing_pattern(db: Db, instructor_id: UUID) -> Pattern | None:
    """The instructor's standing pattern, or None."""
    return await _standing_pattern.first(db, instructor_id=instructor_id)


async def set_standing_pattern(
    pool: Pool, instructor_id: UUID, pattern: Pattern, *, now: datetime
) -> None:
    """Stores the standing pattern and fills the next 12 weeks with it, except those that were
    edited by hand."""

    async def store(tx: Tx) -> None:
        await _store_standing_pattern.run(
            tx, instructor_id=instructor_id, days=dict(pattern), now=now
        )
        await _fill_by_standing_pattern.one(tx, instructor_id=instructor_id, now=now)

    async with gate.writer(pool, instructor_id):
        await transact(pool, store)


async def remove_standing_pattern(db: Db, instructor_id: UUID) -> None:
    """Removes the standing pattern. The hours that it has filled stay."""
    await _remove_standing_pattern.run(db, instructor_id=instructor_id)


async def edited_weeks(db: Db, instructor_id: UUID, first: date) -> list[date]:
    """The Mondays, from `first` on, of the weeks that the standing pattern leaves alone because
    they were edited by hand."""
    return await _edited_weeks.all(db, instructor_id=instructor_id, first=first)


async def fill_standing_patterns(pool: Pool, *, now: datetime) -> int:
    """The nightly job: keeps the next 12 weeks of every standing pattern filled. Returns the number
    of changed days. Each calendar is a transaction of its own."""
    changed, after = 0, UUID(int=0)
    while instructors := await _standing_patterns.all(pool, after=after):
        for instructor_id in instructors:
            async with gate.writer(pool, instructor_id):
                changed += await _fill_by_standing_pattern.one(
                    pool, instructor_id=instructor_id, now=now
                )
        after = instructors[-1]
    return changed
