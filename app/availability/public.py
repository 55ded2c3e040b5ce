"""Public availability for other sites and calendars: no sign-in, no personal data, cheap to
poll. Answers are cached (app/availability/public_cache.py)."""

import asyncio
import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, NotRequired
from uuid import UUID

import orjson
from typing_extensions import TypedDict

from app import refusal, wire
from app.availability import next_start, public_cache
from app.availability.public_cache import Answer, PublicCache
from app.availability.start_times import HORIZON
from app.db import Db, Pool
from app.schema import ClockText, DateText, Id, InstantText, ZoneText
from app.settings import Settings
from app.statements import PUBLIC_SECONDS, statement

# The row of the next start may be outdated again after it was computed.
_ATTEMPTS = 2
# Between two calendars that are computed again after a change.
WARM_PAUSE_SECONDS = 0.01
_QUARTER_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Days:
    """A query: the free time from `first` (at the earliest today) to `last`."""

    first: date | None
    last: date | None


@dataclass(frozen=True, slots=True)
class NextStart:
    """A query: the next bookable start of a lesson of `minutes` (default: the shortest on
    offer)."""

    minutes: int | None


Query = Days | NextStart


@dataclass(frozen=True, slots=True)
class _Calendar:
    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    instructor_name: str
    first: date
    earliest: datetime
    days: list[Any]


@dataclass(frozen=True, slots=True)
class _Next:
    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    duration_minutes: int
    start: datetime | None
    is_exact: bool


_public_calendar = statement("public_calendar", _Calendar, seconds=PUBLIC_SECONDS)
_next_available = statement("next_available", _Next, seconds=PUBLIC_SECONDS)


async def answer(
    db: Db,
    cache: PublicCache,
    instructor_id: UUID,
    query: Query,
    settings: Settings,
    *,
    now: datetime,
    alias: Hashable = None,
) -> Answer:
    """The answer to a query, from the cache or from Postgres; `alias` is another key under which
    the cache has it from now on. Raises NotFound."""
    instructor = str(instructor_id)
    result = cache.find(instructor, query, now.timestamp())
    if result is None:
        public_cache.REQUESTS["miss"] += 1
        result = await _read(db, cache, instructor_id, query, settings, now=now)
    if alias is not None:
        cache.alias(instructor, alias, query)
    return result


async def keep_warm(
    pool: Pool, cache: PublicCache, settings: Settings, *, now: Callable[[], datetime]
) -> None:
    """Computes recently requested answers again after a change, one at a time. Does not return."""
    while True:
        instructor, queries = await cache.next_to_warm()
        for query in queries:
            assert isinstance(query, Days | NextStart)
            try:
                await _read(pool, cache, UUID(instructor), query, settings, now=now())
            except refusal.NotFound:
                break
            public_cache.WARMED.inc()
        await asyncio.sleep(WARM_PAUSE_SECONDS)


async def _read(
    db: Db,
    cache: PublicCache,
    instructor_id: UUID,
    query: Query,
    settings: Settings,
    *,
    now: datetime,
) -> Answer:
    async def read() -> Answer:
        reading = cache.begin(str(instructor_id))
        try:
            if isinstance(query, Days):
                result = await _availability(db, instructor_id, query, settings, now=now)
            else:
                result = await _next_start(db, instructor_id, query, now=now)
            cache.store(reading, query, result)
        finally:
            cache.end(reading)
        return result

    return await cache.share(str(instructor_id), (query, _quarter(now)), read)


async def _availability(
    db: Db, instructor_id: UUID, query: Days, settings: Settings, *, now: datetime
) -> Answer:
    """The free time within PUBLIC_AVAILABILITY_DAYS, in the detail of
    PUBLIC_AVAILABILITY_DETAIL_LEVEL. One round trip."""
    level = settings.public_availability_detail_level
    calendar = await _public_calendar.first(
        db,
        instructor_id=instructor_id,
        first=query.first,
        last=query.last,
        horizon=settings.public_availability_days,
        parts=level == "summary",
        now=now,
    )
    if calendar is None:
        raise refusal.NotFound
    name = calendar.instructor_name if settings.public_availability_show_instructor_name else None
    content = {
        "instructor_id": str(instructor_id),
        **({} if name is None else {"instructor_name": name}),
        "time_zone": calendar.time_zone,
        "version": calendar.version,
        **_DETAIL[level](calendar.days),
    }
    notice = timedelta(minutes=calendar.min_advance_minutes)
    parts = ("availability", instructor_id, calendar.first, len(calendar.days), calendar.earliest)
    etag = _etag(calendar.epoch, calendar.version, *parts, level, name, _quarter(now))
    # The first start moves on when the minimum notice reaches it.
    until = (calendar.earliest - notice).timestamp()
    return _answer(calendar, etag, content, now, until)


