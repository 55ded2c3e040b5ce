"""Similar instructors: the same subject, at about the same price, nearby and free soon."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.availability import next_start
from app.db import Db
from app.statements import PUBLIC_SECONDS, statement

LIMIT = 3
REACH = 20  # how many services with the next higher and lower prices are considered
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class _Row:
    service_id: UUID
    instructor_id: UUID
    name: str
    hourly_rate_cents: int
    minutes: int
    time_zone: str
    areas: list[str]


@dataclass(frozen=True, slots=True)
class Similar:
    """Another instructor's service and the next start of a lesson of its `minutes`. `areas` are
    names."""

    service_id: UUID
    instructor_id: UUID
    name: str
    hourly_rate_cents: int
    minutes: int
    time_zone: str
    areas: list[str]
    start: datetime


_similar_services = statement("similar_services", _Row, seconds=PUBLIC_SECONDS)


async def to_service(db: Db, service_id: UUID, *, now: datetime) -> list[Similar]:
    """Up to LIMIT other instructors of the same subject who are free SOON, best first."""
    rows = await _similar_services.all(
        db, service_id=service_id, reach=REACH, now=now, latest=now + SOON, limit=2 * LIMIT
    )
    starts = await next_start.of(db, [(row.instructor_id, row.minutes) for row in rows], now=now)
    return [
        Similar(
            row.service_id,
            row.instructor_id,
            row.name,
            row.hourly_rate_cents,
            row.minutes,
            row.time_zone,
            row.areas,
            start,
        )
        for row in rows
        if (start := starts[row.instructor_id, row.minutes]) and start <= now + SOON
    ][:LIMIT]
