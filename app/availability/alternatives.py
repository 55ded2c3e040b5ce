"""The alternatives in a refusal: the free starts nearest to the requested time.

In a rush, hundreds of requests for the same time are refused at once. So the free ranges of a
calendar are read once per version, and its starts computed once per version and length; a refusal
then costs a bisection. The version and the starts of a response come from one statement."""

import asyncio
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from app import wire
from app.availability import start_times
from app.availability.start_times import Limits, Span
from app.db import Db
from app.statements import statement

LIMIT = 5
# Days around the refused time. One day nearly always has enough starts; otherwise read more.
REACHES = (1, 7, 30, 100)
# The version in the key keeps a window current; the expiry covers a restored database.
KEEP_SECONDS = 5
MAX_WINDOWS = 256


@dataclass(frozen=True, slots=True)
class FreeRanges:
    """A snapshot of a calendar; `edges` are the begin and end of each free range, in order."""

    version: int
    time_zone: str
    min_advance_minutes: int
    edges: list[datetime]


@dataclass(frozen=True, slots=True)
class _Lesson:
    begin: datetime
    end: datetime


_free_ranges = statement("free_ranges", FreeRanges)
_lessons_of_student = statement("lessons_of_student", _Lesson)


@dataclass(frozen=True, slots=True)
class _Window:
    """The free ranges of some days of a calendar, and their starts for each length."""

    free: FreeRanges
    expires: float
    starts: dict[int, list[datetime]] = field(default_factory=dict)

    def starts_of(self, minutes: int) -> list[datetime]:
        if minutes not in self.starts:
            ranges = start_times.pairs(self.free.edges)
            self.starts[minutes] = list(start_times.of_ranges(ranges, minutes, self.free.time_zone))
        return self.starts[minutes]


# Calendar, version, first day, days.
_Key = tuple[UUID, int, date, int]
_windows: OrderedDict[_Key, _Window] = OrderedDict()
_reads: dict[_Key, asyncio.Future[None]] = {}


async def of_refusal(
    db: Db, detail: dict[str, Any], student_id: UUID, *, near: datetime, minutes: int, now: datetime
) -> dict[str, Any]:
    """The `version` and `alternatives` of SLOT_TAKEN and OUTSIDE_AVAILABILITY (docs/api.md), from
    the detail from SQL: {"instructor_id", "version", "busy": the student's lessons within a
    day}."""
    version, starts = await nearest(
        db,
        UUID(detail["instructor_id"]),
        detail["version"],
        near=near,
        minutes=minutes,
        student_id=student_id,
        busy=start_times.spans(detail["busy"]),
        now=now,
    )
    return {"version": version, "alternatives": [wire.instant(start) for start in starts]}


async def nearest(
    db: Db,
    instructor_id: UUID,
    version: int,
    *,
    near: datetime,
    minutes: int,
    student_id: UUID,
    busy: Sequence[Span],
    now: datetime,
) -> tuple[int, list[datetime]]:
    """Up to five starts that the student can book, nearest first, with their calendar's version:
    `version` or a newer one. `busy`: the student's lessons within a day of `near`."""
    day = near.astimezone(UTC).date()
    for reach in REACHES:
        # One more day on each side covers every time zone.
        key = (instructor_id, version, day - timedelta(days=reach + 1), 2 * reach + 3)
        window = await _window(db, key)
        starts = window.starts_of(minutes)
        if starts and reach > REACHES[0]:
            busy = await _busy(db, student_id, near, timedelta(days=reach, minutes=minutes), now)
        limits = Limits.at(now, window.free.min_advance_minutes, busy)
        alternatives = _nearest_bookable(starts, near, timedelta(minutes=minutes), limits)
        is_complete = len(alternatives) == LIMIT
        if is_complete and abs(alternatives[-1] - near) <= timedelta(days=reach):
            break
    return window.free.version, alternatives


def _nearest_bookable(
    starts: list[datetime], near: datetime, lesson: timedelta, limits: Limits
) -> list[datetime]:
    bookable: list[datetime] = []
    for start in _outward(starts, near):
        if limits.allow(start) and not start_times.overlaps((start, start + lesson), limits.busy):
            bookable.append(start)
            if len(bookable) == LIMIT:
                break
    return bookable


def _outward(starts: list[datetime], near: datetime) -> Iterator[datetime]:
    """The sorted starts by distance from `near`; of two equally near, the earlier first."""
    after = bisect_left(starts, near)
    before = after - 1
    while before >= 0 or after < len(starts):
        if after == len(starts) or (before >= 0 and near - starts[before] <= starts[after] - near):
            yield starts[before]
            before -= 1
        else:
            yield starts[after]
            after += 1


async def _busy(
    db: Db, student_id: UUID, near: datetime, reach: timedelta, now: datetime
) -> list[Span]:
    lessons = await _lessons_of_student.all(
        db, student_id=student_id, from_instant=near - reach, to_instant=near + reach, now=now
    )
    return [(lesson.begin, lesson.end) for lesson in lessons]


async def _window(db: Db, key: _Key) -> _Window:
    """The window from the cache or the database. Concurrent callers share one read."""
    while (window := _cached(key)) is None:
        read = _reads.get(key)
        if read is None:
            return await _read(db, key)
        await asyncio.wait({read})
        if not read.cancelled():  # if its caller was cancelled, another caller reads
            read.result()
    return window


async def _read(db: Db, key: _Key) -> _Window:
    instructor_id, _, first, days = key
    read = _reads[key] = asyncio.get_running_loop().create_future()
    try:
        free = await _free_ranges.one(db, instructor_id=instructor_id, first=first, days=days)
        window = _Window(free, time.monotonic() + KEEP_SECONDS)
        _cache(key, window)
        _cache((instructor_id, free.version, first, days), window)
        read.set_result(None)
    except Exception as error:
        read.set_exception(error)
        read.exception()  # mark it as retrieved: nobody may be waiting
        raise
    else:
        return window
    finally:
        read.cancel()  # no effect on a finished read
        del _reads[key]


def _cached(key: _Key) -> _Window | None:
    window = _windows.get(key)
    if window is None or window.expires < time.monotonic():
        return None
    _windows.move_to_end(key)
    return window


def _cache(key: _Key, window: _Window) -> None:
    _windows[key] = window
    _windows.move_to_end(key)
    while len(_windows) > MAX_WINDOWS:
        _windows.popitem(last=False)