async def _next_start(db: Db, instructor_id: UUID, query: NextStart, *, now: datetime) -> Answer:
    """The next start, or null. One round trip if it is stored."""
    row = await _read_next(db, instructor_id, query.minutes, now)
    for _ in range(_ATTEMPTS):
        if row.is_exact:
            break
        # Compute and store it, then read it again together with its version.
        pair = (instructor_id, row.duration_minutes)
        start = (await next_start.of(db, [pair], now=now))[pair]
        row = await _read_next(db, instructor_id, query.minutes, now)
        row = row if row.is_exact else replace(row, start=start)
    content = {
        "start": wire.instant(row.start) if row.start else None,
        "duration_minutes": row.duration_minutes,
        "time_zone": row.time_zone,
        "version": row.version,
    }
    etag = _etag(row.epoch, "next-available", instructor_id, query.minutes, content, _quarter(now))
    notice = timedelta(minutes=row.min_advance_minutes)
    until = (row.start - notice).timestamp() if row.start else float("inf")
    return _answer(row, etag, content, now, until)


def _answer(row: _Calendar | _Next, etag: str, content: Any, now: datetime, until: float) -> Answer:
    """An answer that is right until `until`, and at most until the end of this quarter of an hour:
    then a day may begin and the horizon moves."""
    since = float(_quarter(now) * _QUARTER_SECONDS)
    until = min(until, since + _QUARTER_SECONDS)
    return Answer(row.epoch, row.version, etag, orjson.dumps(content), since, until)


async def _read_next(db: Db, instructor_id: UUID, minutes: int | None, now: datetime) -> _Next:
    row = await _next_available.first(
        db, instructor_id=instructor_id, minutes=minutes, now=now, latest=now + HORIZON
    )
    if row is None:
        raise refusal.NotFound
    return row


class SpanJson(TypedDict):
    start_time: ClockText
    end_time: ClockText


class FullDayJson(TypedDict):
    """A day at the level `full`."""

    ranges: list[SpanJson]
    total_minutes: int


class DaySummaryJson(TypedDict):
    """A day at the level `summary`."""

    morning: bool
    afternoon: bool
    evening: bool
    ranges_count: int


class AvailabilityJson(TypedDict):
    """Either `days`, by date, or, at the level `minimal`, the last two fields."""

    instructor_id: Id
    instructor_name: NotRequired[str]
    time_zone: ZoneText
    version: int
    days: NotRequired[dict[str, FullDayJson | DaySummaryJson]]
    has_availability: NotRequired[bool]
    earliest_date: NotRequired[DateText | None]


class NextAvailableJson(TypedDict):
    start: InstantText | None
    duration_minutes: int
    time_zone: ZoneText
    version: int


def _full(days: list[Any]) -> dict[str, Any]:
    return {
        "days": {
            day["day"]: {"ranges": day["ranges"], "total_minutes": day["total_minutes"]}
            for day in days
        },
    }


def _summary(days: list[Any]) -> dict[str, Any]:
    parts = ("morning", "afternoon", "evening")
    return {
        "days": {
            day["day"]: {part: day[part] for part in parts} | {"ranges_count": len(day["ranges"])}
            for day in days
        },
    }


def _minimal(days: list[Any]) -> dict[str, Any]:
    earliest = next((day["day"] for day in days if day["ranges"]), None)
    return {"has_availability": earliest is not None, "earliest_date": earliest}


_DETAIL = {"full": _full, "summary": _summary, "minimal": _minimal}


def _quarter(now: datetime) -> int:
    return int(now.timestamp() // _QUARTER_SECONDS)


def _etag(*parts: object) -> str:
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'
