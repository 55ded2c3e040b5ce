"""Public availability for other sites and calendars: no sign-in, no personal data, cheap to
poll."""

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from app import refusal, wire
from app.availability import next_start
from app.availability.start_times import HORIZON
from app.db import Db
from app.settings import Settings
from app.statements import PUBLIC_SECONDS, statement

_MAX_BODIES = 1024
# The row of the next start may be outdated again after it was computed.
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body and its ETag."""

    etag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Calendar:
    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    today: date
    instructor_name: str


@dataclass(frozen=True, slots=True)
class _Days:
    version: int
    days: list[Any]


@dataclass(frozen=True, slots=True)
class _Next:
    epoch: str
    version: int
    time_zone: str
    duration_minutes: int
    start: datetime | None
    is_exact: bool


_public_calendar = statement("public_calendar", _Calendar, seconds=PUBLIC_SECONDS)
_public_days = statement("public_days", _Days, seconds=PUBLIC_SECONDS)
_next_available = statement("next_available", _Next, seconds=PUBLIC_SECONDS)

# Cached bodies by ETag, with their expiry. An ETag includes the version, so no body is ever stale.
_bodies: dict[str, tuple[float, bytes]] = {}


async def availability(
    db: Db,
    instructor_id: UUID,
    first: date | None,
    last: date | None,
    settings: Settings,
    *,
    now: datetime,
) -> Answer:
    """The free time from `first` (at the earliest today) to `last`, within PUBLIC_AVAILABILITY_DAYS
    and in the detail of PUBLIC_AVAILABILITY_DETAIL_LEVEL. One round trip, and a second one if the
    body is not cached. Raises NotFound."""
    calendar = await _public_calendar.first(db, instructor_id=instructor_id, now=now)
    if calendar is None:
        raise refusal.NotFound
    horizon = calendar.today + timedelta(days=settings.public_availability_days - 1)
    first = max(first or calendar.today, calendar.today)
    days = max(0, (min(last or horizon, horizon) - first).days + 1)
    earliest = _at_or_after(now + timedelta(minutes=calendar.min_advance_minutes))
    name = calendar.instructor_name if settings.public_availability_show_instructor_name else None
    level = settings.public_availability_detail_level
    rest = ("availability", instructor_id, first, days, earliest, level, name, _quarter(now))
    etag = _etag(calendar.epoch, calendar.version, *rest)
    body = _cached(etag)
    if body is None:
        row = await _public_days.one(
            db, instructor_id=instructor_id, first=first, days=days, earliest=earliest
        )
        etag = _etag(calendar.epoch, row.version, *rest)
        body = orjson.dumps(
            {
                "instructor_id": str(instructor_id),
                **({} if name is None else {"instructor_name": name}),
                "time_zone": calendar.time_zone,
                "version": row.version,
                **_DETAIL[level](row.days),
            }
        )
        _cache(etag, body, settings.public_availability_cache_ttl)
    return Answer(etag, body)


async def next_available(
    db: Db, instructor_id: UUID, minutes: int | None, *, now: datetime
) -> Answer:
    """The next bookable start of a lesson of `minutes` (default: the shortest on offer), or null.
    One round trip if the start is stored. Raises NotFound."""
    row = await _read_next(db, instructor_id, minutes, now)
    for _ in range(_ATTEMPTS):
        if row.is_exact:
            break
        # Compute and store it, then read it again together with its version.
        pair = (instructor_id, row.duration_minutes)
        start = (await next_start.of(db, [pair], now=now))[pair]
        row = await _read_next(db, instructor_id, minutes, now)
        row = row if row.is_exact else replace(row, start=start)
    content = {
        "start": wire.instant(row.start) if row.start else None,
        "duration_minutes": row.duration_minutes,
        "time_zone": row.time_zone,
        "version": row.version,
    }
    body = orjson.dumps(content)
    return Answer(
        _etag(row.epoch, "next-available", instructor_id, minutes, body, _quarter(now)), body
    )


async def _read_next(db: Db, instructor_id: UUID, minutes: int | None, now: datetime) -> _Next:
    row = await _next_available.first(
        db, instructor_id=instructor_id, minutes=minutes, now=now, latest=now + HORIZON
    )
    if row is None:
        raise refusal.NotFound
    return row


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


def _at_or_after(moment: datetime) -> datetime:
    """Rounds up to a quarter of an hour, since lessons start on quarters."""
    return datetime.fromtimestamp(-(-moment.timestamp() // 900) * 900, UTC)


def _quarter(now: datetime) -> int:
    return int(now.timestamp() // 900)


def _etag(*parts: object) -> str:
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def _cached(etag: str) -> bytes | None:
    until, body = _bodies.get(etag, (0.0, b""))
    return body if until > time.monotonic() else None


def _cache(etag: str, body: bytes, seconds: int) -> None:
    _bodies.pop(etag, None)
    if seconds:
        _bodies[etag] = (time.monotonic() + seconds, body)
    while len(_bodies) > _MAX_BODIES:
        del _bodies[next(iter(_bodies))]
